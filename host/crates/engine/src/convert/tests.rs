use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use primal_device::grid::{INT4, ScaleForm, UINT4};
use primal_device::philox::{RandomStream, uniform};

use super::names::{Place, Style, place};
use super::*;
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::config::{GptConfig, LlamaConfig};
use crate::files::checkpoint::TensorRef;
use crate::files::gguf::{Array, Value, save};
use crate::files::{Dtype, open};
use crate::memory::{Act, Plan};
use crate::models::gpt::Gpt;
use crate::models::llama::Llama;
use crate::models::text::{DecoderShape, TextDecoder, TextModel};
use crate::nn::kept::Kept;
use crate::nn::tensors;
use crate::train::state;

const VOCAB: usize = 40;
const TOKENS: [u32; 7] = [3, 1, 4, 15, 9, 26, 39];

/// A model of random weights, by the names here, `q` and `k` in the order of Hugging Face.
struct Tiny {
    table: Table,
    weights: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

fn llama(more: &str) -> Tiny {
    let config = format!(
        "dim = 64\nlayers = 2\nheads = 4\nkv_heads = 2\nhidden = 96\ncontext = 32\ntokenizer = 'stored:{VOCAB}'\ngrid = 'int4'\nscales = 'group32'\nembeddings = 'matrix'\n{more}"
    );
    Tiny::new(Table::Llama(toml::from_str::<LlamaConfig>(&config).unwrap()))
}

fn gpt2() -> Tiny {
    let config = format!(
        "dim = 32\nlayers = 2\nheads = 2\ncontext = 32\ntokenizer = 'stored:{VOCAB}'\ngrid = 'int4'\nscales = 'group32'\nbiases = true\ntied = true"
    );
    Tiny::new(Table::Gpt(toml::from_str::<GptConfig>(&config).unwrap()))
}

/// All architectures, with the names that others give them.
fn all() -> [(Tiny, &'static str, &'static str); 4] {
    [
        (llama(""), "llama", "LlamaForCausalLM"),
        (llama("qkv_biases = true\ntied = true"), "qwen2", "Qwen2ForCausalLM"),
        (llama("qk_norms = true\nhead_dim = 32"), "qwen3", "Qwen3ForCausalLM"),
        (gpt2(), "gpt2", "GPT2LMHeadModel"),
    ]
}

impl Tiny {
    fn new(table: Table) -> Self {
        let specs = table.specs();
        let matrices = specs.matrices.iter().map(|spec| (spec.name.clone(), vec![spec.out_features, spec.in_features]));
        let shapes = matrices.chain(specs.vectors.iter().map(|spec| (spec.name.clone(), spec.shape.clone())));
        let weights = shapes.enumerate().map(|(number, (name, shape))| {
            let stream = RandomStream::new(7, number as u32, 0);
            let middle = if name.ends_with("gamma") { 1.0 } else { 0.0 };
            let value = |i: usize| middle + 0.4 * (uniform(stream.words(i as u32)[0]) - 0.5);
            // Halves of floats, so that every format holds them.
            let values = (0..shape.iter().product()).map(|i| bf16::from_f32(value(i)).to_f32()).collect();
            (name, (shape, values))
        });
        Self { table, weights: weights.collect() }
    }

    /// The tensors as another program has them: parts joined, rows and columns changed over.
    fn tensors(&self, style: Style) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let mut tensors = BTreeMap::<String, (Vec<usize>, Vec<f32>)>::new();
        for (ours, (shape, values)) in &self.weights {
            let Place { name, is_transposed, third } = place(&self.table, style, ours);
            assert!(third.is_some() || !tensors.contains_key(&name), "{name} twice");
            // `attention.k` before `q` and `v` in this order: third by third instead.
            if third.is_some_and(|third| third > 0) {
                continue;
            }
            let mut joined = (shape.clone(), values.clone());
            for other in ["k", "v"].iter().filter(|_| third.is_some()) {
                joined.1.extend(&self.weights[&ours.replace("attention.q", &format!("attention.{other}"))].1);
                joined.0[0] += shape[0];
            }
            if is_transposed {
                let [rows, cols] = [joined.0[0], joined.0[1]];
                let at = |i: usize| joined.1[i % rows * cols + i / rows];
                joined = (vec![cols, rows], (0..rows * cols).map(at).collect());
            }
            tensors.insert(name, joined);
        }
        tensors
    }

