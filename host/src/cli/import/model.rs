//! `primal-host import model`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use primal_device::grid::{Grid, INT4, ScaleForm, UINT4, by_name};

use super::loss::{Loss, Text, loss};
use super::templates;
use crate::cli::overrides::one_of;
use crate::cli::paths::{require_distinct, require_extension, require_writable};
use crate::cli::threads::in_pool;
use crate::data::ModelFiles;
use crate::output::{print, warn};
use crate::{Error, Result, input};
use primal_engine::config::{SCALES, grids};
use primal_engine::convert::{Choice, Event, Report, Source, import, import_into};
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::files::durable::{Unfinished, folder_of};
use primal_engine::files::mapped;
use primal_engine::nn::kept::Kept;

/// The text that losses are measured on, if no other is given.
const PAGE: &str = include_str!("page.txt");

/// make a file of this program of a language model: a GGUF file, or the folder or first file of a model as Hugging Face has it, of architecture llama, qwen2,
/// qwen3 or gpt2. Its tokenizer and licence come along. Nothing in it is executed
#[derive(FromArgs)]
#[argh(subcommand, name = "model")]
pub(super) struct ImportModel {
    /// GGUF file, folder, or first file of the model
    #[argh(positional)]
    path: PathBuf,
    /// safetensors file to write
    #[argh(option)]
    out: PathBuf,
    /// keep all weights as they are (the default for files in blocks of 4 or 5 bits): Q4_0 and Q4_1 on int4 and uint4 to the bit
    #[argh(switch)]
    as_is: bool,
    /// grid for the weights: int4 (default), uint4, uniform15, fine15, prime13 or another
    #[argh(option)]
    grid: Option<String>,
    /// what they have scales for: group32 or group32-offset, fitted by least squares, or row, which loses much (default: by the grid)
    #[argh(option)]
    scales: Option<String>,
    /// leave the table of embeddings, and a head that is the same, as it is
    #[argh(switch)]
    keep_embeddings: bool,
    /// keep what rounding leaves over as well, a byte a weight: votes that training can start from
    #[argh(switch)]
    for_training: bool,
    /// text to measure the loss on before and after (default: a page in the program). Before, the model is written once more as it is, to a file beside the output that
    /// is removed in the end
    #[argh(option)]
    text: Option<PathBuf>,
    /// measure no loss
    #[argh(switch)]
    no_loss: bool,
    /// template of conversations to keep with the model, in place of its own: a file in the language of Jinja; chatml; or plain, for models whose tokenizer has no
    /// tokens for it. So a model that does not answer yet can learn conversations
    #[argh(option)]
    chat_template: Option<String>,
    /// licence of the weights, to be kept in the file (default: what the model says)
    #[argh(option)]
    license: Option<String>,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
}

impl ImportModel {
    /// Reads, checks and writes.
    ///
    /// # Errors
    /// A model that cannot be used; output that cannot be written.
    pub(super) fn run(self) -> Result<()> {
        let out = ("--out", self.out.as_path());
        require_extension(out, "safetensors")?;
        require_distinct(out, &[("PATH", self.path.as_path())])?;
        self.require_apart()?;
        require_writable(out)?;
        in_pool(self.threads, || self.import())
    }

    /// Refuses to write over a file beside the model's that no import made: it may be a part of the model.
    fn require_apart(&self) -> Result<()> {
        let folder = if self.path.is_dir() { &self.path } else { folder_of(&self.path) };
        let resolved = |path: &Path| path.canonicalize().ok();
        let is_beside = self.out.is_file() && resolved(folder).is_some() && resolved(folder) == resolved(folder_of(&self.out));
        let is_made = || Checkpoint::open(&self.out).is_ok_and(|file| file.metadata().contains_key(import::FROM));
        if is_beside && !is_made() {
            let hint = "give it a name of its own: it would replace what may be a part of the model";
            return Err(Error::bad_input("--out", "a file that is not the model's", self.out.display(), hint));
        }
        Ok(())
    }

    fn import(&self) -> Result<()> {
        let text = self.text()?;
        let mut source = Source::open(&self.path)?;
        if let Some(license) = &self.license {
            source.about.insert("license".into(), license.clone());
        }
        let files = source.gguf().map_or_else(|| ModelFiles::beside(&self.path), |gguf| Ok(ModelFiles::of_gguf(gguf.clone())))?;
        let tokenizer = files.tokenizer(source.table.vocab())?;
        if let Some(name) = &self.chat_template {
            let (template, end) = templates::for_model(name, &tokenizer)?;
            source.set_chat_template(&template, end)?;
        }
        if source.context > source.table.context() {
            let (theirs, ours) = (source.context, source.table.context());
            warn(format!("the model was made for {theirs} tokens; here it reads at most {ours}"));
        }
        let choice = self.choice(&source)?;
        let measured = |path: &Path| text.as_ref().map(|text| loss(path, text)).transpose();
        // Each has its name once all is done, and is locked until then: what cannot be used is not left behind.
        let mut out = Unfinished::of(&self.out, 0)?;
        let before = match choice {
            Choice::AsIs => None,
            Choice::Grid { .. } if text.is_none() => None,
            Choice::Grid { .. } => {
                let mut copy = Unfinished::of(&self.out, 0)?;
                with_bar("as it is", |observe| import_into(&source, Choice::AsIs, &mut copy, observe))?;
                let before = measured(copy.path())?;
                mapped::require_unchanged()?;
                before
            }
        };
        let report = with_bar("weights", |observe| import_into(&source, choice, &mut out, observe))?;
        tell(&report)?;
        let after = measured(out.path())?;
        mapped::require_unchanged()?;
        out.finish()?;
        self.sum_up(&source, choice, &report, [before, after])
    }

