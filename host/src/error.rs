//! The one error type of the crate: bad input (exit code 2) or a failure while working (exit code 1).

use std::path::Path;

use crate::visible::line;

/// Result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in words for the user. Names and values in it may come from a file: none of them can drive a terminal or begin a line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, flag or configuration is not what it has to be. Exit code 2.
    #[error("{}: expected {}, found {}\n  hint: {}", line(subject), line(expected), line(found), line(hint))]
    BadInput {
        /// The file or flag.
        subject: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// The operating system refused something. Exit code 1, or 2 where the path came from the user and could not be read.
    #[error("{action} {}: {}\n  hint: {}", line(path), line(&source.to_string()), line(hint))]
    Io {
        /// The verb: "reading", "writing" …
        action: &'static str,
        /// The path.
        path: String,
        /// What to do about it.
        hint: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Work that started and could not be finished. Exit code 1.
    #[error("{}\n  hint: {}", line(message), line(hint))]
    Failed {
        /// What happened.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// The program has to end with this exit code, and all there is to say is said: the reader of its output is gone (0), or a signal came.
    #[error("ended with exit code {0}")]
    Ended(u8),
}

impl Error {
    /// Bad input: names the subject, what was expected, what was found and what to do.
    pub fn bad_input(subject: impl ToString, expected: impl ToString, found: impl ToString, hint: impl ToString) -> Self {
        Self::BadInput { subject: subject.to_string(), expected: expected.to_string(), found: found.to_string(), hint: hint.to_string() }
    }

    /// An I/O error with its path and a hint.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error, hint: impl ToString) -> Self {
        Self::Io { action, path: path.display().to_string(), hint: hint.to_string(), source }
    }

    /// A failure while working.
    pub fn failed(message: impl ToString, hint: impl ToString) -> Self {
        Self::Failed { message: message.to_string(), hint: hint.to_string() }
    }

    /// The process exit code: 2 for bad input (unreadable input files included), 1 for failures.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput { .. } => 2,
            Self::Io { action, .. } if *action == "reading" => 2,
            Self::Io { .. } | Self::Failed { .. } => 1,
            Self::Ended(code) => *code,
        }
    }
}

/// What the libraries call what flags choose, and what the user can write.
const FLAGS: [(&str, &str); 8] = [
    (primal_engine::backend::cuda_plan::SUBJECT, "--device cuda"),
    ("the CPU back end", "--device cpu"),
    ("run on the CPU", "run on --device cpu"),
    ("the run can go on from its last checkpoint", "--resume RUN goes on from the last checkpoint"),
    ("a run goes on from its last checkpoint", "a run goes on from its last checkpoint with --resume"),
    ("a lower learning rate", "a lower --lr"),
    ("name the key that has it", "name the key that has it with --key"),
    ("speak the text in several files", "speak the text in several files, with --file"),
];

/// A text of a library in the words of this program.
fn with_flags(text: String) -> String {
    FLAGS.iter().fold(text, |text, (name, flag)| if text.contains(name) { text.replace(name, flag) } else { text })
}

impl From<primal_engine::Error> for Error {
    fn from(error: primal_engine::Error) -> Self {
        use primal_engine::Error as Engine;
        match error {
            Engine::Invalid { subject, expected, found, hint } => {
                Self::BadInput { subject: with_flags(subject), expected, found, hint: with_flags(hint) }
            }
            Engine::Io { action, path, hint, source } => Self::Io { action, path, hint: with_flags(hint), source },
            Engine::Failed { message, hint } => Self::Failed { message, hint: with_flags(hint) },
            Engine::Closed => Self::Ended(0),
        }
    }
}

impl From<primal_speech::Error> for Error {
    fn from(error: primal_speech::Error) -> Self {
        use primal_speech::Error as Speech;
        match error {
            Speech::Invalid { subject, expected, found, hint } => Self::BadInput { subject, expected, found, hint },
            Speech::Unwritable { message, hint } => Self::Failed { message, hint: with_flags(hint) },
        }
    }
}
