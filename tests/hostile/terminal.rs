//! What comes from a file drives no terminal.

use std::process::Command;

use crate::{Contents, Place, forge, refusal, text, tiny_run};

/// A tensor's name that clears a terminal, sets its title, moves back, begins a line and turns the direction of writing.
pub const NAME: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{8}\r\nstep 9; all is well\u{202e}\u{7f}";

/// Checks that a text has no character that a terminal obeys.
pub fn require_harmless(what: &str, text: &str) {
    let found = text.chars().find(|&c| (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202A}'..='\u{202E}'));
    assert!(found.is_none(), "{what}: {found:?} in {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("step 9")), "{what}: a line of the file's own in {text:?}");
}

#[test]
fn clause_14_names_of_a_checkpoint_are_masked() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 1);
    forge(&checkpoint, &place.path("named.safetensors"), |file: &mut Contents| {
        let (_, dtype, shape, bytes) = file.tensors[0].clone();
        file.tensors.push((NAME.into(), dtype, shape, bytes));
    });
    require_harmless("info", &place.succeeds(&["info", "named.safetensors"]));
    // And where a message says what else there is.
    forge(&checkpoint, &place.path("named.safetensors"), |file: &mut Contents| {
        for (name, ..) in &mut file.tensors {
            *name = format!("{name}{NAME}");
        }
        file.metadata.insert(NAME.into(), NAME.into());
        file.metadata.remove("step");
    });
    for arguments in [&["info", "named.safetensors"][..], &["generate", "--checkpoint", "named.safetensors"]] {
        require_harmless("a message", &place.refused(arguments));
    }
}

#[test]
fn clause_14_other_files_are_masked_in_messages() {
    let place = Place::new();
    let escaped: String = NAME.chars().map(|c| format!("\\U{:08x}", c as u32)).collect();
    place.write("odd.toml", format!("[model]\n\"{escaped}\" = 1\n"));
    let name = "n\u{1b}[31m.toml";
    place.write(name, "[model]\nx = 1\n");
    for config in ["odd.toml", name, "none\u{1b}[31m"] {
        require_harmless(config, &place.refused(&["plan", "--config", config]));
    }
    // A checkpoint of PyTorch, whose keys are named.
    place.write("model.pt", crate::import::generator_under(NAME, &[]));
    let arguments = ["import", "hifigan", "model.pt", "--key", "x", "--out", "out.safetensors"];
    require_harmless("keys", &refusal(&arguments, &place.run(&arguments)));
}

#[test]
#[cfg(target_os = "linux")]
fn clause_14_generated_text_drives_no_terminal() {
    let place = Place::new();
    let checkpoint = tiny_run(&place, 1);
    let command =
        place.command(&["generate", "--max-tokens", "40", "--temperature", "2", "--checkpoint", &checkpoint.display().to_string()]);
    let words: Vec<String> = command.get_args().skip(2).map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let line = format!("{} --prompt \"$(printf 'a\\033[2Jb\\302\\23331mc')\"", words.join(" "));
    let piped = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    assert!(text(&piped.stdout).starts_with("a\u{1b}[2Jb\u{9b}31mc"), "a pipe gets the text as it is: {:?}", text(&piped.stdout));
    // util-linux gives the command a terminal.
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output().expect("script, of util-linux");
    let shown = text(&output.stdout).replace("\r\n", "\n");
    assert!(output.status.success() && shown.starts_with("a·[2Jb·31mc"), "{shown:?}");
    require_harmless("generate", &shown);
}
