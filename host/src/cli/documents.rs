//! `--data` whose files are documents, for the commands that train and measure.

use primal_engine::backend::{AttentionShape, Device, Sequences};
use primal_engine::files::TensorFile;
use primal_engine::models::text::TextModel;

use crate::Result;
use crate::chat::ChatTemplate;
use crate::data::{DataPaths, DocumentOptions, Documents, ModelFiles, Room, Split, TextCodec};

/// The template in the file that a model comes from, if there is one.
///
/// # Errors
/// A template that cannot be used.
pub(super) fn template(file: Option<&dyn TensorFile>, codec: &TextCodec) -> Result<Option<ChatTemplate>> {
    let (Some(file), Some(tokenizer)) = (file, codec.stored()) else { return Ok(None) };
    let template = ModelFiles::attached_to(file)?.chat_template()?;
    let template = template.map(|source| ChatTemplate::of(&source, tokenizer, &file.path().display().to_string())).transpose()?;
    Ok(template.map(ChatTemplate::at_fixed_time))
}

/// Opens documents for a model, in batches as it was planned for. `held_out` are the split that is
/// measured, and whether there is a test split.
///
/// # Errors
/// A device on which there cannot be so many documents at a time; those of [`Documents::open`].
pub(super) fn open<D: Device, M: TextModel>(
    paths: &DataPaths,
    codec: &TextCodec,
    template: Option<&ChatTemplate>,
    model: &M,
    held_out: (Split, bool),
) -> Result<Documents> {
    let room = Room::of(model);
    let sequences = Sequences::Equal { count: room.documents, len: room.tokens.div_ceil(room.documents) };
    D::require(&AttentionShape { sequences, ..model.attention() })?;
    Documents::open(paths, &DocumentOptions { codec, template, room, held_out })
}
