//! `--data` whose files are documents, for the commands that train and measure.

use primal_engine::backend::{AttentionShape, Device, Sequences};
use primal_engine::files::TensorFile;
use primal_engine::models::text::TextModel;

use crate::Result;
use crate::chat::ChatTemplate;
use crate::data::{DocumentOptions, Documents, ModelFiles, Room, Split, TextCodec};

/// Opens documents for a model, in batches as it was planned for, with the template in the file that it comes from. `held_out` are the split that is
/// measured, and whether there is a test split.
///
/// # Errors
/// A device on which there cannot be so many documents at a time; a template that cannot be used; those of [`Documents::open`].
pub(super) fn open<D: Device, M: TextModel>(
    sources: &[String],
    codec: &TextCodec,
    file: Option<&dyn TensorFile>,
    model: &M,
    held_out: (Split, bool),
) -> Result<Documents> {
    let room = Room::of(model);
    let sequences = Sequences::Equal { count: room.documents, len: room.tokens.div_ceil(room.documents) };
    D::require(&AttentionShape { sequences, ..model.attention() })?;
    let template = match (file, codec.stored()) {
        (Some(file), Some(tokenizer)) => {
            let template = ModelFiles::attached_to(file)?.chat_template()?;
            template.map(|source| ChatTemplate::of(&source, tokenizer, &file.path().display().to_string())).transpose()?
        }
        _ => None,
    };
    let template = template.map(ChatTemplate::at_fixed_time);
    Documents::open(sources, &DocumentOptions { codec, template: template.as_ref(), room, held_out })
}
