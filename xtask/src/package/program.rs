//! `primal-host` as it travels: optimised, with CUDA, stripped, and free of libraries that a bare machine lacks.

use std::path::Path;
use std::process::Command;

use crate::{cargo_command, root};

/// The only libraries that it may need; the driver's is looked for when it runs.
const LIBRARIES: [&str; 4] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];
/// The newest glibc whose symbols it may ask for: that of Debian 12 (2.36) and Ubuntu 22.04 (2.35) has them.
const GLIBC: (u32, u32) = (2, 34);

/// Builds it, and writes it to `to`.
pub fn build(to: &Path) -> Result<(), String> {
    let built = cargo_command().args(["build", "--release", "--package", "primal-host", "--features", "cuda"]).current_dir(root()).status();
    if !built.map_err(|error| format!("running cargo: {error}"))?.success() {
        return Err("primal-host was not built".into());
    }
    let from = root().join("target/release/primal-host");
    tool(Command::new("strip").arg("--strip-all").arg("-o").arg(to).arg(&from))?;
    let text = tool(Command::new("readelf").args(["--wide", "--dynamic", "--version-info"]).arg(to))?;
    let newest = check(&text).map_err(|error| format!("{}: {error}", to.display()))?;
    println!("primal-host needs {}, and glibc {}.{} or newer", LIBRARIES.join(", "), newest.0, newest.1);
    Ok(())
}

fn tool(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("running {name}: {error}\n  hint: apt-get install binutils"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name} failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// The newest version of glibc that `readelf` names, if that and all libraries are allowed.
fn check(text: &str) -> Result<(u32, u32), String> {
    let needed = text.lines().filter(|line| line.contains("(NEEDED)")).filter_map(|line| line.split(['[', ']']).nth(1));
    if let Some(other) = needed.clone().find(|library| !LIBRARIES.contains(library)) {
        return Err(format!("expected to need only {}, found {other}", LIBRARIES.join(", ")));
    }
    if needed.count() == 0 {
        return Err("expected the libraries that it needs, found none".into());
    }
    let version = |word: &str| {
        let mut parts = word.strip_prefix("GLIBC_")?.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    let newest = text.split_whitespace().filter_map(version).max().ok_or("expected versions of glibc, found none")?;
    if newest > GLIBC {
        return Err(format!("expected symbols of glibc {}.{} at most, found {}.{}", GLIBC.0, GLIBC.1, newest.0, newest.1));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::check;

    const NEEDED: &str = " 0x01 (NEEDED)  Shared library: [libc.so.6]\n";

    #[test]
    fn the_newest_symbol_decides() {
        let versions =
            |newest: &str| format!("{NEEDED}0x0060: Name: GLIBC_2.9 Flags: none\n  004: 2 (GLIBC_2.2.5)  Name: {newest} Flags: none\n");
        assert_eq!(check(&versions("GLIBC_2.34")), Ok((2, 34)));
        assert!(check(&versions("GLIBC_2.38")).unwrap_err().contains("2.38"));
    }

    #[test]
    fn other_libraries_are_refused() {
        let text = format!("{NEEDED} 0x01 (NEEDED)  Shared library: [libstdc++.so.6]\nName: GLIBC_2.34\n");
        assert!(check(&text).unwrap_err().contains("libstdc++"));
        assert!(check("Name: GLIBC_2.34").is_err());
    }
}
