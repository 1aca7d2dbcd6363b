//! What is compared.

/// Steps of a run, each of one sequence of so many tokens.
pub const STEPS: u64 = 500;
pub const SEQ_LEN: usize = 256;
/// Steps that are enough to measure what a step costs.
pub const COST_STEPS: u64 = 20;
/// The first one chooses rates.
pub const SEEDS: [u64; 3] = [1, 2, 3];

/// How a run is made, and what it leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The model before any training.
    AsItIs,
    /// Floats.
    Floats,
    /// Weights on the grid.
    Grid,
    /// Floats and adapters that PyTorch trained.
    Adapters,
    /// A few steps of all weights in PyTorch: what they cost, no result.
    TorchCost,
}

impl Kind {
    /// Whether it needs a Python that has PyTorch.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Adapters | Self::TorchCost)
    }

    /// Whether it has rates to choose from and other seeds.
    pub fn is_compared(self) -> bool {
        !matches!(self, Self::AsItIs | Self::TorchCost)
    }
}

/// A way to train.
pub struct Arm {
    pub name: &'static str,
    pub kind: Kind,
    pub flags: &'static [&'static str],
    pub rates: &'static [f32],
    /// Bytes kept of a weight between steps, without scales of groups: weights and moments, or codes and votes.
    pub bytes: f64,
    /// Whether it also learns phones.
    pub learns_phones: bool,
}

pub const BEFORE: &str = "before";
pub const ADAMW: &str = "adamw, f32";

const fn arm(name: &'static str, kind: Kind, bytes: f64, rates: &'static [f32], flags: &'static [&'static str]) -> Arm {
    Arm { name, kind, flags, rates, bytes, learns_phones: false }
}

const ON_BOTH: Arm = Arm { learns_phones: true, ..arm("", Kind::AsItIs, 0.0, &[], &[]) };

pub const ARMS: [Arm; 14] = [
    Arm { name: BEFORE, kind: Kind::AsItIs, bytes: 0.5, rates: &[0.0], ..ON_BOTH },
    Arm { name: ADAMW, kind: Kind::Floats, bytes: 12.0, rates: &[5e-5, 1e-4, 2e-4, 4e-4], flags: &["--optimizer", "adamw"], ..ON_BOTH },
    // Both kinds of votes divide gradients by their mean square, but for those that are called roots, which do it as Adam does.
    Arm { name: "votes of 8 bits, peaked", kind: Kind::Grid, bytes: 1.5, rates: &[1e-4, 2e-4, 4e-4], ..ON_BOTH },
    arm("votes of 8 bits, spread", Kind::Grid, 1.5, &[1e-4, 2e-4, 4e-4], &["--start", "spread"]),
    Arm { name: "votes of 4 bits, spread", kind: Kind::Grid, bytes: 1.0, rates: &[5e-5, 1e-4, 2e-4], flags: &["--votes", "4"], ..ON_BOTH },
    arm("votes of 8 bits, peaked, roots", Kind::Grid, 1.5, &[1e-4, 2e-4, 4e-4], &["--divisor", "root"]),
    // Steps and offsets of groups move by 1e-4, AdamW's rate, too; what they take lasts for a step.
    arm("votes of 8 bits, peaked, scales trained", Kind::Grid, 1.5, &[2e-4], &["--group-scale-lr", "0.5"]),
    arm("votes of 4 bits, spread, scales trained", Kind::Grid, 1.0, &[1e-4], &["--votes", "4", "--group-scale-lr", "1"]),
    arm("votes of 4 bits, spread, roots", Kind::Grid, 1.0, &[1e-4], &["--votes", "4", "--divisor", "root"]),
    // No gradient of a whole layer is held.
    arm("votes of 8 bits, peaked, 64 rows at a time", Kind::Grid, 1.5, &[2e-4], &["--gradient-rows", "64"]),
    arm("votes of 4 bits, spread, 64 rows at a time", Kind::Grid, 1.0, &[1e-4], &["--votes", "4", "--gradient-rows", "64"]),
    arm("votes of 8 bits, from zero", Kind::Grid, 1.5, &[1e-4], &["--start", "zero"]),
    // Adapters with gradients and moments are as large as votes of 8 bits, the weights as the model came.
    Arm { name: "LoRA at equal bytes", kind: Kind::Adapters, bytes: 1.5, rates: &[2e-4, 5e-4, 1e-3, 2e-3], ..ON_BOTH },
    arm("PyTorch AdamW, f32, cost only", Kind::TorchCost, 12.0, &[1e-4], &[]),
];
