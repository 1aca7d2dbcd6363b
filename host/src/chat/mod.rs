//! Conversations with a model.
//!
//! | file | idea |
//! |---|---|
//! | `template.rs` | how a model's conversations are written: its template in the language of Jinja |
//! | `bounded.rs` | what of templates makes text out of values: no more than they may |
//! | `python_json.rs` | JSON as Python writes it, for templates |
//! | `conversation.rs` | turns, of which the model reads only what is new |

mod bounded;
mod conversation;
mod python_json;
mod template;

pub use conversation::{Answer, Conversation, End};
pub use template::{ChatTemplate, Message, Role};
