//! `primal-host report`.

use std::path::PathBuf;

use argh::FromArgs;

use crate::Result;
use crate::output::print;
use crate::report::html::write_report;

/// write RUN/report.html: one page, no network
#[derive(FromArgs)]
#[argh(subcommand, name = "report")]
pub struct Report {
    /// folder of the run
    #[argh(positional)]
    run: PathBuf,
}

impl Report {
    /// Writes it and prints its path.
    ///
    /// # Errors
    /// A run that cannot be read, a page that cannot be written.
    pub fn run(self) -> Result<()> {
        print(write_report(&self.run)?.display())
    }
}