    /// Writes a folder as transformers does.
    fn save_folder(&self, folder: &Path, class: &str, config: serde_json::Value) {
        let mut map = config.as_object().unwrap().clone();
        map.insert("architectures".into(), serde_json::json!([class]));
        map.insert("vocab_size".into(), VOCAB.into());
        map.insert("tie_word_embeddings".into(), self.table.is_tied().into());
        fs::write(folder.join("config.json"), serde_json::to_string(&map).unwrap()).unwrap();
        fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        fs::write(folder.join("README.md"), "---\nlicense: mit\n---\n").unwrap();
        let tensors = self.tensors(Style::HuggingFace);
        let bytes: BTreeMap<_, Vec<u8>> = tensors
            .iter()
            .map(|(name, (_, values))| (name, values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()))
            .collect();
        let views = tensors.iter().map(|(name, (shape, _))| {
            (name.clone(), safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), &bytes[name]).unwrap())
        });
        fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn folder_config(&self) -> serde_json::Value {
        match &self.table {
            Table::Llama(c) => serde_json::json!({
                "hidden_size": c.dim, "num_hidden_layers": c.layers, "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads(),
                "head_dim": c.head_dim(), "intermediate_size": c.hidden, "max_position_embeddings": c.context, "rms_norm_eps": c.norm_epsilon,
                "hidden_act": "silu", "rope_theta": c.rope_base,
            }),
            Table::Gpt(c) => serde_json::json!({"n_embd": c.dim, "n_layer": c.layers, "n_head": c.heads, "n_positions": c.context}),
        }
    }

    fn metadata(&self, name: &str) -> Vec<(String, Value<'static>)> {
        let mut metadata = vec![
            ("general.architecture".to_owned(), Value::string(name.to_owned())),
            ("general.name".to_owned(), Value::string("Tiny")),
            ("general.license".to_owned(), Value::string("mit")),
            ("tokenizer.ggml.tokens".to_owned(), Value::Array(Array::of_strings((0..VOCAB).map(|i| i.to_string())))),
        ];
        let mut number = |key: &str, value: usize| metadata.push((format!("{name}.{key}"), Value::U32(value as u32)));
        match &self.table {
            Table::Llama(c) => {
                number("embedding_length", c.dim);
                number("block_count", c.layers);
                number("attention.head_count", c.heads);
                number("attention.head_count_kv", c.kv_heads());
                number("attention.key_length", c.head_dim());
                number("attention.value_length", c.head_dim());
                number("feed_forward_length", c.hidden);
                number("context_length", c.context);
                metadata.push((format!("{name}.attention.layer_norm_rms_epsilon"), Value::F32(c.norm_epsilon)));
            }
            Table::Gpt(c) => {
                number("embedding_length", c.dim);
                number("block_count", c.layers);
                number("attention.head_count", c.heads);
                number("feed_forward_length", 4 * c.dim);
                number("context_length", c.context);
                metadata.push((format!("{name}.attention.layer_norm_epsilon"), Value::F32(1e-5)));
            }
        }
        metadata
    }

    /// Writes a file as llama.cpp's converter does: rows of queries and keys of `llama` in another order.
    fn save_gguf(&self, path: &Path, name: &str) {
        let mut tensors = self.tensors(Style::Gguf);
        if let (Table::Llama(config), "llama") = (&self.table, name) {
            let half = config.head_dim() / 2;
            for (name, (shape, values)) in &mut tensors {
                if name.ends_with("attn_q.weight") || name.ends_with("attn_k.weight") {
                    let old: Vec<Vec<f32>> = values.chunks(shape[1]).map(<[f32]>::to_vec).collect();
                    // `permute` of convert_hf_to_gguf.py: [heads, 2, half] to [heads, half, 2].
                    let from = |row: usize| {
                        let (head, at) = (row / (2 * half), row % (2 * half));
                        head * 2 * half + at % 2 * half + at / 2
                    };
                    *values = (0..shape[0]).flat_map(|row| old[from(row)].clone()).collect();
                }
            }
        }
        let references: Vec<_> = tensors.iter().map(|(name, (shape, values))| TensorRef::f32(name, shape, values)).collect();
        save(path, &self.metadata(name), &references).unwrap();
    }
}

