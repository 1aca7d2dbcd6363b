//! Runs that begin from a model: `train --from`, whatever its weights are kept as.

#[path = "train/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::f16;
use primal_engine::files::Dtype;
use primal_engine::files::checkpoint::{Checkpoint, TensorRef, save};
use primal_host::report::metrics;
use program::program;

const MODEL: &str = "[model]\narchitecture = 'llama'\ndim = 64\nlayers = 2\nheads = 2\nkv_heads = 1\nhidden = 96\ncontext = 64\n\
    tokenizer = 'bytes'\nembeddings = 'matrix'\ngrid = 'int4'\nscales = 'group32'\n[train]\nbatch = 2\nseq_len = 32\nlr = 1e-9\nwarmup = 1\n\
    validate_every = 0\nsample_every = 0\nvalidation_tokens = 512\n";
/// Blocks of Q8_0: a half and 32 bytes.
const BLOCK: usize = 34;

/// A folder with a text and the models `tied.safetensors` and `untied.safetensors`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let text: String = (0..600).map(|i| format!("line {i} of a text that says {} and {}\n", i % 7, (i * i) % 11)).collect();
    fs::write(path.join("text"), text).expect("a text");
    for (name, more) in [("tied", "tied = true\n"), ("untied", ""), ("floats", "")] {
        let text = MODEL.replace("[train]", &format!("{more}[train]"));
        let text = if name == "floats" { text.replace("embeddings = 'matrix'\n", "") } else { text };
        fs::write(path.join("c.toml"), text).expect("a configuration");
        program(path, &format!("init --config c.toml --out {name}.safetensors"), 0);
    }
    folder
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = Checkpoint::open_verified(path).expect("a checkpoint");
    let bytes = |name: &str| file.tensor(name).expect("a tensor").bytes.to_vec();
    file.names().map(|name| (name.to_owned(), bytes(name))).collect()
}

/// The loss of a checkpoint, nats a token.
fn loss(folder: &Path, checkpoint: &str) -> f64 {
    let json = program(folder, &format!("eval --checkpoint {checkpoint} --data text --seq-len 32 --json"), 0);
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    value["nats_per_token"].as_f64().unwrap_or_else(|| panic!("no loss in {json}"))
}

