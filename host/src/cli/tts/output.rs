//! Where the sound goes: a file that is there whole or not at all, a growing one, or a pipe.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};
use primal_engine::files::durable::{self, Place, Transient};
use primal_speech::wav_stream::WavStream;

/// Where the sound goes.
#[derive(Debug)]
pub(super) enum Target {
    /// Standard output.
    Standard,
    /// Something that is written to but never replaced, such as a named pipe.
    Special(PathBuf, Place),
    /// A file that appears when it is whole.
    Whole(PathBuf),
    /// A file that grows under the name of [`claim_part`], and gets its own when it is whole; and what its links lead to.
    Growing(PathBuf, PathBuf),
}

/// A file that is not whole yet: `path.part`, or `path.part.2` and so on, where other processes write to it, too. Those of dead ones are taken.
fn claim_part(path: &Path) -> io::Result<(File, Transient)> {
    const MOST: u32 = 1000;
    let open = |number: u32, create: bool| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { ".part".into() } else { format!(".part.{number}") });
        let name = PathBuf::from(name);
        let file = File::options().write(true).create(create).truncate(false).open(&name)?;
        Ok::<_, io::Error>(durable::lock(&file, &name)?.then(|| (file, Transient::new(name))))
    };
    for number in 1..MOST {
        let Some((file, part)) = open(number, true)? else { continue };
        file.set_len(0)?;
        // The rest is swept by being dropped.
        (number + 1..MOST).map_while(|number| open(number, false).ok()).for_each(drop);
        return Ok((file, part));
    }
    Err(io::Error::other("too many processes write to it"))
}

/// Takes samples; the first of them starts the WAV.
pub(super) struct SampleSink<W: Write> {
    out: Option<W>,
    wav: Option<WavStream<W>>,
    sampling_rate: u32,
    /// What a write failed with.
    failure: Option<io::Error>,
}

impl<W: Write> SampleSink<W> {
    fn new(out: W, sampling_rate: u32) -> Self {
        Self { out: Some(out), wav: None, sampling_rate, failure: None }
    }

    fn try_push(&mut self, samples: &[f32]) -> io::Result<()> {
        if let Some(out) = self.out.take() {
            self.wav = Some(WavStream::new(out, self.sampling_rate)?);
        }
        self.wav.as_mut().map_or(Ok(()), |wav| wav.push(samples))
    }
}

/// Takes samples as they are made.
pub(super) trait TakeSamples {
    /// Writes them.
    ///
    /// # Errors
    /// The output does not take them; speaking has to stop, and [`Target::write`] tells why.
    fn take(&mut self, samples: &[f32]) -> Result<()>;
}

impl<W: Write> TakeSamples for SampleSink<W> {
    fn take(&mut self, samples: &[f32]) -> Result<()> {
        self.try_push(samples).map_err(|error| {
            self.failure = Some(error);
            Error::failed("the output takes no more", "see where it goes")
        })
    }
}

impl Target {
    /// The target that `--output` and `--stream` name.
    ///
    /// # Errors
    /// Bad input for a path that cannot be written, and for a terminal.
    pub(super) fn new(path: Option<&Path>, stream: bool) -> Result<Self> {
        let path = match path {
            None if !stream => Path::new("speech.wav"),
            Some(path) if path != Path::new("-") => path,
            _ if io::stdout().is_terminal() => {
                let hint = "pipe it into a player, such as `| aplay`, or give a file with --output";
                return Err(Error::bad_input("standard output", "a pipe or a file for the sound", "a terminal", hint));
            }
            _ => return Ok(Self::Standard),
        };
        let name = path.to_owned();
        Ok(match Place::of(path).map_err(|error| output_error(path, error))? {
            place if place.is_standard_output() => return Self::new(Some(Path::new("-")), stream),
            Place::File(target) if stream => Self::Growing(name, target),
            Place::File(_) => Self::Whole(name),
            place => Self::Special(name, place),
        })
    }

