//! WAV: mono, 16-bit PCM.

use std::io::Cursor;

use crate::{Error, Result};

/// What a sample of 1.0 would be in a file; the largest that there is, is one less.
const FULL_SCALE: f32 = 32_768.0;

/// Lengths in a header from here on stand for one that was open when it was written: what a program writes into a pipe. They are 2³² − 1,
/// 2³¹ − 1, or that less the header.
const OPEN: u32 = i32::MAX as u32 - 4096;

/// Samples in -1..1 of the bytes of a mono 16-bit WAV of `sampling_rate` Hz, `subject` in messages. One that was streamed, its length left open,
/// goes to the end of the bytes.
///
/// # Errors
/// Bytes that are damaged, or of another kind or rate.
pub fn decode(subject: impl ToString, mut bytes: Vec<u8>, sampling_rate: u32) -> Result<Vec<f32>> {
    let (subject, wanted) = (subject.to_string(), format!("a mono 16-bit PCM WAV of {sampling_rate} Hz"));
    close(&mut bytes);
    let fail = |error: hound::Error| Error::invalid(&subject, &wanted, error, "the file is damaged or not a WAV: write it again");
    let reader = hound::WavReader::new(&bytes[..]).map_err(fail)?;
    let spec = reader.spec();
    let right = (spec.channels, spec.sample_rate, spec.bits_per_sample, spec.sample_format);
    if right != (1, sampling_rate, 16, hound::SampleFormat::Int) {
        let kind = if spec.sample_format == hound::SampleFormat::Float { " floating-point" } else { "" };
        let found = format!("{} channel(s) of {}-bit{kind} samples at {} Hz", spec.channels, spec.bits_per_sample, spec.sample_rate);
        let hint = format!("convert it, for example: sox IN.wav -r {sampling_rate} -c 1 -b 16 OUT.wav");
        return Err(Error::invalid(&subject, wanted, found, hint));
    }
    reader.into_samples::<i16>().map(|sample| sample.map(|value| f32::from(value) / FULL_SCALE)).collect::<Result<_, _>>().map_err(fail)
}

/// Writes the length that the samples have into a header that left it open.
fn close(bytes: &mut Vec<u8>) {
    let word = |bytes: &[u8], at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let mut at = 12;
    while let Some(len) = word(bytes, at + 4) {
        let (start, is_data) = (at + 8, bytes.get(at..at + 4) == Some(b"data"));
        // Some leave zeros; then the whole file has no length either.
        let is_open = len >= OPEN || len == 0 && word(bytes, 4).is_none_or(|all| all == 0 || all >= OPEN);
        if is_data && is_open && bytes.len() - start < len.wrapping_sub(1) as usize {
            // A writer that was stopped may leave half a sample.
            bytes.truncate(bytes.len() - (bytes.len() - start) % 2);
            let len = (bytes.len() - start) as u32;
            bytes[at + 4..start].copy_from_slice(&len.to_le_bytes());
            return;
        }
        // Chunks are padded to an even length.
        at = start + len as usize + (len % 2) as usize;
    }
}

/// The bytes of a mono 16-bit WAV of `samples`, `subject` in messages. Samples beyond -1..1 are clipped.
///
/// # Errors
/// A sample that is not a finite number; more samples than fit a WAV.
pub fn encode(subject: impl ToString, sampling_rate: u32, samples: &[f32]) -> Result<Vec<u8>> {
    let unwritable = |message, hint: &str| Error::Unwritable { message: format!("{}: {message}", subject.to_string()), hint: hint.into() };
    if let Some(index) = samples.iter().position(|sample| !sample.is_finite()) {
        let message = format!("sample {index} of the sound is {}, so nothing was written", samples[index]);
        return Err(unwritable(message, "the weights of the voice or the vocoder are damaged: import or train them again"));
    }
    // The sizes in a WAV have 32 bits.
    if samples.len() > (u32::MAX as usize - 64) / 2 {
        return Err(unwritable(format!("{} samples do not fit a WAV of 4 GiB", samples.len()), "speak the text in several files"));
    }
    let spec = hound::WavSpec { channels: 1, sample_rate: sampling_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut bytes = Cursor::new(Vec::with_capacity(44 + 2 * samples.len()));
    let written = hound::WavWriter::new(&mut bytes, spec).and_then(|mut writer| {
        samples.iter().try_for_each(|&sample| writer.write_sample(quantise(sample)))?;
        writer.finalize()
    });
    written.map_err(|error| unwritable(error.to_string(), "report this"))?;
    Ok(bytes.into_inner())
}

/// The 16-bit value of a sample, rounded and clipped.
pub fn quantise(sample: f32) -> i16 {
    // The cast saturates.
    (sample * FULL_SCALE).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 22_050;

    fn encoded(samples: &[f32]) -> Vec<u8> {
        encode("a.wav", RATE, samples).unwrap()
    }

    fn decoded(bytes: Vec<u8>) -> Vec<f32> {
        decode("a.wav", bytes, RATE).unwrap()
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let samples: Vec<f32> = (-32_768..32_768).step_by(77).map(|value| value as f32 / FULL_SCALE).collect();
        let bytes = encoded(&samples);
        assert_eq!(bytes.len(), 44 + 2 * samples.len());
        assert_eq!(decoded(bytes), samples);
        assert_eq!(decoded(encoded(&[2.0, -2.0])), [32_767.0 / FULL_SCALE, -1.0]);
        assert!(decoded(encoded(&[])).is_empty());
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        let error = encode("a.wav", RATE, &[0.0, f32::NAN]).unwrap_err();
        assert!(error.to_string().contains("a.wav: sample 1"), "{error}");
    }

    #[test]
    fn a_length_that_was_left_open_is_that_of_the_file() {
        let good = encoded(&[0.25; 100]);
        for (riff, data) in [(u32::MAX, u32::MAX), (u32::MAX, u32::MAX - 36), (i32::MAX as u32, i32::MAX as u32 - 36), (0, 0)] {
            let mut bytes = good.clone();
            bytes[4..8].copy_from_slice(&riff.to_le_bytes());
            bytes[40..44].copy_from_slice(&data.to_le_bytes());
            assert_eq!(decoded(bytes.clone()), [0.25; 100], "{riff} {data}");
            bytes.pop();
            assert_eq!(decoded(bytes), [0.25; 99], "{riff} {data}, half a sample at its end");
            // Chunks may come between.
            let mut bytes = [&good[..36], b"LIST\x04\0\0\0abcd", &good[36..]].concat();
            bytes[48 + 4..48 + 8].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(decoded(bytes), [0.25; 100]);
        }
    }

    #[test]
    fn bytes_of_another_kind_are_named() {
        let complaint = |bytes: &[u8]| decode("a.wav", bytes.into(), RATE).unwrap_err().to_string();
        let other = encode("a.wav", 16_000, &[0.0; 100]).unwrap();
        assert!(complaint(&other).contains("a.wav") && complaint(&other).contains("16000 Hz"), "{}", complaint(&other));
        let good = encoded(&[0.0; 100]);
        for cut in [0, 3, 20, 43, 100] {
            assert!(complaint(&good[..cut]).contains("damaged"), "cut at {cut}: {}", complaint(&good[..cut]));
        }
        let text = complaint(b"this is a text and no sound at all, whatever its name may say");
        assert!(text.contains("not a WAV"), "{text}");
    }
}