fn import(path: &Path, choice: Choice, out: &Path) -> Report {
    import_model(&Source::open(path).unwrap(), choice, out, &mut |_| ()).unwrap()
}

fn logits(path: &Path) -> Vec<f32> {
    fn of<M: TextModel>(path: &Path) -> Vec<f32> {
        let file = open(path).unwrap();
        let config = state::config_of::<M::Config>(&*file).unwrap();
        let (mut plan, (layers, mut specs)) = (Plan::default(), M::layers(&config.model, false));
        crate::nn::kept::apply(&mut specs, &*file).unwrap();
        let decoder = M::plan_decoder(layers, DecoderShape { context: 32, cache: Act::F32 }, &mut plan);
        let mut b = Cpu::new(&mut plan);
        let parameters = tensors::map(&mut b, specs, &*file).unwrap();
        decoder.prepare(&mut b);
        let mut logits = vec![0.0; VOCAB];
        let span = decoder.read(&mut b, &parameters, &TOKENS, 0);
        b.download(span, &mut logits);
        logits
    }
    match Table::of(&*open(path).unwrap()).unwrap() {
        Table::Llama(_) => of::<Llama>(path),
        Table::Gpt(_) => of::<Gpt>(path),
    }
}

/// The largest difference, as a part of the largest logit.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0f32, |largest, b| largest.max(b.abs()));
    a.iter().zip(b).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

