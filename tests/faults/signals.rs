//! SIGINT, SIGTERM and SIGHUP while a run trains.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGINT, SIGTERM};
use primal_engine::files::checkpoint::list;

use crate::world::{Running, World};

const SIGNALS: [(i32, i32, &str); 3] = [(SIGINT, 130, "SIGINT"), (SIGTERM, 143, "SIGTERM"), (SIGHUP, 129, "SIGHUP")];
/// A message comes at once: this is far less than a step of [`slow`] takes, and enough for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Lines of standard error as they come.
fn errors(running: &mut Running) -> Receiver<String> {
    let err = BufReader::new(running.child.stderr.take().expect("a pipe"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || err.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// The next line with `part` in it.
#[track_caller]
fn line_with(lines: &Receiver<String>, part: &str, within: Duration) -> String {
    let deadline = Instant::now() + within;
    let mut before = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(part) => return line,
            Ok(line) => before.push(line),
            Err(_) => panic!("no line with {part:?} within {within:?}, only {before:?}"),
        }
    }
}

/// Steps of many seconds: a long context.
fn slow(world: &World) {
    for (from, to) in [("context = 16", "context = 8192"), ("seq_len = 16", "seq_len = 8192"), ("batch = 2", "batch = 1")] {
        world.edit("tiny.toml", from, to);
    }
    world.edit("tiny.toml", "layers = 1", "layers = 12");
    let lines: Vec<String> = (0..40_000).map(|i| format!("Line {i} of a long text.\n")).collect();
    world.write("text", &lines.concat());
}

#[test]
fn a_signal_saves_the_last_whole_step() {
    let world = World::with_speech();
    world.edit("tiny.toml", "validate_every = 20", "validate_every = 0");
    world.edit("voice.toml", "validate_every = 6", "validate_every = 0");
    let [text, speech] = ["train --config tiny.toml --data text", "tts-train --config voice.toml --data corpus"];
    for (command, line, steps) in [("train", text, 4000), ("tts-train", speech, 60)] {
        let line = format!("{line} --steps {steps} --checkpoint-every 0");
        world.run(&format!("{line} --out {command}")).with(0, &[]);
        for (signal, code, name) in SIGNALS {
            let run = format!("{command}-{name}");
            let mut running = world.start(&format!("{line} --out {run}"));
            let metrics = world.path(&run).join("metrics.jsonl");
            running.wait_for(&metrics);
            while std::fs::metadata(&metrics).expect("records").len() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            running.signal(signal);
            running.end().with(code, &[name, "a second signal ends at once", "--resume"]);
            let saved = list(&world.path(&run).join("checkpoints")).expect("a folder");
            assert_eq!(saved.iter().map(|saved| saved.step).collect::<Vec<_>>(), [*world.steps(&run).last().expect("a step")]);
            world.run(&format!("{command} --resume {run}")).with(0, &[]);
            assert!(world.end(&run, steps) == world.end(command, steps), "{run}: other bytes");
        }
    }
}

#[test]
fn a_step_is_abandoned_before_its_first_vote_and_finished_after_it() {
    let world = World::new();
    slow(&world);
    // Of `adamw` nothing counts before the end of the step.
    for (rule, signal, code, name) in [("votes", SIGTERM, 143, "SIGTERM"), ("adamw", SIGHUP, 129, "SIGHUP")] {
        let mut running = world.start(&format!("train --config tiny.toml --data text --out {rule} --optimizer {rule} --threads 1"));
        let lines = errors(&mut running);
        running.wait_for_line("run folder");
        std::thread::sleep(Duration::from_millis(50));
        running.signal(signal);
        let said = line_with(&lines, name, AT_ONCE);
        assert!(said.contains("step 1 is abandoned") && said.contains("no step was done before"), "{said}");
        running.end().with(code, &[]);
        assert!(world.steps(rule).is_empty());
    }
    // Many micro-batches: the first votes come early.
    let mut running = world.start("train --config tiny.toml --data text --out many --seq-len 256 --grad-accum 3000 --threads 1");
    let lines = errors(&mut running);
    running.wait_for_line("run folder");
    std::thread::sleep(Duration::from_secs(3));
    running.signal(SIGTERM);
    let said = line_with(&lines, "SIGTERM", AT_ONCE);
    assert!(said.contains("step 1 moves weights already") && said.contains("s more"), "{said}");
    let seconds = said.split("about ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|number| number.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 3.0), "{said}");
    // Another one does not wait for it.
    running.signal(SIGTERM);
    line_with(&lines, "ended at once", AT_ONCE);
    let begun = Instant::now();
    running.end().with(143, &[]);
    assert!(begun.elapsed() < AT_ONCE);
}

#[test]
fn who_ignores_hangups_trains_on() {
    let world = World::new();
    let mut command = world.command("train --config tiny.toml --data text --out run --steps 2000");
    // As `nohup` does.
    // SAFETY: between fork and exec only the disposition of a signal is set.
    unsafe {
        command.pre_exec(|| {
            libc::signal(SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut running = Running::new(&mut command);
    running.wait_for_line("run folder");
    running.signal(SIGHUP);
    running.end().with(0, &[]);
    assert_eq!(world.steps("run").len(), 2000);
}

#[test]
fn a_signal_before_the_first_step_leaves_a_run_or_nothing() {
    let world = World::new();
    // Long enough to be read for a while.
    let lines: Vec<String> =
        (0..200_000u64).map(|i| format!("Line {i} is some words from here, and {} from there.\n", i * i % 991)).collect();
    world.write("long.txt", &lines.concat());
    let mut running = world.start("train --config tiny.toml --tokenizer gpt2 --data long.txt --out deep/run --threads 1");
    running.wait_for(&world.path("deep/run/checkpoints/.lock"));
    running.signal(SIGINT);
    running.end().with(130, &["nothing half-written is left"]);
    assert_eq!(world.names("."), ["long.txt", "text", "tiny.toml"]);
}
