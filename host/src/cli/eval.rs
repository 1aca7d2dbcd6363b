//! `primal-host eval`.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::threads::in_pool;
use super::{documents, limits};
use crate::data::{Corpus, CorpusOptions, Split, TextCodec, are_documents};
use crate::output::{print, print_json, warn};
use crate::tasks::on_text_model;
use crate::{Error, Result};
use primal_engine::backend::{AttentionShape, Device};
use primal_engine::config::{ConfigOf, TextTable, TrainConfig};
use primal_engine::files::{self, Dtype, TensorFile, mapped};
use primal_engine::memory::{Act, Plan};
use primal_engine::models::registry::OnText;
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::Parameters;
use primal_engine::nn::Purpose;
use primal_engine::nn::{kept, tensors};
use primal_engine::train::state;
use primal_engine::train::text::{Measured, TextSource, measure, measure_batches};

/// Sequences of a batch, and tokens of it, at most.
const BATCH: usize = 8;
const TOKENS: usize = 8192;
/// Tokens of a sequence, unless it is said.
const SEQUENCE: usize = 2048;

/// measure a checkpoint on text: nats a token, perplexity, bits a byte
#[derive(FromArgs)]
#[argh(subcommand, name = "eval")]
pub struct Eval {
    /// checkpoint file
    #[argh(option)]
    checkpoint: PathBuf,
    /// text files or folders, documents and conversations in .jsonl, .ndjson or .json, or "stories" (default); may be repeated
    #[argh(option)]
    data: Vec<String>,
    /// validation (default: the last 5 % of each file), test (its second half, where training held it out), train or all
    #[argh(option, default = "String::from(\"validation\")")]
    split: String,
    /// tokens of a sequence, each measured without those before it (default: the model's context, at most 2048)
    #[argh(option)]
    seq_len: Option<usize>,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// A text model ready to run, as far as `P` goes; its parameters in the mapped file.
pub(super) struct Loaded<M: TextModel, P, D> {
    pub config: ConfigOf<M::Config>,
    pub codec: TextCodec,
    pub model: P,
    pub parameters: Parameters,
    pub backend: D,
}

/// Opens a file of tensors, and does `work` with the text model that it is of.
pub(super) fn on_file<W: OnText<Output = Result<()>>>(path: &Path, work: impl FnOnce(Box<dyn TensorFile>) -> W) -> Result<()> {
    let file = files::open(path)?;
    let architecture = state::architecture(&*file)?;
    on_text_model(&architecture, &path.display().to_string(), work(file))
}

/// Verifies what a model needs of its file, and plans it; `plan_model` also says what attention it has.
pub(super) fn load<M: TextModel, P, D: Device>(
    file: &dyn TensorFile,
    plan_model: impl FnOnce(M::Layers, &M::Config, &mut Plan) -> (P, AttentionShape),
    prepare: impl FnOnce(&P, &mut D),
) -> Result<Loaded<M, P, D>> {
    let config: ConfigOf<M::Config> = state::config_of(file)?;
    let codec = TextCodec::of(config.model.tokenizer(), file)?;
    let mut plan = Plan::default();
    let (layers, mut specs) = M::layers(&config.model, config.train.optimizer.is_float());
    kept::apply(&mut specs, file)?;
    if let (true, Some(spec)) = (D::BLOCKS.is_empty(), specs.matrices.iter().find(|spec| spec.blocks.is_some())) {
        let dtype = spec.blocks.map_or("", Dtype::name);
        let hint = "use --device cpu, or import the model again with --grid";
        return Err(Error::bad_input(
            "--device",
            "one whose ops read weights as other programs left them",
            format!("{dtype} of {}", spec.name),
            hint,
        ));
    }
    let (model, attention) = plan_model(layers, &config.model, &mut plan);
    D::require(&attention)?;
    limits::require::<D>(&plan, "use a smaller model")?;
    let mut backend = D::open(&mut plan)?;
    let parameters = tensors::map(&mut backend, specs, file)?;
    prepare(&model, &mut backend);
    Ok(Loaded { config, codec, model, parameters, backend })
}

/// [`load`] for writing: a decoder that remembers as many tokens as `flag`, or the model's context and the limit of `limits::context`.
pub(super) fn load_decoder<M: TextModel, D: Device>(file: &dyn TensorFile, flag: Option<usize>) -> Result<Loaded<M, M::Decoder, D>> {
    let config: ConfigOf<M::Config> = state::config_of(file)?;
    let context = limits::context(flag, config.model.context())?;
    load::<M, _, D>(
        file,
        |layers, _, plan| {
            let shape = DecoderShape { context, cache: Act::F16 };
            let decoder = M::plan_decoder(layers, shape, plan);
            let attention = decoder.attention();
            (decoder, attention)
        },
        M::Decoder::prepare,
    )
}

impl Eval {
    /// Evaluates and prints.
    ///
    /// # Errors
    /// A checkpoint or data that cannot be used.
    pub fn run(self) -> Result<()> {
        in_pool(self.threads, || device::run(self.device, &self))
    }
}

impl Work for Eval {
    fn run_on<D: Device>(&self) -> Result<()> {
        let split = Split::from_name(&self.split)?;
        on_file(&self.checkpoint, |file| Measure::<D> { flags: self, split, file, device: PhantomData })
    }
}

/// Measures the model of a file on a device.
struct Measure<'a, D> {
    flags: &'a Eval,
    split: Split,
    file: Box<dyn TensorFile>,
    device: PhantomData<D>,
}