/// A copy of a model of which a matrix of 64 columns is in blocks of Q8_0, as imports leave them.
fn with_blocks(from: &Path, to: &Path, matrix: &str, rows: usize) {
    let file = Checkpoint::open_verified(from).expect("a checkpoint");
    let mut blocks = Vec::new();
    for block in 0..rows * 2 {
        blocks.extend(f16::from_f32(1e-3).to_le_bytes());
        blocks.extend((0..32).map(|at| ((block * 31 + at * 17) % 201) as u8));
    }
    assert_eq!(blocks.len(), rows * 2 * BLOCK);
    let mut metadata = file.metadata().clone();
    metadata.insert("weights".into(), format!(r#"{{"{matrix}": {{"blocks": "Q8_0"}}}}"#));
    metadata.extend([("license", "of the model"), ("imported_from", "a file")].map(|(key, value)| (key.to_owned(), value.to_owned())));
    let others = file.names().filter(|name| !name.starts_with(matrix)).map(|name| {
        let tensor = file.tensor(name).expect("a tensor");
        TensorRef::new(name, tensor.dtype, tensor.shape, tensor.bytes)
    });
    let blocks_name = format!("{matrix}.blocks");
    let all = others.chain([TensorRef::u8(&blocks_name, &[rows, 2 * BLOCK], &blocks)]);
    save(to, &metadata, &all.collect::<Vec<_>>()).expect("a file");
    assert_eq!(Dtype::Q8_0.byte_len(64), Some(2 * BLOCK));
}

const STEP: &str = "r/checkpoints/step-00000001.safetensors";

#[test]
fn a_run_begins_with_the_weights_of_its_model_in_whatever_form() {
    let folder = folder();
    let path = folder.path();
    with_blocks(&path.join("tied.safetensors"), &path.join("blocks.safetensors"), "embedding.tokens", 256);
    for model in ["tied", "untied", "blocks", "floats"] {
        let before = loss(path, &format!("{model}.safetensors"));
        for optimizer in ["votes", "qat", "adamw"] {
            for embeddings in ["frozen", "grid", "float"] {
                if (model, embeddings) == ("floats", "frozen") {
                    continue;
                }
                let name = format!("{model} by {optimizer}, table {embeddings}");
                let line = format!(
                    "train --from {model}.safetensors --data text --out r --steps 1 --lr 1e-9 --optimizer {optimizer} --embeddings {embeddings}"
                );
                program(path, &line, 0);
                let after = loss(path, STEP);
                // What lay in blocks or floats lies on the grid of 4 bits now.
                let is_rounded = ["blocks", "floats"].contains(&model) && embeddings == "grid" && optimizer != "adamw";
                let tolerance = if is_rounded { 0.1 } else { 2e-5 };
                assert!((after - before).abs() < tolerance, "{name}: loss {before} before, {after} at the start of the run");
                program(path, &format!("export hf {STEP} --out folder"), 0);
                for made in ["r", "folder"] {
                    fs::remove_dir_all(path.join(made)).expect("a folder");
                }
            }
        }
    }
}

#[test]
fn what_is_frozen_stays_and_what_is_trained_moves() {
    let folder = folder();
    let path = folder.path();
    with_blocks(&path.join("tied.safetensors"), &path.join("blocks.safetensors"), "embedding.tokens", 256);
    for (model, embeddings) in
        [("tied", "frozen"), ("tied", "grid"), ("untied", "frozen"), ("untied", "grid"), ("blocks", "frozen"), ("blocks", "grid")]
    {
        let line = format!(
            "train --from {model}.safetensors --data text --out r --steps 3 --lr 3e-2 --start spread --threshold 0.52 --embeddings {embeddings}"
        );
        program(path, &line, 0);
        let (before, after) =
            (tensors(&path.join(format!("{model}.safetensors"))), tensors(&path.join("r/checkpoints/step-00000003.safetensors")));
        let has_moved = |name: &str| before.get(name) != after.get(name);
        let is_trained = embeddings == "grid";
        let name = format!("{model}, {embeddings}");
        for part in ["embedding.tokens.codes", "embedding.tokens.blocks", "head.codes"] {
            if before.contains_key(part) {
                assert_eq!(has_moved(part), is_trained, "{name}: {part}");
            }
        }
        for votes in ["embedding.tokens.votes", "head.votes"] {
            let is_there = is_trained && (votes != "head.votes" || model == "untied");
            assert_eq!(after.contains_key(votes), is_there, "{name}: {votes}");
        }
        assert!(has_moved("blocks.0.attention.q.codes") && has_moved("blocks.1.mlp.down.codes"), "{name}");
        assert!(!has_moved("blocks.0.attention.q.step"), "{name}: scales of groups stay");
        // It can be run and resumed as what it is.
        program(path, "generate --checkpoint r/checkpoints/step-00000003.safetensors --prompt line --max-tokens 3", 0);
        program(path, "train --resume r --steps 4", 0);
        if model == "blocks" {
            let file = Checkpoint::open_verified(path.join("r/checkpoints/step-00000004.safetensors")).expect("a checkpoint");
            assert_eq!(file.metadata().get("license").map(String::as_str), Some("of the model"));
        }
        fs::remove_dir_all(path.join("r")).expect("a folder");
    }
}

#[test]
fn a_layer_on_no_grid_stays_and_is_told_unless_all_are_put_on_one() {
    let folder = folder();
    let path = folder.path();
    with_blocks(&path.join("tied.safetensors"), &path.join("mixed.safetensors"), "blocks.0.mlp.up", 96);
    let train = "train --from mixed.safetensors --data text --out r --steps 3 --lr 3e-2 --start spread --threshold 0.52";
    let said = program(path, train, 0);
    assert!(said.contains("1 linear layers are on no grid") && said.contains("--grid"), "{said}");
    let [before, after] = ["mixed.safetensors", "r/checkpoints/step-00000003.safetensors"].map(|file| tensors(&path.join(file)));
    assert_eq!(before["blocks.0.mlp.up.blocks"], after["blocks.0.mlp.up.blocks"]);
    assert!(!after.contains_key("blocks.0.mlp.up.votes") && after.contains_key("blocks.1.mlp.up.votes"));
    fs::remove_dir_all(path.join("r")).expect("a folder");
    let said = program(path, &format!("{train} --grid int4 --scales group32"), 0);
    assert!(!said.contains("on no grid"), "{said}");
    assert!(tensors(&path.join("r/checkpoints/step-00000003.safetensors")).contains_key("blocks.0.mlp.up.votes"));
    // In floats all of it is trained, with nothing to count on a grid.
    fs::remove_dir_all(path.join("r")).expect("a folder");
    let said = program(path, "train --from mixed.safetensors --data text --out r --steps 3 --lr 1e-2 --optimizer adamw", 0);
    assert!(!said.contains("on no grid") && !said.contains("go to a grid"), "{said}");
    let after = tensors(&path.join("r/checkpoints/step-00000003.safetensors"));
    assert!(after.contains_key("blocks.0.mlp.up.weight.m") && !after.contains_key("blocks.0.mlp.up.blocks"), "{:?}", after.keys());
    let records = metrics::read(&path.join("r/metrics.jsonl")).expect("records");
    assert!(records.iter().all(|record| record.flip_rate.is_none() && record.saturation.is_none()), "{records:?}");
}

#[test]
fn an_imported_model_is_trained_with_settings_that_suit_it() {
    let folder = folder();
    let path = folder.path();
    with_blocks(&path.join("tied.safetensors"), &path.join("imported.safetensors"), "embedding.tokens", 256);
    for (model, more, lines) in [
        ("imported", "", ["vote_start = \"peaked\"", "full_range = true", "divisor = \"mean-square\"", "lr = 0.0002"]),
        ("imported", "--votes 4", ["vote_start = \"spread\"", "full_range = true", "divisor = \"mean-square\"", "lr = 0.0001"]),
        ("imported", "--optimizer adamw", ["optimizer = \"adamw\"", "seq_len = 64", "batch = 1", "lr = 0.0001"]),
        ("imported", "--start spread --lr 3e-4", ["vote_start = \"spread\"", "threshold = 0.52", "votes = 8", "lr = 0.0003"]),
        // One of this program goes on as it was.
        ("tied", "", ["votes = 8", "seq_len = 32", "batch = 2", "warmup = 1"]),
    ] {
        let said = program(path, &format!("train --from {model}.safetensors --data text --out r --steps 1 {more}"), 0);
        assert!(!said.contains("go to a grid"), "{model} {more}: {said}");
        let config = fs::read_to_string(path.join("r/config.toml")).expect("a configuration");
        lines.iter().for_each(|line| assert!(config.lines().any(|found| found == *line), "{model} {more}: no {line} in\n{config}"));
        fs::remove_dir_all(path.join("r")).expect("a folder");
    }
}

#[test]
fn a_table_that_is_frozen_stays_when_all_else_goes_to_another_grid() {
    let folder = folder();
    let path = folder.path();
    let line = "train --from untied.safetensors --data text --out r --steps 2 --lr 3e-2 --grid fine15 --embeddings frozen";
    let said = program(path, line, 0);
    assert!(said.contains("warning: 14 matrices go to a grid"), "{said}");
    let [before, after] = ["untied.safetensors", "r/checkpoints/step-00000002.safetensors"].map(|file| tensors(&path.join(file)));
    for part in ["embedding.tokens.codes", "embedding.tokens.step", "head.codes", "head.step"] {
        assert!(before[part] == after[part], "{part}");
    }
    assert!(before["blocks.0.mlp.up.step"] != after["blocks.0.mlp.up.step"], "on another grid");
}

#[test]
fn shadow_weights_go_along_to_another_grid() {
    let folder = folder();
    let path = folder.path();
    program(path, "train --from untied.safetensors --data text --out a --steps 3 --optimizer qat --lr 1e-3", 0);
    program(path, "train --from a/checkpoints/step-00000003.safetensors --data text --out b --steps 2 --lr 1e-12 --grid fine15", 0);
    let [before, after] =
        ["a/checkpoints/step-00000003.safetensors", "b/checkpoints/step-00000002.safetensors"].map(|file| path.join(file));
    let (shadows, codes) = ([&before, &after].map(|file| tensors(file)["blocks.0.mlp.up.shadow"].clone()), tensors(&before));
    assert!(shadows[0] == shadows[1], "other shadow weights");
    assert!(codes["blocks.0.mlp.up.codes"] != tensors(&after)["blocks.0.mlp.up.codes"], "on the same grid");
    let [before, after] = [before, after].map(|file| loss(path, &file.display().to_string()));
    assert!((after - before).abs() < 0.1, "loss {before}, on another grid {after}");
}

#[test]
fn a_run_of_an_imported_model_goes_on_bit_for_bit_and_begins_others_as_itself() {
    let folder = folder();
    let path = folder.path();
    with_blocks(&path.join("tied.safetensors"), &path.join("imported.safetensors"), "blocks.0.mlp.up", 96);
    let train = "train --from imported.safetensors --data text --out r --steps 4 --checkpoint-every 2 --keep 3 --validate-every 0";
    program(path, &format!("{train} --votes 4 --lr 3e-2"), 0);
    let end = path.join("r/checkpoints/step-00000004.safetensors");
    let whole = fs::read(&end).expect("a checkpoint");
    fs::remove_file(&end).expect("a file");
    program(path, "train --resume r", 0);
    assert!(fs::read(&end).expect("a checkpoint") == whole, "other bytes");
    let seconds: Vec<_> =
        metrics::read(&path.join("r/metrics.jsonl")).expect("records").iter().filter_map(|record| record.seconds).collect();
    assert!(seconds.len() == 4 && seconds.is_sorted() && seconds[2] > seconds[1], "time of training: {seconds:?}");
    // Before its first checkpoint it begins with the model again.
    for file in fs::read_dir(path.join("r/checkpoints")).expect("a folder") {
        fs::remove_file(file.expect("a file").path()).expect("a file");
    }
    program(path, "train --resume r", 0);
    assert!(fs::read(&end).expect("a checkpoint") == whole, "other bytes from the model on");
    // A run that begins from it has its settings, and not those of imported models.
    program(path, "train --from r/checkpoints/step-00000004.safetensors --data text --out again --steps 1", 0);
    let config = fs::read_to_string(path.join("again/config.toml")).expect("a configuration");
    assert!(config.contains("votes = 4\n") && config.contains("lr = 0.03\n"), "{config}");
}

#[test]
fn scales_of_groups_are_trained_where_asked() {
    let folder = folder();
    let path = folder.path();
    let end = path.join("r/checkpoints/step-00000004.safetensors");
    for (form, parts) in [("--votes 4", &["step"][..]), ("--grid uint4 --scales group32-offset", &["step", "offset"])] {
        let train =
            "train --from tied.safetensors --data text --out r --checkpoint-every 2 --keep 3 --validate-every 0 --lr 3e-2 --warmup 0";
        program(path, &format!("{train} --steps 4 --group-scale-lr 0.5 {form}"), 0);
        let whole = fs::read(&end).expect("a checkpoint");
        let [before, after] = [2, 4].map(|step| tensors(&path.join(format!("r/checkpoints/step-0000000{step}.safetensors"))));
        for part in parts {
            let name = format!("blocks.0.mlp.up.{part}");
            assert_ne!(before[&name], after[&name], "{form}: {name} has not moved");
        }
        // A run goes on bit for bit; one that begins from its end begins with its scales.
        fs::remove_file(&end).expect("a file");
        program(path, "train --resume r", 0);
        assert!(fs::read(&end).expect("a checkpoint") == whole, "{form}: other bytes");
        let lost = loss(path, "r/checkpoints/step-00000004.safetensors");
        program(path, &format!("train --from {} --data text --out again --steps 1 --lr 1e-9 --start zero", end.display()), 0);
        let again = loss(path, "again/checkpoints/step-00000001.safetensors");
        assert!((lost - again).abs() < 1e-4, "{form}: loss {lost}, of a run that begins with it {again}");
        fs::remove_dir_all(path.join("again")).expect("a folder");
        fs::remove_dir_all(path.join("r")).expect("a folder");
    }
    for (flags, part) in [
        ("--optimizer qat --group-scale-lr 0.1", "train.group_scale_lr: expected 0, but for the optimizers votes and poltergeist"),
        ("--scales row --group-scale-lr 0.1", "train.group_scale_lr: expected 0, where model.scales are those of rows"),
        ("--group-scale-lr 2", "train.group_scale_lr: expected 0 to 1"),
    ] {
        let said = program(path, &format!("train --from tied.safetensors --data text --out r --steps 1 {flags}"), 2);
        assert!(said.contains(part) && said.contains("hint: "), "{flags}: {said}");
    }
}

#[test]
fn votes_begin_as_the_configuration_says() {
    let folder = folder();
    let path = folder.path();
    let votes = |start: &str, bits: u32, seed: u32| {
        let line = format!(
            "train --from untied.safetensors --data text --out r --steps 1 --start {start} --threshold 0.52 --votes {bits} --seed {seed}"
        );
        program(path, &line, 0);
        let all = tensors(&path.join(STEP));
        fs::remove_dir_all(path.join("r")).expect("a folder");
        all["blocks.0.mlp.up.votes"].clone()
    };
    assert!(votes("zero", 8, 1).iter().all(|&vote| (vote as i8).abs() <= 1), "a step of 1e-9 casts no votes");
    // All votes below the consensus, each about as often, or fewer the nearer they are.
    for (start, bits, most, variance) in [
        ("spread", 8, 77, 77.0 * 78.0 / 3.0),
        ("spread", 4, 4, 4.0 * 5.0 / 3.0),
        // Of the sum of two draws of 78 and of 5.
        ("peaked", 8, 77, 2.0 * (78.0f64.powi(2) - 1.0) / 12.0),
        ("peaked", 4, 4, 2.0 * (5.0f64.powi(2) - 1.0) / 12.0),
    ] {
        let spread = votes(start, bits, 1);
        let each: Vec<i32> = match bits {
            8 => spread.iter().map(|&vote| i32::from(vote as i8)).collect(),
            _ => spread.iter().flat_map(|&pair| [pair & 15, pair >> 4]).map(|nibble| i32::from(nibble) - 8).collect(),
        };
        // One vote more is the rounding of the step.
        assert!(each.iter().all(|vote| vote.abs() <= most + 1), "{bits} bits");
        let mean = |of: &dyn Fn(f64) -> f64| each.iter().map(|&vote| of(f64::from(vote))).sum::<f64>() / each.len() as f64;
        assert!(mean(&|v| v).abs() < 0.05 * f64::from(most), "{bits} bits: mean {}", mean(&|v| v));
        assert!((mean(&|v| v * v) / variance - 1.0).abs() < 0.05, "{bits} bits: variance {}, not {variance}", mean(&|v| v * v));
        assert_eq!(spread, votes(start, bits, 1), "the same seed");
        assert_ne!(spread, votes(start, bits, 2), "another seed");
    }
    // Of a model that says nothing of what rounding left over.
    let said = program(path, "train --from untied.safetensors --data text --out r --steps 1 --start remainder", 0);
    assert!(said.contains("their votes begin spread"), "{said}");
    fs::remove_dir_all(path.join("r")).expect("a folder");
    // What rounding left over: from another grid, whose levels lie between those of this one.
    let line =
        "train --from untied.safetensors --data text --out r --steps 1 --grid fine15 --scales group32 --start remainder --threshold 0.52";
    program(path, line, 0);
    let remainders = &tensors(&path.join(STEP))["blocks.0.mlp.up.votes"];
    let large = remainders.iter().filter(|&&vote| (vote as i8).abs() > 10).count();
    assert!(large > remainders.len() / 4, "{large} of {} weights lie between levels", remainders.len());
    assert!(remainders.iter().all(|&vote| (vote as i8).abs() <= 78));
}

#[test]
fn models_of_another_shape_and_flags_that_mean_nothing_are_refused() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("other.toml"), MODEL.replace("layers = 2", "layers = 3")).expect("a configuration");
    for (more, words) in [
        ("--config other.toml", ["--from", "model.layers = 3"]),
        ("--embeddings fixed", ["--embeddings", "frozen, grid or float"]),
        ("--start middle", ["--start", "zero, spread, peaked or remainder"]),
        ("--threshold 0.4", ["train.threshold", "0.5 to 0.85"]),
    ] {
        let said = program(path, &format!("train --from tied.safetensors --data text --out r {more}"), 2);
        assert!(words.iter().all(|word| said.contains(word)), "{more}: {said}");
        assert!(!path.join("r").exists(), "{more}: nothing is left behind");
    }
}

