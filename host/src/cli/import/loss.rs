//! What a model loses on a text, in little memory: a window at a time.

use std::cell::Cell;
use std::fmt;
use std::path::Path;

use crate::cli::eval::{load, on_file};
use crate::{Error, Result};
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::TextTable;
use primal_engine::files::TensorFile;
use primal_engine::models::registry::OnText;
use primal_engine::models::text::TextModel;
use primal_engine::nn::Purpose;
use primal_engine::train::text::Measured;

/// Tokens that a prediction sees, at most.
const WINDOW: usize = 512;
/// Rows of logits that are held at a time.
const LOGIT_ROWS: usize = 64;

/// A text to measure on.
pub(super) struct Text {
    /// For messages.
    pub name: String,
    pub text: String,
}

/// The loss of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    /// A token.
    pub nats: f64,
    tokens: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:.4} nats a token (perplexity {:.2}, {} tokens)", self.nats, self.nats.exp(), self.tokens)
    }
}

/// The loss of the model in a file of this program on a text, in windows one after another.
///
/// # Errors
/// A model that cannot be run, or whose loss is no number; a text too short to predict anything of.
pub(super) fn loss(path: &Path, text: &Text) -> Result<Loss> {
    let found = Cell::new(Measured::default());
    on_file(path, |file| Measure { file, text, found: &found })?;
    let Measured { nats, tokens } = found.get();
    if !nats.is_finite() {
        let hint = "its weights may be damaged: get it again from where it came; --no-loss imports it all the same";
        return Err(Error::failed("the loss of this model is not finite", hint));
    }
    Ok(Loss { nats: nats / tokens as f64, tokens })
}

struct Measure<'a> {
    file: Box<dyn TensorFile>,
    text: &'a Text,
    found: &'a Cell<Measured>,
}

impl OnText for Measure<'_> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        let window = std::cell::Cell::new(0);
        let mut l = load::<M, _, Cpu>(
            &*self.file,
            |layers, config, plan| {
                window.set(config.context().min(WINDOW));
                let model = M::plan(layers, [1, window.get()], LOGIT_ROWS, Purpose::Evaluate, plan);
                let attention = model.attention();
                (model, attention)
            },
            M::prepare,
        )?;
        let (tokens, window) = (l.codec.prompt(&self.text.text), window.get());
        if tokens.len() < 2 {
            let found = format!("{}, in which this model's tokenizer finds {}", self.text.name, tokens.len());
            let expected = "a text of 2 tokens or more, so that there is one to predict";
            return Err(Error::bad_input("--text", expected, found, "give a longer --text, or measure nothing: --no-loss"));
        }
        // A model as large as the memory is measured block by block: what a block was mapped from is given back.
        let names: Vec<String> = self.file.names().map(str::to_owned).collect();
        let release = |prefix: &str| {
            let used = names.iter().filter(|name| name.starts_with(prefix)).filter_map(|name| self.file.find(name));
            used.for_each(|view| view.release());
        };
        let [mut inputs, mut targets] = [0, 1].map(|_| vec![0; window]);
        let (mut losses, mut found) = (vec![0.0f32; window], Measured::default());
        for start in (0..tokens.len() - 1).step_by(window) {
            let len = window.min(tokens.len() - 1 - start);
            inputs[..len].copy_from_slice(&tokens[start..][..len]);
            targets.fill(u32::MAX);
            targets[..len].copy_from_slice(&tokens[start + 1..][..len]);
            l.backend.upload(l.model.batch().inputs, &inputs);
            l.backend.upload(l.model.batch().targets, &targets);
            let sequences = l.model.attention().sequences;
            l.model.evaluate_telling(&mut l.backend, &l.parameters, sequences, &mut |block| release(&format!("blocks.{block}.")));
            l.backend.download(l.model.batch().losses, &mut losses);
            found.nats += losses[..len].iter().map(|&loss| f64::from(loss)).sum::<f64>();
            found.tokens += len as u64;
        }
        self.found.set(found);
        Ok(())
    }
}
