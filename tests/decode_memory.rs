//! What `generate` takes from the heap, counted: a program of its own, as the count is of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use argh::FromArgs;
use primal_device::grid;
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::Config;
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::memory::Plan;
use primal_engine::models::causal::CausalLayers;
use primal_engine::nn::Parameters;
use primal_engine::nn::tensors;
use primal_host::cli::Arguments;
use primal_host::configurations::Load;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: by the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: by the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn generating_holds_no_copy_of_the_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let codes = write_checkpoint(&path);
    let path = path.display().to_string();
    let arguments = ["generate", "--checkpoint", &path, "--prompt", "Once", "--max-tokens", "40", "--threads", "1"];
    let arguments = Arguments::from_args(&["primal-host"], &arguments).expect("arguments");
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    arguments.run().expect("a text");
    let taken = PEAK.load(Ordering::Relaxed) - before;
    assert!(taken < codes / 2, "{taken} bytes of heap at the peak, for {codes} bytes of codes in the file");
}

/// A model at its start values; returns the bytes of its codes.
fn write_checkpoint(path: &std::path::Path) -> usize {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    let m = &mut config.model;
    (m.dim, m.layers, m.heads, m.context, m.grid) = (512, 6, 8, 32, &grid::PRIME13);
    config.train.seq_len = 32;
    let mut plan = Plan::default();
    let (_, specs) = CausalLayers::new(&config.model, false);
    let weights = specs.matrix_weights();
    let parameters = Parameters::plan(specs, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    parameters.initialise(&mut backend, 1, |_, _, _, _| {});
    let copies = tensors::parameters(&parameters).into_iter().map(|tensor| {
        let mut bytes = vec![0; tensor.bytes.len()];
        backend.download(tensor.bytes, &mut bytes);
        (tensor, bytes)
    });
    let copies: Vec<_> = copies.collect();
    let tensors: Vec<_> = copies.iter().map(|(t, bytes)| TensorRef::new(t.name.clone(), t.dtype, &t.shape, bytes)).collect();
    save(path, &BTreeMap::from([("config".to_string(), config.to_toml())]), &tensors).expect("a checkpoint");
    weights / 2
}
