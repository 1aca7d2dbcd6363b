//! Makes the lexicon of the program from CMUdict.

mod cmudict;

use std::path::PathBuf;

use argh::FromArgs;
use primal_host::speech::Lexicon;
use primal_host::speech::dictionary::Dictionary;

/// measure, or make, what turns words into phones
#[derive(FromArgs)]
struct Arguments {
    /// write a lexicon file
    #[argh(option)]
    write: Option<PathBuf>,
    /// given by cargo bench
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "cargo passes it to every benchmark")]
    bench: bool,
}

fn main() {
    let arguments: Arguments = argh::from_env();
    let words = cmudict::read();
    println!("{} words", words.len());
    if let Some(path) = arguments.write {
        let packed = Dictionary::pack(words.iter().map(|(word, phones)| (&word[..], &phones[..])));
        let file = Lexicon::to_file(&packed, |content| zstd::encode_all(content, 22).expect("compression in memory"));
        std::fs::write(&path, &file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}: {} bytes", path.display(), file.len());
    }
}
