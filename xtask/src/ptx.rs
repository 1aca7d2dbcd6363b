//! Kernels in PTX text: what a launcher must know of them, and what they must not do.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Metadata of a kernel, from the statics that `gpu::kernels!` puts beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The entry's name.
    pub name: String,
    /// Names and Rust types.
    pub parameters: Vec<(String, String)>,
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Items of a block in x and y.
    pub covers: [u32; 2],
}

/// Takes the metadata out of the PTX, and writes each kernel's block size into it, so that a launch with another one
/// fails, and how many `blocks` a multiprocessor must hold.
pub fn extract(ptx: &str, blocks: u32) -> Result<(String, Vec<Kernel>), String> {
    let mut statics = BTreeMap::new();
    let mut lines = Vec::new();
    for line in ptx.lines() {
        match parse_static(line) {
            Some((name, bytes)) => _ = statics.insert(name, bytes),
            None => lines.push(line),
        }
    }
    let (mut text, mut kernels, mut entry) = (String::new(), Vec::new(), None);
    for line in lines {
        text.push_str(line);
        text.push('\n');
        if let Some(name) = line.strip_prefix(".visible .entry ") {
            let kernel = kernel(name.trim_end_matches(['(', ')']), &statics)?;
            entry = Some((kernel, Vec::new()));
        } else if let Some((_, types)) = &mut entry
            && let Some(parameter) = line.trim_start().strip_prefix(".param ")
        {
            types.push(parameter.split_whitespace().next().unwrap_or_default().to_owned());
        }
        // The closing parenthesis of the parameters, which a comment may follow.
        if (line.starts_with(')') || line.ends_with("()"))
            && let Some((kernel, types)) = entry.take()
        {
            check_types(&kernel, &types)?;
            writeln!(text, ".reqntid {}, 1, 1\n.minnctapersm {blocks}", kernel.threads).expect("strings take all");
            kernels.push(kernel);
        }
    }
    if kernels.is_empty() {
        return Err("no kernels in the PTX".to_owned());
    }
    Ok((text, kernels))
}

/// `.visible .global .align 4 .b8 add__launch[16] = {0, 1};` as a name and 16 bytes.
fn parse_static(line: &str) -> Option<(&str, Vec<u8>)> {
    let (declaration, values) = line.strip_prefix(".visible .global ")?.split_once(" = {")?;
    let (_, declaration) = declaration.split_once(".b8 ")?;
    let (name, size) = declaration.strip_suffix(']')?.split_once('[')?;
    if !name.ends_with("__launch") && !name.ends_with("__parameters") {
        return None;
    }
    let mut bytes: Vec<u8> = values.strip_suffix("};")?.split(", ").map(|byte| byte.parse().ok()).collect::<Option<_>>()?;
    bytes.resize(size.parse().ok()?, 0);
    Some((name, bytes))
}

