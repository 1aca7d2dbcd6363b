//! Where the time of a run goes, by name: of ops on the CPU, of kernels on a GPU.

use std::collections::BTreeMap;

/// What all runs under one name took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Number of runs.
    pub runs: u64,
    /// Seconds of all.
    pub seconds: f64,
    /// Seconds of the longest.
    pub longest: f64,
    /// Floating-point operations of all, as [`Op::flops`](super::Op::flops) counts them.
    pub flops: f64,
}

/// Times by name.
#[derive(Clone, Debug, Default)]
pub struct Profile(BTreeMap<&'static str, Times>);

impl Profile {
    /// Adds a run that took so many seconds for so many floating-point operations.
    pub fn add(&mut self, name: &'static str, seconds: f64, flops: f64) {
        let times = self.0.entry(name).or_default();
        times.runs += 1;
        times.seconds += seconds;
        times.longest = times.longest.max(seconds);
        times.flops += flops;
    }

    /// All names, the heaviest first.
    pub fn heaviest(&self) -> Vec<(&'static str, Times)> {
        let mut rows: Vec<_> = self.0.iter().map(|(&name, &times)| (name, times)).collect();
        rows.sort_by(|(_, a), (_, b)| b.seconds.total_cmp(&a.seconds));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_under_their_name_and_the_heaviest_comes_first() {
        let mut profile = Profile::default();
        profile.add("light", 1.0, 0.0);
        profile.add("heavy", 2.0, 3.0);
        profile.add("heavy", 4.0, 5.0);
        let rows = profile.heaviest();
        assert_eq!(rows.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["heavy", "light"]);
        let Times { runs, seconds, longest, flops } = rows[0].1;
        assert_eq!((runs, seconds, longest, flops), (2, 6.0, 4.0, 8.0));
    }
}
