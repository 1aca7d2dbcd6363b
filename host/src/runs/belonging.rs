//! Whether what is found belongs to a run: its configuration, its checkpoints, the weights that it begins with.

use std::path::Path;

use super::difference::{Difference, changes, differences};
use super::folder::CONFIG;
use super::identity::{Identity, Origin};
use crate::{Error, Result};
use primal_engine::config::{ConfigOf, ModelTable};
use primal_engine::files::checkpoint::{Checkpoint, RUN_KEY, Retention, list};
use primal_engine::files::durable;
use primal_engine::train::state;

/// The configuration as this program wrote it last.
pub(super) fn known_config<M: ModelTable>(identity: &Identity, written: &ConfigOf<M>, file: &Path) -> Result<ConfigOf<M>> {
    let known: ConfigOf<M> = ConfigOf::parse(&identity.config, CONFIG)?;
    let Some(edited) = differences(written, &known).into_iter().next() else { return Ok(known) };
    if let Some(previous) = &identity.previous
        && differences(written, &ConfigOf::parse(previous, CONFIG)?).is_empty()
    {
        // Killed between the two files.
        durable::write(file, identity.config.as_bytes())?;
        return Ok(known);
    }
    Err(edited_config::<M>(file, &edited, "the run"))
}

pub(super) fn edited_config<M: ModelTable>(file: &Path, edited: &Difference, truth: &str) -> Error {
    let Difference { key, one, other } = edited;
    let hint = format!(
        "set {key} back to {other}: a run goes on as it was begun, and what may change ({}) changes by its flag",
        changes(M::FAMILY).join(", ")
    );
    Error::bad_input(format!("{}: {key}", file.display()), format!("{other}, as in {truth}"), one, hint)
}

/// Refuses checkpoints of another run: by their identity, or where an earlier version wrote them, by their configuration.
pub(super) fn require_own_checkpoints<M: ModelTable>(
    retention: &Retention,
    identity: Option<&Identity>,
    config: &ConfigOf<M>,
) -> Result<()> {
    for saved in list(retention.folder())? {
        // Damaged ones are told of elsewhere.
        let Ok(checkpoint) = Checkpoint::open(&saved.path) else { continue };
        let path = checkpoint.path().display();
        let hint = "move it elsewhere: a run goes on from its own checkpoints alone";
        match (checkpoint.metadata().get(RUN_KEY), identity) {
            (Some(found), Some(Identity { id, .. })) if found != id => {
                return Err(Error::bad_input(
                    path,
                    format!("a checkpoint of this run, {id}"),
                    format!("one of another run, {found}"),
                    hint,
                ));
            }
            (Some(_), _) | (None, None) => {}
            (None, Some(_)) => {
                let own: ConfigOf<M> = state::config_of(&checkpoint)?;
                if let Some(Difference { key, one, other }) = differences(config, &own).into_iter().find(|found| !found.is_changeable()) {
                    return Err(Error::bad_input(
                        path,
                        format!("a checkpoint of this run, with {key} = {one}"),
                        format!("{key} = {other}"),
                        hint,
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The checkpoint that a run without any of its own started from.
pub(super) fn reopen(from: &Origin) -> Result<Checkpoint> {
    let hint = "put it back, or begin the run anew";
    if !Path::new(&from.path).exists() {
        return Err(Error::bad_input(&from.path, "the checkpoint that the run started from", "nothing there", hint));
    }
    let weights = Checkpoint::open_verified(&from.path)?;
    let found = Origin::of(&weights).content;
    if found == from.content {
        return Ok(weights);
    }
    Err(Error::bad_input(&from.path, format!("the checkpoint that the run started from ({})", from.content), found, hint))
}

/// Weights fit no other model.
pub(super) fn require_same_model<M: ModelTable>(config: &ConfigOf<M>, weights: &Checkpoint) -> Result<()> {
    let own: ConfigOf<M> = state::config_of(weights)?;
    // What weights are kept as is no matter: they are converted.
    const FORM: [&str; 4] = ["model.grid", "model.last_grid", "model.scales", "model.embeddings"];
    let model = |found: &Difference| found.key.starts_with("model.") && !FORM.contains(&found.key.as_str());
    let Some(Difference { key, one, other }) = differences(config, &own).into_iter().find(model) else { return Ok(()) };
    let expected = format!("a checkpoint with {key} = {one}");
    Err(Error::bad_input(
        format!("--from {}", weights.path().display()),
        expected,
        other,
        "leave out the flags that change the model, and --config",
    ))
}
