//! `f32` of elements of any float type, plain or in blocks: layouts and order of operations are those of ggml (`block_*` in `ggml-common.h`,
//! `dequantize_row_*` in `ggml-quants.c`), so the results have the same bits as ggml builds without contracted multiply-adds give.

use bytemuck::{AnyBitPattern, cast_slice};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::dtype::Dtype;

/// Writes the values of whole blocks, plain elements being blocks of one; both sides have the same number of elements, or it panics.
pub type Dequantize = fn(bytes: &[u8], out: &mut [f32]);

/// What makes `f32` of a type, rounding `F64`; none where the elements are no floats.
pub fn dequantizer(dtype: Dtype) -> Option<Dequantize> {
    Some(match dtype {
        Dtype::F16 => halves,
        Dtype::BF16 => |bytes, out| each(bytes, out, |two: &[u8; 2], [out]: &mut [f32; 1]| *out = bf16::from_le_bytes(*two).to_f32()),
        Dtype::F32 => |bytes, out| each(bytes, out, |four: &[u8; 4], [out]: &mut [f32; 1]| *out = f32::from_le_bytes(*four)),
        Dtype::F64 => |bytes, out| each(bytes, out, |eight: &[u8; 8], [out]: &mut [f32; 1]| *out = f64::from_le_bytes(*eight) as f32),
        Dtype::Q4_0 => |bytes, out| each(bytes, out, q4_0),
        Dtype::Q4_1 => |bytes, out| each(bytes, out, q4_1),
        Dtype::Q5_0 => |bytes, out| each(bytes, out, q5_0),
        Dtype::Q5_1 => |bytes, out| each(bytes, out, q5_1),
        Dtype::Q8_0 => |bytes, out| each(bytes, out, q8_0),
        Dtype::Q4_K => |bytes, out| each(bytes, out, q4_k),
        Dtype::Q5_K => |bytes, out| each(bytes, out, q5_k),
        Dtype::Q6_K => |bytes, out| each(bytes, out, q6_k),
        Dtype::IQ4_NL => |bytes, out| each(bytes, out, iq4_nl),
        _ => return None,
    })
}

fn each<Block: AnyBitPattern, const N: usize>(bytes: &[u8], out: &mut [f32], values: impl Fn(&Block, &mut [f32; N])) {
    let blocks: &[Block] = cast_slice(bytes);
    let (out, rest) = out.as_chunks_mut();
    assert!(rest.is_empty() && out.len() == blocks.len(), "{} blocks for {} values", blocks.len(), out.len() * N + rest.len());
    blocks.iter().zip(out).for_each(|(block, out)| values(block, out));
}

/// In pieces, which the processor converts several values at a time.
fn halves(bytes: &[u8], out: &mut [f32]) {
    const PIECE: usize = 64;
    let (pairs, rest) = bytes.as_chunks::<2>();
    assert!(rest.is_empty() && pairs.len() == out.len(), "{} bytes for {} values", bytes.len(), out.len());
    let mut piece = [f16::ZERO; PIECE];
    for (pairs, out) in pairs.chunks(PIECE).zip(out.chunks_mut(PIECE)) {
        piece.iter_mut().zip(pairs).for_each(|(half, &pair)| *half = f16::from_le_bytes(pair));
        piece[..out.len()].convert_to_f32_slice(out);
    }
}

/// An `f16` at any address.
#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct Half([u8; 2]);

impl Half {
    fn get(self) -> f32 {
        f16::from_le_bytes(self.0).to_f32()
    }
}

/// Byte j of 16 holds values j (low) and j + 16 (high).
fn nibbles(packed: &[u8; 16], out: &mut [f32; 32], value: impl Fn(usize, u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (j, ((byte, low), high)) in packed.iter().zip(low).zip(high).enumerate() {
        *low = value(j, byte & 15);
        *high = value(j + 16, byte >> 4);
    }
}

#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct Scaled<Packed> {
    scale: Half,
    packed: Packed,
}

fn q4_0(block: &Scaled<[u8; 16]>, out: &mut [f32; 32]) {
    let scale = block.scale.get();
    nibbles(&block.packed, out, |_, q| (i32::from(q) - 8) as f32 * scale);
}

fn q8_0(block: &Scaled<[u8; 32]>, out: &mut [f32; 32]) {
    let scale = block.scale.get();
    out.iter_mut().zip(&block.packed).for_each(|(out, &q)| *out = f32::from(q as i8) * scale);
}

