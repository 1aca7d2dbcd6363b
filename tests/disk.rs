//! A full disk, a limit on the size of files and a disk that cannot be written: a run ends with a message that names the file, what was
//! saved can be loaded, and `--resume` continues to the same bytes once there is room.
//!
//! Runs are tried at every size of the disk from nothing to enough, so that each file is the one that does not fit at some size. The full
//! disk is a tmpfs, mounted in a namespace of its own; where this machine lets no one mount one, that is said past the capture of the
//! test's output, and the limit on files, which needs no rights, is what was tested.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use primal_engine::config::Config;
use primal_engine::files::checkpoint::{latest_good, step_file};
use primal_host::configurations::Load;
use primal_host::report::metrics;

const PROGRAM: &str = env!("CARGO_BIN_EXE_primal-host");
/// Set in a child that has mounts of its own: the folder to work in.
const FOLDER: &str = "PRIMAL_TEST_FOLDER";
const DONE: &str = "the child saw what it should";
const STEPS: u64 = 6;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration of a tiny model and something to read, and an uninterrupted run of it, in `folder`.
struct Setting {
    config: PathBuf,
    data: PathBuf,
    whole: PathBuf,
}

impl Setting {
    fn new(folder: &Path) -> Self {
        let setting = Self { config: folder.join("tiny.toml"), data: folder.join("text"), whole: folder.join("whole") };
        let mut config = Config::load("gpt-nano").expect("an embedded configuration");
        (config.model.dim, config.model.heads, config.model.layers, config.model.context) = (8, 1, 1, 16);
        let t = &mut config.train;
        (t.batch, t.seq_len, t.steps, t.checkpoint_every, t.validate_every, t.keep) = (2, 16, STEPS, 2, 3, 2);
        std::fs::write(&setting.config, config.to_toml()).expect("a configuration");
        std::fs::write(&setting.data, "A line to learn from.\n".repeat(50)).expect("a text");
        let output = setting.train(&setting.whole).output().expect("primal-host runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        setting
    }

    fn train(&self, run: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["train", "--threads", "1", "--config"]).arg(&self.config).arg("--data").arg(&self.data).arg("--out").arg(run);
        command
    }

    /// Checks what a failed run said and left behind; returns the name of the file that did not fit.
    fn failed(&self, run: &Path, output: &Output) -> String {
        let message = text(&output.stderr);
        let last = message.split("primal-host: ").last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(last.starts_with("writing ") && last.contains("hint: "), "{message}");
        // What is no run yet is begun anew.
        assert!(last.contains(if run.join("config.toml").exists() { "--resume" } else { "--out" }), "{message}");
        if run.join("config.toml").exists() {
            assert!(Config::load(&run.join("config.toml").display().to_string()).is_ok(), "a torn configuration");
            latest_good(&run.join("checkpoints")).expect("no damaged checkpoint");
        }
        if let Ok(page) = std::fs::read_to_string(run.join("report.html")) {
            assert!(page.ends_with("</html>\n"), "a torn report");
        }
        if let Ok(lines) = std::fs::read_to_string(run.join(metrics::FILE_NAME)) {
            assert!(lines.is_empty() || lines.ends_with("}\n"), "a torn record: {lines}");
        }
        let path = last.trim_start_matches("writing ").split(": ").next().expect("a path");
        let name = Path::new(path).file_name().expect("a file").to_string_lossy().into_owned();
        if name.starts_with("events") { "events".into() } else { name }
    }

    /// Goes on where there is room now, and compares with the run that was never interrupted.
    fn finish(&self, run: &Path) {
        let output = if run.join("config.toml").exists() {
            Command::new(PROGRAM).args(["train", "--threads", "1", "--resume"]).arg(run).output()
        } else {
            self.train(run).output()
        };
        let output = output.expect("primal-host runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let last = |run: &Path| std::fs::read(step_file(&run.join("checkpoints"), STEPS)).expect("the last checkpoint");
        assert!(last(run) == last(&self.whole), "the last checkpoint differs");
        let steps = metrics::read(&run.join(metrics::FILE_NAME)).expect("whole records").iter().map(|r| r.step).collect::<Vec<_>>();
        assert_eq!(steps, (1..=STEPS).collect::<Vec<_>>());
        assert!(std::fs::read_to_string(run.join("report.html")).expect("a report").ends_with("</html>\n"));
    }
}

/// The files that did not fit, checkpoints by kind: which of them it was does not matter.
fn kinds(named: &BTreeSet<String>) -> BTreeSet<&str> {
    named.iter().map(|name| if name.ends_with(".safetensors") { "checkpoint" } else { name.as_str() }).collect()
}

/// Syncing to memory takes no time.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn say(text: &str) {
    // Not eprintln!, which the test harness captures.
    writeln!(std::io::stderr(), "{text}").expect("standard error");
}