    /// The output's name for the user.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Standard => "standard output".into(),
            Self::Special(path, _) | Self::Whole(path) | Self::Growing(path, _) => path.display().to_string(),
        }
    }

    /// Gives `speak` a sink, and makes a WAV of what it took. A reader that closes a pipe early is no failure: then there is no answer.
    ///
    /// # Errors
    /// Errors of `speak`, and an output that cannot be written; then no file is left.
    pub(super) fn write<T>(&self, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<Option<T>> {
        match self {
            Self::Standard => write_pipe(Path::new("standard output"), io::stdout().lock(), sampling_rate, speak),
            Self::Special(path, place) => {
                let file = place.open().map_err(|error| output_error(path, error))?;
                write_pipe(path, file, sampling_rate, speak)
            }
            Self::Whole(path) => write_whole(path, sampling_rate, speak).map(Some),
            Self::Growing(path, target) => grow(path, target, sampling_rate, speak).map(Some),
        }
    }
}

/// Checks before the work that there is a place for what `path` names.
///
/// # Errors
/// Bad input where there is none.
pub(super) fn check_writable(path: &Path) -> Result<()> {
    Place::of(path).map(drop).map_err(|error| output_error(path, error))
}

fn write_pipe<T>(
    path: &Path,
    out: impl Write,
    sampling_rate: u32,
    speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>,
) -> Result<Option<T>> {
    let mut sink = SampleSink::new(out, sampling_rate);
    let answer = speak(&mut sink);
    match sink.failure {
        Some(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
        Some(error) => Err(output_error(path, error)),
        None => answer.map(Some),
    }
}

/// Replaces `path` by a file of these bytes, or leaves everything as it was.
///
/// # Errors
/// An output that cannot be written.
pub(super) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    durable::write(path, bytes).map_err(|error| in_terms_of_output(path, error.into()))
}

/// Replaces `path` by a WAV of what `speak` says, or leaves everything as it was.
pub(super) fn write_whole<T>(path: &Path, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<T> {
    durable::atomically(path, 0, |file| fill(path, file, sampling_rate, speak)).map_err(|error| in_terms_of_output(path, error))
}

fn grow<T>(path: &Path, target: &Path, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<T> {
    let fail = |error| output_error(path, error);
    let (mut file, part) = claim_part(target).map_err(fail)?;
    let answer = fill(path, &mut file, sampling_rate, speak)?;
    file.sync_all().map_err(fail)?;
    part.rename(target).map_err(fail)?;
    durable::sync_folder(durable::folder_of(target)).map_err(fail)?;
    Ok(answer)
}

fn fill<T>(path: &Path, file: &mut File, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<T> {
    let mut sink = SampleSink::new(file, sampling_rate);
    let answer = speak(&mut sink);
    if let Some(error) = sink.failure {
        return Err(output_error(path, error));
    }
    let answer = answer?;
    if let Some(wav) = sink.wav {
        wav.complete().map_err(|error| output_error(path, error))?;
    }
    Ok(answer)
}

/// An error of a durable write, whose hints are for training runs, with those of [`output_error`].
fn in_terms_of_output(path: &Path, error: Error) -> Error {
    match error {
        Error::Io { action: "writing", source, .. } => output_error(path, source),
        other => other,
    }
}

/// What a failed write means to the user: bad input where another path would do.
pub(super) fn output_error(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::BrokenPipe => return Error::Ended(0),
        ErrorKind::NotFound => "its folder does not exist: create it, or give another path",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a file is where its folder should be: give another path",
        ErrorKind::IsADirectory => "a folder is in the way: give the name of a file",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "give a path where you may write",
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => "give a shorter or plainer name",
        ErrorKind::InvalidData => {
            return Error::failed(
                format!("{}: {error}", path.display()),
                "the voice is damaged: use the one in this program, or train it again",
            );
        }
        _ if durable::is_full(&error) => {
            return Error::io("writing", path, error, "make room, or give a path elsewhere; no half-written file is left");
        }
        _ => return Error::io("writing", path, error, "check the disk or what the output is connected to; no half-written file is left"),
    };
    Error::bad_input(path.display(), "an output that can be written", error, hint)
}
