//! The study in a single pass: books that are learnt once, so that an optimizer that merely forgets less of what it repeats gains nothing by it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use primal_engine::config::Windows;
use primal_host::data::CorpusOptions;

use super::arms::{Arm, BATCH, SEQ_LEN, Size};
use super::{Outcome, Result, Run, Text, Texts, corpus, rates};

/// The seed of all runs, and those that the arms of [`SEEDED`] have besides at 1M.
pub const SEED: u64 = 1;
const OTHER_SEEDS: [u64; 2] = [2, 3];
/// Arms that run with other seeds at their best rate.
const SEEDED: [Arm; 4] = [Arm::ADAMW, Arm::ADAMW_DECAY, Arm::VOTES, Arm::FOUR_BITS];

pub const SIZES: [Size; 3] = [
    // 10.0, 30.0 and 100.0 million bytes; the last is for a GPU.
    Size { name: "1M", dim: 144, layers: 4, heads: 4, steps: 4883, seeds: &[SEED], lrs: &[] },
    Size { name: "3M", dim: 256, layers: 4, heads: 4, steps: 14649, seeds: &[SEED], lrs: &[] },
    Size { name: "10M", dim: 384, layers: 6, heads: 6, steps: 48829, seeds: &[SEED], lrs: &[] },
];

/// Arms that try rates, and the rates at 1M that they begin with, in rising order.
pub const TUNED: [(Arm, [f32; 3]); 8] = [
    (Arm::ADAMW, RATES),
    (Arm::VOTES, RATES),
    (Arm::FOUR_BITS, RATES),
    (Arm::MASTER, RATES),
    (Arm::ADAMW_DECAY, RATES),
    (Arm::SLOW_QAT, RATES),
    (Arm::CHANCE, [3.5e-4, 1.1e-3, 3.5e-3]),
    (Arm::POLTERGEIST, [1.4e-2, 2.8e-2, 5.6e-2]),
];
const RATES: [f32; 3] = [3.5e-3, 7e-3, 1.4e-2];

/// Arms at the best rate of votes, 1M.
pub const OTHERS: [Arm; 10] =
    [Arm::INT4, Arm::UNIFORM16, Arm::FINE15, Arm::PRIME13, Arm::PRIME15, Arm::NF4, Arm::E2M1, Arm::SPREAD, Arm::PEAKED, Arm::NATURAL];

/// Every arm.
pub fn arms() -> impl Iterator<Item = Arm> {
    TUNED.into_iter().map(|(arm, _)| arm).chain(OTHERS)
}

/// All runs that are wanted by now, in the order in which they tell most.
pub fn runs(outcomes: &[Outcome]) -> Vec<Run> {
    let [small, large, largest] = &SIZES;
    let run = |size: &'static Size, arm, lr| Run { size, arm, lr, seed: SEED, steps: size.steps, windows: Windows::Epochs };
    let wanted = |(arm, first): &(Arm, [f32; 3])| (*arm, rates::wanted(first, |lr| loss(outcomes, small, *arm, lr)));
    let tried: Vec<(Arm, Vec<f32>)> = TUNED.iter().map(wanted).collect();
    // One rate of every arm before the next, the middle ones first.
    let tuned = [1, 0, 2].into_iter().chain(3..rates::MOST).flat_map(|i| {
        let wanted = tried.iter().filter_map(move |(arm, rates)| Some((*arm, *rates.get(i)?)));
        wanted.map(|(arm, lr)| run(small, arm, lr))
    });
    let best = |arm: Arm| {
        let (_, rates) = tried.iter().find(|(tuned, _)| tuned.name == arm.name)?;
        rates::best(rates, |lr| loss(outcomes, small, arm, lr))
    };
    let votes = best(Arm::VOTES);
    let others = OTHERS.iter().filter_map(|&arm| Some(run(small, arm, votes?)));
    let seeds = OTHER_SEEDS.into_iter().flat_map(|seed| SEEDED.into_iter().map(move |arm| (seed, arm)));
    let seeds = seeds.filter_map(|(seed, arm)| Some(Run { seed, ..run(small, arm, best(arm)?) }));
    let factors = [1.0, 0.5, 2.0];
    let pairs = [(Arm::ADAMW, 1.0), (Arm::VOTES, 1.0), (Arm::FOUR_BITS, 1.0), (Arm::MASTER, 1.0)];
    let pairs = pairs.into_iter().chain(factors[1..].iter().flat_map(|&factor| [(Arm::ADAMW, factor), (Arm::VOTES, factor)]));
    let at_large = pairs.filter_map(|(arm, factor)| Some(run(large, arm, best(arm)? * factor)));
    let at_largest = [Arm::ADAMW, Arm::VOTES].into_iter().filter_map(|arm| {
        let wanted = factors.map(|factor| Some(best(arm)? * factor));
        let wanted: Vec<f32> = wanted.into_iter().collect::<Option<_>>()?;
        Some(run(largest, arm, rates::best(&wanted, |lr| loss(outcomes, large, arm, lr))?))
    });
    tuned.chain(others).chain(seeds).chain(at_large).chain(at_largest).collect()
}