impl<D: Device> OnText for Measure<'_, D> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        let config: ConfigOf<M::Config> = state::config_of(&*self.file)?;
        let shape @ [batch, seq] = self.flags.shape(config.model.context())?;
        let loaded = load::<M, _, D>(
            &*self.file,
            |layers, config, plan| {
                let rows = config.logit_rows(&TrainConfig::default());
                let model = M::plan(layers, [batch, seq], rows, Purpose::Evaluate, plan);
                let attention = model.attention();
                (model, attention)
            },
            M::prepare,
        )?;
        self.flags.measure(self.split, shape, &*self.file, loaded)
    }
}

impl Eval {
    /// Sequences of a batch, and tokens of a sequence, of a model of such a context.
    fn shape(&self, context: usize) -> Result<[usize; 2]> {
        let seq = self.seq_len.unwrap_or(context.min(SEQUENCE));
        if !(1..=context).contains(&seq) {
            return Err(Error::bad_input("--seq-len", format!("1 to {context}, the model's context"), seq, "leave it out, or lower it"));
        }
        Ok([(TOKENS / seq).clamp(1, BATCH), seq])
    }

    fn measure<M: TextModel, D: Device>(
        &self,
        split: Split,
        [batch, seq]: [usize; 2],
        file: &dyn TensorFile,
        mut l: Loaded<M, M, D>,
    ) -> Result<()> {
        if self.data.is_empty() {
            warn(format!("no --data: the {} split of the generated stories is measured", split.name()));
        }
        let sources = if self.data.is_empty() { vec!["stories".to_string()] } else { self.data.clone() };
        let paths = sources.clone().into();
        let [mut inputs, mut targets] = [0, 1].map(|_| vec![0u32; batch * seq]);
        let mut losses = vec![0.0f32; batch * seq];
        let has_test = l.config.train.hold_out_test;
        let (measured, bytes) = if are_documents(&paths)? {
            let template = documents::template(Some(file), &l.codec)?;
            let documents = documents::open::<D, M>(&paths, &l.codec, template.as_ref(), &l.model, (split, has_test))?;
            documents.warnings().iter().for_each(warn);
            let (mut lengths, mut index, mut bytes) = (Vec::new(), 0, 0);
            let next = |b: &mut D, inputs: &mut [u32], targets: &mut [u32]| {
                lengths.clear();
                let rows = documents.held_out(index, seq, inputs, targets, &mut lengths);
                index += 1;
                bytes += targets.iter().filter(|&&token| token != u32::MAX).map(|&token| documents.bytes_of(token) as u64).sum::<u64>();
                (rows > 0).then(|| l.model.batch().place(b, &lengths))
            };
            let buffers = [&mut inputs[..], &mut targets];
            (measure_batches(&mut l.backend, &l.parameters, &l.model, buffers, &mut losses, u64::MAX, next)?, bytes)
        } else {
            let options = CorpusOptions { hold_out_test: has_test, ..CorpusOptions::default() };
            let corpus = Corpus::open(&sources, l.codec.clone(), &options)?;
            corpus.require_split(split)?;
            corpus.warnings().iter().for_each(warn);
            let (mut index, mut bytes) = (0, 0);
            let next = |inputs: &mut [u32], targets: &mut [u32]| {
                let window = corpus.window(split, seq, index);
                corpus.read_window(window, inputs, targets);
                index += 1;
                bytes += if window.len > 0 { corpus.window_bytes(window) } else { 0 };
                window.len
            };
            let buffers = [&mut inputs[..], &mut targets];
            (measure(&mut l.backend, &l.parameters, &l.model, buffers, &mut losses, u64::MAX, next)?, bytes)
        };
        let Measured { nats, tokens } = measured;
        mapped::require_unchanged()?;
        if !nats.is_finite() {
            let message = format!("{}: the loss on this text is not finite", self.checkpoint.display());
            return Err(Error::failed(message, "evaluate an earlier checkpoint of the run"));
        }
        let nats_per_token = nats / tokens as f64;
        let bits_per_byte = (bytes > 0).then(|| nats / std::f64::consts::LN_2 / bytes as f64);
        let perplexity = nats_per_token.exp();
        if self.json {
            let object = serde_json::json!({
                "data": sources, "split": split.name(),
                "nats_per_token": nats_per_token, "perplexity": perplexity, "bits_per_byte": bits_per_byte, "tokens": tokens
            });
            return print_json(&object);
        }
        print(format!(
            "{nats_per_token:.4} nats/token, perplexity {perplexity:.3}, {} bits/byte over {tokens} tokens of {}, {}",
            bits_per_byte.map_or_else(|| "no".to_owned(), |bits| format!("{bits:.4}")),
            sources.join(", "),
            split.name()
        ))
    }
}
