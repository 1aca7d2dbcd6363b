//! What is asked of a device.

use std::collections::BTreeMap;

/// Equal requests: a kernel's launches, memsets or copies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The kernel, `memset`, or `copy` with its direction.
    pub kernel: String,
    /// Blocks in x and y; none where there is no grid.
    pub blocks: Option<[u64; 2]>,
    /// The values of the parameters that predictions need, `-` for pointers.
    pub parameters: BTreeMap<String, String>,
}

/// A step on one architecture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Bytes of global memory that the program has.
    pub allocated: u64,
    /// How often what was asked for.
    pub requests: BTreeMap<Request, u64>,
}

impl Step {
    /// How many requests of those kinds there are.
    pub fn count(&self, of: impl Fn(&Request) -> bool) -> u64 {
        self.requests.iter().filter(|(request, _)| of(request)).map(|(_, count)| count).sum()
    }
}

impl Request {
    /// Whether it launches a kernel.
    pub fn is_launch(&self) -> bool {
        self.blocks.is_some()
    }

    /// Whether it is a copy.
    pub fn is_copy(&self) -> bool {
        self.kernel.starts_with("copy ")
    }
}
