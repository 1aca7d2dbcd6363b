use super::*;
use crate::data::BytePairs;
use primal_engine::config::Tokenizer;
use proptest::prelude::*;

fn corpus(texts: &[&str], codec: TextCodec, hold_out_test: bool) -> Corpus {
    let sources =
        texts.iter().enumerate().map(|(index, text)| Source::from_text(&format!("text {index}"), text.to_string()).unwrap()).collect();
    let options = CorpusOptions { hold_out_test, ..CorpusOptions::default() };
    Corpus::from_sources(sources, codec, &options).unwrap()
}

fn tokens_of(corpus: &Corpus, split: Split) -> Vec<u32> {
    let mut tokens = vec![0; corpus.tokens(split) as usize];
    if !tokens.is_empty() {
        corpus.read(split, 0, &mut tokens);
    }
    tokens
}

#[test]
fn stories_are_the_default() {
    let options = CorpusOptions { stories_bytes: 50_000, ..CorpusOptions::default() };
    let sources = ["stories".to_string()];
    let corpus = Corpus::open(&sources, TextCodec::Bytes, &options).unwrap();
    let text = stories(options.stories_seed, options.stories_bytes);
    assert_eq!(corpus.tokens(Split::All), text.len() as u64);
    let share = corpus.tokens(Split::Validation) as f64 / text.len() as f64;
    assert!((0.04..0.06).contains(&share), "validation is {share} of the data");
    let line = corpus.describe();
    assert!(line.starts_with("stories: ") && line.contains("for validation"), "{line}");
    corpus.require(4, 256).unwrap();
}

#[test]
fn files_are_mapped_and_sampled() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for seed in 0..3 {
        std::fs::write(data.join(format!("{seed}.txt")), stories(seed, 20_000)).unwrap();
    }
    let options = CorpusOptions { cache: Some(cache.clone()), ..CorpusOptions::default() };
    let sources = [data.display().to_string()];
    for codec in Tokenizer::ALL.map(|tokenizer| TextCodec::named(tokenizer).unwrap()) {
        let mut rows = Vec::new();
        // The second opening reads the cache.
        for _ in 0..2 {
            let corpus = Corpus::open(&sources, codec.clone(), &options).unwrap();
            let (mut inputs, mut targets) = (vec![0; 8 * 32], vec![0; 8 * 32]);
            corpus.sample(7, Draw { step: 3, micro_batch: 1, of: 2 }, 32, &mut inputs, &mut targets, &mut Vec::new());
            rows.push((inputs, targets, corpus.fingerprint(), corpus.describe()));
        }
        assert_eq!(rows[0], rows[1]);
    }
    // Of three files, the tokens of two tokenizers; bytes need none.
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 6);
}

#[test]
fn sampling_is_a_function_of_its_arguments() {
    let text = stories(1, 100_000);
    let corpus = corpus(&[&text], TextCodec::Bytes, false);
    let sample = |seed, step, micro_batch, batch: usize| {
        let mut inputs = vec![0; batch * 16];
        let mut targets = vec![0; batch * 16];
        corpus.sample(seed, Draw { step, micro_batch, of: 4 }, 16, &mut inputs, &mut targets, &mut Vec::new());
        (inputs, targets)
    };
    assert_eq!(sample(1, 2, 3, 4), sample(1, 2, 3, 4));
    // A row does not depend on how many there are.
    assert_eq!(sample(1, 2, 3, 4).0[..32], sample(1, 2, 3, 2).0);
    for other in [(2, 2, 3), (1, 3, 3), (1, 2, 4)] {
        assert_ne!(sample(1, 2, 3, 4), sample(other.0, other.1, other.2, 4), "{other:?}");
    }
    let (inputs, targets) = sample(1, 2, 3, 4);
    for row in 0..4 {
        assert_eq!(inputs[row * 16 + 1..][..15], targets[row * 16..][..15], "row {row}");
    }
}

#[test]
fn long_lines_leave_every_split_its_part() {
    let words = "word ".repeat(4000);
    for text in [format!("title\n{words}"), format!("{words}\nend"), words.clone(), words.replace(' ', ""), words.replace("d ", "d\n")] {
        let corpus = corpus(&[&text], TextCodec::Bytes, true);
        let [train, validation, test] = [Split::Train, Split::Validation, Split::Test].map(|split| corpus.tokens(split) as f64);
        let all = text.len() as f64;
        assert!((0.9..0.99).contains(&(train / all)), "{train} of {all} to train on");
        assert!(validation.min(test) / (validation + test) > 0.2, "{validation} and {test} held back");
        let begin = corpus.codec.decode(&tokens_of(&corpus, Split::Validation)[..4]);
        assert!(!text.contains(char::is_whitespace) || begin == "word", "validation begins with {begin:?}");
    }
}

/// Every start must be equally likely: chi-square over 20 bins, bound at p = 1e-6 for 19 degrees of freedom.
#[test]
fn sampling_is_uniform_over_all_files() {
    const CHI_SQUARE_BOUND: f64 = 63.7;
    let (long, short) = (stories(1, 40_000), stories(2, 9_000));
    let corpus = corpus(&[&long, &short, &long], TextCodec::Bytes, false);
    let starts = corpus.tokens(Split::Train) - 64;
    let mut bins = [0f64; 20];
    let draws = 20_000;
    for step in 0..draws {
        let start = corpus.sample_start(5, step, 0, 0, 64);
        bins[(start * 20 / starts) as usize] += 1.0;
    }
    let expected = draws as f64 / 20.0;
    let chi_square: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
    assert!(chi_square < CHI_SQUARE_BOUND, "chi-square {chi_square}, bins {bins:?}");
}

