//! What is compared.

/// Steps of a run, each of one sequence of so many tokens.
pub const STEPS: u64 = 500;
pub const SEQ_LEN: usize = 256;
/// The first one chooses rates.
pub const SEEDS: [u64; 3] = [1, 2, 3];

/// What a run leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The model before any training.
    AsItIs,
    /// Floats.
    Floats,
    /// Weights on the grid.
    Grid,
}

/// A way to train.
pub struct Arm {
    pub name: &'static str,
    pub kind: Kind,
    pub flags: &'static [&'static str],
    pub rates: &'static [f32],
    /// Bytes kept of a weight between steps, without scales of groups: weights and moments, or codes and votes.
    pub bytes: f64,
}

pub const BEFORE: &str = "before";
pub const ADAMW: &str = "adamw, f32";

pub const ARMS: [Arm; 6] = [
    Arm { name: BEFORE, kind: Kind::AsItIs, flags: &[], rates: &[0.0], bytes: 0.5 },
    Arm { name: ADAMW, kind: Kind::Floats, flags: &["--optimizer", "adamw"], rates: &[5e-5, 1e-4, 2e-4, 4e-4], bytes: 12.0 },
    Arm { name: "votes of 8 bits, peaked", kind: Kind::Grid, flags: &[], rates: &[1e-4, 2e-4, 4e-4, 8e-4], bytes: 1.5 },
    Arm { name: "votes of 8 bits, spread", kind: Kind::Grid, flags: &["--start", "spread"], rates: &[5e-5, 1e-4, 2e-4], bytes: 1.5 },
    Arm { name: "votes of 4 bits, spread", kind: Kind::Grid, flags: &["--votes", "4"], rates: &[5e-5, 1e-4, 2e-4], bytes: 1.0 },
    Arm { name: "votes of 8 bits, from zero", kind: Kind::Grid, flags: &["--start", "zero"], rates: &[1e-4], bytes: 1.5 },
];
