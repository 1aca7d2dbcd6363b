//! All text models, by the key `architecture` of their configurations.

use super::gpt::Gpt;
use super::llama::Llama;
use super::text::TextModel;
use crate::config::ModelTable;

/// What is done with a text model of whichever architecture.
pub trait OnText {
    /// What the work gives.
    type Output;

    /// Does the work with the text model `M`.
    fn on<M: TextModel>(self) -> Self::Output;
}

macro_rules! text_models {
    ($($model:ty),* $(,)?) => {
        /// The architectures of all text models.
        pub const TEXT: &[&str] = &[$(<<$model as TextModel>::Config as ModelTable>::ARCHITECTURE),*];

        /// Does `work` with the text model of that architecture; `None` where there is none.
        pub fn on_text<W: OnText>(architecture: &str, work: W) -> Option<W::Output> {
            $(
                if architecture == <<$model as TextModel>::Config as ModelTable>::ARCHITECTURE {
                    return Some(work.on::<$model>());
                }
            )*
            None
        }
    };
}

text_models![Gpt, Llama];
