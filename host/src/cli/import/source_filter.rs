//! `primal-host import source-filter`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::{Grid, UNIFORM15, by_name};

use crate::cli::overrides::one_of;
use crate::cli::paths::{require_distinct, require_extension, require_writable};
use crate::output::print;
use crate::{Error, Result};
use primal_engine::config::grids;
use primal_engine::files;
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::models::source_filter::export::Exported;
use primal_engine::models::source_filter::weights;
use primal_engine::nn::kept;
use primal_speech::mel::MelSettings;

/// What the training says of its mels.
const MEL: &str = "HiFi-GAN 22050 Hz, 1024/256, 80 bands 0-8000 Hz";
/// The value of --grid for no grid.
const FLOAT: &str = "float";

/// make a vocoder of what models/voices/train_vocoder.py exported
#[derive(FromArgs)]
#[argh(subcommand, name = "source-filter")]
pub(super) struct ImportSourceFilter {
    /// the safetensors file
    #[argh(positional)]
    file: PathBuf,
    /// safetensors file to write
    #[argh(option)]
    out: PathBuf,
    /// grid for the matrices, with a scale for each row by least squares: uniform15 (default) or another; float keeps them as they are
    #[argh(option)]
    grid: Option<String>,
    /// share of the noise that is kept where harmonics are much louder, 0 to 1 (default: what the file says, or else 1): less is clearer
    #[argh(option)]
    voiced_noise: Option<f32>,
    /// licence of the weights, to be kept in the file (default: what the file says)
    #[argh(option)]
    license: Option<String>,
}

impl ImportSourceFilter {
    /// Reads, checks and writes.
    ///
    /// # Errors
    /// A file that is no such vocoder; output that cannot be written.
    pub(super) fn run(self) -> Result<()> {
        let out = ("--out", self.out.as_path());
        require_extension(out, "safetensors")?;
        require_distinct(out, &[("FILE", self.file.as_path())])?;
        require_writable(out)?;
        let grid = self.grid()?;
        let file = files::open(&self.file)?;
        let mut exported = Exported::new(&*file)?;
        if let Some(share) = self.voiced_noise {
            exported.config.voiced_noise = share;
            exported.config.validate("--voiced-noise")?;
        }
        if let Some(mel) = file.metadata().get("mel").filter(|mel| !mel.starts_with(MEL)) {
            let hint = "train it on these, which every part of this program knows";
            return Err(Error::bad_input(
                self.file.display(),
                format!("metadata `mel` that begins with {MEL:?}"),
                format!("{mel:?}"),
                hint,
            ));
        }
        let converted = exported.convert(grid)?;
        let json = |value: serde_json::Result<String>| value.map_err(|error| Error::failed(error.to_string(), "report this"));
        let mut metadata = BTreeMap::from([
            ("architecture".into(), weights::ARCHITECTURE.into()),
            ("config".into(), json(serde_json::to_string(&exported.config))?),
            ("mel".into(), json(serde_json::to_string(&MelSettings::default()))?),
            (kept::KEY.into(), converted.kept),
        ]);
        let license = self.license.as_ref().or_else(|| file.metadata().get("license"));
        metadata.extend(license.map(|license| ("license".into(), license.clone())));
        metadata.extend(file.metadata().get("steps").map(|steps| ("steps".into(), steps.clone())));
        metadata.extend(self.file.file_name().map(|name| ("imported_from".into(), name.to_string_lossy().into_owned())));
        let tensors: Vec<TensorRef> =
            converted.tensors.iter().map(|tensor| TensorRef::new(&tensor.name, tensor.dtype, &tensor.shape, &tensor.bytes)).collect();
        save(&self.out, &metadata, &tensors)?;
        let kept = match (grid, converted.signal_to_error) {
            (Some(grid), Some(ratio)) => format!("on {}, signal to error {ratio:.1} dB", grid.name()),
            _ => "in floats".into(),
        };
        let look_ahead = MelSettings::default().seconds(exported.config.look_ahead());
        print(format!("{}: {} weights {kept}; looks {look_ahead:.3} s ahead", self.out.display(), converted.weights))
    }

    fn grid(&self) -> Result<Option<&'static Grid>> {
        match self.grid.as_deref() {
            None => Ok(Some(&UNIFORM15)),
            Some(FLOAT) => Ok(None),
            Some(name) => Ok(Some(one_of("--grid", &format!("{}, {FLOAT}", grids()), name, by_name(name))?)),
        }
    }
}
