//! A small model learns words and their phones from a text, and reads them back.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "train/trainer.rs"]
mod trainer;

use primal_engine::config::{ConfigOf, LlamaConfig};
use primal_engine::files;
use primal_engine::files::checkpoint::encode;
use primal_engine::models::llama::Llama;
use primal_engine::train::state;
use primal_host::data::{Corpus, CorpusOptions, Source, TextCodec};
use primal_host::voice::letters::Letters;
use primal_speech::{phone, spelling};

/// Words, and what their letters stand for.
const WORDS: [(&str, &[(&str, &str)]); 4] = [
    ("lead", &[("l", "L"), ("ea", "EH1"), ("d", "D")]),
    ("able", &[("a", "EY1"), ("b", "B"), ("l", "AH0 L"), ("e", "")]),
    ("deal", &[("d", "D"), ("ea", "IY1"), ("l", "L")]),
    ("box", &[("b", "B"), ("o", "AA1"), ("x", "K S")]),
];

#[test]
fn words_are_read_as_they_were_learnt() {
    let lines = WORDS.map(|(_, parts)| {
        let parts: Vec<_> = parts.iter().map(|(letters, names)| (letters.as_bytes(), phone::parse(names).expect("phones"))).collect();
        spelling::line(parts.iter().map(|(letters, phones)| (*letters, &phones[..]))).expect("sounds of the table")
    });
    // All orders of two, so that none follows from the line before.
    let text: String = (0..64).map(|at| [&lines[at % 4][..], &lines[at / 4 % 4]].concat()).collect();
    let source = Source::from_text("words", text).expect("a text");
    let corpus = Corpus::from_sources(vec![source], TextCodec::Bytes, &CorpusOptions::default()).expect("a corpus");
    let text = "[model]\narchitecture = \"llama\"\ndim = 32\nlayers = 2\nheads = 2\nhidden = 64\ncontext = 64\ntokenizer = \"bytes\"\ngrid = \"uniform15\"\n\
                [train]\nanswers_after = \"\\t\"\nsteps = 150\nbatch = 4\nseq_len = 64\nlr = 5e-3\nwarmup = 10\n";
    let config: ConfigOf<LlamaConfig> = ConfigOf::parse(text, "a test").expect("a configuration");
    let mut trainer = trainer::trainer::<Llama>(&config);
    let loss = (0..150).map(|_| trainer.step(&corpus).expect("a step").loss).last();
    let bytes = state::checkpoint(&mut trainer, &corpus, encode).expect("a checkpoint");
    let file = files::from_bytes("a test", &bytes).expect("a checkpoint");
    for beam in [1, 3] {
        let mut letters = Letters::new(&*file, beam).expect("a model of letters");
        for (word, parts) in WORDS {
            let expected = parts.iter().map(|(_, names)| *names).filter(|names| !names.is_empty()).collect::<Vec<_>>().join(" ");
            assert_eq!(phone::names(&letters.phones(word)), expected, "{word} by {beam}, after a loss of {loss:?}");
        }
        assert!(letters.phones(&"strengths".repeat(20)).is_empty(), "a word that is too long");
    }
}
