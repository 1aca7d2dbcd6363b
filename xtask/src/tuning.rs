//! What a kernel is compiled with where the usual is not the best: found by reading SASS and by what `ptxas` says of registers and spills.

/// How far LLVM unrolls loops, in its own unit: tiles in registers must unroll whole, or they would be in memory.
const UNROLL: u32 = 1200;
/// The products in `f32`: with the k of a stage unrolled, loads of the next k stand between the multiply-adds of this one.
const UNROLL_PRODUCTS: u32 = 6000;
/// The products of halves, whose sums are stored as floats or as halves.
const UNROLL_HALVES: u32 = 4000;

/// How a kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// LLVM's unroll threshold.
    pub unroll: u32,
    /// Blocks that a multiprocessor must be able to hold: the assembler keeps registers below what allows it. With one it takes as many as it
    /// likes, since it would spill to fit in more.
    pub blocks: u32,
}

/// Kernels that would spill on an architecture, and the blocks that fit without.
const FEWER: [(&str, &str, u32); 3] = [
    ("sm_80", "linear_backward_weight_half", 2),
    ("sm_80", "f16_linear_backward_weight_half", 2),
    ("sm_80", "linear_backward_input_grid_half", 2),
];

impl Tuning {
    /// The blocks on an architecture.
    pub fn blocks_on(&self, arch: &str, kernel: &str) -> u32 {
        FEWER.iter().find(|fewer| (fewer.0, fewer.1) == (arch, kernel)).map_or(self.blocks, |fewer| fewer.2)
    }
}

/// The tuning of a kernel.
pub fn of(kernel: &str) -> Tuning {
    // Of halves as of floats.
    let kernel = kernel.strip_prefix("f16_").unwrap_or(kernel);
    let halves = kernel.ends_with("_half");
    let products = !halves && (kernel.starts_with("linear_") || kernel.starts_with("conv"));
    let blocks = match kernel {
        "attention_64" => 4,
        // Shared memory lets no more in, or registers where products are of halves.
        _ if products || halves => 3,
        _ => 1,
    };
    let unroll = match (products, halves) {
        (true, _) => UNROLL_PRODUCTS,
        (_, true) => UNROLL_HALVES,
        _ => UNROLL,
    };
    Tuning { unroll, blocks }
}
