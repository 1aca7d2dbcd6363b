//! `primal-host info`.

use std::borrow::Cow;
use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::{self, ScaleForm};

use crate::output::{print, print_json};
use crate::report::told::Told;
use crate::tasks::{OnTask, on_task};
use crate::voice::{ARCHITECTURES, Vocoder};
use crate::{Result, visible};
use primal_engine::files::checkpoint::{self, Dtype};
use primal_engine::files::gguf::{self, Gguf};
use primal_engine::files::{self, TensorFile};
use primal_engine::memory::Plan;
use primal_engine::models::source_filter::export::is_export;
use primal_engine::nn::{kept, tensors};
use primal_engine::train::state;
use primal_engine::train::trainer::Layout;

/// Characters of a name or value that are shown.
const SHOWN: usize = 200;

/// print what a file of tensors holds: a checkpoint, a vocoder, other safetensors, a GGUF file, a PyTorch checkpoint. Checksums are verified where it has them, and
/// all values of checkpoints and vocoders
#[derive(FromArgs)]
#[argh(subcommand, name = "info")]
pub struct Info {
    /// file of tensors, or the folder of a model
    #[argh(positional)]
    file: PathBuf,
    /// print one JSON object, with all metadata in full that are no arrays, nor strings above 64 KiB of a GGUF file
    #[argh(switch)]
    json: bool,
}

impl Info {
    /// Verifies and prints.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged, or has values that no run saves.
    pub fn run(self) -> Result<()> {
        let file = files::open(&self.file)?;
        let has_checksums = file.verify(&|_| true)?;
        if self.json {
            return print_object(&*file, has_checksums);
        }
        match file.metadata().get("architecture").map(String::as_str) {
            Some(architecture) if ARCHITECTURES.contains(&architecture) && !is_export(&*file) => {
                let vocoder = Vocoder::open(&self.file)?;
                let mel = serde_json::to_value(vocoder.mel).unwrap_or_default();
                print(format!("{}\nconfig = {}\nmel = {mel}\n", vocoder.kind(), vocoder.config()))?;
            }
            _ if file.kind() != checkpoint::FORMAT.name || !file.metadata().contains_key("config") => {}
            _ => return on_task(&state::architecture(&*file)?, &self.file.display().to_string(), Describe(&*file)),
        }
        let checksums =
            if has_checksums { "every checksum is right" } else { "it has no checksums: nothing tells whether its values are right" };
        print(format!("{}; {checksums}\n", file.kind()))?;
        if let Some(model) = Model::of(&*file)? {
            model.print()?;
        }
        for (key, value) in file.metadata() {
            print(format!("{} = {}", shown(key), shown(value)))?;
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

/// A name or value of a file within a line: its beginning, where it is long.
fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} … ({} bytes)", visible::line(&text[..end]), text.len()).into(),
        None => visible::line(text),
    }
}

fn print_object(file: &dyn TensorFile, has_checksums: bool) -> Result<()> {
    let tensor = |name: &str| {
        let view = file.view(name)?;
        Ok(serde_json::json!({"name": name, "type": view.dtype.name(), "shape": view.shape, "bytes": view.byte_len()}))
    };
    print_json(&serde_json::json!({
        "kind": file.kind(),
        "bytes": file.file_len(),
        "checksums": has_checksums,
        "model": Model::of(file)?,
        "metadata": file.metadata(),
        "tensors": file.names().map(tensor).collect::<Result<Vec<_>>>()?,
    }))
}

/// What people ask of a model first, as far as its file says it.
#[derive(serde::Serialize)]
struct Model {
    architecture: Option<String>,
    name: Option<String>,
    license: Option<String>,
    context_length: Option<u64>,
    tokenizer: Option<String>,
    /// How text is cut before pairs of bytes are merged, by name.
    pre_tokenizer: Option<String>,
    vocab_size: Option<usize>,
}

impl Model {
    /// Of a GGUF file; none for any other.
    fn of(file: &dyn TensorFile) -> Result<Option<Self>> {
        if file.kind() != gguf::FORMAT.name {
            return Ok(None);
        }
        let file = Gguf::open(file.path())?;
        let text = |key: &str| file.metadata().get(key).cloned();
        Ok(Some(Self {
            architecture: text("general.architecture"),
            name: text("general.name"),
            license: text("general.license"),
            context_length: file.of_architecture("context_length").and_then(|value| value.as_u64()),
            tokenizer: text("tokenizer.ggml.model"),
            pre_tokenizer: text("tokenizer.ggml.pre"),
            vocab_size: file.array("tokenizer.ggml.tokens").ok().map(|tokens| tokens.len()),
        }))
    }

    fn print(&self) -> Result<()> {
        fn or_none(text: &Option<String>) -> Cow<'_, str> {
            text.as_deref().map_or("none".into(), shown)
        }

        let number = |number: Option<u64>| number.map_or("none".into(), |number| number.to_string());
        print(format!(
            "architecture: {}; name: {}; licence: {}; context: {}",
            or_none(&self.architecture),
            or_none(&self.name),
            or_none(&self.license),
            number(self.context_length)
        ))?;
        let (tokenizer, cut) = (or_none(&self.tokenizer), or_none(&self.pre_tokenizer));
        print(format!("tokenizer: {tokenizer}, text cut as by: {cut}, tokens: {}\n", number(self.vocab_size.map(|size| size as u64))))
    }
}

/// A line for each tensor.
fn list(file: &dyn TensorFile) -> Result<()> {
    file.names().try_for_each(|name| {
        let view = file.view(name)?;
        print(format!("{:>12}  {:?} {:?}  {}", view.byte_len(), view.dtype, view.shape, shown(name)))
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
    kept::apply(&mut T::layers(&config).1, file)?;
    let Layout { parameters, optimizer, .. } = Layout::<T>::plan_kept(&config, &kept::of(file)?, &mut Plan::default());
    let mut tensors = tensors::parameters(&parameters);
    // What training keeps besides need not be there.
    tensors.extend(state::besides(&optimizer, &parameters).into_iter().filter(|tensor| file.find(&tensor.name).is_some()));
    tensors::validate(&tensors, file)?;
    print(format!("step {step}; every checksum is right\n\n{}", config.to_toml()))?;
    list(file)?;
    for spec in &parameters.specs.matrices {
        let Some(id) = spec.grid else {
            print(format!("{} in {}", spec.name, spec.blocks.unwrap_or(Dtype::F32)))?;
            continue;
        };
        let row = grid::row_bytes(spec.in_features);
        let codes = tensors::view(file, &format!("{}.codes", spec.name), Dtype::U8, &[spec.out_features, row])?.bytes()?;
        let mut counts = [0u32; 16];
        codes.chunks_exact(row).for_each(|codes| grid::histogram(codes, spec.in_features, &mut counts));
        let scales = if spec.scales == ScaleForm::Row { String::new() } else { format!(", {} scales", spec.scales.name()) };
        print(format!("{} on {}{scales}: {counts:?} weights by code", spec.name, id.name()))?;
    }
    Ok(())
}