fn paths() -> (tempfile::TempDir, [PathBuf; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["model.gguf", "a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    (folder, paths)
}

#[test]
fn both_files_of_a_model_give_the_same_logits() {
    for (tiny, name, class) in all() {
        let (folder, [gguf, a, b]) = paths();
        tiny.save_folder(folder.path(), class, tiny.folder_config());
        tiny.save_gguf(&gguf, name);
        let of_folder = import(folder.path(), Choice::AsIs, &a);
        assert!(of_folder.matrices.iter().all(|told| told.error == 0.0 && told.kept == Kept::Blocks(Dtype::BF16)), "{name}");
        let of_gguf = import(&gguf, Choice::AsIs, &b);
        assert!(of_gguf.matrices.iter().all(|told| told.error == 0.0 && told.kept == Kept::Float), "{name}");
        let (a, b) = (open(&a).unwrap(), open(&b).unwrap());
        for file in [&a, &b] {
            assert_eq!(file.metadata()["license"], "mit", "{name}");
        }
        let [a, b] = [a, b].map(|file| logits(file.path()));
        assert!(a.iter().any(|&logit| logit.abs() > 0.1), "{name}: {a:?}");
        assert!(difference(&a, &b) < 1e-5, "{name}: {a:?} and {b:?}");
    }
}

#[test]
fn fitted_weights_are_near_and_their_error_is_told() {
    for (tiny, name, class) in all() {
        let (folder, [_, a, b]) = paths();
        tiny.save_folder(folder.path(), class, tiny.folder_config());
        import(folder.path(), Choice::AsIs, &a);
        let expected = logits(&a);
        let mut errors = Vec::new();
        for (grid, scales) in [(&INT4, ScaleForm::Group32), (&UINT4, ScaleForm::Group32Offset), (&INT4, ScaleForm::Row)] {
            let report = import(folder.path(), Choice::Grid { grid, scales, keeps_embeddings: false, keeps_remainders: false }, &b);
            assert!(report.matrices.iter().all(|told| told.kept == Kept::Grid(grid, scales) && told.error > 0.0), "{name}");
            let (error, off) = (report.error(), difference(&logits(&b), &expected));
            assert!(error > 0.01 && error < 0.15 && off < 0.5, "{name} on {}: {error}, {off}", grid.name());
            errors.push(error);
        }
        // More bits are nearer, and a scale for each row is farther.
        assert!(errors[1] < errors[0] && errors[0] < errors[2], "{name}: {errors:?}");
        // The error that is told is that of the file.
        let told = import(
            folder.path(),
            Choice::Grid { grid: &INT4, scales: ScaleForm::Group32, keeps_embeddings: false, keeps_remainders: false },
            &b,
        );
        let (matrix, shape) = (&told.matrices[1], &tiny.weights[&told.matrices[1].name].0);
        let file = open(&b).unwrap();
        let codes = file.view(&format!("{}.codes", matrix.name)).unwrap().bytes().unwrap().into_owned();
        let step = file.view(&format!("{}.step", matrix.name)).unwrap().floats().unwrap().unwrap();
        let (mut of, mut lost) = (0.0, 0.0);
        for (i, &weight) in tiny.weights[&matrix.name].1.iter().enumerate() {
            let (row, at) = (i / shape[1], i % shape[1]);
            let code = primal_device::grid::get(&codes[row * shape[1].div_ceil(32) * 16..], at);
            let value = step[row * shape[1].div_ceil(32) + at / 32] * (f32::from(code) - 8.0);
            (of, lost) = (of + f64::from(weight).powi(2), lost + f64::from(weight - value).powi(2));
        }
        approx::assert_relative_eq!((lost / of).sqrt(), matrix.error, max_relative = 1e-5);
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let (tiny, _, class) = &all()[0];
    let refused = |class: &str, more: serde_json::Value| {
        let (folder, _) = paths();
        let mut config = tiny.folder_config();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tiny.save_folder(folder.path(), class, config);
        Source::open(folder.path()).expect_err(&format!("{class} {more}")).to_string()
    };
    for (class, more, parts) in [
        ("MambaForCausalLM", serde_json::json!({}), ["`MambaForCausalLM`", "qwen3 (Qwen3ForCausalLM)"]),
        (class, serde_json::json!({"attention_bias": true}), ["attention_bias", "expected false"]),
        (class, serde_json::json!({"mlp_bias": true}), ["mlp_bias", "expected false"]),
        (class, serde_json::json!({"hidden_act": "gelu"}), ["hidden_act", "silu"]),
        (class, serde_json::json!({"partial_rotary_factor": 0.5}), ["partial_rotary_factor", "0.5"]),
        (class, serde_json::json!({"quantization_config": {"bits": 4}}), ["quantization_config", "floats"]),
        (class, serde_json::json!({"rope_scaling": {"rope_type": "longrope"}}), ["rope_scaling", "longrope"]),
        ("MistralForCausalLM", serde_json::json!({"sliding_window": 8}), ["sliding_window", "found 8"]),
        (class, serde_json::json!({"hidden_size": 32}), ["model.embed_tokens.weight", "the shape [40, 32]"]),
        (class, serde_json::json!({"num_hidden_layers": 1}), ["model.layers.1", "besides"]),
        (class, serde_json::json!({"num_hidden_layers": "2"}), ["num_hidden_layers", "whole number"]),
        (class, serde_json::json!({"max_position_embeddings": 0}), ["max_position_embeddings of config.json", "found 0"]),
    ] {
        let message = refused(class, more);
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} in: {message}");
    }
}

#[test]
fn llama_3_is_known_by_its_factors() {
    use crate::nn::rotary::{RopeScaling, Rotary};

    let tiny = llama("rope_base = 500000.0");
    let plain = Rotary { base: 500_000.0, pairs: 8, scaling: RopeScaling::Default };
    let of_context = |original_max_position_embeddings: usize| {
        let scaling = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings };
        let scaled = Rotary { scaling, ..plain }.frequencies();
        (scaling, plain.frequencies().iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect::<Vec<f32>>())
    };
    let (expected, mut factors) = of_context(8192);
    let (_folder, [path, ..]) = paths();
    let table = |factors: &[f32]| {
        let tensors = tiny.tensors(Style::Gguf);
        let mut references: Vec<_> = tensors.iter().map(|(name, (shape, values))| TensorRef::f32(name, shape, values)).collect();
        references.push(TensorRef::f32("rope_freqs.weight", &[factors.len()], factors));
        let mut metadata = tiny.metadata("llama");
        metadata.push(("llama.rope.freq_base".into(), Value::F32(500_000.0)));
        save(&path, &metadata, &references).unwrap();
        Source::open(&path).map(|source| source.table)
    };
    let Table::Llama(config) = table(&factors).unwrap() else { panic!("a llama") };
    assert_eq!((config.rope_scaling, config.rope_base), (expected, 500_000.0));
    for context in [2048, 12345] {
        let (_, factors) = of_context(context);
        let Table::Llama(config) = table(&factors).unwrap() else { panic!("a llama") };
        let found = Rotary { scaling: config.rope_scaling, ..plain }.frequencies();
        let expected = plain.frequencies().into_iter().zip(&factors).map(|(plain, by)| plain / by);
        assert!(expected.zip(found).all(|(a, b)| (a - b).abs() <= 1e-4 * a), "{context}: {:?}", config.rope_scaling);
    }
    factors[3] *= 1.5;
    let message = table(&factors).unwrap_err().to_string();
    assert!(message.contains("rope_freqs.weight") && message.contains("Llama 3"), "{message}");
}

fn on_grid(grid: &'static primal_device::grid::Grid, scales: ScaleForm) -> Choice {
    Choice::Grid { grid, scales, keeps_embeddings: false, keeps_remainders: false }
}

/// Rows of the table of embeddings beyond the tokenizer's tokens are written, and counted.
#[test]
fn exports_have_a_token_for_each_row() {
    let config = "dim = 64\nlayers = 1\nheads = 4\nhidden = 96\ncontext = 32\ntokenizer = 'bytes'\nvocab = 300\ngrid = 'int4'\nscales = 'group32'\nembeddings = 'matrix'";
    let table = Table::Llama(toml::from_str::<LlamaConfig>(config).unwrap());
    assert_eq!(table.vocab(), 300);
    let (folder, [gguf, ours, _]) = paths();
    let specs = table.specs();
    let mut data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for spec in &specs.matrices {
        let shape = [spec.out_features, primal_device::grid::row_bytes(spec.in_features)];
        data.push((format!("{}.codes", spec.name), Dtype::U8, shape.to_vec(), vec![0x88; shape[0] * shape[1]]));
        let groups = [spec.out_features, primal_device::grid::groups(spec.in_features)];
        data.push((format!("{}.step", spec.name), Dtype::F16, groups.to_vec(), vec![0; 2 * groups[0] * groups[1]]));
    }
    for spec in &specs.vectors {
        data.push((spec.name.clone(), Dtype::F32, spec.shape.clone(), vec![0; 4 * spec.shape.iter().product::<usize>()]));
    }
    let references: Vec<_> = data.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(name.clone(), *dtype, shape, bytes)).collect();
    let metadata = BTreeMap::from([("config".to_owned(), table.to_toml("test").unwrap()), ("step".to_owned(), "0".to_owned())]);
    crate::files::checkpoint::save(&ours, &metadata, &references).unwrap();
    let model = Model::open(&ours).unwrap();
    to_gguf::export(&model, &[], &gguf).unwrap();
    let written = open(&gguf).unwrap();
    assert_eq!(written.view("token_embd.weight").unwrap().shape[0], 300);
    let gguf = crate::files::gguf::Gguf::open(&gguf).unwrap();
    assert_eq!(gguf.of_architecture("vocab_size").unwrap().as_u64(), Some(300));
    let out = folder.path().join("hf");
    to_folder::export(&model, Dtype::F32, &[], &out).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["vocab_size"], 300);
}