fn kernel(name: &str, statics: &BTreeMap<&str, Vec<u8>>) -> Result<Kernel, String> {
    let get = |what: &str| {
        let key = format!("{name}__{what}");
        statics.get(key.as_str()).ok_or(format!("kernel {name} has no {key}\n  hint: declare it in `kernels!`"))
    };
    let words: Vec<u32> = get("launch")?.chunks(4).map(|b| u32::from_le_bytes(b.try_into().expect("words"))).collect();
    let [threads, shared, x, y] = words[..] else { return Err(format!("kernel {name}: four words of launch data, found {words:?}")) };
    let parameters = String::from_utf8_lossy(get("parameters")?).into_owned();
    let pairs = parameters.split(',').filter_map(|pair| pair.split_once(':'));
    let parameters = pairs.map(|(name, r#type)| (name.trim().to_owned(), r#type.trim().replace("* ", "*"))).collect();
    Ok(Kernel { name: name.to_owned(), parameters, threads, shared, covers: [x, y] })
}

/// The PTX type of a Rust type.
fn ptx_type(r#type: &str) -> Option<&'static str> {
    match r#type {
        pointer if pointer.starts_with('*') => Some(".u64"),
        "u32" => Some(".u32"),
        "i32" => Some(".u32"),
        "u64" => Some(".u64"),
        "f32" => Some(".f32"),
        _ => None,
    }
}

fn check_types(kernel: &Kernel, ptx: &[String]) -> Result<(), String> {
    let names: Vec<&str> = kernel.parameters.iter().map(|(_, r#type)| r#type.as_str()).collect();
    let same_size = |name: &&str, ptx: &String| {
        let size = |t: &str| t.trim_start_matches(['.', 'u', 's', 'f', 'b']).to_owned();
        ptx_type(name).is_some_and(|expected| size(expected) == size(ptx))
    };
    let same = names.len() == ptx.len() && names.iter().zip(ptx).all(|(name, ptx)| same_size(name, ptx));
    if same { Ok(()) } else { Err(format!("kernel {}: parameters {names:?} are {ptx:?} in the PTX", kernel.name)) }
}

/// PTX files of one architecture as one: constants and shared memory that several declare are declared once.
pub fn join<'a>(files: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let (mut text, mut declared) = (String::new(), BTreeMap::new());
    for file in files {
        let (head, body) = file.split_once(".address_size 64\n").ok_or("a PTX file without .address_size 64")?;
        if text.is_empty() {
            writeln!(text, "{head}.address_size 64").expect("strings take all");
        }
        for line in body.lines() {
            let declaration = line
                .split_once('[')
                .filter(|_| line.ends_with(';') && [".extern ", ".global ", ".const "].iter().any(|of| line.starts_with(of)));
            if let Some(name) = declaration.and_then(|(before, _)| before.split_whitespace().last()) {
                match declared.insert(name.to_owned(), line) {
                    Some(before) if before == line => continue,
                    Some(before) => return Err(format!("two kernels declare {name} differently:\n  {before}\n  {line}")),
                    None => {}
                }
            }
            writeln!(text, "{line}").expect("strings take all");
        }
    }
    Ok(text)
}

/// What kernels must not do: symbols that nothing defines, arrays in local memory, and loads and stores whose address space the compiler did not
/// find.
pub fn lint(ptx: &str) -> Vec<String> {
    let (mut faults, mut function) = (Vec::new(), String::new());
    for (number, line) in ptx.lines().enumerate() {
        if let Some((_, name)) = line.split_once(".entry ").or_else(|| line.split_once(".func ")) {
            function = name.trim_end_matches(['(', ')']).to_owned();
        }
        let line = line.trim();
        let instruction = line.strip_prefix('@').and_then(|rest| rest.split_once('\t')).map_or(line, |(_, rest)| rest).trim();
        let opcode = instruction.split_whitespace().next().unwrap_or_default();
        let mut words = opcode.split('.');
        let base = words.next().unwrap_or_default();
        let generic = ["ld", "st", "atom", "red"].contains(&base)
            && !words.any(|word| ["global", "shared", "param", "const", "local"].contains(&word.split(':').next().unwrap_or_default()));
        if generic {
            faults.push(format!("{function}, line {}: {opcode} on a generic address", number + 1));
        } else if instruction.starts_with(".local ") {
            faults.push(format!("{function}, line {}: an array in local memory", number + 1));
        } else if instruction.starts_with(".extern ") && !instruction.starts_with(".extern .shared ") {
            faults.push(format!("line {}: a symbol that nothing defines: {instruction}", number + 1));
        } else if base == "call" {
            faults.push(format!("{function}, line {}: a call: {instruction}", number + 1));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "\
.visible .global .align 1 .b8 add__parameters[21] = {121, 32, 58, 32, 42, 109, 117, 116, 32, 102, 51, 50, 44, 32, 110, 32, 58, 32, 117, 51, 50};
.visible .global .align 4 .b8 add__launch[16] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 1};
.visible .entry add(
\t.param .u64 .ptr .align 1 add_param_0,
\t.param .u32 add_param_1
)
{
\tret;
}
";

    #[test]
    fn metadata_moves_out_of_the_ptx() {
        let (text, kernels) = extract(PTX, 3).expect("valid");
        let parameters = vec![("y".to_owned(), "*mut f32".to_owned()), ("n".to_owned(), "u32".to_owned())];
        assert_eq!(kernels, [Kernel { name: "add".to_owned(), parameters, threads: 256, shared: 0, covers: [1024, 1] }]);
        assert!(text.contains(")\n.reqntid 256, 1, 1\n.minnctapersm 3\n{"), "{text}");
        assert!(!text.contains("__launch"), "{text}");
    }

    #[test]
    fn metadata_must_be_there_and_agree() {
        assert!(extract(&PTX.replace("add__launch", "other__launch"), 1).is_err());
        assert!(extract(&PTX.replace(".u32 add_param_1", ".u64 add_param_1"), 1).is_err());
        assert!(extract(".version 7.0", 1).is_err());
    }

    #[test]
    fn files_become_one() {
        let file = |name: &str, constant: &str| {
            format!(".version 7.0\n.address_size 64\n.extern .shared .b8 s[];\n.global .b8 c[1] = {{{constant}}};\n.entry {name}()\n")
        };
        let (a, b, other) = (file("a", "1"), file("b", "1"), file("b", "2"));
        let joined = ".version 7.0\n.address_size 64\n.extern .shared .b8 s[];\n.global .b8 c[1] = {1};\n.entry a()\n.entry b()\n";
        assert_eq!(join([a.as_str(), &b].into_iter()).as_deref(), Ok(joined));
        assert!(join([a.as_str(), &other].into_iter()).is_err());
    }

    #[test]
    fn lint_finds_generic_and_local_memory() {
        assert_eq!(lint("\tld.shared.v4.b32 {%r1}, [%rd1];\n@%p1\tst.global.b32 [%rd1], %r1;\n\tld.param.b64 %rd1, [a];"), [""; 0]);
        for fault in [
            "\tld.b32 %r1, [%rd1];",
            "@%p1 \tst.v4.b32 [%rd1], {%r1};",
            "\t.local .align 4 .b8 __local_depot0[64];",
            "\tcall.uni f, ();",
            ".extern .global .align 1 .b8 alloc_1[7];",
        ] {
            assert_eq!(lint(fault).len(), 1, "{fault}");
        }
    }
}
