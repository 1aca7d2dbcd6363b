//! Sound in files: WAV, mono, 16-bit PCM.

use std::io::BufWriter;
use std::path::Path;

use crate::{Error, Result, durable, input};

/// What a sample of 1.0 would be in a file; the largest that there is, is one less.
const FULL_SCALE: f32 = 32_768.0;

/// Lengths in a header from here on stand for one that was open when it was written: what a program writes into a pipe. They are 2³² − 1,
/// 2³¹ − 1, or that less the header.
const OPEN: u32 = i32::MAX as u32 - 4096;

/// Reads a mono 16-bit WAV of `sampling_rate` Hz: samples in -1..1. One that was streamed, its length left open, goes to the end of the file.
///
/// # Errors
/// Bad input for a file that is missing, damaged, or of another kind or rate.
pub fn read(path: &Path, sampling_rate: u32) -> Result<Vec<f32>> {
    let wanted = format!("a mono 16-bit PCM WAV of {sampling_rate} Hz");
    let mut bytes = input::read(path, input::SOUND, "check the path and its permissions; of a longer sound give parts")?;
    close(&mut bytes);
    let fail = |error: hound::Error| Error::bad_input(path.display(), &wanted, error, "the file is damaged or not a WAV: write it again");
    let reader = hound::WavReader::new(&bytes[..]).map_err(fail)?;
    let spec = reader.spec();
    let right = (spec.channels, spec.sample_rate, spec.bits_per_sample, spec.sample_format);
    if right != (1, sampling_rate, 16, hound::SampleFormat::Int) {
        let kind = if spec.sample_format == hound::SampleFormat::Float { " floating-point" } else { "" };
        let found = format!("{} channel(s) of {}-bit{kind} samples at {} Hz", spec.channels, spec.bits_per_sample, spec.sample_rate);
        let hint = format!("convert it, for example: sox IN.wav -r {sampling_rate} -c 1 -b 16 OUT.wav");
        return Err(Error::bad_input(path.display(), wanted, found, hint));
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

/// Replaces `path` by a mono 16-bit WAV of `samples`, or leaves everything as it was. Samples beyond -1..1 are clipped.
///
/// # Errors
/// I/O errors with a hint; a failure when a sample is not a finite number or there are more than fit a WAV.
pub fn write(path: &Path, sampling_rate: u32, samples: &[f32]) -> Result<()> {
    if let Some(index) = samples.iter().position(|sample| !sample.is_finite()) {
        let message = format!("{}: sample {index} of the sound is {}, so nothing was written", path.display(), samples[index]);
        return Err(Error::failed(message, "the weights of the voice or the vocoder are damaged: import or train them again"));
    }
    // The sizes in a WAV have 32 bits.
    if samples.len() > (u32::MAX as usize - 64) / 2 {
        let message = format!("{}: {} samples do not fit a WAV of 4 GiB", path.display(), samples.len());
        return Err(Error::failed(message, "speak the text in several files, with --file"));
    }
    let len = 44 + 2 * samples.len();
    durable::atomically(path, len, |file| {
        let fail = |error| match error {
            hound::Error::IoError(error) => durable::write_error(path, len, error),
            error => Error::failed(format!("{}: {error}", path.display()), "report this"),
        };
        let spec = hound::WavSpec { channels: 1, sample_rate: sampling_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        let mut writer = hound::WavWriter::new(BufWriter::new(file), spec).map_err(fail)?;
        for &sample in samples {
            writer.write_sample(quantise(sample)).map_err(fail)?;
        }
        writer.finalize().map_err(fail)
    })
}

/// The 16-bit value of a sample, rounded and clipped.
pub fn quantise(sample: f32) -> i16 {
    // The cast saturates.
    (sample * FULL_SCALE).round() as i16
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RATE: u32 = 22_050;

    #[test]
    fn what_was_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let samples: Vec<f32> = (-32_768..32_768).step_by(77).map(|value| value as f32 / FULL_SCALE).collect();
        write(&path, RATE, &samples).unwrap();
        assert_eq!(read(&path, RATE).unwrap(), samples);
        assert_eq!(fs::metadata(&path).unwrap().len(), 44 + 2 * samples.len() as u64);

        write(&path, RATE, &[2.0, -2.0]).unwrap();
        assert_eq!(read(&path, RATE).unwrap(), [32_767.0 / FULL_SCALE, -1.0]);
        write(&path, RATE, &[]).unwrap();
        assert!(read(&path, RATE).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "left-over files");
    }

    #[test]
    fn nothing_is_written_of_a_sound_that_is_not_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, RATE, &[0.5]).unwrap();
        let error = write(&path, RATE, &[0.0, f32::NAN]).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("sample 1"), "{error}");
        assert_eq!(read(&path, RATE).unwrap(), [0.5], "the file before was touched");
        let error = write(&folder.path().join("none/a.wav"), RATE, &[0.0]).unwrap_err();
        assert!(error.to_string().contains("folder"), "{error}");
    }

    #[test]
    fn a_length_that_was_left_open_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, RATE, &[0.25; 100]).unwrap();
        let good = fs::read(&path).unwrap();
        for (riff, data) in [(u32::MAX, u32::MAX), (u32::MAX, u32::MAX - 36), (i32::MAX as u32, i32::MAX as u32 - 36), (0, 0)] {
            let mut bytes = good.clone();
            bytes[4..8].copy_from_slice(&riff.to_le_bytes());
            bytes[40..44].copy_from_slice(&data.to_le_bytes());
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path, RATE).unwrap(), [0.25; 100], "{riff} {data}");
            bytes.pop();
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path, RATE).unwrap(), [0.25; 99], "{riff} {data}, half a sample at its end");
            // Chunks may come between.
            let mut bytes = [&good[..36], b"LIST\x04\0\0\0abcd", &good[36..]].concat();
            bytes[48 + 4..48 + 8].copy_from_slice(&u32::MAX.to_le_bytes());
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path, RATE).unwrap(), [0.25; 100]);
        }
    }

    #[test]
    fn files_of_another_kind_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let complaint = || {
            let error = read(&path, RATE).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            error.to_string()
        };
        assert!(complaint().contains("a.wav"));
        write(&path, 16_000, &[0.0; 100]).unwrap();
        assert!(complaint().contains("16000 Hz"), "{}", complaint());
        write(&path, RATE, &[0.0; 100]).unwrap();
        let good = fs::read(&path).unwrap();
        for cut in [0, 3, 20, 43, 100] {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(complaint().contains("damaged"), "cut at {cut}: {}", complaint());
        }
        fs::write(&path, "this is a text and no sound at all, whatever its name may say").unwrap();
        assert!(complaint().contains("not a WAV"), "{}", complaint());
    }
}
