//! `primal-host import`.
//!
//! | file | idea |
//! |---|---|
//! | `model.rs` | language models |
//! | `templates.rs` | templates of conversations that they are given |
//! | `loss.rs` | what they lose on a text |
//! | `hifigan.rs`, `source_filter.rs` | vocoders |

mod hifigan;
mod loss;
mod model;
mod source_filter;
mod templates;

use argh::FromArgs;

use crate::Result;

/// make a file of this program of another one's
#[derive(FromArgs)]
#[argh(subcommand, name = "import")]
pub struct Import {
    #[argh(subcommand)]
    what: What,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum What {
    Model(model::ImportModel),
    Hifigan(hifigan::ImportHifigan),
    SourceFilter(source_filter::ImportSourceFilter),
}

impl Import {
    /// Reads, checks and writes.
    ///
    /// # Errors
    /// A file that is none of another program's, or cannot be used; output that cannot be written.
    pub fn run(self) -> Result<()> {
        match self.what {
            What::Model(command) => command.run(),
            What::Hifigan(command) => command.run(),
            What::SourceFilter(command) => command.run(),
        }
    }
}
