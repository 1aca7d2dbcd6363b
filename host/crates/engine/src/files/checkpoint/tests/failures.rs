//! A full disk and a folder that cannot be written: the error says so, the checkpoint of before is intact, nothing is left behind.
//!
//! The disks are real: a child process runs the same test on a tmpfs of 64 KiB in a mount namespace of its own, which needs no root where user
//! namespaces are allowed. Where they are not, a limit on the size of files stands in; which was used is printed past the capture of the test's output.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use super::super::{Checkpoint, Retention, TensorRef, latest_good, save, step_file};
use super::{bad_input, contents, metadata, tensors};

/// Set in the child: the folder to work in.
const FOLDER: &str = "PRIMAL_TEST_FOLDER";
const DONE: &str = "the child saw what it should";

/// The checkpoint of before, then one of 256 KiB that cannot be saved: returns the message.
fn fail_to_save(folder: &Path, between: impl FnOnce()) -> String {
    let big = vec![7; 256 << 10];
    let mut retention = Retention::open(folder, 1).unwrap();
    retention.save(1, Some(2.0), &metadata(), &tensors()).unwrap();
    let before = (contents(folder), std::fs::read(step_file(folder, 1)).unwrap());
    between();
    for step in [1, 2] {
        let tensors = [TensorRef::u8("w", &[big.len()], &big)];
        let error = retention.save(step, Some(1.0), &metadata(), &tensors).unwrap_err();
        assert!(!matches!(error, crate::Error::Invalid { .. }), "{error}");
        let after = (contents(folder), std::fs::read(step_file(folder, 1)).unwrap());
        assert!(before == after, "{:?} became {:?}", before.0, after.0);
        assert_eq!(latest_good(folder).unwrap().unwrap().step, 1);
        if step == 2 {
            return error.to_string();
        }
    }
    unreachable!("the loop returns")
}

/// Runs this test again with `FOLDER` set, by `sh -c script` under `wrapper`; in the script, `$0` is the folder and `$@` the command.
fn child(wrapper: &[&str], script: &str, test: &str, folder: &Path) -> std::io::Result<Output> {
    let shell: Vec<&str> = wrapper.iter().copied().chain(["sh", "-c", script]).collect();
    Command::new(shell[0])
        .args(&shell[1..])
        .arg(folder)
        .arg(std::env::current_exe().unwrap())
        .args([&format!("files::checkpoint::tests::failures::{test}"), "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .output()
}

fn say(text: &str) {
    // Not eprintln!, which the test harness captures.
    writeln!(std::io::stderr(), "{text}").unwrap();
}

/// Runs `test` on a small disk; `false`, and said so, where this machine lets no one mount one.
fn on_a_small_disk(test: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\" || exit 77; echo mounted; exec \"$@\"";
    let mut reason = String::new();
    for wrapper in [&["unshare", "-rm"][..], &["unshare", "-m"]] {
        match child(wrapper, script, test, folder.path()) {
            Err(error) => reason = error.to_string(),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                if text.contains("mounted") {
                    assert!(output.status.success(), "{text}\n{errors}");
                    assert!(text.contains(DONE), "{text}\n{errors}");
                    assert_eq!(contents(folder.path()), [""; 0], "the mount leaked");
                    say(&format!("{test}: ran on a tmpfs of 64 KiB ({})", wrapper.join(" ")));
                    return true;
                }
                reason = errors.trim().to_owned();
            }
        }
    }
    say(&format!("{test}: no tmpfs could be mounted ({reason})"));
    false
}

#[test]
fn full_disk() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let message = fail_to_save(Path::new(&folder), || ());
        assert!(message.contains("No space left on device"), "{message}");
        assert!(message.contains("free at least 25"), "{message}");
        println!("{DONE}");
    } else if !on_a_small_disk("full_disk") {
        say("full_disk: covered by file_size_limit alone");
    }
}

/// The write fails half-way, as on a full disk; needs neither root nor namespaces.
#[cfg(unix)]
#[test]
fn file_size_limit() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let message = fail_to_save(Path::new(&folder), || ());
        assert!(message.contains("File too large"), "{message}");
        assert!(message.contains("ulimit -f"), "{message}");
        println!("{DONE}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -f 64; trap '' XFSZ; exec \"$@\"";
    let output = child(&[], script, "file_size_limit", folder.path()).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains(DONE), "{text}\n{errors}");
    say("file_size_limit: ran under RLIMIT_FSIZE");
}

#[test]
fn read_only_disk() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        let message = fail_to_save(folder, || {
            let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(folder).status();
            assert!(remount.unwrap().success());
        });
        assert!(message.contains("Read-only file system"), "{message}");
        assert!(message.contains("writable"), "{message}");
        let error = Retention::open(folder.join("new"), 1).unwrap_err();
        assert!(error.to_string().contains("writable"), "{error}");
        println!("{DONE}");
    } else if !on_a_small_disk("read_only_disk") {
        say("read_only_disk: covered by forbidden_folder and a_file_in_place_of_the_folder alone");
    }
}

/// Permission bits do not bind root; everyone else meets them here.
#[cfg(unix)]
#[test]
fn forbidden_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.path().join("probe"), "").is_ok() {
        say("forbidden_folder: permission bits do not bind this user; see read_only_disk");
        return;
    }
    let path = folder.path().join("x.safetensors");
    let error = save(&path, &metadata(), &tensors()).unwrap_err();
    assert!(error.to_string().contains("writable"), "{error}");
    assert_eq!(contents(folder.path()), [""; 0]);
}

#[test]
fn a_file_in_place_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoints");
    std::fs::write(&file, "mine").unwrap();
    for error in [
        save(&file.join("x.safetensors"), &metadata(), &tensors()).unwrap_err(),
        Retention::open(&file, 1).unwrap_err(),
        save(&folder.path().join("none/x"), &metadata(), &tensors()).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("its folder"), "{text}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(contents(folder.path()), ["checkpoints"]);
}

#[test]
fn a_folder_in_place_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-00000001.safetensors");
    std::fs::create_dir(&path).unwrap();
    let error = save(&path, &metadata(), &tensors()).unwrap_err();
    assert!(error.to_string().contains("in the way"), "{error}");
    assert_eq!(contents(folder.path()), ["step-00000001.safetensors"]);
    assert!(bad_input(Checkpoint::open(&path)).contains("a folder"));
}
