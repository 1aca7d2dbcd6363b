//! Whether a device computes what it should: every op against plain references. It is part of the library, so that whoever has a device can prove
//! it there.

mod cases;
mod data;
mod harness;
pub mod ops;
mod reference;
