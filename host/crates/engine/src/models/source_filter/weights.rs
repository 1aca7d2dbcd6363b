//! A vocoder's file: a checkpoint of this program with the parameters of both networks.
//!
//! The metadata hold `architecture` (`source_filter`), `config` and `mel` (JSON), and `weights`, which says of matrices on which grid they are; any
//! other keys are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::config::SourceFilterConfig;
use super::export::is_export;
use super::network::Network;
use crate::files::TensorFile;
use crate::memory::Plan;
use crate::nn::parameters::Specs;
use crate::nn::{Parameters, kept, tensors};
use crate::{Error, Result};

/// The value of the metadata key `architecture`.
pub const ARCHITECTURE: &str = "source_filter";
const HINT: &str = "give a vocoder that `primal-host import source-filter` made of what its training exported";

/// An open file of a vocoder, all of which was checked.
#[derive(Debug)]
pub struct VocoderFile {
    pub(super) file: Box<dyn TensorFile>,
    /// The network's shape.
    pub config: SourceFilterConfig,
}

impl VocoderFile {
    /// Checks everything.
    ///
    /// # Errors
    /// Bad input that names what is missing, extra, of another shape, or has a value that no vocoder has.
    pub fn new(file: Box<dyn TensorFile>) -> Result<Self> {
        let name = file.path().display().to_string();
        let found = file.metadata().get("architecture");
        if found.map(String::as_str) != Some(ARCHITECTURE) {
            let found = format!("{found:?} in {}", file.kind());
            return Err(Error::invalid(name, format!("metadata `architecture` = {ARCHITECTURE}"), found, HINT));
        }
        if is_export(&*file) {
            return Err(Error::invalid(name, "a vocoder to run", "one as its training exported it", HINT));
        }
        let config: SourceFilterConfig = serde_json::from_str(file.meta("config")?)
            .map_err(|error| Error::invalid(&name, "JSON in the metadata `config`", error, HINT))?;
        config.validate(&name)?;
        let vocoder = Self { file, config };
        let all = tensors::parameters(&Parameters::plan(vocoder.specs()?, &mut Plan::default()));
        tensors::validate(&all, &*vocoder.file)?;
        let known: BTreeSet<&str> = all.iter().map(|tensor| tensor.name.as_str()).collect();
        if let Some(extra) = vocoder.file.names().find(|name| !known.contains(name)) {
            return Err(Error::invalid(name, "only the tensors of its configuration", format!("`{extra}` besides"), HINT));
        }
        Ok(vocoder)
    }

    /// Its parameters, on the grids that it says.
    pub(super) fn specs(&self) -> Result<Specs> {
        let (_, mut specs) = Network::new(&self.config);
        kept::apply(&mut specs, &*self.file)?;
        Ok(specs)
    }

    /// Everything the file says of itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.file.metadata()
    }

    /// The file itself.
    pub fn file(&self) -> &dyn TensorFile {
        &*self.file
    }
}
