//! Files that change while they are mapped.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use primal_engine::files::checkpoint::list;

use crate::world::World;

/// A text of many pages, and a run on it that would not end.
fn begin(world: &World, more: &str) -> crate::world::Running {
    let lines: Vec<String> = (0..40_000).map(|i| format!("Line {i} of a text of many pages.\n")).collect();
    world.write("long.txt", &lines.concat());
    world.edit("tiny.toml", "validate_every = 20", "validate_every = 0");
    let mut running = world.start(&format!("train --config tiny.toml --data long.txt --out run --steps 100000000 {more}"));
    running.wait_for_line("run folder");
    running
}

#[test]
fn a_text_that_is_cut_short_is_named() {
    let world = World::new();
    let running = begin(&world, "--checkpoint-every 0");
    File::options().write(true).open(world.path("long.txt")).and_then(|file| file.set_len(100)).expect("a shorter file");
    running.end().with(2, &["long.txt", "cut short", "hint: "]);
}

#[test]
fn a_text_that_is_written_over_is_noticed_before_the_next_checkpoint() {
    let world = World::new();
    let mut running = begin(&world, "--checkpoint-every 20");
    running.wait_for(&world.path("run/checkpoints/step-00000020.safetensors"));
    let mut file = File::options().write(true).open(world.path("long.txt")).expect("a file");
    file.seek(SeekFrom::Start(5000)).and_then(|_| file.write_all(b"garbage")).expect("other bytes");
    running.end().with(2, &["long.txt", "other content", "hint: "]);
    let before = list(&world.path("run/checkpoints")).expect("a folder");
    assert!(!before.is_empty());
    // It does not go on with other data, either.
    world.run("train --resume run").with(2, &["--data"]);
}

#[test]
fn a_text_that_is_replaced_does_not_matter() {
    let world = World::new();
    let lines: Vec<String> = (0..4000).map(|i| format!("Line {i} of a text.\n")).collect();
    world.write("long.txt", &lines.concat());
    let mut running = world.start("train --config tiny.toml --data long.txt --out run --steps 400");
    running.wait_for(&world.path("run/checkpoints"));
    running.wait_for_line("run folder");
    world.write("new.txt", "Something else.\n");
    std::fs::rename(world.path("new.txt"), world.path("long.txt")).expect("another file");
    running.end().with(0, &[]);
}

#[test]
fn a_checkpoint_that_is_cut_short_is_named() {
    let world = World::new();
    // Wide, so that not all of it is read at once.
    world.edit("tiny.toml", "dim = 8", "dim = 512");
    world.edit("tiny.toml", "layers = 1", "layers = 4");
    world.train("run", "--steps 1").with(0, &[]);
    let checkpoint = "run/checkpoints/step-00000001.safetensors";
    let mut running = world.start(&format!("generate --checkpoint {checkpoint} --max-tokens 100000000 --prompt Here"));
    running.wait_for_line("");
    File::options().write(true).open(world.path(checkpoint)).and_then(|file| file.set_len(4096)).expect("a shorter file");
    running.end().with(2, &[checkpoint, "cut short", "hint: "]);
}

#[test]
fn tokens_and_features_that_are_cut_short_are_named() {
    let world = World::with_speech();
    let cached = |folder: &str, end: &str| {
        let name = world.names(folder).into_iter().find(|name| name.ends_with(end)).expect("a cache");
        format!("{folder}/{name}")
    };
    let lines: Vec<String> = (0..20_000).map(|i| format!("Line {i} of many tokens.\n")).collect();
    world.write("long.txt", &lines.concat());
    world.edit("tiny.toml", "tokenizer = \"bytes\"", "tokenizer = \"gpt2\"");
    world.edit("tiny.toml", "validate_every = 20", "validate_every = 0");
    world.edit("voice.toml", "validate_every = 6", "validate_every = 0");
    let endless = "--steps 100000000 --checkpoint-every 0";
    let mut running = world.start(&format!("train --config tiny.toml --data long.txt --out run {endless}"));
    running.wait_for_line("run folder");
    let tokens = cached("run", ".gpt2");
    File::options().write(true).open(world.path(&tokens)).and_then(|file| file.set_len(100)).expect("a shorter file");
    running.end().with(2, &[&tokens, "cut short"]);
    // Features are mapped where they were computed before.
    world.run("tts-train --config voice.toml --data corpus --out first --steps 1 --cache cache").with(0, &[]);
    let features = cached("cache", ".speech");
    let mut running = world.start(&format!("tts-train --config voice.toml --data corpus --out second --cache cache {endless}"));
    running.wait_for_line("run folder");
    File::options().write(true).open(world.path(&features)).and_then(|file| file.set_len(100)).expect("a shorter file");
    running.end().with(2, &[&features, "cut short"]);
}