#[test]
fn a_run_is_called_as_its_model_or_the_run_whose_weights_it_begins_with() {
    let folder = folder();
    let path = folder.path();
    for (line, name) in [
        ("--from tied.safetensors", "runs/tied"),
        ("--from runs/tied/checkpoints/step-00000001.safetensors", "runs/tied-2"),
        ("--from floats.safetensors --config c.toml", "runs/c"),
        ("--config c.toml", "runs/c-2"),
    ] {
        program(path, &format!("train {line} --data text --steps 1"), 0);
        assert!(path.join(name).join("checkpoints/step-00000001.safetensors").exists(), "{line}: {name}");
    }
}

#[test]
fn what_is_left_over_in_the_votes_of_a_run_goes_on_in_the_units_of_the_next() {
    let folder = folder();
    let path = folder.path();
    let wide = MODEL.replace("[train]", "[train]\nthreshold = 0.52\nfull_range = true\nvote_start = 'spread'");
    fs::write(path.join("wide.toml"), wide).expect("a configuration");
    program(path, "train --from untied.safetensors --config wide.toml --data text --out a --steps 1", 0);
    let (a, matrix) = (format!("a/{}", &STEP[2..]), "blocks.0.mlp.up.votes");
    let signed = |bytes: &[u8]| bytes.iter().map(|&vote| f64::from(vote as i8)).collect::<Vec<_>>();
    let before = signed(&tensors(&path.join(&a))[matrix]);
    // 244 votes of a gap stay as they are, or are 149: no weight is carried to the consensus.
    for (config, unit) in [("wide.toml", 1.0), ("c.toml", 149.4 / 244.2)] {
        program(path, &format!("train --from {a} --config {config} --start remainder --data text --out r --steps 1"), 0);
        let after = signed(&tensors(&path.join(STEP))[matrix]);
        let most = before.iter().zip(&after).map(|(before, after)| (before * unit - after).abs()).fold(0.0, f64::max);
        assert!(most <= 1.6, "{config}: a vote is {most} off");
        fs::remove_dir_all(path.join("r")).expect("a folder");
    }
}

#[test]
fn a_table_in_floats_leaves_a_head_of_its_own_as_it_was() {
    let folder = folder();
    let path = folder.path();
    with_blocks(&path.join("untied.safetensors"), &path.join("blocks.safetensors"), "head", 256);
    program(path, "train --from blocks.safetensors --data text --out r --steps 1 --embeddings float", 0);
    let (before, after) = (tensors(&path.join("blocks.safetensors")), tensors(&path.join(STEP)));
    assert_eq!(before["head.blocks"], after["head.blocks"]);
    assert!(after.contains_key("embedding.tokens") && !after.contains_key("head.codes"));
}
