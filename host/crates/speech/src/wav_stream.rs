//! A WAV that is written while it is spoken.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::wav::quantise;

/// Bytes before the samples.
const HEADER: u64 = 44;
/// The most bytes of samples that the header can count; its largest number stands for an open length.
const MOST: u64 = u32::MAX as u64 - HEADER - 1;

/// A mono 16-bit WAV whose length is known only at its end.
pub struct WavStream<W: Write> {
    out: BufWriter<W>,
    samples: u64,
}

impl<W: Write> WavStream<W> {
    /// Starts a WAV of `sampling_rate` Hz, of open length until [`WavStream::complete`].
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn new(out: W, sampling_rate: u32) -> io::Result<Self> {
        let mut out = BufWriter::new(out);
        let spec = hound::WavSpec { channels: 1, sample_rate: sampling_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        out.write_all(&spec.into_header_for_infinite_file())?;
        Ok(Self { out, samples: 0 })
    }

    /// Appends samples, clipped to -1..1, and hands them on at once.
    ///
    /// # Errors
    /// Errors of the output; invalid data for a sample that is not a finite number.
    pub fn push(&mut self, samples: &[f32]) -> io::Result<()> {
        for (&sample, index) in samples.iter().zip(self.samples..) {
            if !sample.is_finite() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("sample {index} is {sample}")));
            }
            self.out.write_all(&quantise(sample).to_le_bytes())?;
        }
        self.samples += samples.len() as u64;
        self.out.flush()
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

impl<W: Write + Seek> WavStream<W> {
    /// Writes the lengths into the header.
    ///
    /// # Errors
    /// Errors of the file; more samples than a WAV counts.
    pub fn complete(mut self) -> io::Result<()> {
        let bytes = 2 * self.samples;
        if bytes > MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{} samples do not fit a WAV of 4 GiB", self.samples)));
        }
        for (at, value) in [(4, (bytes + HEADER - 8) as u32), (HEADER - 4, bytes as u32)] {
            self.out.seek(SeekFrom::Start(at))?;
            self.out.write_all(&value.to_le_bytes())?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use crate::wav;
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_completed_stream_is_the_file_that_is_written_at_once() {
        let samples: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut streamed = Cursor::new(Vec::new());
        let mut stream = WavStream::new(&mut streamed, 22_050).unwrap();
        for part in samples.chunks(333) {
            stream.push(part).unwrap();
            // What a player sees meanwhile.
            assert_eq!(stream.out.get_ref().get_ref().len() as u64, HEADER + 2 * stream.samples());
        }
        stream.complete().unwrap();
        assert_eq!(streamed.into_inner(), wav::encode("a.wav", 22_050, &samples).unwrap());
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        let mut stream = WavStream::new(Vec::new(), 22_050).unwrap();
        stream.push(&[0.5]).unwrap();
        let error = stream.push(&[0.0, f32::NAN]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("sample 2"), "{error}");
    }
}
