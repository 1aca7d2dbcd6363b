//! Blocks of ggml with weights of 4 bits (`block_q4_0`, `block_q4_1` in `ggml-common.h`) as codes and scales of groups, and back, to the bit: only the
//! order of nibbles differs. There byte j of a block has values j and j + 16, here values 2j and 2j + 1.

use half::f16;
use primal_device::grid::{GROUP, Grid, INT4, ScaleForm, UINT4};

use crate::backend::Scales;
use crate::files::Dtype;
use crate::nn::fit::Fitted;

/// Bytes of the codes of a block.
const CODES: usize = GROUP / 2;

/// The grid and the scales that hold such blocks exactly, if any do.
pub fn exact(dtype: Dtype) -> Option<(&'static Grid, ScaleForm)> {
    match dtype {
        Dtype::Q4_0 => Some((&INT4, ScaleForm::Group32)),
        Dtype::Q4_1 => Some((&UINT4, ScaleForm::Group32Offset)),
        _ => None,
    }
}

/// Whole rows of such blocks on the grid.
pub fn unpack(dtype: Dtype, blocks: &[u8]) -> Fitted {
    let (_, form) = exact(dtype).expect("blocks of 4 bits");
    let header = dtype.block().1 - CODES;
    let blocks = blocks.chunks_exact(header + CODES);
    let half = |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]);
    let codes = blocks.clone().flat_map(|block| to_ours(&block[header..])).collect();
    let step = blocks.clone().map(|block| half(block, 0)).collect();
    let scales = match form {
        ScaleForm::Group32Offset => Scales::Group32Offset { step, offset: blocks.map(|block| half(block, 2)).collect() },
        _ => Scales::Group32 { step },
    };
    Fitted { codes, scales }
}

fn nibble(bytes: &[u8], at: usize) -> u8 {
    bytes[at / 2] >> (4 * (at % 2)) & 15
}

/// Bytes of a block as ours.
pub fn to_ours(theirs: &[u8]) -> [u8; CODES] {
    let value = |at: usize| theirs[at % CODES] >> (4 * (at / CODES)) & 15;
    std::array::from_fn(|byte| value(2 * byte) | value(2 * byte + 1) << 4)
}

/// Our bytes as those of a block.
pub fn to_theirs(ours: &[u8]) -> [u8; CODES] {
    std::array::from_fn(|byte| nibble(ours, byte) | nibble(ours, byte + CODES) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::dequantize::dequantizer;

    #[test]
    fn codes_are_the_values_of_blocks() {
        for dtype in [Dtype::Q4_0, Dtype::Q4_1] {
            let (grid, _) = exact(dtype).unwrap();
            let mut bytes: Vec<u8> = (0..2 * dtype.block().1).map(|i| (i * 37 + 11) as u8).collect();
            for block in bytes.chunks_mut(dtype.block().1) {
                block[..2].copy_from_slice(&f16::from_f32(0.013).to_le_bytes());
                if dtype == Dtype::Q4_1 {
                    block[2..4].copy_from_slice(&f16::from_f32(-0.1).to_le_bytes());
                }
            }
            let mut expected = [0.0; 64];
            dequantizer(dtype).unwrap()(&bytes, &mut expected);
            let fitted = unpack(dtype, &bytes);
            let (step, offset) = match &fitted.scales {
                Scales::Group32 { step } => (step, None),
                Scales::Group32Offset { step, offset } => (step, Some(offset)),
                Scales::Row(_) => panic!("scales of rows"),
            };
            for (i, &expected) in expected.iter().enumerate() {
                let numerator = grid.numerators()[usize::from(nibble(&fitted.codes, i))];
                let value = numerator * step[i / 32].to_f32() + offset.map_or(0.0, |offset| offset[i / 32].to_f32());
                assert_eq!(value.to_bits(), expected.to_bits(), "{dtype} {i}: {value}, expected {expected}");
            }
            let header = dtype.block().1 - CODES;
            for (ours, theirs) in fitted.codes.chunks(CODES).zip(bytes.chunks(header + CODES)) {
                assert_eq!(to_theirs(ours), theirs[header..]);
            }
        }
    }
}
