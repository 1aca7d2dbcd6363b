//! Speech: what lies between text, phones, mel spectrograms and sound.
//!
//! | file | idea |
//! |---|---|
//! | `phone.rs`   | the 55 symbols that speech is written in |
//! | `wav.rs`     | WAV files, read checked and written whole |
//! | `mel.rs`     | log-mel spectrograms and energy |
//! | `pitch.rs`   | fundamental frequency |
//! | `prosody.rs` | pitch and energy of phones, and the scale that they are learnt on |

pub mod mel;
pub mod phone;
pub mod pitch;
pub mod prosody;
pub mod wav;

pub use phone::Phone;
