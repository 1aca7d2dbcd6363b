//! The gradients of a text model on a batch.

use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::models::text::TextModel;
use primal_engine::optim::float::FloatState;
use primal_engine::train::task::Draw;
use primal_engine::train::text::{TextSource, TextTask};
use primal_engine::train::trainer::Trainer;

use crate::plain::Plain;
use crate::trainer::corpus;

/// Fills the gradients of all float tensors, of which the float twin has no others, with those of the first batch; the tensors.
pub fn differentiate<M: TextModel>(trainer: &mut Trainer<Cpu, TextTask<M>>) -> Vec<FloatState> {
    let floats = trainer.layout.optimizer.floats.clone();
    let vectors = trainer.layout.parameters.vectors.len();
    let mut sink = Plain {
        vectors: floats[..vectors].iter().map(|f| f.gradient).collect(),
        matrices: floats[vectors..].iter().map(|f| f.gradient).collect(),
    };
    let batch = *trainer.layout.model.batch();
    let (mut inputs, mut targets) = (vec![0; batch.losses.len()], vec![0; batch.losses.len()]);
    corpus().sample(1, Draw { step: 0, micro_batch: 0, of: 1 }, 13, &mut inputs, &mut targets, &mut Vec::new());
    let b = &mut trainer.backend;
    b.upload(batch.inputs, &inputs);
    b.upload(batch.targets, &targets);
    for float in &floats {
        b.zero(float.gradient);
    }
    let model = &trainer.layout.model;
    model.train(b, &trainer.layout.parameters, &mut sink, model.attention().sequences, 1.0);
    floats
}
