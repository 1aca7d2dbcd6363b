//! The subcommands. Exit codes: 0 ok, 1 failed, 2 bad input.

mod chat;
mod device;
mod documents;
mod eval;
mod export;
mod export_voice;
mod generate;
mod import;
mod info;
mod init;
mod limits;
mod overrides;
mod paths;
mod phonemes;
mod plan;
mod prompts;
mod report;
mod sampling;
mod text;
mod threads;
mod train;
mod training_flags;
mod tts;
mod tts_mels;
mod tts_train;
mod verify;
mod vocode;

use std::ffi::OsString;
use std::process::ExitCode;

use argh::FromArgs;

use crate::Result;
use crate::output::{self, warn};

/// Trains and runs neural networks directly on a 4-bit grid. Exit codes: 0 ok, 1 failed, 2 bad input.
#[derive(FromArgs)]
pub struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Train(training_flags::Train),
    Tts(tts::Tts),
    TtsTrain(training_flags::TtsTrain),
    TtsMels(tts_mels::TtsMels),
    Export(export::Export),
    ExportVoice(export_voice::ExportVoice),
    Eval(eval::Eval),
    Generate(generate::Generate),
    Chat(chat::Chat),
    Plan(training_flags::PlanCommand),
    Info(info::Info),
    Init(init::Init),
    Phonemes(phonemes::PhonemesCommand),
    Report(report::Report),
    Import(import::Import),
    Vocode(vocode::Vocode),
    Verify(verify::Verify),
}

/// What is wrong with the arguments, with the range of a number that is none and the way to pass a text that looks like a flag; and a hint.
fn explained(message: &str) -> (String, String) {
    let plain = "`primal-host --help` lists the commands, `primal-host COMMAND --help` their flags".to_string();
    if let Some(text) = message.strip_prefix("Unrecognized argument: ").filter(|text| text.starts_with('-')) {
        let hint =
            format!("a text or file whose name begins with a dash comes after --, such as: primal-host phonemes -- {text:?}; {plain}");
        return (message.into(), hint);
    }
    // argh: "Error parsing option '--seed' with value '-1': invalid digit found in string".
    let parts = message.strip_prefix("Error parsing option '").and_then(|rest| {
        let (flag, rest) = rest.split_once("' with value '")?;
        rest.rsplit_once("': ").map(|(value, error)| (flag, value, error))
    });
    let Some((flag, value, error)) = parts else { return (message.into(), plain) };
    if error.contains("duplicate") {
        return (format!("{flag}: expected once, found again with '{value}'"), plain);
    }
    let range = match flag {
        "--votes" => "4 or 8".into(),
        "--threads" => format!("a whole number from 1 to {}", threads::MOST),
        "--grad-accum" => "a whole number from 1 to 65536".into(),
        _ if error.contains("float") => "a number, such as 0.5".into(),
        _ if error.contains("digit") || error.contains("integer") || error.contains("number too") => {
            format!("a whole number from 0 to {}", u64::MAX)
        }
        _ => return (message.into(), plain),
    };
    (format!("{flag}: expected {range}, found '{value}'"), plain)
}

impl Arguments {
    /// The program's arguments; prints help, or what is wrong with them, and gives the exit code where there is nothing to run.
    ///
    /// # Errors
    /// The exit code: 0 after help, 2 for bad input.
    pub fn from_env() -> Result<Self, ExitCode> {
        let bad = |message: &str| {
            let (message, hint) = explained(message.trim_end());
            warn(format!("primal-host: {message}\n  hint: {hint}"));
            ExitCode::from(2)
        };
        let texts: Result<Vec<String>, _> = std::env::args_os().skip(1).map(OsString::into_string).collect();
        let texts = texts.map_err(|found| bad(&format!("arguments: expected UTF-8, found {found:?}")))?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Self::from_args(&["primal-host"], &texts).map_err(|exit| match exit.status {
            Ok(()) => output::print(exit.output).map_or_else(|error| output::report(&error), |()| ExitCode::SUCCESS),
            Err(()) => bad(&exit.output),
        })
    }

    /// Runs the subcommand.
    ///
    /// # Errors
    /// Errors of the subcommand.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Train(command) => command.run(),
            Command::Tts(command) => command.run(),
            Command::TtsTrain(command) => command.run(),
            Command::TtsMels(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::ExportVoice(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Chat(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Info(command) => command.run(),
            Command::Init(command) => command.run(),
            Command::Phonemes(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Vocode(command) => command.run(),
            Command::Verify(command) => command.run(),
        }
    }
}
