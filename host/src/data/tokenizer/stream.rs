//! Text of tokens that come one by one.

use super::codec::TextCodec;

/// Turns tokens into text one at a time, holding back the bytes of a character that is not complete yet.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    codec: TextCodec,
    pub(super) pending: Vec<u8>,
}

impl StreamDecoder {
    /// A decoder at the start of a text.
    pub(super) fn new(codec: TextCodec) -> Self {
        Self { codec, pending: Vec::new() }
    }

    /// The text that `token` completes, possibly empty.
    pub fn push(&mut self, token: u32) -> String {
        self.pending.extend_from_slice(self.codec.token_bytes(token));
        let mut text = String::new();
        let mut used = 0;
        loop {
            match std::str::from_utf8(&self.pending[used..]) {
                Ok(valid) => {
                    text.push_str(valid);
                    used = self.pending.len();
                    break;
                }
                Err(error) => {
                    let valid = used + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.pending[used..valid]));
                    used = valid;
                    match error.error_len() {
                        Some(length) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            used += length;
                        }
                        None => break,
                    }
                }
            }
        }
        self.pending.drain(..used);
        text
    }

    /// What is left at the end: nothing, or U+FFFD for a character that was never completed.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}
