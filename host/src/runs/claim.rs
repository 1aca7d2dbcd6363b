//! How a new run gets a folder of its own: what is no run's yet is locked, and what is made for it goes again if it does not begin.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::folder::{CHECKPOINTS, CONFIG, SOURCES};
use super::identity::{FILE_NAME, Identity};
use crate::report::{html, metrics};
use crate::{Error, Result};
use primal_engine::files::checkpoint::{LOCK, Retention, list};
use primal_engine::files::durable::{self, Transient};

/// Refuses a folder that cannot become that of a new run.
pub(super) fn require_new(run: &Path) -> Result<()> {
    let hint = "give a new folder, or one without a run";
    if run.as_os_str().is_empty() {
        return Err(Error::bad_input("--out", "a folder", "an empty path", hint));
    }
    if run.exists() && !run.is_dir() {
        return Err(Error::bad_input("--out", "a folder", format!("a file, {}", run.display()), hint));
    }
    if run.join(CONFIG).exists() {
        let hint = format!("continue it with --resume {}, or give another folder with --out", run.display());
        return Err(Error::bad_input("--out", "a new folder", format!("a run in {}", run.display()), hint));
    }
    if !run.is_dir() {
        return Ok(());
    }
    let saved = list(&run.join(CHECKPOINTS))?.len();
    if saved > 0 {
        let hint = "give a new folder, or move what is left of the other run elsewhere";
        return Err(Error::bad_input("--out", "a new folder", format!("{saved} checkpoints of another run in {}", run.display()), hint));
    }
    // A run writes files of these names; what is left of one that was killed as it began may go.
    let has_begun = matches!(Identity::read(run), Ok(Some(_)));
    let begun: &[&str] = if has_begun { &[FILE_NAME, SOURCES] } else { &[] };
    let names = [FILE_NAME, SOURCES, metrics::FILE_NAME, html::FILE_NAME];
    let is_in_the_way = |name: &&str| !begun.contains(name) && fs::metadata(run.join(name)).is_ok_and(|found| found.len() > 0);
    names.into_iter().find(is_in_the_way).map_or(Ok(()), |name| {
        let hint = "give a new folder, or move that file elsewhere: a run writes one of this name";
        Err(Error::bad_input("--out", "a new folder", format!("a file {name} in {}", run.display()), hint))
    })
}

/// Whether a folder is that of a run, from its beginning on.
pub(crate) fn is_run(folder: &Path) -> bool {
    folder.join(CHECKPOINTS).join(LOCK).exists()
}

/// Makes the folder where it is missing and locks it; what was made.
pub(super) fn take(run: &Path) -> Result<(Vec<Transient>, Retention)> {
    let missing: Vec<&Path> = run.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    let mut made = Vec::new();
    for folder in missing.into_iter().rev() {
        match Transient::made(folder.to_owned(), |folder| fs::create_dir(folder)) {
            Ok(new) => made.insert(0, new),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(durable::write_error(folder, 0, error).into()),
        }
    }
    lock(run, made)
}

/// Takes the first free one of `stem`, `stem-2` and so on as the folder of a new run.
pub(super) fn take_free(stem: &str) -> Result<(PathBuf, Vec<Transient>, Retention)> {
    let mut made = Vec::new();
    let parent = durable::folder_of(Path::new(stem));
    made.extend(Transient::made(parent.to_owned(), |parent| fs::create_dir(parent)));
    for run in std::iter::once(stem.to_string()).chain((2..).map(|n| format!("{stem}-{n}"))).map(PathBuf::from) {
        match Transient::made(run.clone(), |run| fs::create_dir(run)) {
            Ok(new) => {
                made.insert(0, new);
                let (made, retention) = lock(&run, made)?;
                return Ok((run, made, retention));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(durable::write_error(&run, 0, error).into()),
        }
    }
    unreachable!("some number is free")
}

/// Locks a folder, of which `made` is what this process made, the innermost first.
fn lock(run: &Path, mut made: Vec<Transient>) -> Result<(Vec<Transient>, Retention)> {
    let folder = run.join(CHECKPOINTS);
    let is_new = !folder.exists();
    let retention = if made.first().is_some_and(|first| first.path() == run) {
        // Once it is locked, all that comes into it is this run's; before, another process may have taken it.
        let (tree, retention) = Transient::tree_with(run.to_owned(), || Retention::open(&folder, 1))?;
        made.insert(0, tree);
        retention
    } else {
        let retention = Retention::open(&folder, 1)?;
        if is_new {
            made.insert(0, Transient::new(folder.clone()));
            made.insert(0, Transient::new(folder.join(LOCK)));
        }
        retention
    };
    durable::sweep_all(run);
    Ok((made, retention))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_names_that_a_run_writes_are_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path();
        fs::write(run.join("notes.txt"), "mine").expect("a file");
        require_new(run).expect("other files are in nobody's way");
        for name in [FILE_NAME, SOURCES, metrics::FILE_NAME, html::FILE_NAME, CONFIG] {
            fs::write(run.join(name), "[\"mine\"]").expect("a file");
            let error = require_new(run).expect_err(name);
            assert!(error.exit_code() == 2 && error.to_string().contains(if name == CONFIG { "a run" } else { name }), "{error}");
            fs::remove_file(run.join(name)).expect("a file");
        }
        // What is left of a run that was killed as it began.
        Identity::new(String::new(), 0, None).write(run).expect("a file");
        fs::write(run.join(SOURCES), "[\"mine\"]").expect("a file");
        require_new(run).expect("a run that has not begun");
    }

    #[test]
    fn a_folder_goes_with_what_is_in_it_only_if_it_was_made_and_locked() {
        let folder = tempfile::tempdir().expect("a folder");
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        let (made, held) = take(&ours).expect("a new folder");
        fs::write(ours.join("cache"), "x").expect("a file");
        drop(made);
        assert!(!ours.exists(), "a run that did not begin");
        drop(held);
        // Another process locks the folder before this one does, which made it.
        fs::create_dir(&theirs).expect("a folder");
        let held = Retention::open(theirs.join(CHECKPOINTS), 1).expect("a lock");
        fs::write(theirs.join(CONFIG), "x").expect("a file");
        assert!(lock(&theirs, vec![Transient::new(theirs.clone())]).is_err(), "it is locked");
        assert!(theirs.join(CONFIG).exists(), "the other's run stays");
        drop(held);
    }
}
