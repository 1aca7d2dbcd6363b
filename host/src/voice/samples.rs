//! Samples of a voice while it trains: what it says of the first utterance held out, from its phones alone.

use std::fs;
use std::path::PathBuf;

use super::draw::write_mel_png;
use super::vocoder::{Vocoder, VocoderModel};
use crate::data::{SpeechData, SpeechSplit, VoiceFacts};
use crate::report::progress::Progress;
use crate::{Error, Result, sound};
use primal_engine::backend::Backend;
use primal_engine::files::durable;
use primal_engine::memory::Plan;
use primal_engine::models::ghost_tts::Controls;
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::trainer::Trainer;

/// Writes `step-<N>.png` and, with a vocoder, `step-<N>.wav`.
pub(crate) struct Samples {
    folder: PathBuf,
    vocoder: Option<(Vocoder, VocoderModel)>,
    /// Whether the vocoder's weights are on the device.
    loaded: bool,
}

impl Samples {
    /// Samples in that folder; reserves memory for the vocoder, where there is one.
    ///
    /// # Errors
    /// A file that is no vocoder, or one for other spectrograms than the voice's.
    pub(crate) fn plan(folder: PathBuf, vocoder: Option<&PathBuf>, facts: &VoiceFacts, plan: &mut Plan) -> Result<Self> {
        let open = |path: &PathBuf| {
            let vocoder = Vocoder::open(path)?;
            facts.mel.require_same(&vocoder.mel, format!("--vocoder {}", path.display()), "give the vocoder of such spectrograms")?;
            let model = VocoderModel::plan(&vocoder, plan)?;
            Ok::<_, Error>((vocoder, model))
        };
        Ok(Self { folder, vocoder: vocoder.map(open).transpose()?, loaded: false })
    }

    /// Writes a sample and says where it is.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub(crate) fn write<B: Backend>(&mut self, trainer: &mut Trainer<B, SpeechTask>, progress: &Progress, data: &SpeechData) -> Result<()> {
        let utterance = &data.corpus().utterances(SpeechSplit::HeldOut)[0];
        let (step, model, p, b) = (trainer.step, &trainer.layout.model, &trainer.layout.parameters, &mut trainer.backend);
        let mut batch = model.batch();
        let spoken = match model.synthesise(b, p, &mut batch, &data.facts().scales(), &utterance.phones, &Controls::default()) {
            Ok(spoken) => spoken,
            // What is not trained yet may speak without end.
            Err(error) => {
                progress.print(&format!("step {step}: no sample: {error}"));
                return Ok(());
            }
        };
        let phones: Vec<_> =
            utterance.phones.iter().zip(&spoken.durations).map(|(phone, &frames)| (phone.name(), frames as usize)).collect();
        fs::create_dir_all(&self.folder).map_err(|error| durable::write_error(&self.folder, 0, error))?;
        let mut path = self.folder.join(format!("step-{step:08}.png"));
        write_mel_png(&path, &spoken.mel, model.mels, &phones)?;
        if let Some((vocoder, spoken_by)) = &self.vocoder {
            if !self.loaded {
                spoken_by.load(b, vocoder)?;
                self.loaded = true;
            }
            path.set_extension("wav");
            sound::write(&path, vocoder.mel.sampling_rate, &spoken_by.vocode_all(b, &spoken.mel)?)?;
        }
        progress.print(&format!("step {step}: sample {}: {}", path.display(), utterance.text));
        Ok(())
    }
}
