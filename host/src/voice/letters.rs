//! From the letters of a word that no dictionary has to its phones, by a small language model on the 4-bit grid: see [`primal_speech::spelling`].

use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::{Backend, Device};
use primal_engine::config::{ConfigOf, LlamaConfig};
use primal_engine::files::TensorFile;
use primal_engine::memory::{Act, Plan};
use primal_engine::models::llama::Llama;
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::{Parameters, kept, tensors};
use primal_engine::train::state;
use primal_speech::Phone;
use primal_speech::spelling;

use crate::Result;

/// Answers that are followed at each letter.
pub const BEAM: usize = 4;
/// Answers that are e⁻⁵ times as likely as the best one are not followed.
const MARGIN: f32 = 5.0;
/// Tokens of the longest word's line, of 40 letters, and more.
const CONTEXT: usize = 160;

/// The model, and what it has read.
pub struct Letters {
    backend: Cpu,
    parameters: Parameters,
    readers: Vec<Reader>,
    sounds: Vec<(u8, Vec<Phone>)>,
    logits: Vec<f32>,
    beam: usize,
}

/// A decoder, and the tokens that are in its cache.
struct Reader {
    decoder: <Llama as TextModel>::Decoder,
    tokens: Vec<u32>,
}

/// An answer as far as it is.
struct Answer {
    score: f32,
    reader: usize,
    tokens: Vec<u32>,
    /// Numbers in the table of sounds.
    sounds: Vec<usize>,
}

impl Letters {
    /// Reads the model of a file; `beam` answers are followed at each letter, at least one.
    ///
    /// # Errors
    /// A file of another model.
    pub fn new(file: &dyn TensorFile, beam: usize) -> Result<Self> {
        let config: ConfigOf<LlamaConfig> = state::config_of(file)?;
        let mut plan = Plan::default();
        let (layers, mut specs) = Llama::layers(&config.model, config.train.optimizer.is_float());
        kept::apply(&mut specs, file)?;
        let shape = DecoderShape { context: CONTEXT.min(config.model.context), cache: Act::F32 };
        let decoders: Vec<_> = (0..beam).map(|_| Llama::plan_decoder(layers.clone(), shape, &mut plan)).collect();
        let mut backend = Cpu::open(&mut plan)?;
        let parameters = tensors::map(&mut backend, specs, file)?;
        decoders.iter().for_each(|decoder| decoder.prepare(&mut backend));
        let logits = vec![0.0; decoders[0].vocab()];
        let readers = decoders.into_iter().map(|decoder| Reader { decoder, tokens: Vec::new() }).collect();
        Ok(Self { backend, parameters, readers, sounds: spelling::table(), logits, beam })
    }

    /// The likeliest phones of a word in small letters; none of a word that does not fit into the model's context.
    pub fn phones(&mut self, word: &str) -> Vec<Phone> {
        if 3 * word.len() + 2 > self.readers[0].decoder.context() {
            return Vec::new();
        }
        // The end of the line before.
        let tokens = std::iter::once('\n').chain(spelling::question(word).chars()).map(u32::from).collect();
        let mut answers = vec![Answer { score: 0.0, reader: 0, tokens, sounds: Vec::new() }];
        for letter in word.bytes() {
            let mut found: Vec<(f32, usize, usize)> = Vec::new();
            for (at, answer) in answers.iter_mut().enumerate() {
                answer.tokens.push(letter.into());
                self.read(answer.reader, &answer.tokens);
                let scores = &self.logits;
                found.extend(
                    self.sounds.iter().enumerate().map(|(sound, (byte, _))| (answer.score + scores[usize::from(*byte)], at, sound)),
                );
            }
            found.sort_by(|a, b| b.0.total_cmp(&a.0));
            let best = found[0].0;
            found.truncate(self.beam);
            found.retain(|candidate| candidate.0 > best - MARGIN);
            let mut free: Vec<usize> = (0..self.beam).filter(|&r| found.iter().all(|&(_, at, _)| answers[at].reader != r)).collect();
            let mut used = vec![false; answers.len()];
            let next = found.into_iter().map(|(score, at, sound)| {
                let answer = &answers[at];
                let reader =
                    if std::mem::replace(&mut used[at], true) { free.pop().expect("a reader for each answer") } else { answer.reader };
                let (mut tokens, mut sounds) = (answer.tokens.clone(), answer.sounds.clone());
                tokens.push(self.sounds[sound].0.into());
                sounds.push(sound);
                Answer { score, reader, tokens, sounds }
            });
            answers = next.collect();
        }
        answers[0].sounds.iter().flat_map(|&sound| self.sounds[sound].1.iter().copied()).collect()
    }

    /// Logarithms of the next token's probabilities.
    fn read(&mut self, reader: usize, tokens: &[u32]) {
        let Reader { decoder, tokens: known } = &mut self.readers[reader];
        let same = known.iter().zip(tokens).take_while(|(a, b)| a == b).count().min(tokens.len() - 1);
        let span = decoder.read(&mut self.backend, &self.parameters, &tokens[same..], same);
        self.backend.download(span, &mut self.logits);
        known.clear();
        known.extend_from_slice(tokens);
        let largest = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total = largest + self.logits.iter().map(|&logit| (logit - largest).exp()).sum::<f32>().ln();
        self.logits.iter_mut().for_each(|logit| *logit -= total);
    }
}
