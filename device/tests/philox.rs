//! Philox against the known answers that its authors publish with Random123.

use primal_device::philox::{RandomStream, philox4x32, uniform, uniform_byte};

#[test]
fn known_answers() {
    let cases = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, expected) in cases {
        assert_eq!(philox4x32(counter, key), expected, "{counter:x?} {key:x?}");
    }
}

#[test]
fn a_stream_depends_on_every_part_of_its_name() {
    let base = RandomStream::new(1, 2, 3);
    let others = [
        RandomStream::new(2, 2, 3),
        RandomStream::new(1 | 1 << 40, 2, 3),
        RandomStream::new(1, 3, 3),
        RandomStream::new(1, 2, 4),
        RandomStream::new(1, 2, 3 | 1 << 40),
    ];
    for other in others {
        assert_ne!(base.words(0), other.words(0), "{other:?}");
    }
    assert_ne!(base.words(0), base.words(1));
    assert_eq!(base.words(7), RandomStream::new(1, 2, 3).words(7));
}

#[test]
fn bytes_are_the_words_little_end_first() {
    let stream = RandomStream::new(0x1234_5678_9abc_def0, 5, 77);
    let (bytes, words) = (stream.bytes(9), stream.words(9));
    for (i, byte) in bytes.into_iter().enumerate() {
        assert_eq!(byte, (words[i / 4] >> (8 * (i % 4))) as u8, "byte {i}");
    }
}

#[test]
fn bytes_are_evenly_spread() {
    let stream = RandomStream::new(42, 0, 0);
    let mut counts = [0u32; 256];
    const BLOCKS: u32 = 16_384;
    for block in 0..BLOCKS {
        for byte in stream.bytes(block) {
            counts[byte as usize] += 1;
        }
    }
    // Chi-square with 255 degrees of freedom: mean 255, standard deviation 22.6; the bounds are five of them.
    let mean = BLOCKS as f64 * 16.0 / 256.0;
    let chi2: f64 = counts.iter().map(|&n| (n as f64 - mean).powi(2) / mean).sum();
    assert!((142.0..368.0).contains(&chi2), "chi-square {chi2}");
}

#[test]
fn uniforms_lie_in_their_interval() {
    assert_eq!(uniform(0), 0.0);
    assert_eq!(uniform(u32::MAX), 1.0 - f32::EPSILON / 2.0);
    assert_eq!(uniform(1 << 31), 0.5);
    assert_eq!(uniform_byte(0), 0.5 / 256.0);
    assert_eq!(uniform_byte(255), 255.5 / 256.0);
    let mean = (0..=255).map(uniform_byte).sum::<f32>() / 256.0;
    assert_eq!(mean, 0.5);
}
