//! `primal-host train`.

use std::marker::PhantomData;

use crate::chat::{ChatTemplate, Message, Role};
use crate::configurations::default_of;
use crate::data::{Corpus, CorpusOptions, DataPaths, STORIES, Split, TextCodec, are_documents, generate_after, unread};
use crate::{Error, Result, ranks};
use primal_device::grid::ScaleForm;
use primal_engine::backend::{Backend, Device};
use primal_engine::config::{ConfigOf, Family, ModelTable, TextTable, TrainConfig, Windows};
use primal_engine::files::TensorFile;
use primal_engine::memory::{self, Act};
use primal_engine::models::causal::HEAD;
use primal_engine::models::registry::OnText;
use primal_engine::models::sample::Sampling;
use primal_engine::models::text::{TextDecoder, TextModel};
use primal_engine::nn::embedding::TOKENS;
use primal_engine::nn::kept::Kept;
use primal_engine::train::text::{TextSource, TextTask};
use primal_engine::train::trainer::{Layout, Trainer};

use super::device::{self, Work};
use super::documents;
use super::limits;
use super::threads::in_pool;
use super::training_flags::{Train, apply_embeddings};
use crate::output::warn;
use crate::report::progress::Progress;
use crate::runs::folder::{Flags, RunFolder, unwritable_out};
use crate::runs::followers;
use crate::runs::training::{self, Start};
use crate::tasks::on_text_model;

impl Train {
    /// Trains.
    ///
    /// # Errors
    /// Bad flags, configuration, data or run folder; a gradient that is not finite; a checkpoint that cannot be written.
    pub fn run(self) -> Result<()> {
        ranks::together(|| in_pool(self.threads, || device::run(self.device, &self)))
    }
}

impl Work for Train {
    fn run_on<D: Device>(&self) -> Result<()> {
        let (architecture, origin) = self.names().architecture(Family::Text)?;
        on_text_model(&architecture, &origin, TrainOn::<D>(self, PhantomData))
    }
}

/// Trains on a device.
struct TrainOn<'a, D>(&'a Train, PhantomData<D>);

impl<D: Device> OnText for TrainOn<'_, D> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        self.0.train::<D, M>()
    }
}

impl Train {
    /// The flags that name the run.
    fn names(&self) -> Flags<'_> {
        Flags {
            out: self.out.as_deref(),
            resume: self.resume.as_deref(),
            from: self.from.as_deref(),
            config: self.config.as_deref(),
            default: default_of(Family::Text),
        }
    }

    /// Applies the flags, and names those that were given.
    fn configure(&self, config: &mut ConfigOf<impl TextTable>) -> Result<Vec<String>> {
        let mut given = self.apply(config)?;
        given.extend(apply_embeddings(self.embeddings.as_deref(), config)?);
        if !self.prompt.is_empty() {
            config.train.prompts.clone_from(&self.prompt);
            given.push("--prompt".into());
        }
        if self.resume.is_none() && self.reduce.is_none() {
            ranks::choose(&mut config.train);
        }
        config.train.regrids |= self.from.is_some() && given.iter().any(|flag| flag == "--grid" || flag == "--scales");
        Ok(given)
    }

    fn train<D: Device, M: TextModel>(&self) -> Result<()> {
        let (folder, sources) = followers::open(|| {
            let folder = RunFolder::<M::Config>::open(&self.names(), |config| self.configure(config))?;
            let given = DataPaths { data: self.data.clone(), validation: self.validation.clone() };
            let sources = folder.sources(&given, Some(STORIES))?;
            folder.require_apart(&sources)?;
            Ok((folder, sources))
        })?;
        let (config, t) = (&folder.config, &folder.config.train);
        let mut plan = memory::Plan::default();
        let mut planned = config.clone();
        let kept = folder.kept::<TextTask<M>>()?;
        limits::choose_recompute::<TextTask<M>, D>(&mut planned, &kept)?;
        let layout = Layout::<TextTask<M>>::plan_at(ranks::place(), &planned, &kept, &mut plan);
        D::require(&layout.model.attention())?;
        if ranks::speaks() && !t.optimizer.is_float() && config.model.scales() != ScaleForm::Row && t.rescale_every > 0 {
            warn("warning: train.rescale_every does nothing: only rows whose scale is their own get a wider one");
        }
        limits::warn_without_tiles(&layout, t);
        limits::warn_of_unread(t.optimizer, &self.apply(&mut config.clone())?);
        let stay = layout.kept.iter().filter(|(name, kept)| ![TOKENS, HEAD].contains(&name.as_str()) && !matches!(kept, Kept::Grid(..)));
        let stay = stay.count();
        if stay > 0 && ranks::speaks() {
            let hint = "--grid int4 --scales group32 puts all on a grid";
            warn(format!("warning: {stay} linear layers are on no grid in the file, and stay as they are; {hint}"));
        }
        limits::require::<D>(&plan, "lower --batch or --seq-len, or use a smaller model")?;
        let tokenizer = config.model.tokenizer();
        let codec = folder.beginning.checkpoint().map_or_else(|| TextCodec::named(tokenizer), |file| TextCodec::of(tokenizer, file))?;
        let lesson = if are_documents(&sources)? {
            Lesson::of_documents::<D, M>(&folder, &sources, &codec, &layout.model)
        } else {
            Lesson::of_text(&folder, &sources, &codec)
        }?;
        let context = layout.sampler.context();
        let unread = lesson
            .prompts
            .iter()
            .filter_map(|prompt| unread(prompt.len(), context))
            .map(|said| format!("warning: in samples, which have {context} tokens in view, {said}"));
        lesson.warnings.iter().cloned().chain(unread).filter(|_| ranks::speaks()).for_each(warn);
        let start = Start { folder, sources, plan, layout };
        training::train::<D, _>(start, &*lesson.source, &lesson.description, |trainer, progress| {
            samples(trainer, &codec, &lesson.prompts, progress)
        })
    }
}

