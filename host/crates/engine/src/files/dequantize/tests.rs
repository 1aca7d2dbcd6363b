//! Blocks are put together here from the definitions (`block_*` in `ggml-common.h`), with scales that are powers of two, so that every value is exact.

use half::f16;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HALF: [u8; 2] = [0x00, 0x38];
const TWO: [u8; 2] = [0x00, 0x40];

fn floats(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let (elements, of) = dtype.block();
    let mut out = vec![f32::NAN; bytes.len() / of * elements];
    dequantizer(dtype).expect("a type of floats")(bytes, &mut out);
    out
}

/// Values j and j + 16 in byte j.
fn nibbles(q: &[u8]) -> Vec<u8> {
    (0..16).map(|j| q[j] & 15 | (q[j + 16] & 15) << 4).collect()
}

/// Bit 4 of each value, value j in bit j.
fn fifths(q: &[u8]) -> [u8; 4] {
    q.iter().enumerate().fold(0u32, |bits, (j, q)| bits | u32::from(q >> 4 & 1) << j).to_le_bytes()
}

/// Six bits of each of eight scales and minima in 12 bytes.
fn groups(scales: &[u8], minima: &[u8]) -> [u8; 12] {
    let mut packed = [0; 12];
    for j in 0..4 {
        packed[j] = scales[j] | scales[j + 4] >> 4 << 6;
        packed[j + 4] = minima[j] | minima[j + 4] >> 4 << 6;
        packed[j + 8] = scales[j + 4] & 15 | minima[j + 4] << 4;
    }
    packed
}

/// The low nibbles of 256 values: of each 64, the first 32 low and the others high.
fn nibbles_k(q: &[u8]) -> Vec<u8> {
    q.chunks(64).flat_map(|q| (0..32).map(|l| q[l] & 15 | (q[l + 32] & 15) << 4)).collect()
}

fn affine(q: &[u8], scale: f32, minimum: f32) -> Vec<f32> {
    q.iter().map(|&q| f32::from(q) * scale + minimum).collect()
}

/// 256 values in groups with a scale and a minimum each, on a scale of ½ and a minimum of 2.
fn affine_k(q: &[u8], scales: &[u8], minima: &[u8]) -> Vec<f32> {
    q.iter().enumerate().map(|(i, &q)| f32::from(scales[i / 32]) * 0.5 * f32::from(q) - f32::from(minima[i / 32]) * 2.0).collect()
}

