//! A run is one run: who has its folder, what its configuration is, whose its checkpoints are.

use std::fs::{self, File};

use primal_engine::files::checkpoint::step_file;

use crate::world::{Ended, Running, World, tensors, text};

/// Takes the lock of a run folder, as a process does that is about to begin.
fn hold(world: &World, run: &str) -> File {
    let folder = world.path(run).join("checkpoints");
    fs::create_dir_all(&folder).expect("a folder");
    let lock = File::create(folder.join(".lock")).expect("a lock");
    lock.lock().expect("the lock");
    lock
}

#[test]
fn who_comes_second_writes_nothing() {
    let world = World::with_speech();
    for line in ["train --config tiny.toml --data text", "tts-train --config voice.toml --data corpus"] {
        let held = hold(&world, "run");
        world.run(&format!("{line} --seed 9 --out run")).with(2, &["no other process"]);
        assert_eq!(world.names("run"), ["checkpoints"], "{line}");
        drop(held);
        fs::remove_dir_all(world.path("run")).expect("a folder");
    }
    // Nor who resumes a run that is being trained: not even its records.
    world.train("begun", "").with(0, &[]);
    let held = hold(&world, "begun");
    let before = (world.names("begun"), world.read("begun/metrics.jsonl"), world.read("begun/config.toml"));
    world.run("train --resume begun --steps 70").with(2, &["no other process"]);
    assert!(before == (world.names("begun"), world.read("begun/metrics.jsonl"), world.read("begun/config.toml")));
    drop(held);
}

#[test]
fn runs_that_begin_at_once_have_folders_of_their_own() {
    let world = World::new();
    // The stories take a while to be told: all eight choose a folder before one has anything to write.
    let lines: Vec<String> = (1..=8).map(|seed| format!("train --config tiny.toml --steps 3 --seed {seed}")).collect();
    let running: Vec<Running> = lines.iter().map(|line| world.start(line)).collect();
    for run in running {
        run.end().with(0, &[]);
    }
    let numbered = (2..=8).map(|number| format!("tiny-{number}"));
    assert_eq!(world.names("runs"), std::iter::once("tiny".to_owned()).chain(numbered).collect::<Vec<_>>());
    let seed = |run: &String| {
        text(&world.read(&format!("runs/{run}/config.toml"))).lines().find(|line| line.starts_with("seed")).map(str::to_owned)
    };
    let mut seeds: Vec<_> = world.names("runs").iter().map(seed).collect();
    seeds.sort();
    assert_eq!(seeds, (1..=8).map(|seed| Some(format!("seed = {seed}"))).collect::<Vec<_>>());
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let world = World::with_speech();
    world.write("short", "Too short.\n");
    let before = world.names(".");
    for line in [
        "train --config tiny.toml --data nothing",
        "train --config tiny.toml --data short",
        "tts-train --config voice.toml --data corpus --batch-frames 20",
        "tts-train --config voice.toml --data corpus --vocoder short",
    ] {
        world.run(&format!("{line} --out deep/run")).with(2, &["hint: "]);
        assert!(!world.path("deep/run/config.toml").exists() && !world.path("deep/run/checkpoints").exists(), "{line}");
        // Features of a corpus may stay: the next try takes them.
        if line.starts_with("train") {
            assert_eq!(world.names("."), before, "{line}");
        }
    }
}