#[test]
fn a_limit_on_files_stops_a_run_that_can_go_on() {
    let folder = folder();
    let setting = Setting::new(folder.path());
    let run = folder.path().join("run");
    let mut named = BTreeSet::new();
    for blocks in 0.. {
        let limited = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" \"$@\"");
        let output = Command::new("sh").args(["-c", &limited, PROGRAM]).args(setting.train(&run).get_args()).output().expect("a shell");
        if output.status.success() {
            break;
        }
        named.insert(setting.failed(&run, &output));
        setting.finish(&run);
        std::fs::remove_dir_all(&run).expect("a run");
    }
    let expected = ["checkpoint", "events", "metrics.jsonl", "report.html", "run.json"];
    assert!(kinds(&named).is_superset(&expected.into()), "only {named:?}");
}

/// Runs the test `name` again where it may mount; whether it could.
fn with_mounts(name: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let mut reasons = Vec::new();
    for wrapper in [&["unshare", "-rm"][..], &["unshare", "-m"]] {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).args(["sh", "-c", "mount -t tmpfs -o size=1m tmpfs \"$0\" && echo mounted && exec \"$@\""]);
        command.arg(folder.path()).arg(std::env::current_exe().expect("this program")).args([name, "--exact", "--nocapture"]);
        let output = match command.env(FOLDER, folder.path()).output() {
            Ok(output) => output,
            Err(error) => {
                reasons.push(error.to_string());
                continue;
            }
        };
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        if out.contains("mounted") {
            assert!(output.status.success() && out.contains(DONE), "{out}\n{errors}");
            say(&format!("{name}: ran on a tmpfs ({})", wrapper.join(" ")));
            return true;
        }
        reasons.push(errors.trim().to_owned());
    }
    say(&format!("{name}: no tmpfs could be mounted ({})", reasons.join("; ")));
    false
}

/// Mounts a tmpfs of 1 MiB anew with these options.
fn remount(disk: &str, options: &str) {
    let status = Command::new("mount").args(["-o", &format!("remount,{options}"), disk]).status();
    assert!(status.expect("mount").success(), "remounting {disk} with {options}");
}

#[test]
fn a_full_disk_stops_a_run_that_can_go_on() {
    let Ok(disk) = std::env::var(FOLDER) else {
        if !with_mounts("a_full_disk_stops_a_run_that_can_go_on") {
            say("full disk: covered by a_limit_on_files_stops_a_run_that_can_go_on alone");
        }
        return;
    };
    let folder = folder();
    let setting = Setting::new(folder.path());
    let (run, ballast) = (Path::new(&disk).join("run"), Path::new(&disk).join("ballast"));
    let mut named = BTreeSet::new();
    for pages in 0.. {
        // All of the disk but so many pages.
        std::fs::write(&ballast, vec![1; 2 << 20]).expect_err("a small disk");
        let full = std::fs::metadata(&ballast).expect("a file").len();
        let shorten = |file: std::fs::File| file.set_len(full.saturating_sub(4096 * pages));
        std::fs::File::options().write(true).open(&ballast).and_then(shorten).expect("a shorter file");
        let output = setting.train(&run).output().expect("primal-host runs");
        if output.status.success() {
            break;
        }
        named.insert(setting.failed(&run, &output));
        std::fs::remove_file(&ballast).expect("room");
        setting.finish(&run);
        std::fs::remove_dir_all(&run).expect("a run");
    }
    let expected = ["checkpoint", "config.toml", "data.json", "events", "metrics.jsonl", "report.html"];
    assert!(kinds(&named).is_superset(&expected.into()), "only {named:?}");
    println!("{DONE}");
}

#[test]
fn a_disk_that_cannot_be_written_is_named() {
    let Ok(disk) = std::env::var(FOLDER) else {
        if !with_mounts("a_disk_that_cannot_be_written_is_named") {
            say("read-only disk: covered for new runs alone, by a_folder_that_cannot_be_written_is_refused_with_code_2");
        }
        return;
    };
    let folder = folder();
    let setting = Setting::new(folder.path());
    let run = Path::new(&disk).join("run");
    assert!(setting.train(&run).status().expect("primal-host runs").success());
    remount(&disk, "ro");
    let new = Path::new(&disk).join("new");
    let program = |arguments: &[&str]| Command::new(PROGRAM).args(arguments).arg(&run).output().expect("primal-host runs");
    for (output, code, word) in [
        (setting.train(&new).output().expect("primal-host runs"), 2, "--out"),
        (program(&["train", "--resume"]), 1, "checkpoints"),
        (program(&["report"]), 1, "report.html"),
    ] {
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains("Read-only file system") && message.contains(word) && message.contains("hint: "), "{message}");
    }
    remount(&disk, "rw");
    assert!(!new.exists());
    setting.finish(&run);
    println!("{DONE}");
}
