//! What a program asks of the device, counted in place of done.
//!
//! A program can see results only when it copies them to the host, so all that it asked for up to each such copy makes a section of the
//! file. A section is lines of fields that are separated by tabs, and ends in an empty line; equal requests are one line:
//!
//! | first field | the others |
//! |---|---|
//! | `kernel` | how often, name, blocks as `x,y,z`, threads of a block as `x,y,z`, then each parameter: the bits of one of at most four bytes as an integer, `-` for a wider one |
//! | `memset` | how often, bytes |
//! | `copy` | how often, `to device`, `to host` or `on device`, bytes |
//! | `memory` | bytes of global memory that are allocated |

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use crate::exec::LaunchSize;
use crate::exec::program::Program;

/// Where a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Direction {
    ToDevice,
    ToHost,
    OnDevice,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Request {
    Kernel { name: String, grid: [u32; 3], block: [u32; 3], parameters: Vec<Option<u32>> },
    Memset { bytes: u64 },
    Copy { direction: Direction, bytes: u64 },
}

/// Counts requests.
pub struct Tally {
    into: Box<dyn Write + Send>,
    section: BTreeMap<Request, u64>,
}

impl Tally {
    /// Writes sections to `into`.
    pub fn new(into: Box<dyn Write + Send>) -> Self {
        Self { into, section: BTreeMap::new() }
    }

    fn add(&mut self, request: Request) {
        *self.section.entry(request).or_default() += 1;
    }

    /// Counts a launch with this parameter block.
    pub fn launch(&mut self, kernel: &Program, size: LaunchSize, params: &[u8]) {
        let value = |bytes: &[u8]| {
            let mut word = [0; 4];
            word.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(u32::from_le_bytes(word))
        };
        let parameters = kernel.params.iter().map(|param| value(&params[param.offset..param.offset + param.bytes])).collect();
        self.add(Request::Kernel { name: kernel.name.clone(), grid: size.grid, block: size.block, parameters });
    }

    /// Counts a memset.
    pub fn memset(&mut self, bytes: u64) {
        self.add(Request::Memset { bytes });
    }

    /// Counts a copy.
    pub fn copy(&mut self, direction: Direction, bytes: u64) {
        self.add(Request::Copy { direction, bytes });
    }

    /// Writes what was counted since the last section, if anything was, with the bytes that are allocated.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn end_section(&mut self, allocated: u64) -> io::Result<()> {
        if self.section.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (request, count) in std::mem::take(&mut self.section) {
            text += &request.line(count);
        }
        writeln!(self.into, "{text}memory\t{allocated}\n")?;
        self.into.flush()
    }
}

impl Request {
    fn line(&self, count: u64) -> String {
        match self {
            Self::Kernel { name, grid, block, parameters } => {
                let [grid, block] = [grid, block].map(|[x, y, z]| format!("{x},{y},{z}"));
                let value = |value: &Option<u32>| value.map_or("\t-".to_string(), |value| format!("\t{value}"));
                let parameters: String = parameters.iter().map(value).collect();
                format!("kernel\t{count}\t{name}\t{grid}\t{block}{parameters}\n")
            }
            Self::Memset { bytes } => format!("memset\t{count}\t{bytes}\n"),
            Self::Copy { direction, bytes } => format!("copy\t{count}\t{direction}\t{bytes}\n"),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::ToDevice => "to device",
            Self::ToHost => "to host",
            Self::OnDevice => "on device",
        })
    }
}