#[test]
fn too_little_data_is_named() {
    let corpus = corpus(&[&"line\n".repeat(40)], TextCodec::Bytes, false);
    let error = corpus.require(4, 64).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(text.contains("text 0") && text.contains("257") && text.contains("190"), "{text}");
    corpus.require(2, 64).unwrap();
    assert!(corpus.require_split(Split::Test).unwrap_err().to_string().contains("test split"));
    assert!(corpus.require(usize::MAX, 2).is_err());
}

#[test]
fn fingerprint_follows_the_content() {
    let text = stories(1, 3_000);
    let same = corpus(&[&text], TextCodec::Bytes, false).fingerprint();
    assert_eq!(same, corpus(&[&text], TextCodec::Bytes, true).fingerprint());
    let changed = text.replacen('a', "b", 1);
    for (what, other) in [
        ("content", corpus(&[&changed], TextCodec::Bytes, false)),
        ("tokenizer", corpus(&[&text], TextCodec::Pairs(BytePairs::gpt2()), false)),
        ("number of files", corpus(&[&text, &text], TextCodec::Bytes, false)),
    ] {
        assert_ne!(same, other.fingerprint(), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn splits_partition_the_tokens(
        texts in proptest::collection::vec("([a-z é]{0,30}\n){1,20}", 1..5),
        hold_out in any::<bool>(),
        gpt2 in any::<bool>(),
    ) {
        let tokenizer = if gpt2 { TextCodec::Pairs(BytePairs::gpt2()) } else { TextCodec::Bytes };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let corpus = corpus(&texts, tokenizer.clone(), hold_out);
        let all = corpus.tokens(Split::All);
        let parts: u64 = [Split::Train, Split::Validation, Split::Test]
            .iter()
            .map(|&split| corpus.tokens(split))
            .sum();
        prop_assert_eq!(parts, all);
        prop_assert_eq!(tokenizer.decode(&tokens_of(&corpus, Split::All)), texts.concat());
        // Cut and joined again per file, the splits give the text back.
        let mut joined = [String::new(), String::new(), String::new()];
        for text in &texts {
            let source = Source::from_text("t", text.to_string()).unwrap();
            for (joined, split) in joined.iter_mut().zip([Split::Train, Split::Validation, Split::Test]) {
                let range = source.range(split, hold_out);
                joined.push_str(&text[range.start as usize..range.end as usize]);
            }
        }
        for (joined, split) in joined.iter().zip([Split::Train, Split::Validation, Split::Test]) {
            prop_assert_eq!(joined, &tokenizer.decode(&tokens_of(&corpus, split)));
        }
    }

    #[test]
    fn samples_lie_inside_the_training_split(
        texts in proptest::collection::vec("([a-z]{0,30}\n){1,20}", 1..5),
        seed in any::<u64>(),
        step in any::<u64>(),
        seq_len in 1usize..20,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let corpus = corpus(&texts, TextCodec::Bytes, false);
        prop_assume!(corpus.tokens(Split::Train) > seq_len as u64);
        let train = tokens_of(&corpus, Split::Train);
        let (mut inputs, mut targets) = (vec![0; 4 * seq_len], vec![0; 4 * seq_len]);
        corpus.sample(seed, Draw { step, micro_batch: 0, of: 1 }, seq_len, &mut inputs, &mut targets, &mut Vec::new());
        for row in 0..4 {
            let start = corpus.sample_start(seed, step, 0, row as u32, seq_len) as usize;
            prop_assert!(start + seq_len < train.len());
            prop_assert_eq!(&inputs[row * seq_len..][..seq_len], &train[start..][..seq_len]);
            prop_assert_eq!(&targets[row * seq_len..][..seq_len], &train[start + 1..][..seq_len]);
        }
    }

    #[test]
    fn windows_have_every_target_once(
        texts in proptest::collection::vec("([a-z é]{0,30}\n){1,40}", 1..4),
        seq_len in 1usize..40,
        gpt2 in any::<bool>(),
    ) {
        let tokenizer = if gpt2 { TextCodec::Pairs(BytePairs::gpt2()) } else { TextCodec::Bytes };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let corpus = corpus(&texts, tokenizer.clone(), false);
        for split in [Split::Train, Split::Validation, Split::Test, Split::All] {
            let expected = tokens_of(&corpus, split);
            let (mut seen, mut bytes) = (Vec::new(), 0);
            let windows = (0..).map(|index| corpus.window(split, seq_len, index)).take_while(|window| window.len > 0);
            let windows: Vec<TokenWindow> = windows.collect();
            prop_assert_eq!(windows.len(), expected.len().saturating_sub(1).div_ceil(seq_len));
            for window in windows {
                let (mut inputs, mut targets) = (vec![u32::MAX; seq_len], vec![u32::MAX; seq_len]);
                corpus.read_window(window, &mut inputs, &mut targets);
                prop_assert_eq!(&inputs[..window.len], &expected[window.start as usize..][..window.len]);
                seen.extend_from_slice(&targets[..window.len]);
                bytes += corpus.window_bytes(window);
            }
            prop_assert_eq!(&seen[..], expected.get(1..).unwrap_or_default());
            prop_assert_eq!(bytes, corpus.bytes_in(split));
            let lengths: usize = seen.iter().map(|&token| tokenizer.bytes_of(token)).sum();
            prop_assert_eq!(bytes, lengths as u64);
        }
    }
}