proptest! {
    #[test]
    fn blocks_of_32_hold_what_was_packed(q in vec(0u8..32, 32)) {
        let four: Vec<u8> = q.iter().map(|q| q & 15).collect();
        let (low, high) = (nibbles(&q), fifths(&q));
        prop_assert_eq!(floats(Dtype::Q4_0, &[&HALF[..], &low].concat()), affine(&four, 0.5, -4.0));
        prop_assert_eq!(floats(Dtype::Q4_1, &[&HALF[..], &TWO, &low].concat()), affine(&four, 0.5, 2.0));
        prop_assert_eq!(floats(Dtype::Q5_0, &[&HALF[..], &high, &low].concat()), affine(&q, 0.5, -8.0));
        prop_assert_eq!(floats(Dtype::Q5_1, &[&HALF[..], &TWO, &high, &low].concat()), affine(&q, 0.5, 2.0));
    }

    #[test]
    fn bytes_are_signed(q in vec(any::<i8>(), 32)) {
        let bytes: Vec<u8> = q.iter().map(|&q| q as u8).collect();
        prop_assert_eq!(floats(Dtype::Q8_0, &[&TWO[..], &bytes].concat()), q.iter().map(|&q| f32::from(q) * 2.0).collect::<Vec<_>>());
    }

    #[test]
    fn blocks_of_256_hold_what_was_packed(q in vec(0u8..64, 256), scales in vec(0u8..64, 8), minima in vec(0u8..64, 8)) {
        let four: Vec<u8> = q.iter().map(|q| q & 15).collect();
        let five: Vec<u8> = q.iter().map(|q| q & 31).collect();
        let (low, packed) = (nibbles_k(&q), groups(&scales, &minima));
        prop_assert_eq!(floats(Dtype::Q4_K, &[&HALF[..], &TWO, &packed, &low].concat()), affine_k(&four, &scales, &minima));
        let high: Vec<u8> = (0..32).map(|l| (0..8).map(|g| (q[32 * g + l] >> 4 & 1) << g).sum()).collect();
        prop_assert_eq!(floats(Dtype::Q5_K, &[&HALF[..], &TWO, &packed, &high, &low].concat()), affine_k(&five, &scales, &minima));
    }

    #[test]
    fn six_bits_have_a_scale_for_16(q in vec(0u8..64, 256), scales in vec(any::<i8>(), 16)) {
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for half in q.chunks(128) {
            low.extend((0..64).map(|l| half[l] & 15 | (half[l + 64] & 15) << 4));
            high.extend((0..32).map(|l| (0..4).map(|run| half[32 * run + l] >> 4 << (2 * run)).sum::<u8>()));
        }
        let bytes: Vec<u8> = scales.iter().map(|&scale| scale as u8).collect();
        let expected: Vec<f32> = (0..256).map(|i| 0.5 * f32::from(scales[i / 16]) * (f32::from(q[i]) - 32.0)).collect();
        prop_assert_eq!(floats(Dtype::Q6_K, &[&low[..], &high, &bytes, &HALF].concat()), expected);
    }

    #[test]
    fn any_bytes_are_some_values(bytes in vec(any::<u8>(), 0..1024)) {
        for &dtype in Dtype::ALL {
            let Some(dequantize) = dequantizer(dtype) else { continue };
            let (elements, of) = dtype.block();
            let blocks = bytes.len() / of;
            let mut whole = vec![0.0; blocks * elements];
            dequantize(&bytes[..blocks * of], &mut whole);
            // Block by block, at any address, the same bits come out.
            for (bytes, expected) in bytes.chunks_exact(of).zip(whole.chunks(elements)) {
                let (bytes, mut out) = ([&[0], bytes].concat(), vec![0.0; elements]);
                dequantize(&bytes[1..], &mut out);
                prop_assert!(out.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", dtype);
            }
        }
    }
}

#[test]
fn one_block_by_hand() {
    // Byte j is 0xF0 + j: values 0, 1, …, 15, then 16 times 15.
    let packed: Vec<u8> = (0..16).map(|j| 0xF0 + j).collect();
    let looked_up = floats(Dtype::IQ4_NL, &[&TWO[..], &packed].concat());
    let low = [-254.0, -208.0, -166.0, -130.0, -98.0, -70.0, -44.0, -20.0, 2.0, 26.0, 50.0, 76.0, 106.0, 138.0, 178.0, 226.0];
    assert_eq!((&looked_up[..16], &looked_up[16..]), (&low[..], &[226.0; 16][..]));
    let four = floats(Dtype::Q4_0, &[&HALF[..], &packed].concat());
    assert_eq!((four[0], four[1], four[8], four[15], four[16]), (-4.0, -3.5, 0.0, 3.5, 3.5));
}

#[test]
fn plain_floats_are_widened_and_doubles_rounded() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    for (half, out) in halves.iter().zip(floats(Dtype::F16, &bytes)) {
        let expected = f16::from_bits(*half).to_f32();
        assert!(out.to_bits() == expected.to_bits() || out.is_nan() && expected.is_nan(), "{half:#x}: got {out}, expected {expected}");
    }
    assert_eq!(floats(Dtype::BF16, &[0x80, 0x3F, 0x20, 0xC0]), [1.0, -2.5]);
    assert_eq!(floats(Dtype::F32, &1.5f32.to_le_bytes()), [1.5]);
    assert_eq!(floats(Dtype::F64, &0.1f64.to_le_bytes()), [0.1]);
    assert!([Dtype::I8, Dtype::BOOL, Dtype::F4].iter().all(|&dtype| dequantizer(dtype).is_none()));
}

#[test]
#[should_panic(expected = "2 blocks for 32 values")]
fn other_lengths_are_refused() {
    dequantizer(Dtype::Q4_0).expect("a type of floats")(&[0; 36], &mut [0.0; 32]);
}
