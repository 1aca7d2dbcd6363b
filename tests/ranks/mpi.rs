//! Ranks by MPI: the program under `mpirun`, oversubscribed. Whatever their number, the way of their messages and what befalls them, a run comes to the
//! bytes of one process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use primal_engine::files::checkpoint::step_file;
use primal_host::verify::tones::write_corpus;

const PROGRAM: &str = env!("CARGO_BIN_EXE_primal-host");
const STEPS: u64 = 60;
/// How long a run may take until something is seen of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program's arguments of a run in `out`.
fn train(config: &str, out: &Path) -> Vec<String> {
    let flags = format!("train --config {config} --threads 1 --steps {STEPS} --grad-accum 4 --reduce votes --batch 2 --sample-every 0");
    let mut arguments: Vec<String> = flags.split(' ').map(str::to_string).collect();
    arguments.extend(["--checkpoint-every", "5", "--keep", "100", "--out"].map(str::to_string));
    arguments.push(out.display().to_string());
    arguments
}

fn resume(out: &Path) -> Vec<String> {
    ["train", "--threads", "1", "--resume"].map(str::to_string).into_iter().chain([out.display().to_string()]).collect()
}

fn mpirun() -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe"]);
    command
}

/// `mpirun` of so many ranks.
fn ranks(count: usize, flags: &str, arguments: &[String]) -> Command {
    let mut command = mpirun();
    command.args(flags.split_whitespace()).args(["-n", &count.to_string(), PROGRAM]).args(arguments);
    command
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install Open MPI: apt-get install openmpi-bin libopenmpi-dev"))
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeed(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

fn last(out: &Path) -> Vec<u8> {
    fs::read(step_file(&out.join("checkpoints"), STEPS)).expect("the last checkpoint")
}

/// A folder, and in it what one process comes to.
fn whole() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("whole");
    succeed(Command::new(PROGRAM).args(train("gpt-nano", &out)));
    let bytes = last(&out);
    (folder, bytes)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A run in the background that has saved a checkpoint, and the processes of its ranks by number.
fn begun(count: usize, out: &Path, arguments: &[String]) -> (Child, Vec<i32>) {
    let mut command = ranks(count, "", arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mpirun runs");
    wait_until("a checkpoint", || step_file(&out.join("checkpoints"), 5).exists());
    let processes = processes(out);
    assert_eq!(processes.len(), count, "ranks that run");
    (child, processes)
}

/// The processes of ranks that train in `out`, by rank.
fn processes(out: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let (command, environment) = (read("cmdline"), read("environ"));
        if !command.starts_with(PROGRAM.as_bytes()) || !String::from_utf8_lossy(&command).contains(&*out.to_string_lossy()) {
            continue;
        }
        let rank = String::from_utf8_lossy(&environment)
            .split('\0')
            .find_map(|pair| pair.strip_prefix("OMPI_COMM_WORLD_RANK=")?.parse::<usize>().ok());
        found.extend(rank.map(|rank| (rank, id)));
    }
    found.sort();
    found.into_iter().map(|(_, id)| id).collect()
}

fn signal(process: i32, signal: i32) {
    // SAFETY: a signal to a process that the test started.
    unsafe { libc::kill(process, signal) };
}

#[test]
fn any_number_of_ranks_writes_the_checkpoint_of_one_process() {
    let (folder, expected) = whole();
    for (count, flags) in [(1, ""), (2, ""), (4, ""), (2, "--mca pml ob1 --mca btl tcp,self")] {
        let out = folder.path().join(format!("{count}{}", flags.len()));
        let told = succeed(&mut ranks(count, flags, &train("gpt-nano", &out)));
        assert!(last(&out) == expected, "{count} ranks {flags}: other bytes");
        let is_told = told.matches("weights in linear layers").count();
        assert_eq!(is_told, 1, "the first rank alone speaks: {told}");
        assert!(count == 1 || told.contains(&format!("on each of {count} ranks")), "{told}");
    }
}

#[test]
fn ranks_of_a_voice_write_the_checkpoint_of_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("corpus");
    fs::create_dir(&data).expect("a folder");
    write_corpus(&data);
    let run = |count: usize| {
        let out = folder.path().join(format!("voice{count}"));
        let flags = format!("tts-train --config ghost-tts-nano --threads 1 --steps {STEPS} --grad-accum 4 --reduce votes --sample-every 0");
        let mut arguments: Vec<String> = flags.split(' ').map(str::to_string).collect();
        arguments.extend(["--data".into(), data.display().to_string(), "--out".into(), out.display().to_string()]);
        match count {
            0 => _ = succeed(Command::new(PROGRAM).args(&arguments)),
            _ => _ = succeed(&mut ranks(count, "", &arguments)),
        }
        last(&out)
    };
    let expected = run(0);
    for count in [2, 4] {
        assert!(run(count) == expected, "{count} ranks: other bytes");
    }
}

#[test]
fn a_killed_rank_ends_all_and_another_number_goes_on() {
    let (folder, expected) = whole();
    for (count, then) in [(4, 2), (2, 1)] {
        let out = folder.path().join(format!("killed{count}"));
        let (child, processes) = begun(count, &out, &train("gpt-nano", &out));
        signal(processes[count - 1], libc::SIGKILL);
        let output = child.wait_with_output().expect("mpirun ends");
        assert!(!output.status.success(), "{}", said(&output));
        wait_until("the end of all ranks", || self::processes(&out).is_empty());
        if then == 1 {
            succeed(Command::new(PROGRAM).args(resume(&out)));
        } else {
            succeed(&mut ranks(then, "", &resume(&out)));
        }
        assert!(last(&out) == expected, "{count} ranks, then {then}: other bytes");
    }
}

#[test]
fn a_signal_to_any_rank_saves_and_stops_all() {
    let (folder, expected) = whole();
    // To one alone, and to all, one after the other, as launchers do.
    for signalled in [&[1][..], &[1, 0]] {
        let out = folder.path().join(format!("stopped-{}", signalled.len()));
        let (child, processes) = begun(2, &out, &train("gpt-nano", &out));
        for &rank in signalled {
            signal(processes[rank], libc::SIGTERM);
            thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().expect("mpirun ends");
        assert_eq!(output.status.code(), Some(128 + libc::SIGTERM), "{}", said(&output));
        let told = said(&output);
        let stopped = told.split_once("stopped after step ").and_then(|(_, rest)| rest.split_once(';')?.0.parse::<u64>().ok());
        let stopped = stopped.unwrap_or_else(|| panic!("no step in {told}"));
        assert!(stopped < STEPS && step_file(&out.join("checkpoints"), stopped).exists(), "{told}");
        succeed(&mut ranks(4, "", &resume(&out)));
        assert!(last(&out) == expected, "other bytes");
    }
}

#[test]
fn a_slow_rank_changes_nothing() {
    let (folder, expected) = whole();
    let out = folder.path().join("slow");
    let (child, processes) = begun(2, &out, &train("gpt-nano", &out));
    let slow = processes[1];
    let slowed = thread::spawn(move || {
        for _ in 0..40 {
            signal(slow, libc::SIGSTOP);
            thread::sleep(Duration::from_millis(30));
            signal(slow, libc::SIGCONT);
            thread::sleep(Duration::from_millis(20));
        }
    });
    let output = child.wait_with_output().expect("mpirun ends");
    slowed.join().expect("a thread");
    assert!(output.status.success(), "{}", said(&output));
    assert!(last(&out) == expected, "other bytes");
}

/// What a run that fails says, and its exit code.
fn failing(command: &mut Command) -> (String, Option<i32>) {
    let output = output(command);
    (said(&output), output.status.code())
}

#[test]
fn a_rank_that_fails_ends_all_with_its_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("failed");
    let arguments = train("gpt-nano", &out);
    // The second rank is asked for more threads than there can be, while the first one waits for it.
    let mut command = mpirun();
    let second: Vec<String> =
        arguments.iter().map(|argument| if argument == "1" { "100000".to_string() } else { argument.clone() }).collect();
    command.args(["-n", "1", PROGRAM]).args(&arguments).args([":", "-n", "1", PROGRAM]).args(second);
    let (told, code) = failing(&mut command);
    assert!(code == Some(2) && told.contains("rank 1 of 2: --threads: expected 1 to 1024"), "{code:?}: {told}");
    // In mid-run the first one loses the place of its checkpoints; what was saved is good.
    let out = folder.path().join("lost");
    let (child, _) = begun(2, &out, &train("gpt-nano", &out));
    let kept: PathBuf = out.join("kept");
    fs::rename(out.join("checkpoints"), &kept).expect("a folder");
    let output = child.wait_with_output().expect("mpirun ends");
    assert!(output.status.code() == Some(1) && said(&output).contains("rank 0 of 2: writing "), "{:?}: {}", output.status, said(&output));
    wait_until("the end of all ranks", || processes(&out).is_empty());
    fs::remove_dir_all(out.join("checkpoints")).ok();
    fs::rename(&kept, out.join("checkpoints")).expect("a folder");
    succeed(&mut ranks(4, "", &resume(&out)));
}

#[test]
fn ranks_that_cannot_share_the_micro_batches_are_told_which_numbers_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("three");
    let (told, code) = failing(&mut ranks(3, "", &train("gpt-nano", &out)));
    assert!(code == Some(2) && told.contains("micro-batches of a step: 1, 2, 4, found 3") && told.contains("hint: "), "{code:?}: {told}");
    assert_eq!(told.matches("the number of ranks").count(), 1, "the first rank alone tells it: {told}");
    assert!(!out.exists(), "a run that did not begin leaves nothing");
    // A run whose micro-batches see each other cannot be shared.
    let mut in_order = train("gpt-nano", &out);
    in_order.iter_mut().filter(|argument| *argument == "votes").for_each(|argument| *argument = "in-order".into());
    let (told, code) = failing(&mut ranks(2, "", &in_order));
    assert!(code == Some(2) && told.contains("train.reduce: expected votes or gradients on 2 ranks, found in-order"), "{code:?}: {told}");
}

