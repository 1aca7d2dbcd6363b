//! A source-filter vocoder in the domain of the short-time Fourier transform: log-mel frames to a waveform, over any back end.
//!
//! A network at frame rate finds F0, and another draws two filters for each half of a frame: one for equal harmonics of F0, one for white noise. The
//! samples are the inverse transform of both filtered (neural source-filter: Wang et al. 2019; networks that end in a transform: Siuzdak 2023). Nothing
//! but source and transform runs at the rate of samples, and these on the processor, whatever device the networks run on.
//!
//! | file | idea |
//! |---|---|
//! | `config.rs` | the configuration, what is fixed, and the frames that filters are made of |
//! | `weights.rs`, `export.rs` | files: of this program, and what training exports |
//! | `network.rs` | both networks |
//! | `envelope.rs` | the mel as log amplitudes |
//! | `source.rs` | harmonics and noise |
//! | `synthesis.rs` | filters on their spectra, and the sum of half-frames |
//!
//! An utterance is synthesised in chunks of frames. Each chunk computes its layers on so many frames more as its filters depend on; what samples need of
//! earlier chunks is kept (the phase, sums of half-frames). The samples are those of the whole, bit by bit, and memory depends on the chunk alone. A
//! frame's samples depend on no mel farther ahead than [`SourceFilterConfig::look_ahead`].

pub mod config;
mod envelope;
pub mod export;
mod network;
mod source;
mod synthesis;
pub mod weights;

pub use config::SourceFilterConfig;
pub use weights::VocoderFile;

use std::ops::Range;

use crate::backend::{Backend, Sequences, Storage, Weight};
use crate::memory::{Kind, Plan, Span};
use crate::nn::{Parameters, tensors};
use crate::ops::{Conv1d, ConvolutionShape};
use crate::{Error, Result};
use config::{BANDS, BINS, CENTRE, HALF_FRAME, HOP, OCTAVES, Window};
use envelope::envelope;
use network::{Activations, Network};
use source::Source;
use synthesis::{Filters, Overlap, Transform};

/// Frames of a chunk where nothing asks for another: three quarters of a second.
pub const CHUNK: usize = 64;
/// The networks see `(mel + SHIFT) / FACTOR`.
const SHIFT: f32 = 5.0;
/// See [`SHIFT`].
const FACTOR: f32 = 3.0;
/// The filter net sees octaves of F0 times this.
const OCTAVE: f32 = 2.0;

/// The networks over their activations, for chunks of frames.
#[derive(Clone, Debug)]
pub struct SourceFilter {
    config: SourceFilterConfig,
    network: Network,
    parameters: Parameters,
    activations: Activations,
    envelope: Weight,
    offset: Span<f32>,
    envelopes: Span<f32>,
    transform: Transform,
    chunk: usize,
}

/// What an utterance has besides its mel; what is not given is found or drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// F0 in Hz, `[frames]`, above 0 everywhere.
    pub f0: Option<&'a [f32]>,
    /// Standard normal noise, `[256 · frames]`.
    pub noise: Option<&'a [f32]>,
}

impl SourceFilter {
    /// Reserves the weights of a file, and activations for chunks of `chunk` frames.
    ///
    /// # Errors
    /// A file that says what cannot be of its weights.
    pub fn plan(file: &VocoderFile, chunk: usize, plan: &mut Plan) -> Result<Self> {
        let config = file.config.clone();
        let parameters = Parameters::plan(file.specs()?, plan);
        // The filters of a chunk and of the frame after it.
        let window = Window::largest(&config, chunk + 1);
        let values = plan.span(Kind::Parameter, "vocoder.envelope.weight", BINS * BANDS);
        Ok(Self {
            network: Network::new(&config).0,
            parameters,
            activations: Activations::plan(&config, &window, plan),
            envelope: Weight { out_features: BINS, in_features: BANDS, storage: Storage::Float(values) },
            offset: plan.span(Kind::Parameter, "vocoder.envelope.offset", BINS),
            envelopes: plan.span(Kind::Activation, "vocoder.envelopes", window.envelopes.len() * BINS),
            transform: Transform::new(),
            chunk,
            config,
        })
    }

