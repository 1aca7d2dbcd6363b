//! The engine of PRIMAL: networks that train directly on a 4-bit grid.
//!
//! Weights are 4-bit codes into a table of levels times the scale of a row or group, and there is no float copy of them: the backward pass casts
//! integer votes, and a weight moves one level when its votes agree. A model is trained on whatever implements a source of data, here a text in
//! memory:
//!
//! ```
//! use primal_engine::backend::cpu::Cpu;
//! use primal_engine::config::Config;
//! use primal_engine::memory::Plan;
//! use primal_engine::models::sample::{Ends, Sampling, generate};
//! use primal_engine::train::bytes::Bytes;
//! use primal_engine::train::fit::StepReport;
//! use primal_engine::train::trainer::{Layout, Trainer};
//!
//! fn main() -> primal_engine::Result<()> {
//!     let config = "model = { dim = 32, layers = 2, heads = 2, context = 64, tokenizer = 'bytes', grid = 'uniform15' }
//!                   train = { steps = 150, batch = 8, seq_len = 64, lr = 8e-3, warmup = 10 }";
//!     let config = Config::parse(config, "the example's configuration")?;
//!     // All memory is planned, then allocated at once.
//!     let mut plan = Plan::default();
//!     let layout: Layout = Layout::plan(&config, &mut plan);
//!     let mut trainer = Trainer::new(config, layout, Cpu::new(&mut plan));
//!     trainer.initialise();
//!     let source = Bytes::new("The ghost in the machine is singing. ".repeat(100));
//!     trainer.fit(&source, &mut |report: &StepReport| println!("step {}: {:.3} nats a byte", report.step, report.stats.loss))?;
//!     let (b, layout, mut written) = (&mut trainer.backend, &trainer.layout, Vec::new());
//!     let ends = Ends { max_tokens: 40, stops: &[] };
//!     generate::<_, primal_engine::Error>(b, &layout.parameters, &layout.sampler, &[84, 104, 101], ends, Sampling::GREEDY, |byte, _| {
//!         written.push(byte as u8);
//!         Ok(())
//!     })?;
//!     assert_eq!(String::from_utf8_lossy(&written), " ghost in the machine is singing. The gh");
//!     Ok(())
//! }
//! ```
//!
//! | module | idea |
//! |---|---|
//! | [`memory`] | all memory of a run, planned before the first step |
//! | [`backend`] | devices: memory, and what runs an op |
//! | [`ops`] | what a device computes, an op a folder |
//! | [`config`] | what a model is and how it is trained |
//! | [`nn`] | parameters and layers, each with its explicit backward pass |
//! | [`models`] | networks made of them |
//! | [`optim`] | the update rules |
//! | [`ranks`] | processes that train one model together |
//! | [`train`] | the loop and its step, and the state of a run |
//! | [`files`] | tensors on disk, durable writes |
//! | [`convert`] | models of other programs, in and out |
//! | [`interrupt`] | how a run is asked to stop, and where it may |
//! | [`verify`] | whether a device computes what it should |
pub mod backend;
pub mod config;
pub mod convert;
mod error;
pub mod files;
pub mod interrupt;
pub mod memory;
pub mod models;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod ranks;
pub mod train;
pub mod verify;

pub use error::{Error, Result};
