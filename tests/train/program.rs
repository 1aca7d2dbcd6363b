//! The program, run in a folder.

use std::path::Path;
use std::process::Command;

/// What the program says in a folder, where it ends with that code.
pub fn program(folder: &Path, line: &str, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let output = command.current_dir(folder).args(line.split_whitespace()).output().expect("primal-host runs");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(output.status.code(), Some(code), "{line}: {err}");
    out + &err
}