    /// The text to measure on, if any.
    fn text(&self) -> Result<Option<Text>> {
        let text = match (&self.text, self.no_loss) {
            (Some(path), true) => {
                return Err(Error::bad_input("--text", "no --no-loss beside it", path.display(), "leave one of them out"));
            }
            (_, true) => return Ok(None),
            (Some(path), false) => input::read_text(path, input::TEXT, "give a text of a page or some")?,
            (None, false) => PAGE.into(),
        };
        let name = self.text.as_ref().map_or_else(|| "a page in the program".into(), |path| path.display().to_string());
        Ok(Some(Text { name, text }))
    }

    fn choice(&self, source: &Source) -> Result<Choice> {
        let is_given = self.grid.is_some() || self.scales.is_some() || self.keep_embeddings;
        if self.for_training && (self.as_is || (!is_given && source.is_quantised())) {
            let found = if self.as_is { "--as-is" } else { "a model in blocks of 4 or 5 bits, which stay as they are" };
            let hint = "leave --for-training out, or give --grid: what was not rounded leaves nothing over";
            return Err(Error::bad_input("--for-training", "weights that are put on a grid", found, hint));
        }
        if self.as_is && is_given {
            let found = "--grid, --scales or --keep-embeddings beside it";
            return Err(Error::bad_input("--as-is", "weights that stay as they are", found, "leave one of them out"));
        }
        if self.as_is || (!is_given && source.is_quantised()) {
            return Ok(Choice::AsIs);
        }
        let scales = self.scales.as_ref().map(|name| one_of("--scales", SCALES, name, ScaleForm::by_name(name))).transpose()?;
        let grid = self.grid.as_ref().map(|name| one_of("--grid", &grids(), name, by_name(name))).transpose()?;
        let grid = grid.unwrap_or(if scales == Some(ScaleForm::Group32Offset) { &UINT4 } else { &INT4 });
        let scales = scales.unwrap_or_else(|| usual(grid));
        if !scales.is_for(grid) {
            let expected = format!("row with {}, whose levels have no small common denominator", grid.name());
            return Err(Error::bad_input("--scales", expected, scales.name(), "or take another grid, such as int4"));
        }
        if source.is_quantised() {
            warn("these weights are quantised already, and lose again on another grid: --as-is keeps them");
        }
        Ok(Choice::Grid { grid, scales, keeps_embeddings: self.keep_embeddings, keeps_remainders: self.for_training })
    }

    fn sum_up(&self, source: &Source, choice: Choice, report: &Report, [before, after]: [Option<Loss>; 2]) -> Result<()> {
        if let Some(after) = after {
            let of = self.text.as_ref().map_or("a page in the program".into(), |path| path.display().to_string());
            match before {
                Some(before) => print(format!("loss on {of}: {before} before, {after} after, {:+.4}", after.nats - before.nats))?,
                None => print(format!("loss on {of}: {after}"))?,
            }
            if let (Choice::Grid { scales: ScaleForm::Row, .. }, Some(before)) = (choice, before) {
                let lost = after.nats - before.nats;
                warn(format!("warning: one scale for each row cost {lost:.3} nats a token; --scales group32 costs less"));
            }
        } else if let Choice::Grid { scales: ScaleForm::Row, .. } = choice {
            warn("warning: one scale for each row loses much, and --no-loss does not say how much; --scales group32 loses less");
        }
        let weights: usize = report.matrices.iter().map(|told| told.weights).sum();
        let about = |key: &str| source.about.get(key).map_or("unknown", String::as_str);
        print(format!(
            "{}: {weights} weights in matrices, {} tokens; name: {}; licence: {}",
            self.out.display(),
            source.table.vocab(),
            about("name"),
            about("license"),
        ))
    }
}

/// The scales that a grid usually has.
fn usual(grid: &Grid) -> ScaleForm {
    let is_positive = grid.range()[0] >= 0.0;
    match (ScaleForm::Group32.is_for(grid), is_positive) {
        (false, _) => ScaleForm::Row,
        (true, true) => ScaleForm::Group32Offset,
        (true, false) => ScaleForm::Group32,
    }
}

fn name_of(kept: Kept) -> String {
    match kept {
        Kept::Grid(grid, scales) => format!("{} with {} scales", grid.name(), scales.name()),
        Kept::Blocks(dtype) => dtype.name().into(),
        Kept::Float => "F32".into(),
    }
}

/// Prints what was lost by matrix; of those that are kept to the bit, how many there are.
fn tell(report: &Report) -> Result<()> {
    let mut kept = BTreeMap::<String, usize>::new();
    for told in &report.matrices {
        let name = name_of(told.kept);
        if told.error > 0.0 {
            print(format!("{:>8.4} %  {}, {name}", 100.0 * told.error, told.name))?;
        } else {
            *kept.entry(name).or_default() += 1;
        }
    }
    for (name, count) in kept {
        print(format!("{count} matrices as they were, in {name}"))?;
    }
    let error = report.error();
    if error > 0.0 { print(format!("{:>8.4} %  of the root mean square of all matrices lost", 100.0 * error)) } else { Ok(()) }
}

/// Shows progress while `work` is done.
fn with_bar<T>(what: &str, work: impl FnOnce(&mut dyn FnMut(Event)) -> primal_engine::Result<T>) -> Result<T> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {percent} %, {eta} left  {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    let done = work(&mut |event: Event| {
        bar.set_length(event.total as u64);
        bar.set_position(event.done as u64);
        bar.set_message(event.name.to_owned());
    });
    bar.finish_and_clear();
    Ok(done?)
}
