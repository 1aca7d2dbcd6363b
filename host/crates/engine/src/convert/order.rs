//! The order of the rows of queries and keys: GGUF files of `llama` have the two values that turn together beside each other, Hugging Face's files have
//! them in the halves of a head (`permute` in `convert_hf_to_gguf.py` of llama.cpp).

use crate::ops::rope::RotaryPairs;

/// Which row of a matrix, or value of a vector, is row `to` in another order, in heads of so many rows.
pub fn row_of(to: usize, width: usize, from: RotaryPairs, into: RotaryPairs) -> usize {
    let (head, at) = (to / width * width, to % width);
    match (from, into) {
        (RotaryPairs::Halves, RotaryPairs::Adjacent) => head + at % 2 * (width / 2) + at / 2,
        (RotaryPairs::Adjacent, RotaryPairs::Halves) => head + at % (width / 2) * 2 + at / (width / 2),
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_nowhere() {
        let (halves, adjacent) = (RotaryPairs::Halves, RotaryPairs::Adjacent);
        for row in 0..24 {
            assert_eq!(row_of(row_of(row, 8, halves, adjacent), 8, adjacent, halves), row);
            assert_eq!(row_of(row, 8, halves, halves), row);
        }
        // The second value of the first pair of the second head.
        assert_eq!(row_of(9, 8, halves, adjacent), 12);
    }
}
