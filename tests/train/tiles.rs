//! Training where rows of a matrix vote before the gradient of the others is known.

use half::f16;
use primal_device::grid::{INT4, ScaleForm};
use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::{Scales, Weight};
use primal_engine::config::{Config, Rule};
use primal_engine::memory::Plan;
use primal_engine::models::gpt::Gpt;
use primal_engine::optim::MatrixState;
use primal_engine::optim::votes::Votes;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::{Layout, Trainer};

use super::config;
use super::trainer::{corpus, trainer};

/// A run whose matrices vote sixteen rows at a time.
pub fn in_tiles() -> Config {
    let mut config = config(Rule::Votes);
    config.train.gradient_rows = Some(16);
    config
}

/// R and C of all matrices.
fn squares(trainer: &mut Trainer<Cpu>) -> Vec<Vec<f32>> {
    let of_matrix = |state: &MatrixState| {
        let MatrixState::Votes(Votes(state)) = state else { panic!("votes") };
        [state.row, state.column].map(|span| trainer.backend.read(span).to_vec())
    };
    trainer.layout.optimizer.matrices.iter().flat_map(of_matrix).collect()
}

/// The bits of the scales of all matrices.
fn scale_bits(trainer: &mut Trainer<Cpu>) -> Vec<u32> {
    let halves = |span| trainer.backend.read(span).iter().map(|half: &f16| half.to_bits().into()).collect::<Vec<u32>>();
    let of_matrix = |weight: &Weight| match weight.grid().scales {
        Scales::Row(scale) => trainer.backend.read(scale).iter().map(|scale| scale.to_bits()).collect(),
        Scales::Group32 { step } => halves(step),
        Scales::Group32Offset { step, offset } => [halves(step), halves(offset)].concat(),
    };
    trainer.layout.parameters.matrices.iter().flat_map(of_matrix).collect()
}

#[test]
fn rows_vote_in_turn_by_the_mean_squares_of_the_whole() {
    let corpus = corpus();
    let run = |config: &Config, steps| {
        let mut trainer = trainer::<Gpt>(config);
        let loss = (0..steps).map(|_| trainer.step(&corpus).expect("a step").loss).last();
        (trainer, loss.expect("a step"))
    };
    // From the same weights the same gradients, of the second micro-batch as well: so R and C, and what scales are moved by.
    for (scales, group_scale_lr) in [(ScaleForm::Row, 0.0), (ScaleForm::Group32, 0.5), (ScaleForm::Group32Offset, 0.5)] {
        let [mut whole, mut tiled] = [config(Rule::Votes), in_tiles()].map(|mut config| {
            (config.train.grad_accum, config.train.group_scale_lr) = (2, group_scale_lr);
            (config.model.grid, config.model.scales) = (&INT4, scales);
            run(&config, 1).0
        });
        for (whole, tiled) in squares(&mut whole).iter().zip(squares(&mut tiled)) {
            assert!(whole.iter().any(|&square| square > 0.0));
            for (whole, tiled) in whole.iter().zip(tiled) {
                assert!((whole - tiled).abs() <= 1e-5 * whole, "{scales:?}: {whole} of the whole, {tiled} by tiles");
            }
        }
        assert!(scale_bits(&mut whole) == scale_bits(&mut tiled), "{scales:?}: scales differ");
    }
    let [whole, tiled] = [config(Rule::Votes), in_tiles()].map(|mut config| {
        config.train.steps = 150;
        run(&config, 150).1
    });
    assert!((whole - tiled).abs() < 0.2 && tiled < 3.2, "a loss of {whole} with whole gradients, of {tiled} with tiles");
}

#[test]
fn rows_that_vote_in_turn_hold_no_more_of_a_gradient() {
    let scratch = |config: &Config| {
        let mut plan = Plan::default();
        Layout::<TextTask>::plan(config, &mut plan);
        let bytes = |name: &str| plan.entries().iter().filter(|entry| entry.name == name).map(|entry| entry.bytes).sum::<usize>();
        ["matrix_gradient", "tile_squares"].map(bytes)
    };
    // The head has 256 rows of 24 columns, the MLP's second layer 24 of 96.
    assert_eq!(scratch(&config(Rule::Votes)), [256 * 24 * 4, 0]);
    assert_eq!(scratch(&in_tiles()), [16 * 96 * 4, 96 * 4]);
    // A head's gradient comes whole, where its logits do not.
    let head = |logit_rows| {
        let mut config = in_tiles();
        config.train.logit_rows = Some(logit_rows);
        scratch(&config)
    };
    assert_eq!(head(39), [16 * 96 * 4, 96 * 4]);
    // Then all others have room.
    assert_eq!(head(38), [256 * 24 * 4, 0]);
}
