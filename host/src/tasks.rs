//! What trains, by the key `architecture` of a configuration or checkpoint.

use primal_engine::config::{Family, GhostTtsConfig, ModelTable};
use primal_engine::models::registry::{OnText, TEXT, on_text};
use primal_engine::models::text::TextModel;
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::text::TextTask;

use crate::report::told::Told;
use crate::{Error, Result};

/// What is done with whatever trains.
pub trait OnTask {
    /// Does the work with the task `T`.
    ///
    /// # Errors
    /// Errors of the work.
    fn on<T: Told>(self) -> Result<()>;
}

/// Does `work` with what trains models of an architecture, which `origin` names.
///
/// # Errors
/// An architecture that is none; those of the work.
pub fn on_task<W: OnTask>(architecture: &str, origin: &str, work: W) -> Result<()> {
    struct Text<W>(W);
    impl<W: OnTask> OnText for Text<W> {
        type Output = Result<()>;

        fn on<M: TextModel>(self) -> Result<()> {
            self.0.on::<TextTask<M>>()
        }
    }
    if architecture == GhostTtsConfig::ARCHITECTURE {
        return work.on::<SpeechTask>();
    }
    let known = || [TEXT, &[GhostTtsConfig::ARCHITECTURE]].concat().join(" or ");
    on_text(architecture, Text(work)).unwrap_or_else(|| {
        let subject = format!("{origin}: model.architecture");
        Err(Error::bad_input(subject, known(), format!("{architecture:?}"), "correct it, or take a version of this program that knows it"))
    })
}

/// Does `work` with the text model of an architecture, which `origin` names.
///
/// # Errors
/// An architecture that is no text model's; those of the work.
pub fn on_text_model<W: OnText<Output = Result<()>>>(architecture: &str, origin: &str, work: W) -> Result<()> {
    on_text(architecture, work).unwrap_or_else(|| {
        let expected = format!("{} ({})", Family::Text.kind(), TEXT.join(" or "));
        Err(Error::bad_input(origin, expected, architecture, "give another file, or use another command"))
    })
}
