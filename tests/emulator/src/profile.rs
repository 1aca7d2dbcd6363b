//! What a launch did: instructions by class, and memory requests.

use std::fmt;

/// What an instruction counts as in the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    Integer,
    Float,
    Fma,
    Special,
    Convert,
    Move,
    Global,
    Shared,
    Local,
    Atomic,
    Control,
    Barrier,
    Warp,
    Matrix,
}

/// The classes, in the order of [`Counters::instructions`], with their names in the table.
const CLASSES: [(Class, &str); 14] = [
    (Class::Integer, "integer"),
    (Class::Float, "float"),
    (Class::Fma, "fma"),
    (Class::Special, "special function"),
    (Class::Convert, "convert"),
    (Class::Move, "move"),
    (Class::Global, "global and generic"),
    (Class::Shared, "shared"),
    (Class::Local, "local and param"),
    (Class::Atomic, "atomic"),
    (Class::Control, "control"),
    (Class::Barrier, "barrier and fence"),
    (Class::Warp, "shuffle and vote"),
    (Class::Matrix, "matrix"),
];

/// Counters of a launch, or of one worker's part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By class: (instructions of warps, lanes that executed them).
    pub instructions: [(u64, u64); CLASSES.len()],
    /// Loads, stores and atomics of a warp that reach global memory.
    pub global_requests: u64,
    /// 32-byte sectors that these requests touch.
    pub global_sectors: u64,
    /// Loads, stores and atomics of a warp that reach shared memory.
    pub shared_requests: u64,
    /// Extra passes of these requests, because lanes want different words of one bank.
    pub bank_conflicts: u64,
}

impl Counters {
    /// Counts an instruction executed by the lanes of a mask.
    pub fn note(&mut self, class: Class, mask: u32) {
        let (instructions, lanes) = &mut self.instructions[class as usize];
        *instructions += 1;
        *lanes += u64::from(mask.count_ones());
    }

    /// (instructions, lanes) of a class.
    pub fn class(&self, class: Class) -> (u64, u64) {
        self.instructions[class as usize]
    }

    /// Instructions times the lanes that executed them.
    pub fn lane_instructions(&self) -> u64 {
        self.instructions.iter().map(|(_, lanes)| lanes).sum()
    }

    /// Counts a global request of `bytes` bytes at each address.
    pub fn global_request(&mut self, addresses: impl Iterator<Item = u64>) {
        let mut sectors: Vec<u64> = addresses.map(|address| address / 32).collect();
        sectors.sort_unstable();
        sectors.dedup();
        self.global_requests += 1;
        self.global_sectors += sectors.len() as u64;
    }

    /// Counts a shared request of `bytes` bytes at each offset: 128 bytes are served in one pass.
    pub fn shared_request(&mut self, offsets: impl Iterator<Item = (usize, u64)>, bytes: usize) {
        let words = bytes.div_ceil(4) as u64;
        let mut wanted: Vec<(u64, u64, u64)> = offsets
            .flat_map(|(lane, offset)| {
                let phase = lane as u64 * words / 32;
                (offset / 4..offset / 4 + words).map(move |word| (phase, word % 32, word))
            })
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        self.shared_requests += 1;
        for phase in wanted.chunk_by(|a, b| a.0 == b.0) {
            let passes = phase.chunk_by(|a, b| a.1 == b.1).map(<[_]>::len).max().unwrap_or(1);
            self.bank_conflicts += passes as u64 - 1;
        }
    }

    /// Adds what another worker did.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.instructions.iter_mut().zip(&other.instructions) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
        self.global_requests += other.global_requests;
        self.global_sectors += other.global_sectors;
        self.shared_requests += other.shared_requests;
        self.bank_conflicts += other.bank_conflicts;
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (class, name) in CLASSES {
            let (instructions, lanes) = self.class(class);
            if instructions > 0 {
                let used = 100.0 * lanes as f64 / (32 * instructions) as f64;
                writeln!(f, "  {name:20} {instructions:14} instructions {lanes:16} lanes ({used:5.1} % of them used)")?;
            }
        }
        writeln!(f, "  {:20} {:14} requests     {:16} sectors of 32 bytes", "global memory", self.global_requests, self.global_sectors)?;
        write!(f, "  {:20} {:14} requests     {:16} bank conflicts", "shared memory", self.shared_requests, self.bank_conflicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sectors_and_bank_conflicts() {
        let mut counters = Counters::default();
        counters.global_request((0..32).map(|lane| 4096 + 4 * lane));
        counters.global_request((0..32).map(|lane| 128 * lane));
        assert_eq!((counters.global_requests, counters.global_sectors), (2, 4 + 32));
        counters.shared_request((0..32).map(|lane| (lane, 4 * lane as u64)), 4);
        counters.shared_request((0..32).map(|lane| (lane, 0)), 4);
        counters.shared_request((0..32).map(|lane| (lane, 16 * lane as u64)), 16);
        assert_eq!(counters.bank_conflicts, 0);
        counters.shared_request((0..32).map(|lane| (lane, 8 * lane as u64)), 4);
        assert_eq!((counters.shared_requests, counters.bank_conflicts), (4, 1));
        counters.shared_request((0..32).map(|lane| (lane, 128 * lane as u64)), 4);
        assert_eq!(counters.bank_conflicts, 1 + 31);
    }
}