#[test]
fn an_edited_configuration_is_refused_with_both_values() {
    let world = World::with_speech();
    world.train("run", "").with(0, &[]);
    world.run("tts-train --config voice.toml --data corpus --out voice").with(0, &[]);
    for (run, key, from, to) in [
        ("run", "model.grid", "grid = \"uniform15\"", "grid = \"fine15\""),
        ("run", "model.heads", "heads = 1", "heads = 2"),
        ("run", "train.seed", "seed = 1", "seed = 2"),
        ("run", "train.lr", "lr = 0.008", "lr = 0.5"),
        ("run", "train.seq_len", "seq_len = 16", "seq_len = 8"),
        ("run", "train.grad_accum", "grad_accum = 1", "grad_accum = 2"),
        // Keys that do not shape a tensor, and one that a flag could change.
        ("run", "train.kappa", "kappa = 1.0", "kappa = 0.5"),
        ("run", "train.keep", "keep = 3", "keep = 4"),
        ("voice", "train.seed", "seed = 1", "seed = 2"),
    ] {
        let file = format!("{run}/config.toml");
        let before = (world.read(&file), world.read(&format!("{run}/metrics.jsonl")), world.names(&format!("{run}/checkpoints")));
        world.edit(&file, from, to);
        let command = if run == "run" { "train" } else { "tts-train" };
        let [was, is] = [from, to].map(|line| line.split(" = ").nth(1).expect("a value"));
        world.run(&format!("{command} --resume {run}")).with(2, &[key, was, is, "hint: "]);
        fs::write(world.path(&file), &before.0).expect("a file");
        assert!(
            before == (world.read(&file), world.read(&format!("{run}/metrics.jsonl")), world.names(&format!("{run}/checkpoints"))),
            "{key}"
        );
    }
    // Other words for the same are no edit.
    world.edit("run/config.toml", "[train]\n", "# The same.\n[train]\n");
    world.run("train --resume run").with(0, &["finished"]);
}

#[test]
fn a_run_among_its_data_takes_nothing_of_them_and_is_none() {
    let world = World::new();
    fs::create_dir(world.path("data")).expect("a folder");
    fs::copy(world.path("text"), world.path("data/text")).expect("a file");
    let begin = |out: &str| world.run(&format!("train --config tiny.toml --data data --out {out} --steps 20"));
    begin("data").with(2, &["--out", "another folder than that of --data"]);
    assert_eq!(world.names("data"), ["text"]);
    begin("data/run").with(0, &[]);
    world.run("train --resume data/run --steps 30").with(0, &[]);
    begin("data/other").with(0, &[]);
    // One that was killed as it began is begun anew.
    drop(hold(&world, "data/half"));
    for name in ["run.json", "data.json"] {
        fs::copy(world.path("data/run").join(name), world.path("data/half").join(name)).expect("a file");
    }
    begin("data/half").with(0, &["/text: 1"]);
    world.run("train --resume data/half --steps 30").with(0, &["/text: 1", "step 30: "]);
    assert_eq!(world.names("data"), ["half", "other", "run", "text"]);
    // What lies where a run would write is somebody's.
    fs::create_dir(world.path("mine")).expect("a folder");
    world.write("mine/data.json", "[\"my only copy\"]");
    world.train("mine", "").with(2, &["--out", "a file data.json"]);
    assert_eq!(text(&world.read("mine/data.json")), "[\"my only copy\"]");
}

#[test]
fn what_may_change_changes_by_flag_and_is_said() {
    let world = World::new();
    world.train("run", "--steps 30").with(0, &[]);
    let said = ["train.keep is 1", "train.checkpoint_every is 5", "train.validate_every is 15", "train.steps is 45", "it was 30"];
    world.run("train --resume run --keep 1 --checkpoint-every 5 --validate-every 15 --steps 45").with(0, &said);
    assert!(text(&world.read("run/config.toml")).contains("keep = 1\n"));
    world.run("train --resume run").with(0, &["finished: 45 of 45"]);
    world.run("train --resume run --lr 0.1").with(2, &["--lr"]);
    world.run("train --resume run --keep 0").with(2, &["--keep: train.keep: expected at least 1", "another value"]);
    let ended = world.run("train --resume run --steps 10").with(2, &["--steps", "more than the 45 steps"]);
    assert!(!ended.err.contains("from here on"), "{}", ended.err);
    // Killed before config.toml is written, after run.json is.
    let config = text(&world.read("run/config.toml"));
    let before = config
        .replace("keep = 1\n", "keep = 3\n")
        .replace("checkpoint_every = 5\n", "checkpoint_every = 10\n")
        .replace("validate_every = 15\n", "validate_every = 20\n")
        .replace("steps = 45\n", "steps = 30\n");
    let mut identity: serde_json::Value = serde_json::from_slice(&world.read("run/run.json")).expect("an identity");
    identity["previous"] = before.clone().into();
    world.write("run/run.json", &identity.to_string());
    world.write("run/config.toml", &before);
    world.run("train --resume run").with(0, &["finished: 45 of 45"]);
    assert_eq!(text(&world.read("run/config.toml")), config);
}