/// The validation loss of an arm at a size and a rate, with the seed that all have.
fn loss(outcomes: &[Outcome], size: &Size, arm: Arm, lr: f32) -> Option<f64> {
    outcomes.iter().find(|o| o.size == size.name && o.arm == arm.name && o.seed == SEED && o.lr == lr).map(|o| o.validation)
}

/// Bytes of the text that chooses rates, and of the text that no choice has seen.
const HELD_OUT: usize = 1_000_000;

/// Writes the texts of the study beside its runs: the beginning of all books in order, and of `books-validation` the first and the last part.
pub fn texts(books: &Path, runs: &Path) -> Result<Texts> {
    let entries = fs::read_dir(books).map_err(|e| format!("{}: {e}", books.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_text(path)).collect();
    files.sort();
    let is_held_out = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("validation"));
    let (held_out, learnt): (Vec<_>, Vec<_>) = files.into_iter().partition(is_held_out);
    let held_out = held_out.first().ok_or_else(|| {
        format!(
            "{}: expected books in .txt or .txt.zst, one of them with `validation` in its name; found none of that name",
            books.display()
        )
    })?;
    fs::create_dir_all(runs).map_err(|e| format!("{}: {e}", runs.display()))?;
    let held_out = text_of(held_out, usize::MAX)?;
    if held_out.len() < 2 * HELD_OUT {
        return Err(format!("{}: expected {} bytes held out, found {}", books.display(), 2 * HELD_OUT, held_out.len()));
    }
    let [validation, test] = ["validation", "test"].map(|name| runs.join(format!("{name}.txt")));
    write(&validation, head(&held_out, HELD_OUT))?;
    write(&test, &held_out[boundary(&held_out, held_out.len() - HELD_OUT)..])?;
    let mut training = Vec::new();
    for size in &SIZES {
        // `train` keeps a twentieth of a text for validation.
        let wanted = (size.steps as usize * BATCH * SEQ_LEN + SEQ_LEN + 1) * 20 / 19 + 20;
        let mut text = String::new();
        for file in &learnt {
            if text.len() < wanted {
                text += &text_of(file, wanted - text.len())?;
            }
        }
        if text.len() + 4 < wanted {
            if training.is_empty() {
                return Err(format!("{}: expected {wanted} bytes to learn at {}, found {}", books.display(), size.name, text.len()));
            }
            println!("{}: {} bytes are too few for {}, which takes {wanted}", books.display(), text.len(), size.name);
            break;
        }
        let path = runs.join(format!("{}.txt", size.name));
        write(&path, &text)?;
        let all = [&validation, &test, &path].map(|path| path.display().to_string());
        let fingerprint = format!("{:016x}", corpus(&all, &CorpusOptions::default())?.fingerprint());
        training.push(Text { size: size.name, path, fingerprint });
    }
    Ok(Texts { training, held_out: Some([validation, test]) })
}

fn is_text(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".txt") || name.ends_with(".txt.zst")
}

/// The beginning of a file's text, to a whole character.
fn text_of(path: &Path, most: usize) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    let limit = most.saturating_add(4) as u64;
    if path.extension().is_some_and(|extension| extension == "zst") {
        let decoder = ruzstd::decoding::StreamingDecoder::new(file).map_err(|e| failed(&e))?;
        decoder.take(limit).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    } else {
        file.take(limit).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    }
    let whole = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if bytes.len() - whole.len() > 3 {
        return Err(format!("{}: expected UTF-8, found another byte at {}", path.display(), whole.len()));
    }
    Ok(head(whole, most).to_string())
}

/// The first bytes of a text, to a whole character.
fn head(text: &str, most: usize) -> &str {
    &text[..boundary(text, most)]
}

/// Where a character begins, at a byte or before it.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Writes a text; one that is there already stays as it is.
fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}
