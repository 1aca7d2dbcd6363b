//! Logits of tiny random models of every architecture, imported as they are, against those of `transformers`, which writes the models; and once more after
//! an export as GGUF and another import.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::TextTable;
use primal_engine::convert::{Choice, Model, Source, import_model, to_gguf};
use primal_engine::files::{TensorFile, open};
use primal_engine::memory::{Act, Plan};
use primal_engine::models::registry::{OnText, on_text};
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::{kept, tensors};
use primal_engine::train::state;
use primal_host::data::{Exchanged, ModelFiles};

/// Largest difference of a logit, as a part of the largest logit.
const TOLERANCE: f32 = 1e-4;
const PACKAGES: [&str; 2] = ["torch", "transformers"];

/// logits of tiny models of every architecture, against transformers
#[derive(FromArgs)]
struct Flags {
    /// a Python that has torch and transformers (default: one is made from PyPI in the folder target, which takes gigabytes)
    #[argh(option)]
    python: Option<PathBuf>,
    /// folder for the models (default: target/models)
    #[argh(option, default = "PathBuf::from(env!(\"CARGO_MANIFEST_DIR\")).join(\"../target/models\")")]
    folder: PathBuf,
    /// passed on by cargo
    #[argh(switch)]
    #[expect(dead_code, reason = "cargo gives it to every benchmark")]
    bench: bool,
}

/// What transformers gave.
#[derive(serde::Deserialize)]
struct Expected {
    tokens: Vec<u32>,
    last: Vec<f32>,
}

fn call(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{command:?}: {other:?}")),
    }
}

fn python(folder: &Path) -> Result<PathBuf, String> {
    let environment = folder.join("env");
    let python = environment.join("bin/python");
    if !environment.join("ready").exists() {
        println!("making a Python environment in {} from PyPI", environment.display());
        call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        call(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
        fs::write(environment.join("ready"), "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

/// Logits of the last token.
struct Logits<'a> {
    file: &'a dyn TensorFile,
    tokens: &'a [u32],
}

impl OnText for Logits<'_> {
    type Output = primal_engine::Result<Vec<f32>>;

    fn on<M: TextModel>(self) -> Self::Output {
        let config = state::config_of::<M::Config>(self.file)?;
        let (mut plan, (layers, mut specs)) = (Plan::default(), M::layers(&config.model, false));
        kept::apply(&mut specs, self.file)?;
        let decoder = M::plan_decoder(layers, DecoderShape { context: config.model.context(), cache: Act::F32 }, &mut plan);
        let mut b = Cpu::new(&mut plan);
        let parameters = tensors::map(&mut b, specs, self.file)?;
        decoder.prepare(&mut b);
        let span = decoder.read(&mut b, &parameters, self.tokens, 0);
        let mut logits = vec![0.0; decoder.vocab()];
        b.download(span, &mut logits);
        Ok(logits)
    }
}

fn logits(path: &Path, tokens: &[u32]) -> primal_engine::Result<Vec<f32>> {
    let file = open(path)?;
    let architecture = state::architecture(&*file)?;
    on_text(&architecture, Logits { file: &*file, tokens }).expect("a text model")
}

/// The differences after an import, and after an export and another import.
fn differences(model: &Path, work: &Path) -> Result<[f32; 2], Box<dyn std::error::Error>> {
    let expected: Expected = serde_json::from_slice(&fs::read(model.join("logits.json"))?)?;
    let [ours, gguf, again] = ["ours.safetensors", "model.gguf", "again.safetensors"].map(|name| work.join(name));
    let source = Source::open(model)?;
    let vocab = source.table.vocab();
    import_model(&source, Choice::AsIs, &ours, &mut |_| ())?;
    let keys = Exchanged::of_files(&ModelFiles::beside(model)?, vocab)?.to_gguf();
    to_gguf::export(&Model::open(&ours)?, &keys, &gguf)?;
    import_model(&Source::open(&gguf)?, Choice::AsIs, &again, &mut |_| ())?;
    let largest = expected.last.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
    let mut found = [0.0; 2];
    for (found, path) in found.iter_mut().zip([&ours, &again]) {
        let pairs = logits(path, &expected.tokens)?.into_iter().zip(&expected.last);
        *found = pairs.fold(0.0f32, |worst, (ours, theirs)| worst.max((ours - theirs).abs())) / largest;
    }
    Ok(found)
}

fn run(flags: &Flags) -> Result<bool, Box<dyn std::error::Error>> {
    let (models, work) = (flags.folder.join("tiny"), flags.folder.join("work"));
    fs::create_dir_all(&work)?;
    let python = flags.python.clone().map_or_else(|| python(&flags.folder), Ok)?;
    let _ = fs::remove_dir_all(&models);
    call(Command::new(python).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/models/make.py")).arg(&models))?;
    let mut folders: Vec<PathBuf> = fs::read_dir(&models)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let mut all_good = true;
    println!(
        "largest difference of a logit from that of transformers, as a part of the largest\n| model | imported | exported as GGUF and imported |\n|---|---|---|"
    );
    for folder in &folders {
        let [imported, again] = differences(folder, &work)?;
        let is_good = imported <= TOLERANCE && again <= TOLERANCE;
        all_good &= is_good;
        let name = folder.file_name().unwrap_or_default().display();
        println!("| {name} | {imported:.1e} | {again:.1e} |{}", if is_good { "" } else { " too far" });
    }
    println!("{} models within {TOLERANCE:e}", folders.len());
    Ok(all_good)
}

fn main() -> ExitCode {
    match run(&argh::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("models: {error}");
            ExitCode::FAILURE
        }
    }
}