#[test]
fn checkpoints_of_another_run_are_refused() {
    let world = World::new();
    world.train("five", "--seed 5").with(0, &[]);
    world.train("six", "--seed 6").with(0, &[]);
    let own = world.path("six/checkpoints");
    let [foreign, last] = [step_file(&world.path("five/checkpoints"), 60), step_file(&own, 60)];
    // In place of its own last one, and beside them.
    for at in [last.clone(), step_file(&own, 55)] {
        let before = fs::read(&at).ok();
        fs::copy(&foreign, &at).expect("a copy");
        world.run("train --resume six").with(2, &["another run", "safetensors"]);
        match before {
            Some(bytes) => fs::write(&at, bytes).expect("a file"),
            None => fs::remove_file(&at).expect("a file"),
        }
    }
    world.run("train --resume six").with(0, &[]);
    // A folder where they were left is none for a new run.
    for name in ["config.toml", "run.json", "data.json", "metrics.jsonl"] {
        let _ = fs::remove_file(world.path("five").join(name));
    }
    let before = (world.names("five"), world.names("five/checkpoints"));
    world.train("five", "--seed 6").with(2, &["of another run"]);
    assert_eq!((world.names("five"), world.names("five/checkpoints")), before);
}

/// All files of a run but its checkpoints go; then it says that it begins again, and keeps what it had measured.
fn restarts(world: &World, command: &str, run: &str, steps: u64) {
    let (end, records) = (world.end(run, steps), world.read(&format!("{run}/metrics.jsonl")));
    for saved in world.names(&format!("{run}/checkpoints")).iter().filter(|name| *name != ".lock") {
        fs::remove_file(world.path(run).join("checkpoints").join(saved)).expect("a file");
    }
    let Ended { err, .. } = world.run(&format!("{command} --resume {run}")).with(0, &["no checkpoint", "step 1"]);
    assert!(err.contains("metrics.old.jsonl"), "{err}");
    assert!(world.read(&format!("{run}/metrics.old.jsonl")) == records, "other records");
    assert!(world.end(run, steps) == end, "other bytes");
    assert_eq!(world.steps(run), (1..=steps).collect::<Vec<_>>());
}

#[test]
fn a_run_without_checkpoints_begins_again_aloud() {
    let world = World::with_speech();
    world.train("run", "").with(0, &[]);
    restarts(&world, "train", "run", 60);
    world.run("tts-train --config voice.toml --data corpus --out voice").with(0, &[]);
    restarts(&world, "tts-train", "voice", 12);
    // Killed at once, with nothing measured yet.
    world.train("early", "--steps 2 --checkpoint-every 1").with(0, &[]);
    fs::remove_dir_all(world.path("early/checkpoints")).expect("checkpoints");
    world.write("early/metrics.jsonl", "");
    let Ended { err, .. } = world.run("train --resume early").with(0, &["no checkpoint"]);
    assert!(!err.contains("metrics.old"), "{err}");
}

