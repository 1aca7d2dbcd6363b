//! The folder of a run: nothing good is ever deleted too early.

use std::path::Path;

use super::super::{Retention, best, latest_good, list, step_file};
use super::{bad_input, contents, metadata, tensors};

fn steps(folder: &Path) -> Vec<u64> {
    list(folder).unwrap().into_iter().map(|saved| saved.step).collect()
}

fn save(retention: &mut Retention, step: u64, loss: Option<f64>) {
    let path = retention.save(step, loss, &metadata(), &tensors()).unwrap();
    assert_eq!(path, step_file(retention.folder(), step));
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 4;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn keeps_the_best_and_the_last() {
    let run = tempfile::tempdir().unwrap();
    let folder = run.path().join("run/checkpoints");
    let mut retention = Retention::open(&folder, 2).unwrap();
    let losses = [Some(3.0), Some(2.0), None, Some(2.0), Some(f64::NAN), Some(2.5)];
    let kept: [&[u64]; 6] = [&[10], &[10, 20], &[20, 30], &[20, 30, 40], &[20, 40, 50], &[20, 50, 60]];
    for (index, loss) in losses.into_iter().enumerate() {
        save(&mut retention, 10 * (index as u64 + 1), loss);
        assert_eq!(steps(&folder), kept[index], "after save {index}");
    }
    let found = best(&folder).unwrap().unwrap();
    assert_eq!((found.step, found.validation_loss), (20, 2.0));
    // The best of before counts after a resume.
    drop(retention);
    let mut retention = Retention::open(&folder, 1).unwrap();
    assert_eq!(retention.best(), Some(found));
    save(&mut retention, 70, Some(1.0 / 3.0));
    assert_eq!(steps(&folder), [70]);
    assert_eq!(best(&folder).unwrap().unwrap().validation_loss.to_bits(), (1.0f64 / 3.0).to_bits());
    assert_eq!(contents(&folder), [".lock", "best.json", "step-00000070.safetensors"]);
}

#[test]
fn falls_back_to_the_last_good_one() {
    let run = tempfile::tempdir().unwrap();
    assert!(latest_good(&run.path().join("none")).unwrap().is_none());
    let mut retention = Retention::open(run.path(), 3).unwrap();
    assert!(latest_good(run.path()).unwrap().is_none());
    for step in [1, 2, 3] {
        save(&mut retention, step, None);
    }
    let latest = latest_good(run.path()).unwrap().unwrap();
    assert_eq!((latest.step, latest.skipped.len()), (3, 0));
    damage(&step_file(run.path(), 3));
    std::fs::write(step_file(run.path(), 2), "").unwrap();
    let latest = latest_good(run.path()).unwrap().unwrap();
    assert_eq!(latest.step, 1);
    let warnings: Vec<String> = latest.skipped.iter().map(|e| e.to_string()).collect();
    assert!(warnings[0].contains("step-00000003"), "{warnings:?}");
    assert!(warnings[1].contains("an empty file"), "{warnings:?}");
    damage(&step_file(run.path(), 1));
    let message = bad_input(latest_good(run.path()));
    assert!(message.contains("3 that cannot be used"), "{message}");
}

#[test]
fn a_damaged_later_one_does_not_push_out_a_good_one() {
    let run = tempfile::tempdir().unwrap();
    let mut retention = Retention::open(run.path(), 1).unwrap();
    save(&mut retention, 10, None);
    std::fs::write(step_file(run.path(), 30), "junk").unwrap();
    save(&mut retention, 20, None);
    assert_eq!(steps(run.path()), [20, 30]);
    assert_eq!(latest_good(run.path()).unwrap().unwrap().step, 20);
    save(&mut retention, 30, None);
    assert_eq!(steps(run.path()), [30]);
    assert_eq!(latest_good(run.path()).unwrap().unwrap().step, 30);
}

#[test]
fn names_of_steps() {
    let run = tempfile::tempdir().unwrap();
    let names = [
        "step-7.safetensors",
        "step-00000012.safetensors",
        "step-123456789012.safetensors",
        "step-.safetensors",
        "step-+1.safetensors",
        "step-1.safetensors.bak",
        "step-99999999999999999999999.safetensors",
        "best.safetensors",
    ];
    for name in names {
        std::fs::write(run.path().join(name), "").unwrap();
    }
    assert_eq!(steps(run.path()), [7, 12, 123_456_789_012]);
    assert!(step_file(run.path(), 7).ends_with("step-00000007.safetensors"));
}

#[test]
fn removes_unfinished_files_of_a_killed_process() {
    let run = tempfile::tempdir().unwrap();
    for name in [".primal-abc123.tmp", "notes.tmp", ".primal-notes"] {
        std::fs::write(run.path().join(name), "x").unwrap();
    }
    Retention::open(run.path(), 1).unwrap();
    assert_eq!(contents(run.path()), [".lock", ".primal-notes", "notes.tmp"]);
}

#[test]
fn one_process_trains_a_run() {
    let run = tempfile::tempdir().unwrap();
    let first = Retention::open(run.path(), 1).unwrap();
    let message = bad_input(Retention::open(run.path(), 1));
    assert!(message.contains("no other process"), "{message}");
    drop(first);
    Retention::open(run.path(), 1).unwrap();
}

#[test]
fn a_spoilt_best_is_told() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join("best.json");
    for text in ["", "{}", "[1]", r#"{"step":-1,"validation_loss":1}"#] {
        std::fs::write(&path, text).unwrap();
        let message = bad_input(Retention::open(run.path(), 1));
        assert!(message.contains("delete it"), "{message}");
    }
    // Its checkpoint is gone: the next one is the best, whatever its loss.
    std::fs::write(&path, r#"{"step":5,"validation_loss":1}"#).unwrap();
    let mut retention = Retention::open(run.path(), 1).unwrap();
    assert_eq!(retention.best(), None);
    save(&mut retention, 6, Some(9.0));
    assert_eq!(best(run.path()).unwrap().unwrap().step, 6);
}
