//! `primal-host init`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::ScaleForm;

use super::overrides::one_of;
use super::threads::in_pool;
use crate::configurations::any_text_of;
use crate::output::print;
use crate::tasks::on_text_model;
use crate::{Error, Result};
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{self, ConfigOf, ModelTable, architecture_of};
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::memory::Plan;
use primal_engine::models::registry::OnText;
use primal_engine::models::text::TextModel;
use primal_engine::nn::{Parameters, tensors};

/// write a text model at its random start values: to try what a size takes, without training
#[derive(FromArgs)]
#[argh(subcommand, name = "init")]
pub struct Init {
    /// configuration: a name, such as llama-1.1b, or a .toml file
    #[argh(option)]
    config: String,
    /// file to write, .safetensors
    #[argh(option)]
    out: PathBuf,
    /// scales: row, group32 or group32-offset (default: what the configuration says)
    #[argh(option)]
    scales: Option<String>,
    /// seed (default 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
}

impl Init {
    /// Writes the file.
    ///
    /// # Errors
    /// A configuration that cannot be used, or of no text model; a file that cannot be written.
    pub fn run(self) -> Result<()> {
        super::paths::require_extension(("--out", &self.out), "safetensors")?;
        super::paths::require_writable(("--out", &self.out))?;
        let text = any_text_of(&self.config)?;
        in_pool(self.threads, || {
            on_text_model(&architecture_of(&text, &self.config)?, &self.config, Initialised { flags: &self, text: &text })
        })
    }
}

/// The configuration that gets start values.
struct Initialised<'a> {
    flags: &'a Init,
    text: &'a str,
}

impl OnText for Initialised<'_> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        let Self { flags, text } = self;
        let mut config: ConfigOf<M::Config> = ConfigOf::parse(text, &flags.config)?;
        if let Some(name) = &flags.scales {
            *config.model.scales_mut() = one_of("--scales", config::SCALES, name, ScaleForm::by_name(name))?;
        }
        config.check(&flags.config)?;
        let mut plan = Plan::default();
        let (_, specs) = M::layers(&config.model, config.train.optimizer.is_float());
        let parameters = Parameters::plan(specs, &mut plan);
        super::limits::require::<Cpu>(&plan, "use a smaller model")?;
        let mut backend = Cpu::new(&mut plan);
        parameters.initialise(&mut backend, flags.seed, |_, _, _, _| {});
        let tensors = tensors::parameters(&parameters);
        let stored = tensors.iter().map(|t| TensorRef::new(&t.name, t.dtype, &t.shape, backend.read(t.bytes)));
        let metadata = BTreeMap::from([("config".to_string(), config.to_toml()), ("step".to_string(), "0".to_string())]);
        save(&flags.out, &metadata, &stored.collect::<Vec<_>>()).map_err(Error::from)?;
        print(format!("{}: {} weights at their start values", flags.out.display(), parameters.specs.matrix_weights()))
    }
}