/// What a run learns.
struct Lesson {
    source: Box<dyn TextSource>,
    description: String,
    warnings: Vec<String>,
    /// What samples go on with.
    prompts: Vec<Vec<u32>>,
}

impl Lesson {
    fn of_documents<D: Device, M: TextModel>(
        folder: &RunFolder<M::Config>,
        sources: &DataPaths,
        codec: &TextCodec,
        model: &M,
    ) -> Result<Self> {
        let t = &folder.config.train;
        require_for_documents(t)?;
        let file = folder.beginning.checkpoint().map(|file| file as &dyn TensorFile);
        let held_out = (Split::Validation, t.hold_out_test);
        let template = documents::template(file, codec)?;
        let documents = documents::open::<D, M>(sources, codec, template.as_ref(), model, held_out)?;
        let template = template.as_ref().filter(|_| documents.has_conversations());
        let (description, warnings) = (documents.describe(), documents.warnings());
        let prompts = prompts(t, codec, template, || documents.prompt())?;
        Ok(Self { source: Box::new(documents), description, warnings, prompts })
    }

    fn of_text(folder: &RunFolder<impl ModelTable>, sources: &DataPaths, codec: &TextCodec) -> Result<Self> {
        let t = &folder.config.train;
        let options = CorpusOptions {
            cache: Some(folder.path.clone()),
            hold_out_test: t.hold_out_test,
            windows: t.windows,
            ..CorpusOptions::default()
        };
        let opened = ranks::in_turn(|| Corpus::open_apart(sources, codec.clone(), &options));
        let corpus = if folder.is_resumed { opened } else { opened.map_err(unwritable_out) }?;
        corpus.require(t.batch, t.seq_len)?;
        let usual =
            || if sources.by_flag().all(|(_, source)| source == STORIES) { codec.prompt("Once upon a time") } else { corpus.prompt() };
        let (description, warnings) = (corpus.describe(), corpus.warnings().to_vec());
        let prompts = prompts(t, codec, None, usual)?;
        Ok(Self { source: Box::new(corpus), description, warnings, prompts })
    }
}

/// Refuses what means nothing where documents are learnt.
fn require_for_documents(t: &TrainConfig) -> Result<()> {
    let refuse = |subject, expected, found, hint| Err(Error::bad_input(subject, expected, found, hint));
    if t.answers_after.is_some() {
        let hint = "leave the key out: of documents the answers alone are learnt";
        return refuse("train.answers_after", "no mark where --data are documents", "one", hint);
    }
    if t.windows == Windows::Epochs {
        return refuse(
            "--windows",
            "random where --data are documents",
            "epochs",
            "leave it out: documents come once an epoch as they are",
        );
    }
    if t.activations == Act::F16 {
        return refuse("--activations", "f32 where --data are documents", "f16", "leave it out, or train on text");
    }
    Ok(())
}

/// The prompts of samples: those of the run, as questions where conversations are learnt, or else one.
fn prompts(t: &TrainConfig, codec: &TextCodec, template: Option<&ChatTemplate>, usual: impl FnOnce() -> Vec<u32>) -> Result<Vec<Vec<u32>>> {
    let tokens = |prompt: &String| {
        let Some(template) = template else { return Ok(codec.prompt(prompt)) };
        let question = Message::new(Role::User, codec.shielded(prompt));
        Ok(codec.encode_controls(&template.render(&[question], true)?, true))
    };
    if t.prompts.is_empty() { Ok(vec![usual()]) } else { t.prompts.iter().map(tokens).collect() }
}

/// Continues each prompt, and shows it.
fn samples<M: TextModel>(
    trainer: &mut Trainer<impl Backend, TextTask<M>>,
    codec: &TextCodec,
    prompts: &[Vec<u32>],
    progress: &Progress,
) -> Result<()> {
    for prompt in prompts {
        progress.sample(trainer.step, &sample(trainer, codec, prompt)?);
    }
    Ok(())
}

fn sample<M: TextModel>(trainer: &mut Trainer<impl Backend, TextTask<M>>, codec: &TextCodec, prompt: &[u32]) -> Result<String> {
    let mut text = codec.decode(prompt).trim_start().to_string();
    let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: trainer.step, ..Sampling::GREEDY };
    let layout = &trainer.layout;
    if prompt.is_empty() {
        return Ok(text);
    }
    generate_after(&mut trainer.backend, &layout.parameters, &layout.sampler, codec, prompt, 300, sampling, |piece, _| {
        text.push_str(piece);
        Ok(())
    })?;
    Ok(text)
}