/// What a model has on a grid already is not put there once more, least of all where it was to be kept.
#[test]
fn what_is_kept_is_kept_to_the_bit() {
    let tiny = llama("tied = true");
    let (folder, [gguf, a, b]) = paths();
    tiny.save_folder(folder.path(), "LlamaForCausalLM", tiny.folder_config());
    import(folder.path(), on_grid(&INT4, ScaleForm::Group32), &a);
    to_gguf::export(&Model::open(&a).unwrap(), &[("tokenizer.ggml.tokens".into(), tokens())], &gguf).unwrap();
    let bytes = |path: &Path, name: &str| open(path).unwrap().view(name).unwrap().bytes().unwrap().into_owned();
    import(&gguf, Choice::AsIs, &a);
    for keeps_embeddings in [true, false] {
        let choice = Choice::Grid { grid: &UINT4, scales: ScaleForm::Group32Offset, keeps_embeddings, keeps_remainders: false };
        let report = import(&gguf, choice, &b);
        assert_eq!(report.matrices[0].error == 0.0, keeps_embeddings);
        if keeps_embeddings {
            for part in ["codes", "step"] {
                let name = format!("embedding.tokens.{part}");
                assert_eq!(bytes(&a, &name), bytes(&b, &name), "{name}");
            }
        }
    }
    let report = import(&gguf, on_grid(&INT4, ScaleForm::Group32), &b);
    assert!(report.matrices.iter().all(|told| told.error == 0.0));
}

