//! Files of sound, mono and of 16 bits: WAV and FLAC are read, WAV is written.

use std::path::Path;

use primal_engine::files::durable;
use primal_speech::{flac, wav};

use crate::{Result, input};

/// Reads a WAV or FLAC (told by its first bytes) of `sampling_rate` Hz: samples in -1..1. A WAV that was streamed, its length left open, goes to the
/// end of the file.
///
/// # Errors
/// Bad input for a file that is missing, damaged, or of another kind or rate.
pub fn read(path: &Path, sampling_rate: u32) -> Result<Vec<f32>> {
    decode(path, input::read(path, input::SOUND, "check the path and its permissions; of a longer sound give parts")?, sampling_rate)
}

/// The samples of a file's bytes, as of [`read`].
///
/// # Errors
/// Bad input for bytes that are damaged, or of another kind or rate.
pub fn decode(path: &Path, bytes: Vec<u8>, sampling_rate: u32) -> Result<Vec<f32>> {
    let decode = if bytes.starts_with(flac::MAGIC) { flac::decode } else { wav::decode };
    Ok(decode(path.display(), bytes, sampling_rate)?)
}

/// Replaces `path` by a WAV of `samples`, or leaves everything as it was. Samples beyond -1..1 are clipped.
///
/// # Errors
/// I/O errors with a hint; a failure when a sample is not a finite number or there are more than fit a WAV.
pub fn write(path: &Path, sampling_rate: u32, samples: &[f32]) -> Result<()> {
    Ok(durable::write(path, &wav::encode(path.display(), sampling_rate, samples)?)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_there_is_replaced_by_a_sound_or_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, 22_050, &[0.5]).unwrap();
        assert_eq!(read(&path, 22_050).unwrap(), [0.5]);
        let error = write(&path, 22_050, &[0.0, f32::NAN]).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("sample 1"), "{error}");
        assert_eq!(read(&path, 22_050).unwrap(), [0.5], "the file before was touched");
        let error = write(&folder.path().join("none/a.wav"), 22_050, &[0.0]).unwrap_err();
        assert!(error.to_string().contains("folder"), "{error}");
        let error = read(&path, 16_000).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "left-over files");
    }
}
