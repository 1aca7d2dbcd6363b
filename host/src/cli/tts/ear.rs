//! What the command notes while a text is spoken.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use super::output::TakeSamples;
use crate::Result;
use crate::voice::synthesis::{Listener, Said};
use primal_speech::mel::MelSettings;

/// The longest spectrogram that is drawn, in seconds.
const DRAWN: f64 = 60.0;
/// From one report to the next on a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// From one report to the next where no terminal is.
const PLAIN: Duration = Duration::from_secs(10);

/// Hands samples on, and notes what the user wants to know.
pub(super) struct Ear<'a> {
    sink: &'a mut dyn TakeSamples,
    mel: MelSettings,
    start: Instant,
    samples: u64,
    reported: Instant,
    /// Time from `start` to the first samples.
    pub first_audio: Option<Duration>,
    /// The beginning of the spectrogram, where it is asked for.
    pub picture: Option<Picture>,
}

/// The beginning of a spectrogram.
#[derive(Default)]
pub(super) struct Picture {
    /// `[frames, num_mels]`.
    pub mel: Vec<f32>,
    /// Phones and their frames.
    pub phones: Vec<(&'static str, usize)>,
    /// Whether there is more that is not drawn.
    pub is_cut: bool,
}

impl<'a> Ear<'a> {
    pub(super) fn new(sink: &'a mut dyn TakeSamples, mel: &MelSettings, start: Instant, picture: bool) -> Self {
        let picture = picture.then(Picture::default);
        Self { sink, mel: *mel, start, samples: 0, reported: Instant::now(), first_audio: None, picture }
    }

    /// Says how far it is, now and then.
    fn report(&mut self) {
        let mut err = stderr().lock();
        let on_terminal = err.is_terminal();
        if self.reported.elapsed() < if on_terminal { REDRAW } else { PLAIN } {
            return;
        }
        self.reported = Instant::now();
        let (seconds, took) = (self.samples as f64 / f64::from(self.mel.sampling_rate), self.start.elapsed().as_secs_f64());
        // A closed standard error is no reason to stop.
        let _ = match on_terminal {
            true => write!(err, "\r{seconds:.1} s of speech in {took:.1} s \r").and_then(|()| err.flush()),
            false => writeln!(err, "{seconds:.1} s of speech in {took:.1} s"),
        };
    }
}

impl Listener for Ear<'_> {
    fn said(&mut self, said: &Said<'_>) -> Result<()> {
        if let Some(picture) = &mut self.picture {
            picture.add(said, &self.mel);
        }
        Ok(())
    }

    fn samples(&mut self, samples: &[f32]) -> Result<()> {
        self.sink.take(samples)?;
        self.samples += samples.len() as u64;
        self.first_audio.get_or_insert_with(|| self.start.elapsed());
        self.report();
        Ok(())
    }
}

impl Picture {
    fn add(&mut self, said: &Said<'_>, settings: &MelSettings) {
        let width = settings.num_mels;
        let most = (DRAWN / settings.seconds(1)) as usize;
        let room = most - self.mel.len() / width;
        self.is_cut |= said.mel.len() / width > room;
        self.mel.extend_from_slice(&said.mel[..said.mel.len().min(room * width)]);
        let mut room = room;
        for (phone, &frames) in said.phones.iter().zip(said.durations) {
            let shown = room.min(frames as usize);
            if shown > 0 {
                self.phones.push((phone.name(), shown));
            }
            room -= shown;
        }
    }
}
