//! What micro-batches count in their step.

use primal_engine::config::Rule;
use primal_engine::models::gpt::Gpt;
use primal_engine::train::task::Draw;
use primal_engine::train::text::TextSource;

use super::config;
use super::trainer::trainer;

/// Sequences of which all but a few are learnt whole.
struct Uneven;

impl TextSource for Uneven {
    fn fingerprint(&self) -> u64 {
        0
    }

    fn sample(&self, _: u64, draw: Draw, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], _: &mut Vec<u32>) {
        let rows = inputs.len() / seq_len;
        for (row, (inputs, targets)) in inputs.chunks_exact_mut(seq_len).zip(targets.chunks_exact_mut(seq_len)).enumerate() {
            let number = draw.micro_batch as usize * rows + row;
            let token = |at: usize| (97 + (7 * number + at * at) % 26) as u32;
            // Of the first sequence two tokens are learnt, of the second none.
            let learnt = [2, 0].get(number).copied().unwrap_or(seq_len);
            for at in 0..seq_len {
                inputs[at] = token(at);
                targets[at] = if at < learnt { token(at + 1) } else { u32::MAX };
            }
        }
    }

    fn held_out(&self, _: u64, _: usize, _: &mut [u32], _: &mut [u32], _: &mut Vec<u32>) -> usize {
        0
    }

    fn bytes_of(&self, _: u32) -> usize {
        1
    }
}

#[test]
fn a_token_counts_as_much_in_whichever_micro_batch_it_is() {
    let run = |batch, grad_accum| {
        let mut config = config(Rule::Adamw);
        (config.train.batch, config.train.grad_accum) = (batch, grad_accum);
        trainer::<Gpt>(&config).step(&Uneven).expect("a step")
    };
    let whole = run(4, 1);
    for grad_accum in [2, 4] {
        let parts = run(4 / grad_accum, grad_accum as u32);
        assert_eq!(parts.items, whole.items);
        for (part, whole, what) in [(parts.loss, whole.loss, "loss"), (parts.grad_norm, whole.grad_norm, "norm of the gradient")] {
            assert!((part - whole).abs() < 1e-5 * whole, "{what} of {grad_accum} micro-batches {part}, of one {whole}");
        }
    }
}