/// Two machines, as far as one can be two: ranks in network namespaces of their own, which a pair of virtual interfaces joins.
#[test]
fn messages_between_network_namespaces_change_nothing() {
    let names = ["a", "b"].map(|name| format!("primal-{}-{name}", std::process::id()));
    let ip = |line: String| Command::new("ip").args(line.split_whitespace()).output().is_ok_and(|output| output.status.success());
    if !ip(format!("netns add {}", names[0])) {
        println!("this machine lets nobody make network namespaces: TCP on one of them is tried elsewhere");
        return;
    }
    let _gone = names.clone().map(Namespace);
    let [a, b] = &names;
    let device = format!("pr{}", std::process::id() % 100_000);
    for line in [
        format!("netns add {b}"),
        format!("link add {device}a type veth peer name {device}b"),
        format!("link set {device}a netns {a}"),
        format!("link set {device}b netns {b}"),
        format!("-n {a} addr add 10.213.7.1/24 dev {device}a"),
        format!("-n {b} addr add 10.213.7.2/24 dev {device}b"),
        format!("-n {a} link set {device}a up"),
        format!("-n {b} link set {device}b up"),
        format!("-n {a} link set lo up"),
        format!("-n {b} link set lo up"),
    ] {
        assert!(ip(line.clone()), "ip {line}");
    }
    let (folder, expected) = whole();
    let out = folder.path().join("namespaces");
    // What starts the second machine's part of mpirun, as `ssh` would: host and command. Machines have names of their own.
    let agent = folder.path().join("agent.sh");
    let script = format!("#!/bin/sh\nshift\nexec ip netns exec {b} unshare --uts sh -c \"hostname {b}; $*\"\n");
    fs::write(&agent, script).expect("a script");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("a script");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", a, "mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "plm_rsh_agent"]).arg(&agent);
    command
        .args("--mca pml ob1 --mca btl tcp,self --mca btl_tcp_if_include 10.213.7.0/24 --mca oob_tcp_if_include 10.213.7.0/24".split(' '));
    command.args(["--host", "10.213.7.1:1,10.213.7.2:1", "-n", "2", PROGRAM]).args(train("gpt-nano", &out));
    let told = succeed(&mut command);
    assert!(told.contains("on each of 2 ranks"), "{told}");
    assert!(last(&out) == expected, "other bytes");
}

/// A network namespace that goes with it.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}