fn iq4_nl(block: &Scaled<[u8; 16]>, out: &mut [f32; 32]) {
    /// `kvalues_iq4nl`.
    const VALUES: [f32; 16] = [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];
    let scale = block.scale.get();
    nibbles(&block.packed, out, |_, q| scale * VALUES[usize::from(q & 15)]);
}

#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct WithMinimum {
    scale: Half,
    minimum: Half,
    packed: [u8; 16],
}

fn q4_1(block: &WithMinimum, out: &mut [f32; 32]) {
    let (scale, minimum) = (block.scale.get(), block.minimum.get());
    nibbles(&block.packed, out, |_, q| f32::from(q) * scale + minimum);
}

/// The fifth bit of value j is bit j of `high`.
#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct Five {
    scale: Half,
    high: [u8; 4],
    packed: [u8; 16],
}

fn fifth(high: u32, j: usize) -> u8 {
    ((high >> j) << 4) as u8 & 16
}

fn q5_0(block: &Five, out: &mut [f32; 32]) {
    let (scale, high) = (block.scale.get(), u32::from_le_bytes(block.high));
    nibbles(&block.packed, out, |j, q| (i32::from(q | fifth(high, j)) - 16) as f32 * scale);
}

#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct FiveWithMinimum {
    scale: Half,
    minimum: Half,
    high: [u8; 4],
    packed: [u8; 16],
}

fn q5_1(block: &FiveWithMinimum, out: &mut [f32; 32]) {
    let (scale, minimum, high) = (block.scale.get(), block.minimum.get(), u32::from_le_bytes(block.high));
    nibbles(&block.packed, out, |j, q| f32::from(q | fifth(high, j)) * scale + minimum);
}

/// Scales and minima of eight groups of 32, six bits each: the first four of each in the low bits of bytes 0–3 and 4–7, the last four with their low
/// nibbles in bytes 8–11 (scales low, minima high), and their upper bits above those of the first four.
#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct Groups {
    scale: Half,
    minimum: Half,
    packed: [u8; 12],
}

impl Groups {
    /// Scale and minimum of a group.
    fn of(&self, group: usize) -> (f32, f32) {
        let p = &self.packed;
        let (scale, minimum) = match group {
            0..4 => (p[group] & 63, p[group + 4] & 63),
            _ => (p[group + 4] & 15 | p[group - 4] >> 6 << 4, p[group + 4] >> 4 | p[group] >> 6 << 4),
        };
        (self.scale.get() * f32::from(scale), self.minimum.get() * f32::from(minimum))
    }
}

#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct FourK {
    groups: Groups,
    packed: [[u8; 32]; 4],
}

/// Of each 32 bytes the low nibbles are a group, the high ones the next.
fn q4_k(block: &FourK, out: &mut [f32; 256]) {
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let ((scale, minimum), shift) = (block.groups.of(group), group % 2 * 4);
        for (out, byte) in out.iter_mut().zip(&block.packed[group / 2]) {
            *out = scale * f32::from(byte >> shift & 15) - minimum;
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct FiveK {
    groups: Groups,
    high: [u8; 32],
    packed: [[u8; 32]; 4],
}

/// As [`q4_k`]; the fifth bits of group g are bits g of `high`.
fn q5_k(block: &FiveK, out: &mut [f32; 256]) {
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let ((scale, minimum), shift) = (block.groups.of(group), group % 2 * 4);
        for ((out, byte), high) in out.iter_mut().zip(&block.packed[group / 2]).zip(&block.high) {
            *out = scale * f32::from(byte >> shift & 15 | (high >> group & 1) << 4) - minimum;
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct SixK {
    low: [[[u8; 32]; 2]; 2],
    high: [[u8; 32]; 2],
    scales: [u8; 16],
    scale: Half,
}

/// Each half has four runs of 32, with a scale for 16: runs 0 and 1 in the low nibbles of its 64 bytes, 2 and 3 in the high ones; run r has its upper
/// bits in bits 2 r of `high`.
fn q6_k(block: &SixK, out: &mut [f32; 256]) {
    let scale = block.scale.get();
    for (index, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, run, start) = (index / 8, index % 8 / 2, index % 2 * 16);
        let scale = scale * f32::from(block.scales[index] as i8);
        let (low, high) = (&block.low[half][run % 2][start..], &block.high[half][start..]);
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            let q = low >> (run / 2 * 4) & 15 | (high >> (2 * run) & 3) << 4;
            *out = scale * (i32::from(q) - 32) as f32;
        }
    }
}

#[cfg(test)]
mod tests;