fn tokens() -> Value<'static> {
    Value::Array(Array::of_strings((0..VOCAB).map(|i| i.to_string())))
}

/// The votes of an import are those of a checkpoint, and no part of the model.
#[test]
fn remainders_are_votes_beside_the_model() {
    for (tiny, name, class) in all() {
        let (folder, [gguf, a, b]) = paths();
        tiny.save_folder(folder.path(), class, tiny.folder_config());
        let choice = |keeps_remainders| Choice::Grid { grid: &INT4, scales: ScaleForm::Group32, keeps_embeddings: false, keeps_remainders };
        import(folder.path(), choice(false), &a);
        let report = import(folder.path(), choice(true), &b);
        let (plain, voting) = (open(&a).unwrap(), open(&b).unwrap());
        let config = state::config_of::<LlamaConfig>(&*voting).map(|config| config.train.votes);
        assert!(config.is_err() || config.unwrap() == primal_device::grid::VoteBits::Eight, "{name}");
        for name in plain.names() {
            assert_eq!(plain.view(name).unwrap().bytes().unwrap(), voting.view(name).unwrap().bytes().unwrap(), "{name}");
        }
        for told in &report.matrices {
            let shape = &tiny.weights[&told.name].0;
            let view = voting.view(&format!("{}.votes", told.name)).unwrap();
            assert_eq!((view.dtype, view.shape), (Dtype::U8, &[shape[0], primal_device::grid::padded(shape[1])][..]), "{name}");
            let bytes = view.bytes().unwrap();
            assert!(bytes.iter().any(|&vote| vote as i8 > 20) && bytes.iter().any(|&vote| (vote as i8) < -20), "{}", told.name);
        }
        assert_eq!(voting.names().count(), plain.names().count() + report.matrices.len());
        assert_eq!(logits(&a), logits(&b), "{name}");
        to_gguf::export(&Model::open(&b).unwrap(), &[("tokenizer.ggml.tokens".into(), tokens())], &gguf).unwrap();
        assert!(Source::open(&gguf).is_ok(), "{name}");
    }
}

#[test]
fn numbers_of_metadata_are_positive() {
    let tiny = llama("");
    let (_folder, [path, ..]) = paths();
    let tensors = tiny.tensors(Style::Gguf);
    let references: Vec<_> = tensors.iter().map(|(name, (shape, values))| TensorRef::f32(name, shape, values)).collect();
    let opened = |more: &[(&str, Value<'static>)]| {
        let mut metadata = tiny.metadata("llama");
        let yarn = [("rope.scaling.type", Value::string("yarn")), ("rope.scaling.factor", Value::F32(4.0))];
        for (key, value) in yarn.iter().chain(more) {
            let key = format!("llama.{key}");
            metadata.retain(|(known, _)| *known != key);
            metadata.push((key, value.clone()));
        }
        save(&path, &metadata, &references).unwrap();
        Source::open(&path)
    };
    assert!(opened(&[]).is_ok());
    for key in [
        "rope.scaling.factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.scaling.attn_factor",
        "rope.freq_base",
        "attention.layer_norm_rms_epsilon",
    ] {
        for value in [f32::NAN, f32::INFINITY, -1.0, 0.0] {
            if let Err(error) = opened(&[(key, Value::F32(value))]) {
                assert!(error.to_string().contains(key) || key == "rope.scaling.factor", "{key} {value}: {error}");
            } else {
                panic!("{key} = {value} is taken");
            }
        }
        assert!(opened(&[(key, Value::string("8"))]).is_err(), "{key}");
    }
    // A value out of the program's range is named by the file's key.
    let message = opened(&[("context_length", Value::U32(0))]).unwrap_err().to_string();
    assert!(message.contains("llama.context_length") && !message.contains("flag"), "{message}");
}

#[test]
fn files_that_could_not_be_read_again_are_not_kept() {
    let (tiny, _, class) = &all()[0];
    let (folder, _) = paths();
    tiny.save_folder(folder.path(), class, tiny.folder_config());
    fs::write(folder.path().join("tokenizer.json"), " ".repeat(attached::MOST + 1)).unwrap();
    let message = Source::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json") && message.contains("67108864"), "{message}");
}
