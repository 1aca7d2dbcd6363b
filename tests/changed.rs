//! A model whose file another program changes while it is exported: apart from other tests, as the process watches all files that it reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;

use primal_device::grid;
use primal_engine::config::LlamaConfig;
use primal_engine::convert::{Model, Table, to_folder, to_gguf};
use primal_engine::files::Dtype;
use primal_engine::files::checkpoint::{TensorRef, save};

const CONFIG: &str = "dim = 64\nlayers = 1\nheads = 4\nhidden = 96\ncontext = 32\ntokenizer = 'bytes'\ngrid = 'int4'\nscales = 'group32'";

/// Nothing is left of an export that cannot be trusted.
#[test]
fn a_failed_export_leaves_nothing() {
    let table = Table::Llama(toml::from_str::<LlamaConfig>(CONFIG).unwrap());
    let specs = table.specs();
    let mut data: Vec<(String, Dtype, Vec<usize>)> = Vec::new();
    for spec in &specs.matrices {
        data.push((format!("{}.codes", spec.name), Dtype::U8, vec![spec.out_features, grid::row_bytes(spec.in_features)]));
        data.push((format!("{}.step", spec.name), Dtype::F16, vec![spec.out_features, grid::groups(spec.in_features)]));
    }
    data.extend(specs.vectors.iter().map(|spec| (spec.name.clone(), Dtype::F32, spec.shape.clone())));
    let zeros = vec![0; 1 << 20];
    let tensors = data.iter().map(|(name, dtype, shape)| {
        let bytes = dtype.byte_len(shape.iter().product()).unwrap();
        TensorRef::new(name.clone(), *dtype, shape, &zeros[..bytes])
    });
    let folder = tempfile::tempdir().unwrap();
    let [ours, gguf, hf] = ["a.safetensors", "a.gguf", "hf"].map(|name| folder.path().join(name));
    let metadata = BTreeMap::from([("config".to_owned(), table.to_toml("test").unwrap()), ("step".to_owned(), "0".to_owned())]);
    save(&ours, &metadata, &tensors.collect::<Vec<_>>()).unwrap();
    let model = Model::open(&ours).unwrap();
    to_gguf::export(&model, &[], &gguf).unwrap();
    to_folder::export(&model, Dtype::F32, &[], &hf).unwrap();
    fs::remove_file(&gguf).unwrap();
    fs::remove_dir_all(&hf).unwrap();
    File::options().append(true).open(&ours).unwrap().write_all(b"x").unwrap();
    assert!(to_folder::export(&model, Dtype::F32, &[], &hf).is_err() && !hf.exists());
    assert!(to_gguf::export(&model, &[], &gguf).is_err() && !gguf.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
