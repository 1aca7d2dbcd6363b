//! What a model loses on a text, in little memory: a window at a time.

use std::cell::Cell;
use std::fmt;
use std::path::Path;

use crate::cli::eval::{load, on_file};
use crate::{Error, Result};
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::TextTable;
use primal_engine::files::TensorFile;
use primal_engine::models::registry::OnText;
use primal_engine::models::text::TextModel;
use primal_engine::nn::Purpose;
use primal_engine::train::text::{Measured, measure};

/// Tokens that a prediction sees, at most.
const WINDOW: usize = 512;
/// Rows of logits that are held at a time.
const LOGIT_ROWS: usize = 64;

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
pub(super) fn loss(path: &Path, text: &str) -> Result<Loss> {
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
    text: &'a str,
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
        let (tokens, window) = (l.codec.prompt(self.text), window.get());
        if tokens.len() < 2 {
            return Err(Error::bad_input("--text", "2 tokens or more", tokens.len(), "give a page of text"));
        }
        let mut at = 0;
        let next = |inputs: &mut [u32], targets: &mut [u32]| {
            let rest = &tokens[at..];
            let len = rest.len().saturating_sub(1).min(window);
            inputs[..len].copy_from_slice(&rest[..len]);
            targets[..len].copy_from_slice(&rest[1..][..len]);
            at += len;
            len
        };
        let [mut inputs, mut targets] = [0, 1].map(|_| vec![0; window]);
        let mut losses = vec![0.0; window];
        let buffers = [&mut inputs[..], &mut targets[..]];
        self.found.set(measure(&mut l.backend, &l.parameters, &l.model, buffers, &mut losses, u64::MAX, next)?);
        Ok(())
    }
}