    /// Uploads the weights of the file that it was planned for.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn load<B: Backend>(&self, b: &mut B, file: &VocoderFile) -> Result<()> {
        tensors::load(b, &tensors::parameters(&self.parameters), file.file())?;
        let (matrix, offset) = envelope(FACTOR, -SHIFT);
        let Storage::Float(span) = self.envelope.storage else { unreachable!("planned as float") };
        b.upload(span, &matrix);
        b.upload(self.offset, &offset);
        Ok(())
    }

    /// Samples of a frame.
    pub fn hop_size(&self) -> usize {
        HOP
    }

    /// Passes the samples of log-mel frames `[frames, 80]` to `sink`, in chunks, from first to last; each sample lies within ±1.
    ///
    /// # Errors
    /// Those of `sink`, which end the synthesis; a device that failed.
    ///
    /// # Panics
    /// If `mel` is no whole number of frames.
    pub fn vocode<B: Backend, E: From<Error>>(&self, b: &mut B, mel: &[f32], sink: impl FnMut(&[f32]) -> Result<(), E>) -> Result<(), E> {
        self.vocode_with(b, mel, Given::default(), sink)
    }

    /// All samples of [`Self::vocode`].
    ///
    /// # Errors
    /// A device that failed.
    pub fn vocode_all<B: Backend>(&self, b: &mut B, mel: &[f32], given: Given) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(mel.len() / BANDS * HOP);
        self.vocode_with(b, mel, given, |samples| {
            all.extend_from_slice(samples);
            Ok::<_, Error>(())
        })?;
        Ok(all)
    }

    /// [`Self::vocode`] with F0 or noise from elsewhere.
    ///
    /// # Errors
    /// As [`Self::vocode`].
    ///
    /// # Panics
    /// If `mel` is no whole number of frames, or what is given is of another length.
    pub fn vocode_with<B: Backend, E: From<Error>>(
        &self,
        b: &mut B,
        mel: &[f32],
        given: Given,
        mut sink: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(mel.len().is_multiple_of(BANDS), "{} values of frames of {BANDS}", mel.len());
        let frames = mel.len() / BANDS;
        assert!(
            given.f0.is_none_or(|f0| f0.len() == frames) && given.noise.is_none_or(|noise| noise.len() == frames * HOP),
            "what is given"
        );
        let (mut source, mut overlap, mut samples) = (Source::new(frames, given.noise), Overlap::new(), Vec::new());
        for (end, filters) in self.chunks(frames) {
            if !filters.is_empty() {
                let window = Window::new(&self.config, filters, frames);
                let made = self.filters(b, mel, given.f0, &window);
                b.fault()?;
                let last = source.end_of(2 * window.filters.end - 1);
                source.advance(2 * window.filters.start, last, &made.f0, window.f0.start);
                let filters = Filters {
                    first: window.filters.start,
                    corrections: &made.corrections,
                    first_envelope: window.envelopes.start,
                    envelopes: &made.envelopes,
                    voiced_noise: self.config.voiced_noise,
                };
                overlap.add(&self.transform, &filters, &source);
            }
            overlap.take(end, &mut samples);
            sink(&samples)?;
        }
        Ok(())
    }

    /// What the networks alone make of a mel, in chunks: `[frames, 2, 3, 257]`, of each half-frame the corrections of the harmonics' log amplitude, their
    /// phase, and the noise's log amplitude.
    ///
    /// # Errors
    /// A device that failed.
    pub fn corrections<B: Backend>(&self, b: &mut B, mel: &[f32]) -> Result<Vec<f32>> {
        let frames = mel.len() / BANDS;
        let mut all = Vec::with_capacity(frames * 2 * HALF_FRAME);
        for (_, filters) in self.chunks(frames).filter(|(_, filters)| !filters.is_empty()) {
            all.extend(self.filters(b, mel, None, &Window::new(&self.config, filters, frames)).corrections);
            b.fault()?;
        }
        Ok(all)
    }

    /// Of each chunk of an utterance, where its samples end, in frames, and the filters that it computes: to the frame after it, whose half-frames reach
    /// back into it.
    fn chunks(&self, frames: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ahead = move |end: usize| if end == 0 { 0 } else { (end + 1).min(frames) };
        (0..frames).step_by(self.chunk).map(move |start| {
            let end = (start + self.chunk).min(frames);
            (end, ahead(start)..ahead(end))
        })
    }

    /// F0 of log-mel frames `[frames, 80]` in Hz, as [`Self::vocode`] finds it.
    ///
    /// # Errors
    /// A device that failed.
    pub fn f0<B: Backend>(&self, b: &mut B, mel: &[f32]) -> Result<Vec<f32>> {
        let frames = mel.len() / BANDS;
        let mut all = Vec::with_capacity(frames);
        for (_, chunk) in self.chunks(frames) {
            let window = Window::new(&self.config, chunk.clone(), frames);
            self.upload_mel(b, mel, &window);
            let f0 = self.find_f0(b, &window);
            b.fault()?;
            all.extend_from_slice(&f0[chunk.start - window.f0.start..][..chunk.len()]);
        }
        Ok(all)
    }

    /// The scaled mel of a window, on the device and here.
    fn upload_mel<B: Backend>(&self, b: &mut B, mel: &[f32], window: &Window) -> Vec<f32> {
        let mel = &mel[window.mel.start * BANDS..window.mel.end * BANDS];
        let scaled: Vec<f32> = mel.iter().map(|value| (value + SHIFT) / FACTOR).collect();
        b.upload(self.activations.mel.slice(0, scaled.len()), &scaled);
        scaled
    }

    /// F0 in Hz of a window whose mel was uploaded.
    fn find_f0<B: Backend>(&self, b: &mut B, window: &Window) -> Vec<f32> {
        let span = self.network.pitch(b, &self.parameters, &self.activations, window);
        let mut pitch = vec![0.0; span.len()];
        b.download(span, &mut pitch);
        let hz = |octaves: &f32| (octaves.clamp(*OCTAVES.start(), *OCTAVES.end()) + CENTRE.log2()).exp2();
        pitch.iter().step_by(2).map(hz).collect()
    }

    /// F0 and the filters of a window.
    fn filters<B: Backend>(&self, b: &mut B, mel: &[f32], given: Option<&[f32]>, window: &Window) -> Made {
        let scaled = self.upload_mel(b, mel, window);
        let f0 = match given {
            Some(f0) => f0[window.f0.clone()].to_vec(),
            None => self.find_f0(b, window),
        };
        let mut inputs = Vec::with_capacity(window.inputs.len() * (BANDS + 1));
        for frame in window.inputs.clone() {
            inputs.extend_from_slice(&scaled[(frame - window.mel.start) * BANDS..][..BANDS]);
            inputs.push(OCTAVE * (f0[frame - window.f0.start].log2() - CENTRE.log2()));
        }
        b.upload(self.activations.inputs.slice(0, inputs.len()), &inputs);
        let span = self.network.filters(b, &self.parameters, &self.activations, window);
        let rows = window.envelopes.len();
        let x = self.activations.mel.slice((window.envelopes.start - window.mel.start) * BANDS, rows * BANDS);
        let y = self.envelopes.slice(0, rows * BINS);
        let shape = ConvolutionShape { sequences: Sequences::one(rows), kernel: 1, dilation: 1 };
        b.run(Conv1d { y, x, weight: self.envelope, bias: Some(self.offset), shape, accumulate: false });
        let mut made = Made { f0, corrections: vec![0.0; 2 * HALF_FRAME * window.filters.len()], envelopes: vec![0.0; rows * BINS] };
        b.download(span, &mut made.corrections);
        b.download(y, &mut made.envelopes);
        made
    }
}

/// What the networks made of a window.
struct Made {
    f0: Vec<f32>,
    corrections: Vec<f32>,
    envelopes: Vec<f32>,
}