#[test]
fn a_best_checkpoint_that_was_not_recorded_is_found() {
    let world = World::with_speech();
    world.train("run", "").with(0, &[]);
    world.run("tts-train --config voice.toml --data corpus --out voice").with(0, &[]);
    let best = world.best("run");
    assert!(best >= 40, "step {best} is the best: nothing was learnt");
    // Killed between the checkpoint and best.json, which names an older one, a lost one, or is not there.
    for left in [Some(r#"{"step":30,"validation_loss":9.5}"#), Some(r#"{"step":7,"validation_loss":0.1}"#), None] {
        match left {
            Some(text) => world.write("run/checkpoints/best.json", text),
            None => fs::remove_file(world.path("run/checkpoints/best.json")).expect("a file"),
        }
        world.run("train --resume run").with(0, &[]);
        assert_eq!(world.best("run"), best, "after {left:?}");
    }
    let best = world.best("voice");
    fs::remove_file(world.path("voice/checkpoints/best.json")).expect("a file");
    world.run("tts-train --resume voice").with(0, &[]);
    assert_eq!(world.best("voice"), best);
}

#[test]
fn a_run_resumes_from_any_folder() {
    let world = World::with_speech();
    fs::create_dir_all(world.path("here/deep")).expect("a folder");
    let at =
        |folder: &str, line: &str| Ended::from(world.command(line).current_dir(world.path(folder)).output().expect("primal-host runs"));
    for (name, begin, resume) in [
        ("run", "train --config ../tiny.toml --data ../text", "train"),
        ("dotted", "train --config ../tiny.toml --data ./deep/../../text", "train"),
        ("voice", "tts-train --config ../voice.toml --data ../corpus", "tts-train"),
    ] {
        at("here", &format!("{begin} --out ../{name}")).with(0, &[]);
        at("here/deep", &format!("{resume} --resume ../../{name}")).with(0, &["report: "]);
    }
    // What cannot be found is asked for, and not blamed on a flag that was not given.
    fs::rename(world.path("text"), world.path("moved")).expect("a file");
    let Ended { err, .. } = world.run("train --resume run").with(2, &["data.json", "text"]);
    assert!(!err.starts_with("primal-host: --data"), "{err}");
    world.run("train --resume run --data moved").with(0, &[]);
}

/// A run that commit 198d1c1 began and was interrupted: no `run.json`, no identity in its checkpoints.
#[test]
fn a_run_of_an_earlier_version_goes_on() {
    let world = World::new();
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/runs/198d1c1");
    let copy = |name: &str| {
        fs::create_dir_all(world.path(name).join("checkpoints")).expect("a folder");
        for file in ["config.toml", "metrics.jsonl", "checkpoints/step-00000010.safetensors", "checkpoints/best.json"] {
            fs::copy(format!("{old}/{file}"), world.path(name).join(file)).expect("a copy");
        }
        fs::copy(format!("{old}/text"), world.path("old.txt")).expect("a copy");
    };
    copy("old");
    world.run("train --resume old --data old.txt --threads 1").with(0, &[]);
    let end = fs::read(format!("{old}/step-00000020.safetensors")).expect("what that version came to");
    // On another machine a sum may round otherwise, and a weight move at another step.
    for ((name, ours), (_, theirs)) in
        tensors(&world.end("old", 20)).iter().zip(&tensors(&end)).filter(|((name, _), _)| name.ends_with(".codes"))
    {
        let differing = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
        assert!(ours.len() == theirs.len() && differing * 50 < ours.len(), "{name}: {differing} of {} bytes differ", ours.len());
    }
    world.run("train --resume old --data old.txt --steps 30").with(0, &["train.steps is 30"]);
    world.run("generate --checkpoint old/checkpoints/step-00000010.safetensors --max-tokens 5").with(0, &[]);
    copy("edited");
    world.edit("edited/config.toml", "kappa = 1.0", "kappa = 0.5");
    world.run("train --resume edited --data old.txt").with(2, &["train.kappa", "1.0", "0.5"]);
    // Flags with its first resume change what its configuration said.
    copy("changed");
    world.run("train --resume changed --data old.txt --steps 5").with(2, &["--steps", "10 steps that are done"]);
    world
        .run("train --resume changed --data old.txt --steps 30")
        .with(0, &["train.steps is 30", "it was 20", "follows the schedule of 30"]);
}

#[test]
fn an_edit_back_to_what_was_before_is_an_edit() {
    let world = World::new();
    world.train("run", "--steps 4").with(0, &[]);
    world.run("train --resume run --steps 6").with(0, &["train.steps is 6"]);
    world.edit("run/config.toml", "steps = 6", "steps = 4");
    world.run("train --resume run").with(2, &["train.steps", "set train.steps back to 6"]);
}
