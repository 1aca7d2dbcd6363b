//! Standard output that is full, or that nobody reads any more.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use primal_engine::files::checkpoint::list;

use crate::world::{Ended, World};

/// Tokens that take far longer than a test.
const ENDLESS: &str = "--max-tokens 100000000";

fn into_full_disk(mut command: Command) -> Ended {
    command.stdout(File::options().write(true).open("/dev/full").expect("a device")).output().expect("primal-host runs").into()
}

/// Reads `bytes` bytes of both outputs in one pipe, and closes it.
#[track_caller]
fn into_closed_pipe(mut command: Command, bytes: usize) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let both = writer.try_clone().expect("a pipe");
    let mut child = command.stdout(writer).stderr(both).spawn().expect("primal-host runs");
    // Its own ends of the pipe would keep it open.
    drop(command);
    reader.read_exact(&mut vec![0; bytes]).expect("output");
    drop(reader);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().expect("SIGKILL");
            panic!("it goes on though nobody reads");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_full_disk_under_the_output_is_an_error() {
    let world = World::with_speech();
    world.train("run", "").with(0, &[]);
    let checkpoint = "run/checkpoints/step-00000060.safetensors";
    for line in [
        format!("generate --checkpoint {checkpoint} --max-tokens 20"),
        format!("generate --checkpoint {checkpoint} --max-tokens 0"),
        format!("info {checkpoint}"),
        format!("eval --checkpoint {checkpoint} --data text"),
        "phonemes Hello".into(),
        "report run".into(),
        "--help".into(),
    ] {
        into_full_disk(world.command(&line)).with(1, &["standard output", "No space left"]);
    }
    // What a run has learnt is saved first.
    for (line, run) in [("train --config tiny.toml --data text", "full"), ("tts-train --config voice.toml --data corpus", "spoken")] {
        let Ended { err, .. } =
            into_full_disk(world.command(&format!("{line} --out {run} --validate-every 3"))).with(1, &["standard output"]);
        assert!(err.contains(&format!("--resume {run}")), "{err}");
        let command = line.split(' ').next().expect("a command");
        world.run(&format!("{command} --resume {run}")).with(0, &[]);
    }
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let world = World::with_speech();
    world.train("run", "").with(0, &[]);
    into_closed_pipe(world.command(&format!("generate --checkpoint run/checkpoints/step-00000060.safetensors {ENDLESS}")), 30);
    into_closed_pipe(world.command("plan --config gpt-0.1b"), 10);
    // Runs end as soon as they have something to say, and save their state.
    for (line, run) in [
        ("train --config tiny.toml --data text --steps 100000000", "long"),
        ("tts-train --config voice.toml --data corpus --steps 100000", "spoken"),
    ] {
        into_closed_pipe(world.command(&format!("{line} --checkpoint-every 0 --out {run}")), 10);
        let saved: Vec<u64> = list(&world.path(run).join("checkpoints")).expect("a folder").iter().map(|saved| saved.step).collect();
        assert_eq!(saved.last(), world.steps(run).last(), "{run}");
    }
}

#[test]
fn nobody_has_to_read_the_errors() {
    let world = World::new();
    let mut child = world
        .command("train --config tiny.toml --data text --out run")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("primal-host runs");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    let mut generate = world.command("generate --checkpoint run/checkpoints/step-00000060.safetensors --max-tokens 5");
    let mut child = generate.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("primal-host runs");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}
