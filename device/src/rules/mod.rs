//! What moves a weight, as plain functions of one weight, which the CPU back end and the kernels call.
//!
//! - [`votes`]: gradients add up to votes, and votes to flips
//! - [`halves`]: what is kept in halves and moves by less
//! - [`poltergeist`]: PRIMAL's first rule, votes of one and flips at random
//! - [`quantise`]: shadow weights and their straight-through gradients

pub mod halves;
pub mod poltergeist;
pub mod quantise;
pub mod votes;
