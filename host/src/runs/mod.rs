//! Runs on disk: which one a folder holds, and the steps, records, samples and checkpoints that are written to it.

pub mod beginning;
mod belonging;
pub(crate) mod claim;
pub mod difference;
pub mod folder;
pub(crate) mod followers;
pub mod identity;
pub mod training;
