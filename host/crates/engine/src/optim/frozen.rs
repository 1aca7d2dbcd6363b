//! A matrix that training leaves as it is.

use crate::backend::Weight;
use crate::config::TrainConfig;
use crate::memory::Plan;
use crate::nn::parameters::MatrixSpec;

use super::float::FloatState;
use super::rule::UpdateRule;

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub struct Frozen;

impl UpdateRule for Frozen {
    fn plan(_: &TrainConfig, _: &MatrixSpec, _: &Weight, _: &mut Vec<FloatState>, _: &mut Plan) -> Self {
        Self
    }

    fn bytes(&self) -> usize {
        0
    }
}
