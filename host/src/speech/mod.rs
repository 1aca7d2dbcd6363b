//! Speech: what lies between text, phones, mel spectrograms and sound.
//!
//! | file | idea |
//! |---|---|
//! | `phone.rs` | the 55 symbols that speech is written in |

pub mod phone;

pub use phone::Phone;
