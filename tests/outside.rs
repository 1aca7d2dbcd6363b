//! The engine as another program sees it: a crate outside of this workspace depends on it by path, sets no variable, and runs the example of its front
//! page, with the feature `cuda` and without.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The first example in a crate's front page.
fn example(front_page: &str) -> String {
    let page: Vec<&str> = front_page.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let code = page.iter().skip_while(|line| line.trim() != "```").skip(1).take_while(|line| line.trim() != "```");
    // A line that rustdoc hides begins with a hash.
    code.map(|line| line.trim_start().strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_crate_outside_of_the_workspace_runs_the_front_page() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = engine.join("../../..");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("a file");
    fs::create_dir(folder.path().join("src")).expect("a folder");
    write("src/main.rs", example(include_str!("../host/crates/engine/src/lib.rs")));
    // The versions of this workspace, and its settings: what is built already need not be built again, nor fetched.
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("the versions");
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [features]\ncuda = [\"primal-engine/cuda\"]\n\n\
         [dependencies]\nprimal-engine = {{ path = {engine:?} }}\n\n\
         [profile.dev]\nopt-level = 2\ndebug = \"line-tables-only\"\n\n[workspace]\n"
    );
    write("Cargo.toml", manifest);
    for features in ["", "cuda"] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["run", "--quiet", "--features", features]).current_dir(folder.path());
        cargo.env("CARGO_TARGET_DIR", root.join("target/outside"));
        // What cargo and this workspace's configuration set for this test.
        let set = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().contains("CUDA") || name == "CARGO_MANIFEST_DIR");
        set.for_each(|(name, _)| _ = cargo.env_remove(name));
        let output = cargo.output().expect("cargo");
        let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "features {features:?}: {said}{errors}");
        assert!(said.contains("nats a byte"), "features {features:?}: {said}{errors}");
    }
}
