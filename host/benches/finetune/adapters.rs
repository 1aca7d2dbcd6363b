//! Adapters of equal bytes.

/// Bytes of a parameter of an adapter while it is trained: itself, its gradient and two moments, each in f32.
const PARAMETER: usize = 16;

/// The largest rank of adapters `[rank, in]` and `[out, rank]` on matrices of these shapes (`[out, in]`) with which they take no more bytes than votes of
/// 8 bits do; 0 where even one is too many.
pub fn rank(shapes: &[[usize; 2]]) -> usize {
    let votes: usize = shapes.iter().map(|[rows, columns]| rows * columns).sum();
    let of_one: usize = shapes.iter().map(|[rows, columns]| PARAMETER * (rows + columns)).sum();
    votes.checked_div(of_one).unwrap_or(0)
}

/// Whether a tensor of a folder for transformers is a matrix of a block.
pub fn is_adapted(name: &str, shape: &[usize]) -> bool {
    name.starts_with("model.layers.") && name.ends_with(".weight") && shape.len() == 2
}
