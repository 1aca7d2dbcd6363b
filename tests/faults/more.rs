//! More steps for a finished run, and a run that starts with the weights of another.

use primal_engine::files::checkpoint::step_file;

use crate::world::{World, tensors, text};

#[test]
fn a_finished_run_takes_more_steps() {
    let world = World::with_speech();
    for (command, begin, steps, more) in [
        ("train", "train --config tiny.toml --data text --keep 1", 60, 90),
        ("tts-train", "tts-train --config voice.toml --data corpus --keep 1", 12, 20),
    ] {
        let run = command;
        world.run(&format!("{begin} --out {run}")).with(0, &[]);
        let end = world.end(run, steps);
        for few in [1, steps] {
            let expected = if few == steps { (0, "finished") } else { (2, "steps that are done") };
            world.run(&format!("{command} --resume {run} --steps {few}")).with(expected.0, &[expected.1]);
        }
        let said = format!("the learning rate follows the schedule of {more} steps");
        let kept = format!("step {steps}, the end so far, is kept");
        world.run(&format!("{command} --resume {run} --steps {more}")).with(0, &[&said, &kept]);
        assert_eq!(world.steps(run), (1..=more).collect::<Vec<_>>());
        // The old end is there as it was, and stays when the run goes on once more.
        world.run(&format!("{command} --resume {run} --steps {}", more + 30)).with(0, &[]);
        assert!(world.end(run, steps) == end, "{run}: the old end changed");
        assert!(step_file(&world.path(run).join("checkpoints"), more).exists(), "{run}: the second end is gone");
        let rate = |step: usize| {
            let line = text(&world.read(&format!("{run}/metrics.jsonl"))).lines().nth(step - 1).map(str::to_owned).expect("a record");
            serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["learning_rate"].as_f64().expect("a rate")
        };
        let (before, after) = (rate(steps as usize), rate(steps as usize + 1));
        assert!(after > 2.0 * before, "{run}: {before} and then {after}");
    }
}

/// More steps are asked for in the middle of a run: interrupted or not, the same bytes come out.
#[test]
fn more_steps_resume_to_the_same_bytes() {
    let world = World::new();
    for run in ["one", "two"] {
        world.train(run, "").with(0, &[]);
    }
    world.run("train --resume one --steps 120").with(0, &[]);
    let mut running = world.start("train --resume two --steps 120");
    running.wait_for(&step_file(&world.path("two/checkpoints"), 80));
    running.kill();
    world.run("train --resume two").with(0, &["report"]);
    assert!(world.end("one", 120) == world.end("two", 120), "other bytes");
}

#[test]
fn a_run_starts_with_the_weights_of_another() {
    let world = World::with_speech();
    world.train("first", "").with(0, &[]);
    world.write("other", &"Other words stand in this one.\n".repeat(300));
    let from = "first/checkpoints/step-00000060.safetensors";
    // A rate of next to nothing shows the weights that it started with.
    let still = "--steps 1 --lr 1e-12 --warmup 1000000";
    world.run(&format!("train --from {from} --data other --out still {still}")).with(0, &[]);
    let [first, second] = [world.end("first", 60), world.end("still", 1)].map(|bytes| tensors(&bytes));
    for (name, bytes) in first.iter().filter(|(name, _)| name.ends_with(".codes")) {
        assert!(second.contains(&(name.clone(), bytes.clone())), "{name} is not that of the checkpoint");
    }
    // Votes start anew.
    assert!(first.iter().filter(|(name, _)| name.ends_with(".votes")).all(|votes| !second.contains(votes)), "votes were taken along");
    // A run of its own, that goes on by itself.
    world.run(&format!("train --from {from} --data other --out second --steps 30")).with(0, &[]);
    assert_eq!(world.steps("second"), (1..=30).collect::<Vec<_>>());
    let loss = |run: &str| {
        let line = text(&world.read(&format!("{run}/metrics.jsonl"))).lines().next().map(str::to_owned).expect("a record");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["loss"].as_f64().expect("a loss")
    };
    assert!(loss("second") < loss("first"), "it began with a loss of {}, as {}", loss("second"), loss("first"));
    let id = |run: &str| text(&world.read(&format!("{run}/run.json"))).lines().find(|line| line.contains("\"id\"")).map(str::to_owned);
    assert_ne!(id("first"), id("second"));
    let end = world.end("second", 30);
    // Without a checkpoint of its own it begins with those weights again.
    for saved in world.names("second/checkpoints").iter().filter(|name| name.ends_with("safetensors")) {
        std::fs::remove_file(world.path("second/checkpoints").join(saved)).expect("a file");
    }
    world.run("train --resume second").with(0, &["no checkpoint"]);
    assert!(world.end("second", 30) == end, "other bytes");
    // Weights are put on another grid, or become floats.
    for (run, more) in [("fine", "--grid fine15"), ("twin", "--optimizer adamw"), ("shadows", "--optimizer qat")] {
        world.run(&format!("train --from {from} --data other --out {run} --steps 2 {more}")).with(0, &[]);
        assert!(loss(run) < loss("first"), "{more}: it began with a loss of {}, as {}", loss(run), loss("first"));
    }
    // What does not fit is refused before anything is written.
    world.run(&format!("train --from {from} --data other --out bad --config gpt-nano")).with(2, &["model."]);
    assert!(!world.path("bad").exists(), "nothing is left behind");
    world.run(&format!("train --resume first --from {from}")).with(2, &["--from"]);
    world.run(&format!("tts-train --from {from} --data corpus --out bad")).with(2, &["a voice"]);
    // Voices, too, and rules with shadow weights.
    world.run("tts-train --config voice.toml --data corpus --out voice").with(0, &[]);
    world.run("tts-train --from voice/checkpoints/step-00000012.safetensors --data corpus --out again --steps 2").with(0, &[]);
    world.train("qat", "--optimizer qat --steps 5").with(0, &[]);
    world.run("train --from qat/checkpoints/step-00000005.safetensors --data other --out qat2 --steps 5").with(0, &[]);
}
