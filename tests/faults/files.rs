//! Outputs that are no files of their own: pipes, devices, links, descriptors.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::tiny::Tiny;
use crate::world::{Ended, World};

/// A PyTorch checkpoint.
const IMPORTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/vocoder/generator_v3");

/// The program's commands that write one file each, in a folder with what they need.
struct Writers {
    world: World,
    tiny: Tiny,
}

impl Writers {
    fn new() -> Self {
        let writers = Self { world: World::new(), tiny: Tiny::new() };
        writers.write("tts", "sound.wav").with(0, &[]);
        writers
    }

    fn command(&self, kind: &str, output: &str) -> Command {
        let mut command = self.world.command("");
        let [voice, vocoder] = ["voice", "hifigan.safetensors"].map(|name| self.tiny.folder.path().join(name).display().to_string());
        let arguments: Vec<&str> = match kind {
            "tts" => vec!["tts", "--text", "Hello.", "--voice", &voice, "--output", output],
            "stream" => vec!["tts", "--text", "Hello.", "--voice", &voice, "--stream", "--output", output],
            "mel" => vec!["tts", "--text", "Hello.", "--voice", &voice, "--output", "other.wav", "--mel", output],
            "vocode" => vec!["vocode", "--input", "sound.wav", "--vocoder", &vocoder, "--output", output],
            "import" => vec!["import", "hifigan", IMPORTED, "--out", output],
            _ => unreachable!("{kind}"),
        };
        command.args(arguments);
        command
    }

    fn write(&self, kind: &str, output: &str) -> Ended {
        self.command(kind, output).output().expect("primal-host runs").into()
    }
}

const KINDS: [&str; 5] = ["tts", "stream", "mel", "vocode", "import"];
/// What the file of a kind starts with; a checkpoint starts with the length of its header.
fn starts_as(kind: &str, bytes: &[u8]) -> bool {
    match kind {
        "mel" => bytes.starts_with(b"\x89PNG"),
        "import" => bytes.get(8) == Some(&b'{'),
        _ => bytes.starts_with(b"RIFF"),
    }
}

#[test]
fn a_pipe_is_written_through() {
    let writers = Writers::new();
    let pipe = writers.world.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for kind in KINDS {
        let reader = {
            // Open for both, so that no end waits for the other.
            let mut both = fs::File::options().read(true).write(true).open(&pipe).expect("a pipe");
            let (sender, receiver) = std::sync::mpsc::channel();
            thread::spawn(move || {
                let mut start = [0; 64];
                let read = std::io::Read::read(&mut both, &mut start).unwrap_or(0);
                let _ = sender.send(start[..read].to_vec());
                let _ = std::io::copy(&mut both, &mut std::io::sink());
            });
            receiver
        };
        writers.write(kind, "pipe").with(0, &[]);
        assert!(fs::symlink_metadata(&pipe).expect("a pipe").file_type().is_fifo(), "{kind} replaced the pipe");
        let start = reader.recv_timeout(std::time::Duration::from_secs(60)).expect("something in the pipe");
        assert!(starts_as(kind, &start), "{kind}: {start:?}");
        // The reader of this kind ends with the pipe it has; the next gets another.
        fs::remove_file(&pipe).expect("a pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    }
}

#[test]
fn a_device_is_written_through_and_a_socket_refused() {
    let writers = Writers::new();
    let null = writers.world.path("null");
    let _socket = std::os::unix::net::UnixListener::bind(writers.world.path("socket")).expect("a socket");
    let made = Command::new("mknod").arg(&null).args(["c", "1", "3"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    for kind in KINDS {
        if made {
            writers.write(kind, "null").with(0, &[]);
            assert!(fs::symlink_metadata(&null).expect("a device").file_type().is_char_device(), "{kind} replaced the device");
        }
        writers.write(kind, "socket").with(2, &["socket", "hint: "]);
        assert!(
            fs::symlink_metadata(writers.world.path("socket")).expect("a socket").file_type().is_socket(),
            "{kind} replaced the socket"
        );
        // Through a link, which needs no rights.
        let link = writers.world.path("link");
        symlink("/dev/null", &link).expect("a link");
        writers.write(kind, "link").with(0, &[]);
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink(), "{kind} replaced the link");
        fs::remove_file(link).expect("a link");
    }
}

#[test]
fn links_are_followed() {
    let writers = Writers::new();
    let world = &writers.world;
    fs::create_dir(world.path("far")).expect("a folder");
    for kind in KINDS {
        // To what is not there yet, then to what is, whose permissions stay.
        symlink("far/target", world.path("near")).expect("a link");
        for _ in 0..2 {
            writers.write(kind, "near").with(0, &[]);
            assert!(fs::symlink_metadata(world.path("near")).expect("a link").is_symlink(), "{kind} replaced the link");
            assert!(starts_as(kind, &world.read("far/target")), "{kind}");
            fs::set_permissions(world.path("far/target"), fs::Permissions::from_mode(0o600)).expect("permissions");
        }
        assert_eq!(fs::metadata(world.path("far/target")).expect("a file").permissions().mode() & 0o777, 0o600, "{kind}");
        assert_eq!(world.names("far"), ["target"], "{kind}");
        fs::remove_file(world.path("near")).expect("a link");
        fs::remove_file(world.path("far/target")).expect("a file");
    }
    // The report of a run, too.
    world.train("run", "--steps 2").with(0, &[]);
    fs::rename(world.path("run/report.html"), world.path("far/page")).expect("a file");
    symlink("../far/page", world.path("run/report.html")).expect("a link");
    world.write("far/page", "old");
    world.run("report run").with(0, &[]);
    assert!(fs::symlink_metadata(world.path("run/report.html")).expect("a link").is_symlink());
    assert!(world.read("far/page").ends_with(b"</html>\n"));
}

#[test]
fn descriptors_of_the_program_are_written_through() {
    let writers = Writers::new();
    let link = writers.world.path("out");
    for name in ["/proc/self/fd/1", "/dev/stdout"].into_iter().filter(|name| Path::new(name).exists()) {
        for kind in ["tts", "vocode", "mel"] {
            symlink(name, &link).expect("a link");
            let output = writers.command(kind, "out").output().expect("primal-host runs");
            assert_eq!(output.status.code(), Some(0), "{kind} to {name}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(starts_as(kind, &output.stdout), "{kind} to {name}: {} bytes", output.stdout.len());
            assert!(fs::symlink_metadata(&link).expect("a link").is_symlink(), "{kind} to {name} replaced the link");
            fs::remove_file(&link).expect("a link");
        }
    }
    // A file that was opened to be appended to keeps what it has.
    symlink("/proc/self/fd/1", &link).expect("a link");
    fs::write(writers.world.path("log"), "before").expect("a file");
    let log = fs::File::options().append(true).open(writers.world.path("log")).expect("a file");
    let status = writers.command("vocode", "out").stdout(log).status().expect("primal-host runs");
    assert!(status.success() && writers.world.read("log").starts_with(b"beforeRIFF"));
}
