//! PRIMAL as a worker.

use std::path::Path;
use std::time::Instant;

use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::{Backend, Device};
use primal_engine::config::TextTable;
use primal_engine::files::{TensorFile, open};
use primal_engine::memory::{Act, Plan};
use primal_engine::models::registry::{OnText, on_text};
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::{Parameters, Purpose, kept, tensors};
use primal_engine::train::state;
use primal_engine::train::text::measure;
use primal_host::data::TextCodec;

use crate::CONTEXT;
use crate::worker::{Model, serve};

/// Loads a file and serves it.
pub fn work(path: &Path, threads: usize, name: &str, began: Instant) -> Result<(), String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| e.to_string())?;
    pool.install(|| {
        let file = open(path).map_err(|e| e.to_string())?;
        let architecture = state::architecture(&*file).map_err(|e| e.to_string())?;
        on_text(&architecture, Serve { file: &*file, name, began }).ok_or("no text model")?
    })
}

struct Serve<'a> {
    file: &'a dyn TensorFile,
    name: &'a str,
    began: Instant,
}

impl OnText for Serve<'_> {
    type Output = Result<(), String>;

    fn on<M: TextModel>(self) -> Self::Output {
        let Self { file, name, began } = self;
        let mut model = Loaded::<M>::open(file).map_err(|e| e.to_string())?;
        serve(&mut model, name.into(), began)
    }
}

/// A model that writes.
struct Loaded<'a, M: TextModel> {
    file: &'a dyn TensorFile,
    codec: TextCodec,
    backend: Cpu,
    parameters: Parameters,
    decoder: M::Decoder,
    past: usize,
    logits: Vec<f32>,
}

impl<'a, M: TextModel> Loaded<'a, M> {
    fn open(file: &'a dyn TensorFile) -> Result<Self, Box<dyn std::error::Error>> {
        let config = state::config_of::<M::Config>(file)?;
        let codec = TextCodec::of(config.model.tokenizer(), file)?;
        let (mut plan, (layers, mut specs)) = (Plan::default(), M::layers(&config.model, false));
        kept::apply(&mut specs, file)?;
        let decoder = M::plan_decoder(layers, DecoderShape { context: CONTEXT, cache: Act::F16 }, &mut plan);
        let mut backend = Cpu::open(&mut plan)?;
        let parameters = tensors::map(&mut backend, specs, file)?;
        decoder.prepare(&mut backend);
        let logits = vec![0.0; decoder.vocab()];
        Ok(Self { file, codec, backend, parameters, decoder, past: 0, logits })
    }

    /// As the command `eval` measures.
    fn measure(&self, tokens: &[u32]) -> Result<f64, Box<dyn std::error::Error>> {
        let window = tokens.len() - 1;
        let config = state::config_of::<M::Config>(self.file)?;
        let (mut plan, (layers, mut specs)) = (Plan::default(), M::layers(&config.model, false));
        kept::apply(&mut specs, self.file)?;
        let model = M::plan(layers, [1, window], window, Purpose::Evaluate, &mut plan);
        let mut backend = Cpu::open(&mut plan)?;
        let parameters = tensors::map(&mut backend, specs, self.file)?;
        model.prepare(&mut backend);
        let [mut inputs, mut targets] = [0, 1].map(|_| vec![0; window]);
        let (mut losses, mut is_first) = (vec![0.0; window], true);
        let next = |inputs: &mut [u32], targets: &mut [u32]| {
            inputs.copy_from_slice(&tokens[..window]);
            targets.copy_from_slice(&tokens[1..]);
            if std::mem::take(&mut is_first) { window } else { 0 }
        };
        let measured = measure(&mut backend, &parameters, &model, [&mut inputs, &mut targets], &mut losses, u64::MAX, next)?;
        Ok(measured.nats)
    }
}

impl<M: TextModel> Model for Loaded<'_, M> {
    fn clear(&mut self) {
        self.past = 0;
    }

    fn read(&mut self, tokens: &[u32]) -> Result<&[f32], String> {
        let span = self.decoder.read(&mut self.backend, &self.parameters, tokens, self.past);
        self.backend.download(span, &mut self.logits);
        self.past += tokens.len();
        Ok(&self.logits)
    }

    fn loss(&mut self, tokens: &[u32]) -> Result<f64, String> {
        self.measure(tokens).map_err(|e| e.to_string())
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        Ok(self.codec.prompt(text))
    }
}
