//! Names of values, for files, flags and errors.

use primal_device::grid::{GRIDS, VoteBits};

/// The names of grids, for errors.
pub fn grids() -> String {
    let names: Vec<_> = GRIDS.iter().map(|grid| grid.name()).collect();
    let (last, others) = names.split_last().expect("a grid");
    format!("{} or {last}", others.join(", "))
}

/// The names of forms of activations, for errors.
pub const ACTS: &str = "f32 or f16";

/// The names of what scales are for, for errors.
pub const SCALES: &str = "row, group32 or group32-offset";

/// The names of votes at the start, for errors.
pub const STARTS: &str = "zero, spread, peaked or remainder";

/// The names of what gradients are divided by, for errors.
pub const DIVISORS: &str = "root or mean-square";

/// The names of the windows of a text, for errors.
pub const WINDOWS: &str = "random or epochs";

/// The names of ways in which micro-batches come together, for errors.
pub const REDUCES: &str = "in-order, votes or gradients";

/// The bits that a vote can have, for errors.
pub const VOTES: &str = "4 or 8";

/// Bits of a vote as a number.
pub fn bits_of(bits: VoteBits) -> i64 {
    if bits == VoteBits::Four { 4 } else { 8 }
}

/// Votes of so many bits.
pub fn votes_of(bits: i64) -> Option<VoteBits> {
    match bits {
        4 => Some(VoteBits::Four),
        8 => Some(VoteBits::Eight),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Act;

    #[test]
    fn a_form_of_activations_has_one_name_in_configurations_flags_and_errors() {
        for &act in Act::ALL {
            assert_eq!(Act::from_name(act.name()), Some(act));
            assert_eq!(serde_json::to_value(act).expect("a name"), act.name());
            assert!(ACTS.contains(act.name()), "{} in {ACTS:?}", act.name());
        }
        assert_eq!(Act::from_name("f8"), None);
    }
}
