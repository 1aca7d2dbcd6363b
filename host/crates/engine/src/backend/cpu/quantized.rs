//! Weights that stay in the blocks of another format: brought to `f32` a part of a row at a time, where a product needs it.

use super::unpack::Panel;
use crate::files::Dtype;
use crate::files::dequantize::{Dequantize, dequantizer};

/// Values that are brought to `f32` at a time, at most: whole blocks of every type.
pub const PART: usize = 512;

/// A weight as the packers read it, `[rows, in_features]`; rows are whole blocks.
#[derive(Clone, Copy)]
pub struct Quantized<'a> {
    /// All blocks.
    pub(crate) bytes: &'a [u8],
    /// Their type.
    pub(crate) dtype: Dtype,
    /// Bytes of a row.
    pub(crate) row_bytes: usize,
    dequantize: Dequantize,
}

impl<'a> Quantized<'a> {
    /// Checks the sizes.
    ///
    /// # Panics
    /// If rows are not whole blocks of a type of floats.
    pub fn new(bytes: &'a [u8], dtype: Dtype, in_features: usize) -> Self {
        let row_bytes = dtype.byte_len(in_features).expect("rows of whole blocks");
        assert!(row_bytes > 0 && bytes.len().is_multiple_of(row_bytes), "{} bytes of rows of {row_bytes}", bytes.len());
        Self { bytes, dtype, row_bytes, dequantize: dequantizer(dtype).expect("a type of floats") }
    }

    /// Some values of a row, from a multiple of the block on, in whole blocks.
    pub(crate) fn blocks(&self, row: usize, start: usize, out: &mut [f32]) {
        let (elements, bytes) = self.dtype.block();
        let first = row * self.row_bytes + start / elements * bytes;
        (self.dequantize)(&self.bytes[first..][..out.len() / elements * bytes], out);
    }

    /// Gives `use_values` the `len` values of a row from `start` on, in parts: the first index of each, from 0, and its values.
    pub(crate) fn parts(&self, row: usize, start: usize, len: usize, mut use_values: impl FnMut(usize, &[f32])) {
        let (elements, _) = self.dtype.block();
        let mut buffer = [0.0; PART];
        let mut at = start / elements * elements;
        while at < start + len {
            let values = (start + len - at).next_multiple_of(elements).min(PART);
            self.blocks(row, at, &mut buffer[..values]);
            let (skip, end) = (start.saturating_sub(at), values.min(start + len - at));
            use_values(at + skip - start, &buffer[skip..end]);
            at += values;
        }
    }
}

/// Packs Wᵀ: panel columns are the weight's rows, depth runs along them.
pub(super) fn pack_by_row(w: &Quantized, at: Panel, out: &mut [f32]) {
    for c in 0..at.stride {
        if c >= at.columns {
            out.chunks_exact_mut(at.stride).for_each(|slots| slots[c] = 0.0);
            continue;
        }
        w.parts(at.column + c, at.k, at.depth, |first, values| {
            for (slots, value) in out[first * at.stride..].chunks_exact_mut(at.stride).zip(values) {
                slots[c] = *value;
            }
        });
    }
}

/// Packs W: panel columns are the weight's columns, depth runs down its rows.
pub(super) fn pack_by_column(w: &Quantized, at: Panel, out: &mut [f32]) {
    for (i, slots) in out.chunks_exact_mut(at.stride).enumerate() {
        slots[at.columns..].fill(0.0);
        w.parts(at.k + i, at.column, at.columns, |first, values| slots[first..][..values.len()].copy_from_slice(values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_values_of_a_row() {
        for dtype in [Dtype::F16, Dtype::Q8_0, Dtype::Q6_K] {
            let inputs = 1024;
            let bytes: Vec<u8> = (0..2 * dtype.byte_len(inputs).expect("whole blocks")).map(|i| (i * 37 % 113) as u8).collect();
            let w = Quantized::new(&bytes, dtype, inputs);
            let mut row = vec![0.0; inputs];
            (w.dequantize)(&bytes[w.row_bytes..], &mut row);
            for (start, len) in [(0, 1024), (5, 1), (31, 700), (500, 40), (1023, 1)] {
                let mut found = vec![f32::NAN; len];
                w.parts(1, start, len, |first, values| found[first..][..values.len()].copy_from_slice(values));
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&found), bits(&row[start..][..len]), "{dtype} {start} {len}");
            }
        }
    }
}
