//! Pictures of mel spectrograms, with the phones that are spoken.

use std::path::Path;

use font8x8::legacy::BASIC_LEGACY;

use crate::{Error, Result};
use primal_engine::files::durable;
use primal_speech::mel::FLOOR;

/// Pixels of a mel bin.
const BIN: usize = 4;
/// Pixels of a frame, where the picture does not get too wide.
const FRAME: usize = 6;
const WIDEST: usize = 12_000;
/// Pixels of a letter, and of a line of labels.
const LETTER: usize = 8;
const LABEL: usize = LETTER + 4;
/// Labels of short phones are wider than those, so neighbours lie on lines of their own.
const LABEL_LINES: usize = 2;
/// Natural logarithms that are drawn as the darkest and the brightest colour: the same in all pictures, so that they compare.
const RANGE: (f32, f32) = (-10.0, 1.0);

/// Colours of the palette: those below are the colour map.
const PAPER: u8 = 254;
const INK: u8 = 255;

/// A picture in colours of the palette.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn set(&mut self, x: usize, y: usize, colour: u8) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (index, letter) in text.bytes().enumerate() {
            let rows = BASIC_LEGACY.get(usize::from(letter)).copied().unwrap_or_default();
            for (dy, row) in rows.into_iter().enumerate() {
                (0..LETTER).filter(|dx| row >> dx & 1 == 1).for_each(|dx| self.set(x + index * LETTER + dx, y + dy, INK));
            }
        }
    }

    fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette());
        encoder.write_header()?.write_image_data(&self.pixels)?;
        Ok(bytes)
    }
}

/// The colours as RGB: inferno (van der Walt and Smith 2015), then paper and ink.
fn palette() -> Vec<u8> {
    let map = (0..PAPER).flat_map(|colour| colorous::INFERNO.eval_rational(usize::from(colour), usize::from(PAPER)).as_array());
    map.chain([0x20; 3]).chain([0xff; 3]).collect()
}

/// A PNG of a log-mel spectrogram `[frames, num_mels]`, low frequencies at the bottom. Below it are the names of the phones, each with its
/// number of frames; dotted lines part them. Without phones it is the spectrogram alone.
///
/// # Errors
/// A failure when there is nothing to draw, or the encoder fails.
pub fn mel_png(mel: &[f32], num_mels: usize, phones: &[(&str, usize)]) -> Result<Vec<u8>> {
    let frames = mel.len() / num_mels;
    if frames == 0 {
        return Err(Error::failed("a mel spectrogram without frames cannot be drawn", "give some text to speak"));
    }
    let step = (WIDEST / frames).clamp(1, FRAME);
    let tall = num_mels * BIN;
    let labels = if phones.is_empty() { 0 } else { LABEL_LINES * LABEL };
    let (width, height) = (frames * step, tall + labels);
    let mut canvas = Canvas { width, height, pixels: vec![PAPER; width * height] };
    for y in 0..tall {
        let bin = num_mels - 1 - y / BIN;
        for x in 0..width {
            canvas.set(x, y, colour(mel[x / step * num_mels + bin]));
        }
    }
    let mut frame = 0;
    for (index, &(name, frames)) in phones.iter().enumerate() {
        let x = frame * step;
        // Thin lines would hide narrow frames.
        if index > 0 && step > 2 {
            (0..tall).filter(|y| y % 4 < 2).for_each(|y| canvas.set(x, y, INK));
            (tall..height).for_each(|y| canvas.set(x, y, INK));
        }
        if step > 2 {
            canvas.text(x + 2, tall + 2 + index % LABEL_LINES * LABEL, name);
        }
        frame += frames;
    }
    canvas.encode().map_err(|error| Error::failed(format!("drawing a mel spectrogram: {error}"), "speak less text at once"))
}

/// Replaces `path` by the picture that [`mel_png`] makes, or leaves everything as it was.
///
/// # Errors
/// Errors of [`mel_png`], and I/O errors with a hint.
pub fn write_mel_png(path: &Path, mel: &[f32], num_mels: usize, phones: &[(&str, usize)]) -> Result<()> {
    Ok(durable::write(path, &mel_png(mel, num_mels, phones)?)?)
}

fn colour(value: f32) -> u8 {
    let value = value.max(FLOOR.ln());
    // The cast saturates, and makes 0 of NaN.
    let colour = (value - RANGE.0) / (RANGE.1 - RANGE.0) * f32::from(PAPER);
    (colour as u8).min(PAPER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.color_type, png::ColorType::Rgb);
        (info.width as usize, info.height as usize, pixels)
    }

    #[test]
    fn loud_bins_are_bright_and_low_ones_at_the_bottom() {
        // Bin 0 of frame 1 is loud.
        let mut mel = vec![-12.0; 3 * 80];
        mel[80] = 2.0;
        let (width, height, pixels) = decode(&mel_png(&mel, 80, &[]).unwrap());
        assert_eq!((width, height), (3 * FRAME, 80 * BIN));
        for (index, pixel) in pixels.chunks_exact(3).enumerate() {
            let (x, y) = (index % width, index / width);
            let loud = x / FRAME == 1 && y / BIN == 79;
            let brightness: u32 = pixel.iter().map(|&part| u32::from(part)).sum();
            assert!(if loud { brightness > 500 } else { brightness < 20 }, "{x}, {y}: {pixel:?}");
        }
    }

    #[test]
    fn phones_are_parted_and_named() {
        let mel = vec![-12.0; 20 * 80];
        let (width, height, pixels) = decode(&mel_png(&mel, 80, &[("S", 12), ("AA1", 8)]).unwrap());
        assert_eq!(height, 80 * BIN + LABEL_LINES * LABEL);
        let white = |x: usize, y: usize| pixels[(y * width + x) * 3..][..3] == [0xff; 3];
        let lines: Vec<usize> = (0..width).filter(|&x| white(x, 0)).collect();
        assert_eq!(lines, [12 * FRAME]);
        let ink = |columns: std::ops::Range<usize>| {
            columns.flat_map(|x| (80 * BIN..height).map(move |y| (x, y))).filter(|&(x, y)| white(x, y)).count()
        };
        assert!(ink(0..12 * FRAME) > 10 && ink(12 * FRAME + 1..width) > 30);
    }

    #[test]
    fn odd_spectrograms_are_drawn_or_refused() {
        assert_eq!(mel_png(&[], 80, &[]).unwrap_err().exit_code(), 1);
        let (width, ..) = decode(&mel_png(&vec![f32::NAN; 30_000 * 2], 2, &[("SIL", 30_000)]).unwrap());
        assert_eq!(width, 30_000);
        // Durations beyond the end are cut off.
        mel_png(&[0.0; 80], 80, &[("SIL", 1), ("S", 5), ("é", 5)]).unwrap();
    }
}
