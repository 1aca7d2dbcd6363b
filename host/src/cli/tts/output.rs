//! Where the sound goes: a file that is there whole or not at all, a growing one, or a pipe.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::speech::wav_stream::WavStream;
use crate::{Error, Result, durable};

/// Where the sound goes.
#[derive(Debug)]
pub(super) enum Target {
    /// Standard output.
    Standard,
    /// Something that is written to but never replaced, such as a named pipe.
    Special(PathBuf),
    /// A file that appears when it is whole.
    Whole(PathBuf),
    /// A file that grows under the name of [`part_of`], and gets its own when it is whole.
    Growing(PathBuf),
}

/// The name of a file that is not whole yet.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Takes samples; the first of them starts the WAV.
pub(super) struct Sink<W: Write> {
    out: Option<W>,
    wav: Option<WavStream<W>>,
    sampling_rate: u32,
    /// What a write failed with.
    failure: Option<io::Error>,
}

impl<W: Write> Sink<W> {
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

impl<W: Write> TakeSamples for Sink<W> {
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
        if check_writable(path)? {
            return Ok(Self::Special(path.into()));
        }
        let path = path.to_owned();
        Ok(if stream { Self::Growing(path) } else { Self::Whole(path) })
    }

    /// Its name for the user.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Standard => "standard output".into(),
            Self::Special(path) | Self::Whole(path) | Self::Growing(path) => path.display().to_string(),
        }
    }

    /// Gives `speak` a sink, and makes a WAV of what it took. A reader that closes a pipe early is no failure: then there is no answer.
    ///
    /// # Errors
    /// Those of `speak`, and an output that cannot be written; then no file is left.
    pub(super) fn write<T>(&self, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<Option<T>> {
        match self {
            Self::Standard => write_pipe(Path::new("standard output"), io::stdout().lock(), sampling_rate, speak),
            Self::Special(path) => {
                let file = File::options().write(true).open(path).map_err(|error| output_error(path, error))?;
                write_pipe(path, file, sampling_rate, speak)
            }
            Self::Whole(path) => write_whole(path, sampling_rate, speak).map(Some),
            Self::Growing(path) => {
                let part = part_of(path);
                let answer = grow(path, &part, sampling_rate, speak);
                if answer.is_err() {
                    let _ = fs::remove_file(&part);
                }
                answer.map(Some)
            }
        }
    }
}

/// Checks before the work that there is a place for a file of this path; whether what is there already is something other than a file.
///
/// # Errors
/// Bad input where there is none.
pub(super) fn check_writable(path: &Path) -> Result<bool> {
    let fail = |error| Err(output_error(path, error));
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => fail(ErrorKind::IsADirectory.into()),
        Ok(found) => Ok(!found.is_file()),
        Err(error) if error.kind() != ErrorKind::NotFound => fail(error),
        Err(_) => match fs::metadata(folder_of(path)) {
            Ok(found) if !found.is_dir() => fail(ErrorKind::NotADirectory.into()),
            // `folder/` names no file.
            Ok(_) if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                fail(ErrorKind::InvalidFilename.into())
            }
            Ok(_) => Ok(false),
            Err(error) => fail(error),
        },
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_pipe<T>(
    path: &Path,
    out: impl Write,
    sampling_rate: u32,
    speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>,
) -> Result<Option<T>> {
    let mut sink = Sink::new(out, sampling_rate);
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
    durable::write(path, bytes).map_err(|error| in_terms_of_output(path, error))
}

/// Replaces `path` by a WAV of what `speak` says, or leaves everything as it was.
pub(super) fn write_whole<T>(path: &Path, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<T> {
    let mut answer = None;
    let written = durable::atomically(path, 0, |file| {
        answer = Some(fill(path, file, sampling_rate, speak)?);
        Ok(())
    });
    match (written, answer) {
        (Ok(()), Some(answer)) => Ok(answer),
        (Err(error), _) => Err(in_terms_of_output(path, error)),
        (Ok(()), None) => Err(Error::failed(format!("{}: nothing was written", path.display()), "report this")),
    }
}

fn grow<T>(path: &Path, part: &Path, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<T> {
    let fail = |error| output_error(path, error);
    let mut file = File::create(part).map_err(fail)?;
    let answer = fill(path, &mut file, sampling_rate, speak)?;
    file.sync_all().map_err(fail)?;
    fs::rename(part, path).map_err(fail)?;
    durable::sync_folder(folder_of(path)).map_err(fail)?;
    Ok(answer)
}

fn fill<T>(path: &Path, file: &mut File, sampling_rate: u32, speak: impl FnOnce(&mut dyn TakeSamples) -> Result<T>) -> Result<T> {
    let mut sink = Sink::new(file, sampling_rate);
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
