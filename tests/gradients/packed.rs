//! Documents in one batch against each of them in a batch of its own.

use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::{Backend, Sequences};
use primal_engine::config::ConfigOf;
use primal_engine::models::text::TextModel;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::Trainer;

use crate::plain::Plain;
use crate::trainer::trainer;

/// Tokens of each: one alone, one as long as may be; fewer together than a batch of 3 × 13 has room for.
const LENGTHS: [u32; 4] = [5, 13, 1, 8];
/// Of losses, and of gradients relative to the largest of their tensor: sums of 27 rows in another order.
const TOLERANCE: f32 = 1e-5;

/// Token `at` of a document; every third is not learnt.
fn token(document: usize, at: u32) -> [u32; 2] {
    let id = |at: u32| (37 * document as u32 + at * at * 7 + 11) % 256;
    [id(at), if at % 3 == 1 { u32::MAX } else { id(at + 1) }]
}

/// The losses of these documents, and the gradients of their sum: by name, one tensor after another. They lie as `place` says.
fn differentiate<M: TextModel>(
    trainer: &mut Trainer<Cpu, TextTask<M>>,
    documents: &[usize],
    place: impl Fn(&M, &mut Cpu, &[u32]) -> Sequences,
) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let floats = trainer.layout.optimizer.floats.clone();
    let vectors = trainer.layout.parameters.vectors.len();
    let gradients = |part: &[_]| part.iter().map(|float: &primal_engine::optim::float::FloatState| float.gradient).collect();
    let mut sink = Plain { vectors: gradients(&floats[..vectors]), matrices: gradients(&floats[vectors..]) };
    let lengths: Vec<u32> = documents.iter().map(|&document| LENGTHS[document]).collect();
    let tokens: Vec<[u32; 2]> = documents.iter().flat_map(|&document| (0..LENGTHS[document]).map(move |at| token(document, at))).collect();
    let (model, b) = (&trainer.layout.model, &mut trainer.backend);
    let (batch, rows) = (*model.batch(), tokens.len());
    for (span, part) in [(batch.inputs, 0), (batch.targets, 1)] {
        b.upload(span.slice(0, rows), &tokens.iter().map(|token| token[part]).collect::<Vec<_>>());
    }
    floats.iter().for_each(|float| b.zero(float.gradient));
    let sequences = place(model, b, &lengths);
    model.train(b, &trainer.layout.parameters, &mut sink, sequences, 1.0);
    let mut losses = vec![0.0; rows];
    b.download(batch.losses.slice(0, rows), &mut losses);
    let gradient = |float: &primal_engine::optim::float::FloatState| {
        let mut values = vec![0.0f32; float.gradient.len()];
        b.download(float.gradient, &mut values);
        (float.name.clone(), values)
    };
    (losses, floats.iter().map(gradient).collect())
}

fn compare(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(error <= TOLERANCE, "{what}[{at}]: {found}, alone {expected}, error {error} of {largest}");
    }
}

/// Checks losses and all gradients of a model.
pub fn check<M: TextModel<Config: Sync>>(name: &str, config: &ConfigOf<M::Config>) {
    let all: Vec<usize> = (0..LENGTHS.len()).collect();
    let mut packed = trainer::<M>(config);
    let (losses, gradients) = differentiate(&mut packed, &all, |model, b, lengths| model.batch().place(b, lengths));

    let (mut alone, mut sums) = (Vec::new(), Vec::<(String, Vec<f32>)>::new());
    for &document in &all {
        let mut config = config.clone();
        (config.train.batch, config.train.seq_len) = (1, LENGTHS[document] as usize);
        let mut single = trainer::<M>(&config);
        let (losses, gradients) = differentiate(&mut single, &[document], |model, _, _| model.attention().sequences);
        alone.extend(losses);
        for (at, (name, gradient)) in gradients.into_iter().enumerate() {
            match sums.get_mut(at) {
                None => sums.push((name, gradient)),
                Some((_, sum)) => sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value),
            }
        }
    }
    compare(&format!("{name}: losses"), &losses, &alone);
    assert!(losses.iter().any(|&loss| loss > 0.0) && losses[1] == 0.0, "{name}: what is not learnt has no loss: {losses:?}");
    for ((tensor, found), (_, expected)) in gradients.iter().zip(&sums) {
        assert!(expected.iter().any(|&value| value != 0.0), "{name}: no gradient of {tensor}");
        compare(&format!("{name}: the gradient of {tensor}"), found, expected);
    }

    // The order changes nothing but the order, and a full batch of windows is as it was.
    let (turned, _) = differentiate(&mut packed, &[3, 2, 1, 0], |model, b, lengths| model.batch().place(b, lengths));
    compare(&format!("{name}: losses of the last document"), &turned[..8], &losses[19..]);
}
