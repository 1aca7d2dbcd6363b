//! What a process that ends early leaves behind: nothing where it could help it, and nothing for long where it could not.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use libc::{SIGHUP, SIGINT, SIGTERM};

use crate::tiny::Tiny;
use crate::world::{Running, World};

/// A world with a voice, and a text that takes a while to speak.
fn speaker() -> (World, Tiny, String) {
    let (world, tiny) = (World::new(), Tiny::new());
    let lines: Vec<String> = (0..400).map(|i| format!("The ghost number {i} is singing in the machine.\n")).collect();
    world.write("lines.txt", &lines.concat());
    let line = format!("tts --threads 1 --voice {} --file lines.txt", tiny.voice.display());
    (world, tiny, line)
}

/// Waits for a name in the folder that starts and ends so.
#[track_caller]
fn wait_for_name(world: &World, running: &mut Running, start: &str, end: &str) -> String {
    for _ in 0..60_000 {
        if let Some(name) = world.names(".").into_iter().find(|name| name.starts_with(start) && name.ends_with(end)) {
            return name;
        }
        assert!(running.child.try_wait().expect("a child").is_none(), "it ended before {start}…{end} came");
        thread::sleep(Duration::from_millis(1));
    }
    panic!("no {start}…{end}");
}

#[test]
fn a_signal_leaves_no_unfinished_file() {
    let (world, _tiny, line) = speaker();
    let before = world.names(".");
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] {
        for (more, start, end) in [("--output a.wav", ".primal-", ".tmp"), ("--output a.wav --stream", "a.wav.part", "")] {
            let mut running = world.start(&format!("{line} {more}"));
            let name = wait_for_name(&world, &mut running, start, end);
            while fs::metadata(world.path(&name)).expect("a file").len() == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            running.signal(signal);
            running.end().with(code, &["nothing half-written is left"]);
            assert_eq!(world.names("."), before, "{more}");
        }
    }
}

#[test]
fn what_a_killed_process_leaves_is_swept_and_what_a_living_one_writes_is_not() {
    let (world, tiny, line) = speaker();
    let before = world.names(".");
    let mut killed = world.start(&format!("{line} --output a.wav"));
    let left = wait_for_name(&world, &mut killed, ".primal-", ".tmp");
    killed.kill();
    let mut streaming = world.start(&format!("{line} --output b.wav --stream"));
    wait_for_name(&world, &mut streaming, "b.wav.part", "");
    streaming.kill();
    assert!(world.names(".").contains(&left) && world.names(".").contains(&"b.wav.part".to_owned()));
    // One that is alive meanwhile.
    let mut living = world.start(&format!("{line} --output c.wav"));
    let mut other = String::new();
    while other.is_empty() || other == left {
        other = wait_for_name(&world, &mut living, ".primal-", ".tmp");
    }
    let voice = tiny.voice.display();
    world.run(&format!("tts --voice {voice} --text Hello. --output d.wav")).with(0, &[]);
    let names = world.names(".");
    assert!(!names.contains(&left) && names.contains(&other), "{names:?}");
    // A part is swept by who speaks into the same file.
    world.run(&format!("tts --voice {voice} --text Hello. --output b.wav --stream")).with(0, &[]);
    living.kill();
    world.run(&format!("vocode --input d.wav --vocoder {} --output e.wav", tiny.vocoder.display())).with(0, &[]);
    let after: Vec<String> = world.names(".").into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(after, ["b.wav", "d.wav", "e.wav"]);
}

#[test]
fn a_run_is_swept_when_it_goes_on() {
    let world = World::with_speech();
    world.train("run", "").with(0, &[]);
    let left = ["run/.primal-abc123.tmp", "run/.tmpAbC123", "run/checkpoints/.primal-abc123.tmp"];
    let others = ["run/notes.tmp", "run/.tmpest"];
    left.iter().chain(&others).for_each(|name| world.write(name, "x"));
    let alive = File::open(world.path(left[0])).expect("a file");
    alive.lock().expect("a lock");
    world.run("train --resume run").with(0, &[]);
    assert!(world.path(left[0]).exists(), "an unfinished file of a living process was removed");
    drop(alive);
    world.run("train --resume run").with(0, &[]);
    left.iter().for_each(|name| assert!(!world.path(name).exists(), "{name}"));
    others.iter().for_each(|name| assert!(world.path(name).exists(), "{name}"));
    // Features of a corpus that were being written into a cache.
    fs::create_dir(world.path("cache")).expect("a folder");
    world.write("cache/.primal-abc123.tmp", "x");
    world.run("tts-train --config voice.toml --data corpus --out voice --steps 1 --cache cache").with(0, &[]);
    assert_eq!(world.names("cache").len(), 1);
}

#[test]
fn a_manifest_tells_what_is_there_however_the_command_ended() {
    for signal in [libc::SIGKILL, SIGINT, SIGTERM] {
        let (world, _tiny, line) = speaker();
        let mut running = world.start(&format!("{line} --out-dir spoken"));
        running.wait_for(&world.path("spoken/0005.wav"));
        running.signal(signal);
        running.end();
        let manifest = String::from_utf8(world.read("spoken/manifest.jsonl")).expect("text");
        let lines: Vec<serde_json::Value> = manifest.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        let wavs = world.names("spoken").into_iter().filter(|name| name.ends_with(".wav")).count();
        // The last one may have its WAV, and not yet its line.
        assert!((4..400).contains(&lines.len()) && wavs - lines.len() <= 1, "{wavs} WAVs and {} lines", lines.len());
        for (line, number) in lines.iter().zip(1..) {
            assert_eq!(line["wav"], format!("{number:04}.wav"));
        }
        let unfinished = world.names("spoken").into_iter().filter(|name| name.starts_with('.')).count();
        assert!(signal == libc::SIGKILL || unfinished == 0, "unfinished files after signal {signal}");
    }
}

#[test]
fn streams_into_one_file_do_not_mix() {
    let (world, tiny, _) = speaker();
    let voice = tiny.voice.display();
    let say = |number: usize, name: &str| format!("tts --threads 1 --voice {voice} --file {number}.txt --output {name} --stream");
    let mut whole = Vec::new();
    for number in 0..4 {
        world.write(&format!("{number}.txt"), &format!("Number {number} says {}.", "many words ".repeat(20 * (number + 1))));
        world.run(&say(number, "alone.wav")).with(0, &[]);
        whole.push(world.read("alone.wav"));
    }
    let running: Vec<Running> = (0..4).map(|number| world.start(&say(number, "one.wav"))).collect();
    for running in running {
        running.end().with(0, &[]);
    }
    assert!(whole.contains(&world.read("one.wav")), "a mixture");
    assert!(world.names(".").iter().all(|name| !name.contains(".part")), "{:?}", world.names("."));
}
