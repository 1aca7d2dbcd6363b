//! What `run.sh` makes of the package where no GPU is, on an emulated one, and with a kernel that computes something else.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::folder::{copy, empty};
use crate::{root, verify};

/// The architecture that is emulated.
const ARCH: &str = "sm_61";
/// Items that must pass on the emulated GPU; of the others the tools are absent.
const PASSING: [&str; 4] = ["machine", "verify", "speed", "summary"];
const ABSENT: [&str; 3] = ["sanitizer", "peer", "kernels"];

/// Checks a package.
pub fn run(folder: &Path) -> Result<(), String> {
    let work = root().join("target/package-check");
    empty(&work)?;
    let driver = verify::emulator()?;
    without_gpu(folder, &work)?;
    emulated(folder, &work, &driver)?;
    broken(folder, &work, &driver)
}

/// On a machine with a driver nothing is found missing, so nothing can be said.
fn without_gpu(folder: &Path, work: &Path) -> Result<(), String> {
    let mut machine = Command::new(folder.join("primal-host"));
    let machine = verify::without_emulator(machine.args(["verify", "machine", "--device", "cuda"])).output();
    if machine.is_ok_and(|output| output.status.success()) {
        println!("package: this machine has a GPU: the message without one was not checked");
        return Ok(());
    }
    let output = run_sh(folder, &work.join("no-gpu"), &[], None)?;
    let text = String::from_utf8_lossy(&output.stderr);
    let clear = text.contains("no GPU can be used") && text.contains("expected") && text.contains("hint");
    if output.status.code() == Some(2) && clear {
        println!("package: without a GPU, run.sh says:\n{}", text.trim_end());
        return Ok(());
    }
    Err(format!("run.sh without a GPU: expected exit code 2 and what is missing, found {}\n{text}", output.status))
}

fn emulated(folder: &Path, work: &Path, driver: &Path) -> Result<(), String> {
    let out = work.join("emulated");
    let output = run_sh(folder, &out, &[], Some(driver))?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let verdicts = verdicts(&out)?;
    let expected = PASSING.iter().map(|name| (*name, "passed")).chain(ABSENT.iter().map(|name| (*name, "absent")));
    for (name, wanted) in expected {
        let found = verdicts.iter().find(|(item, ..)| item == name).map_or("none", |(_, verdict, _)| verdict);
        if found != wanted {
            return Err(format!("run.sh on the emulated GPU: expected item {name} {wanted}, found {found}; see {}", out.display()));
        }
    }
    let summary = fs::read_to_string(out.join("summary.json")).map_err(|error| format!("summary.json: {error}"))?;
    serde_json::from_str::<serde_json::Value>(&summary).map_err(|error| format!("{}/summary.json: {error}", out.display()))?;
    if output.status.success() { Ok(()) } else { Err(format!("run.sh on the emulated GPU: {}", output.status)) }
}

/// Votes are multiplied where they should be added: item 2 must be red, and say of what.
fn broken(folder: &Path, work: &Path, driver: &Path) -> Result<(), String> {
    let copied = work.join("broken");
    for name in ["run.sh", "summary.awk", "predictions.tsv", "step-before.tsv", "step-now.tsv", "VERSION", "primal-host"] {
        copy(&folder.join(name), &copied.join(name))?;
    }
    for entry in fs::read_dir(folder.join("kernels")).map_err(|error| format!("kernels: {error}"))?.flatten() {
        copy(&entry.path(), &copied.join("kernels").join(entry.file_name()))?;
    }
    let ptx = copied.join(format!("kernels/{ARCH}.ptx"));
    let text = fs::read_to_string(&ptx).map_err(|error| format!("{}: {error}", ptx.display()))?;
    fs::write(&ptx, break_kernel(&text, "vote")?).map_err(|error| format!("{}: {error}", ptx.display()))?;
    let out = work.join("broken-results");
    // Only its first check matters here, which takes a second; the others have a minute.
    let output = run_sh(&copied, &out, &["--items", "2", "216"], Some(driver))?;
    let (verdict, log) = (verdicts(&out)?, fs::read_to_string(out.join("2-verify.log")).unwrap_or_default());
    let red = verdict
        .iter()
        .any(|(item, verdict, notes)| item == "verify" && verdict == "failed" && notes.contains("votes and flips: exit code 1"));
    if red && log.contains("FAILED votes") && output.status.code() == Some(1) {
        println!("package: with a broken kernel, item 2 failed, as it must");
        return Ok(());
    }
    Err(format!(
        "run.sh with a broken kernel: expected item 2 failed by its votes, found {verdict:?}, {}; see {}",
        output.status,
        out.display()
    ))
}

/// The text with the first sum of that kernel turned into a product.
fn break_kernel(ptx: &str, name: &str) -> Result<String, String> {
    let lacks = |what: &str| format!("breaking a kernel: expected {what} in the PTX, found none");
    let entry = ptx.find(&format!(".entry {name}(")).ok_or_else(|| lacks(name))?;
    let (before, kernel) = ptx.split_at(entry);
    let end = kernel.find("\n}").ok_or_else(|| lacks("an end"))?;
    let (kernel, after) = kernel.split_at(end);
    let sum = "add.rn.f32";
    if !kernel.contains(sum) {
        return Err(lacks(sum));
    }
    Ok(format!("{before}{}{after}", kernel.replacen(sum, "mul.rn.f32", 1)))
}

fn run_sh(folder: &Path, out: &Path, arguments: &[&str], driver: Option<&Path>) -> Result<Output, String> {
    let mut command = Command::new("sh");
    command.arg(folder.join("run.sh")).arg("--out").arg(out).args(arguments);
    match driver {
        Some(driver) => command.env("LD_LIBRARY_PATH", driver).env("PTX_EMU_ARCH", ARCH),
        None => verify::without_emulator(&mut command),
    };
    command.output().map_err(|error| format!("running sh: {error}"))
}

/// Name, verdict and notes of each item that ran.
fn verdicts(out: &Path) -> Result<Vec<(String, String, String)>, String> {
    let file = out.join("verdicts.tsv");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let fields = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        (fields.len() == 6).then(|| (fields[1].to_owned(), fields[2].to_owned(), fields[5].to_owned()))
    };
    text.lines().map(|line| fields(line).ok_or_else(|| format!("{}: expected six fields, found {line:?}", file.display()))).collect()
}

#[cfg(test)]
mod tests {
    use super::break_kernel;

    #[test]
    fn only_the_named_kernel_is_broken() {
        let ptx = ".entry add(\n{\nadd.rn.f32 a;\n}\n.entry vote(\n{\nadd.rn.f32 b;\nadd.rn.f32 c;\n}\n";
        let broken = ".entry add(\n{\nadd.rn.f32 a;\n}\n.entry vote(\n{\nmul.rn.f32 b;\nadd.rn.f32 c;\n}\n";
        assert_eq!(break_kernel(ptx, "vote").as_deref(), Ok(broken));
        assert!(break_kernel(ptx, "flip").is_err());
    }
}
