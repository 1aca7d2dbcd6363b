//! FLAC: mono, 16 bits, decoded by the crate `symphonia`.

use std::io::Cursor;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as Failure;
use symphonia::core::formats::TrackType;
use symphonia::core::io::MediaSourceStream;

use crate::{Error, Result};

/// The first bytes of every file.
pub const MAGIC: &[u8] = b"fLaC";

/// Samples in -1..1 of the bytes of a mono FLAC of `sampling_rate` Hz and 16 bits, `subject` in messages. The checksum that a file holds of its
/// samples is checked.
///
/// # Errors
/// Bytes that are damaged, or of another kind or rate.
pub fn decode(subject: impl ToString, bytes: Vec<u8>, sampling_rate: u32) -> Result<Vec<f32>> {
    let subject = subject.to_string();
    let wanted = format!("a mono FLAC of {sampling_rate} Hz and 16 bits");
    let damaged = |found: &dyn ToString| Error::invalid(&subject, &wanted, found.to_string(), "the file is damaged: write it again");
    let fail = |error: Failure| damaged(&error);

    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let mut file =
        symphonia::default::get_probe().probe(&Default::default(), stream, Default::default(), Default::default()).map_err(fail)?;
    let track = file.default_track(TrackType::Audio).ok_or_else(|| damaged(&"no sound"))?;
    let (id, frames) = (track.id, track.num_frames);
    let parameters = track.codec_params.as_ref().and_then(|codec| codec.audio()).ok_or_else(|| damaged(&"no description of its sound"))?;
    let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
    let found = (channels, parameters.sample_rate.unwrap_or(0), parameters.bits_per_sample.unwrap_or(0));
    if found != (1, sampling_rate, 16) {
        let hint = format!("convert it, for example: sox IN.flac -r {sampling_rate} -c 1 -b 16 OUT.flac");
        return Err(Error::invalid(&subject, wanted, format!("{} channel(s) of {}-bit samples at {} Hz", found.0, found.2, found.1), hint));
    }
    let mut decoder =
        symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default().verify(true)).map_err(fail)?;
    let (mut samples, mut packet_samples) = (Vec::<f32>::new(), Vec::new());
    while let Some(packet) = file.next_packet().map_err(fail)? {
        if packet.track_id == id {
            decoder.decode(&packet).map_err(fail)?.copy_to_vec_interleaved(&mut packet_samples);
            samples.extend_from_slice(&packet_samples);
        }
    }
    if decoder.finalize().verify_ok == Some(false) {
        return Err(damaged(&"samples of another checksum than the file states"));
    }
    if let Some(stated) = frames.filter(|&stated| stated != samples.len() as u64) {
        return Err(damaged(&format!("{} samples where its header states {stated}", samples.len())));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3,000 samples of a tone, `sample n` is `round(12000 sin(n / 9))`, as the reference encoder (libFLAC through libsndfile) writes them.
    const TONE: &[u8] = include_bytes!("../../../../tests/fixtures/sound/tone.flac");

    #[test]
    fn samples_are_those_that_were_encoded() {
        let samples = decode("tone.flac", TONE.to_vec(), 22_050).unwrap();
        let wanted: Vec<f32> = (0..3_000).map(|n| (12_000.0 * (f64::from(n) / 9.0).sin()).round() as f32 / 32_768.0).collect();
        assert_eq!(samples, wanted);
    }

    #[test]
    fn what_is_damaged_or_of_another_rate_is_refused() {
        let complaint = |bytes: &[u8], rate| decode("a.flac", bytes.to_vec(), rate).unwrap_err().to_string();
        assert!(complaint(TONE, 16_000).contains("at 22050 Hz"), "{}", complaint(TONE, 16_000));
        for cut in [0, 4, 30, TONE.len() / 2, TONE.len() - 3] {
            assert!(complaint(&TONE[..cut], 22_050).contains("a.flac"), "cut at {cut}");
        }
        let mut other = TONE.to_vec();
        let at = other.len() - 40;
        other[at] ^= 0x10;
        assert!(complaint(&other, 22_050).contains("damaged"), "{}", complaint(&other, 22_050));
    }
}
