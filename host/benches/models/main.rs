//! Logits of tiny random models of every architecture, imported as they are, against those of `transformers`, which writes the models; once more after
//! an export as GGUF and another import; and of quantised ones, against those of `transformers` for the same weights in floats.

#[path = "../shared/arguments.rs"]
mod arguments;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;
use arguments::arguments;
use primal_device::grid::{Grid, INT4, PRIME13, ScaleForm, UINT4};
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::TextTable;
use primal_engine::convert::{Choice, Model, Source, import_model, to_folder, to_gguf};
use primal_engine::files::{Dtype, TensorFile, open};
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
}

/// What transformers gave.
#[derive(serde::Deserialize)]
struct Expected {
    tokens: Vec<u32>,
    last: Vec<f32>,
}

fn call(command: &mut Command) -> Result<(), String> {
    match command.env("TRANSFORMERS_VERBOSITY", "error").status() {
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

type Failed = Box<dyn std::error::Error>;

/// The largest difference of our logits of a file from those that transformers gave for a folder, as a part of the largest.
fn difference(ours: &Path, theirs: &Path) -> Result<f32, Failed> {
    let expected: Expected = serde_json::from_slice(&fs::read(theirs.join("logits.json"))?)?;
    let largest = expected.last.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
    let pairs = logits(ours, &expected.tokens)?.into_iter().zip(&expected.last);
    // Not `max`, which would pass over NaN.
    Ok(pairs.map(|(ours, theirs)| (ours - theirs).abs() / largest).fold(0.0, |worst, off| if off <= worst { worst } else { off }))
}

fn import(model: &Path, choice: Choice, out: &Path) -> Result<usize, Failed> {
    let source = Source::open(model)?;
    import_model(&source, choice, out, &mut |_| ())?;
    Ok(source.table.vocab())
}

/// Imports a model as it is, exports it as GGUF, and imports that; the differences of both.
fn as_it_is(model: &Path, work: &Path) -> Result<[f32; 2], Failed> {
    let [ours, gguf, again] = ["ours.safetensors", "model.gguf", "again.safetensors"].map(|name| work.join(name));
    let vocab = import(model, Choice::AsIs, &ours)?;
    let keys = Exchanged::of_files(&ModelFiles::beside(model)?, vocab)?.to_gguf();
    to_gguf::export(&Model::open(&ours)?, &keys, &gguf)?;
    import(&gguf, Choice::AsIs, &again)?;
    Ok([difference(&ours, model)?, difference(&again, model)?])
}

/// A quantised model, and a folder of the floats that its weights stand for.
struct Quantised {
    name: String,
    ours: PathBuf,
    floats: PathBuf,
}

impl Quantised {
    fn make(model: &Path, grid: &'static Grid, scales: ScaleForm, work: &Path) -> Result<Self, Failed> {
        let name = format!("{} on {}, {}", model.file_name().unwrap_or_default().display(), grid.name(), scales.name());
        // By a name that is one in Python, too.
        let floats = work.join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let ours = floats.with_extension("safetensors");
        import(model, Choice::Grid { grid, scales, keeps_embeddings: false, keeps_remainders: false }, &ours)?;
        to_folder::export(&Model::open(&ours)?, Dtype::F32, &[], &floats)?;
        Ok(Self { name, ours, floats })
    }
}

fn row(name: &dyn Display, cells: &[f32], is_good: bool) {
    let cells: String = cells.iter().map(|off| format!(" {off:.1e} |")).collect();
    println!("| {name} |{cells}{}", if is_good { "" } else { " too far" });
}

fn run(flags: &Flags) -> Result<bool, Failed> {
    let (models, work) = (flags.folder.join("tiny"), flags.folder.join("work"));
    for folder in [&models, &work] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)?;
    }
    let python = flags.python.clone().map_or_else(|| python(&flags.folder), Ok)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/models/make.py");
    call(Command::new(&python).arg(&script).arg("models").arg(&models))?;
    let mut folders: Vec<PathBuf> = fs::read_dir(&models)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let mut misses = 0;
    println!("Largest difference of a logit from that of transformers, as a part of the largest; at most {TOLERANCE:e} is asked for.");
    println!("| model | imported as it is | exported as GGUF and imported |\n|---|---|---|");
    for folder in &folders {
        let found = as_it_is(folder, &work)?;
        let is_good = found.iter().all(|off| *off <= TOLERANCE);
        misses += usize::from(!is_good);
        row(&folder.file_name().unwrap_or_default().display(), &found, is_good);
    }
    let mut quantised = Vec::new();
    for folder in folders.iter().filter(|folder| folder.to_string_lossy().ends_with("float32")) {
        for (grid, scales) in [(&INT4, ScaleForm::Group32), (&UINT4, ScaleForm::Group32Offset), (&PRIME13, ScaleForm::Row)] {
            quantised.push(Quantised::make(folder, grid, scales, &work)?);
        }
    }
    call(Command::new(&python).arg(&script).arg("logits").args(quantised.iter().map(|model| &model.floats)))?;
    println!(
        "\nThe same with the weights that a quantised model stands for, in floats; and what activations in integers cost besides, which is not judged."
    );
    println!("| model | in floats | quantised, activations in integers |\n|---|---|---|");
    for Quantised { name, ours, floats } in &quantised {
        let again = work.join("again.safetensors");
        import(floats, Choice::AsIs, &again)?;
        let found = [difference(&again, floats)?, difference(ours, floats)?];
        misses += usize::from(found[0].is_nan() || found[0] > TOLERANCE);
        row(name, &found, found[0] <= TOLERANCE);
    }
    println!("\n{} models, {misses} of them farther than {TOLERANCE:e}", folders.len() + quantised.len());
    Ok(misses == 0)
}

fn main() -> ExitCode {
    match run(&arguments()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("models: {error}");
            ExitCode::FAILURE
        }
    }
}
