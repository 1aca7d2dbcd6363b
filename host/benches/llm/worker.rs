//! A program beside this one that holds a model in one engine, and does what it is asked in lines of JSON: so memory is counted apart, engines share no
//! threads, and they can take turns.

use std::io::{BufRead, BufReader, Lines, Write, stdin, stdout};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Who runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This project.
    Primal,
    /// llama.cpp, in its best variant for the processor.
    Llama,
    /// This project without AVX-512.
    PrimalAvx2,
    /// llama.cpp in its variant of AVX2.
    LlamaHaswell,
}

impl Engine {
    const ALL: [(Self, &str); 4] =
        [(Self::Primal, "primal"), (Self::Llama, "llama"), (Self::PrimalAvx2, "primal-avx2"), (Self::LlamaHaswell, "llama-haswell")];

    /// Those that differ on this processor.
    pub fn of_this_processor() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            return Self::ALL.map(|(engine, _)| engine).into();
        }
        vec![Self::Primal, Self::Llama]
    }

    /// By the name that workers are told.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(engine, _)| *engine)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(engine, _)| *engine == self).map_or("", |(_, name)| name)
    }

    /// Whether it is this project.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Primal | Self::PrimalAvx2)
    }
}

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// The tokens of a text, with those that begin one.
    Tokens(String),
    /// To read tokens from an empty context: seconds until the logits of the next are there.
    Read(Vec<u32>),
    /// To read a prompt, and then tokens one by one: seconds of the latter.
    Write { prompt: Vec<u32>, tokens: Vec<u32> },
    /// Logits after tokens that are read at once from an empty context.
    Logits(Vec<u32>),
    /// The sum of the losses of all tokens but the first, in nats.
    Loss(Vec<u32>),
    /// The most memory that was ever resident, in bytes.
    Peak,
}

/// What it says first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Name and version of the engine.
    pub name: String,
    /// Seconds from the start of the program until the model could read.
    pub load: f64,
}

/// A model in an engine, and one sequence.
pub trait Model {
    /// Forgets all tokens.
    fn clear(&mut self);

    /// Reads tokens after earlier ones; logits of the next.
    fn read(&mut self, tokens: &[u32]) -> Result<&[f32], String>;

    /// Losses of all tokens but the first, from an empty context; their sum in nats.
    fn loss(&mut self, tokens: &[u32]) -> Result<f64, String>;

    /// The tokens of a text.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, String>;
}

fn peak() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    line.trim().trim_end_matches(" kB").parse::<u64>().map(|kib| kib << 10).map_err(|e| e.to_string())
}

/// Does what it is asked until nobody asks any more.
pub fn serve(model: &mut impl Model, name: String, began: Instant) -> Result<(), String> {
    say(&Ready { name, load: began.elapsed().as_secs_f64() })?;
    for line in stdin().lines() {
        let line = line.map_err(|e| e.to_string())?;
        match serde_json::from_str(&line).map_err(|e| e.to_string())? {
            Ask::Tokens(text) => say(&model.tokens(&text)?)?,
            Ask::Read(tokens) => {
                let began = Instant::now();
                model.read(&tokens)?;
                let seconds = began.elapsed().as_secs_f64();
                model.clear();
                say(&seconds)?;
            }
            Ask::Write { prompt, tokens } => {
                model.read(&prompt)?;
                let began = Instant::now();
                for &token in &tokens {
                    model.read(&[token])?;
                }
                let seconds = began.elapsed().as_secs_f64();
                model.clear();
                say(&seconds)?;
            }
            Ask::Logits(tokens) => {
                say(&model.read(&tokens)?)?;
                model.clear();
            }
            Ask::Loss(tokens) => {
                say(&model.loss(&tokens)?)?;
                model.clear();
            }
            Ask::Peak => say(&peak()?)?,
        }
    }
    Ok(())
}

fn say(answer: &impl Serialize) -> Result<(), String> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, answer).map_err(|e| e.to_string())?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(|e| e.to_string())
}

/// The other end.
pub struct Worker {
    child: Child,
    asks: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// What it said first.
    pub ready: Ready,
}

impl Worker {
    /// Starts one on a file of its engine's format, and waits until it has loaded it.
    ///
    /// # Errors
    /// One that cannot load it.
    pub fn start(engine: Engine, model: &Path, threads: usize) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
        command.args(["--worker", engine.name(), "--model"]).arg(model).args(["--threads", &threads.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let asks = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = answer(&mut answers)?;
        Ok(Self { child, asks, answers, ready })
    }

    /// Asks for something, and waits for it.
    ///
    /// # Errors
    /// A worker that ended.
    pub fn ask<T: for<'a> Deserialize<'a>>(&mut self, ask: &Ask) -> Result<T, String> {
        let mut line = serde_json::to_vec(ask).map_err(|e| e.to_string())?;
        line.push(b'\n');
        self.asks.as_mut().expect("until it is dropped").write_all(&line).map_err(|e| e.to_string())?;
        answer(&mut self.answers)
    }
}

fn answer<T: for<'a> Deserialize<'a>>(answers: &mut Lines<BufReader<ChildStdout>>) -> Result<T, String> {
    let line = answers.next().ok_or("a worker ended before it answered")?.map_err(|e| e.to_string())?;
    serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends when nobody can ask any more.
        self.asks = None;
        let _ = self.child.wait();
    }
}
