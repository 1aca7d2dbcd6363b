//! `primal-host info`.

use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::{self, ScaleForm};

use crate::output::print;
use crate::report::told::Told;
use crate::tasks::{OnTask, on_task};
use crate::voice::Vocoder;
use crate::{Result, visible};
use primal_engine::files::checkpoint::{self, Dtype};
use primal_engine::files::{self, TensorFile};
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::weights::ARCHITECTURE;
use primal_engine::nn::tensors;
use primal_engine::train::state;
use primal_engine::train::trainer::Layout;

/// Characters of a metadata value that are shown.
const SHOWN: usize = 200;

/// print what a file of tensors holds: a checkpoint, a vocoder, other safetensors, a PyTorch checkpoint. Checksums are verified where it has them, and
/// all values of checkpoints and vocoders
#[derive(FromArgs)]
#[argh(subcommand, name = "info")]
pub struct Info {
    /// file of tensors
    #[argh(positional)]
    file: PathBuf,
}

impl Info {
    /// Verifies and prints.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged, or has values that no run saves.
    pub fn run(self) -> Result<()> {
        let file = files::open(&self.file)?;
        let has_checksums = file.verify(&|_| true)?;
        match file.metadata().get("architecture").map(String::as_str) {
            Some(ARCHITECTURE) => {
                let vocoder = Vocoder::open(&self.file)?;
                let config = serde_json::to_value(&vocoder.config).unwrap_or_default();
                let mel = serde_json::to_value(vocoder.mel).unwrap_or_default();
                print(format!("a HiFi-GAN vocoder\nconfig = {config}\nmel = {mel}\n"))?;
            }
            _ if file.kind() != checkpoint::FORMAT.name || !file.metadata().contains_key("config") => {}
            _ => return on_task(&state::architecture(&*file)?, &self.file.display().to_string(), Describe(&*file)),
        }
        let checksums =
            if has_checksums { "every checksum is right" } else { "it has no checksums: nothing tells whether its values are right" };
        print(format!("{}; {checksums}\n", file.kind()))?;
        for (key, value) in file.metadata() {
            let shown: String = value.chars().take(SHOWN).collect();
            let cut = if shown.len() < value.len() { format!(" … ({} bytes)", value.len()) } else { String::new() };
            print(format!("{} = {}{cut}", visible::line(key), visible::line(&shown)))?;
        }
        list(&*file)?;
        let (mut count, mut values, mut bytes) = (0, 0usize, 0usize);
        for name in file.names() {
            let view = file.view(name)?;
            (count, values, bytes) = (count + 1, values.saturating_add(view.len()), bytes.saturating_add(view.byte_len()));
        }
        print(format!("{count} tensors of {values} values in {bytes} bytes; the file has {} bytes", file.file_len()))
    }
}

/// A line for each tensor.
fn list(file: &dyn TensorFile) -> Result<()> {
    file.names().try_for_each(|name| {
        let view = file.view(name)?;
        print(format!("{:>12}  {:?} {:?}  {}", view.byte_len(), view.dtype, view.shape, visible::line(name)))
    })
}

/// Prints what a checkpoint holds.
struct Describe<'a>(&'a dyn TensorFile);

impl OnTask for Describe<'_> {
    fn on<T: Told>(self) -> Result<()> {
        describe::<T>(self.0)
    }
}

fn describe<T: Told>(file: &dyn TensorFile) -> Result<()> {
    let config = state::config_of::<T::Config>(file)?;
    let step = state::step_of(file, &config)?;
    let layout = Layout::<T>::plan(&config, &mut Plan::default());
    // Parameters come first; what training keeps besides need not be there.
    let (mut tensors, needed) = (state::tensors(&layout), tensors::parameters(&layout.parameters).len());
    let besides = tensors.split_off(needed).into_iter().filter(|tensor| file.find(&tensor.name).is_some());
    tensors.extend(besides);
    tensors::validate(&tensors, file)?;
    print(format!("step {step}; every checksum is right\n\n{}", config.to_toml()))?;
    list(file)?;
    for spec in &layout.parameters.specs.matrices {
        let Some(id) = spec.grid else { continue };
        let row = grid::row_bytes(spec.in_features);
        let codes = tensors::view(file, &format!("{}.codes", spec.name), Dtype::U8, &[spec.out_features, row])?.bytes()?;
        let mut counts = [0u32; 16];
        codes.chunks_exact(row).for_each(|codes| grid::histogram(codes, spec.in_features, &mut counts));
        let scales = if spec.scales == ScaleForm::Row { String::new() } else { format!(", {} scales", spec.scales.name()) };
        print(format!("{} on {}{scales}: {counts:?} weights by code", spec.name, id.name()))?;
    }
    Ok(())
}
