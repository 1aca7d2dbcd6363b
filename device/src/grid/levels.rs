//! A grid: up to sixteen levels that ascend with their codes.
//!
//! Where every level is an integer over one denominator, a dot product with integer activations is exact; kernels that need the integers take
//! another way on a grid without.

use core::fmt;

/// In place of a code where there is none.
const NONE: u8 = u8::MAX;
/// Longest name in bytes.
const NAME: usize = 16;

/// A grid's table, by code. Its bytes are what a kernel reads: it has no padding and no pointers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct Grid {
    /// The level of each code, ascending over `min..=max`; 0.0 elsewhere.
    pub levels: [f32; 16],
    /// Between the level of each code and the next: beyond it, away from `origin`, the other one is nearer.
    midpoints: [f32; 16],
    /// `level · denominator`, exact; 0 outside of `min..=max` and on a grid without a denominator.
    pub integers: [i16; 16],
    /// 0 for none.
    denominator: i32,
    /// The lowest code that is a level.
    pub min: u8,
    /// The highest code that is a level.
    pub max: u8,
    zero: u8,
    /// The code of the level nearest to zero.
    origin: u8,
    doubled: u8,
    name: [u8; NAME],
    unused: [u8; 3],
}

const _: () = assert!(size_of::<Grid>() == 2 * 16 * 4 + 16 * 2 + 4 + 5 + NAME + 3, "no padding");

/// Where the codes of a grid end, and what a step passes over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// The lowest code that is a level.
    pub min: u8,
    /// The highest code that is a level.
    pub max: u8,
    /// The lower of two adjacent codes with the same level.
    doubled: u8,
}

impl Ends {
    /// The code of the next level: up where `step` is 1, down where it is −1; the same code at a rail, and where `step` is 0.
    #[inline(always)]
    pub fn moved(self, code: u8, step: i32) -> u8 {
        let (code, doubled) = (i32::from(code), i32::from(self.doubled));
        // Without `||`, which would branch on what is a coin toss.
        let over = ((step > 0) & (code == doubled)) | ((step < 0) & (code == doubled + 1));
        (code + step + step * i32::from(over)).clamp(self.min.into(), self.max.into()) as u8
    }
}

impl Grid {
    /// The grid with 0 at code 8, and around it ± `positive / denominator`, ascending.
    pub const fn symmetric(name: &str, positive: &[i16], denominator: i32) -> Self {
        let (mut integers, mut k) = ([0; 16], 0);
        while k < positive.len() {
            integers[9 + k] = positive[k];
            integers[7 - k] = -positive[k];
            k += 1;
        }
        Self::of_integers(name, 8 - k, 8 + k, integers, denominator)
    }

    /// The grid whose levels from code 0 on are `numerators / denominator`. They ascend; two adjacent ones may be equal.
    pub const fn fractions(name: &str, numerators: &[i16], denominator: i32) -> Self {
        let (mut integers, mut k) = ([0; 16], 0);
        while k < numerators.len() {
            integers[k] = numerators[k];
            k += 1;
        }
        Self::of_integers(name, 0, numerators.len() - 1, integers, denominator)
    }

    /// The grid of these levels, from code 0 on, which have no common denominator. They ascend; two adjacent ones may be equal.
    pub const fn irrational(name: &str, levels: &[f32]) -> Self {
        let (mut all, mut k) = ([0.0; 16], 0);
        while k < levels.len() {
            all[k] = levels[k];
            k += 1;
        }
        Self::new(name, 0, levels.len() - 1, all, [0; 16], 0)
    }

    const fn of_integers(name: &str, min: usize, max: usize, integers: [i16; 16], denominator: i32) -> Self {
        let (mut levels, mut k) = ([0.0; 16], 0);
        while k < 16 {
            levels[k] = integers[k] as f32 / denominator as f32;
            k += 1;
        }
        Self::new(name, min, max, levels, integers, denominator)
    }

    const fn new(name: &str, min: usize, max: usize, levels: [f32; 16], integers: [i16; 16], denominator: i32) -> Self {
        assert!(min < max && denominator >= 0, "two levels at least");
        let (mut doubled, mut zero, mut origin) = (NONE as usize, NONE as usize, min);
        let mut k = min;
        while k <= max {
            assert!(levels[k].is_finite() && (k == min || levels[k - 1] <= levels[k]), "levels ascend");
            if k > min && levels[k - 1] == levels[k] {
                assert!(doubled == NONE as usize && k - 1 > min && k < max, "one level is doubled at most, and it is no rail");
                doubled = k - 1;
            }
            if levels[k] == 0.0 {
                zero = k;
            }
            if levels[k].abs() <= levels[origin].abs() {
                origin = k;
            }
            k += 1;
        }
        // What is beyond a level's double is beyond both: nothing is nearest to the one that is farther from the origin.
        let (mut midpoints, mut k) = ([0.0; 16], min);
        while k < max {
            let low = if k != doubled {
                k
            } else if k < origin {
                k - 1
            } else {
                k + 1
            };
            midpoints[k] = 0.5 * (levels[low] + levels[low + 1]);
            k += 1;
        }
        let (bytes, mut text, mut k) = (name.as_bytes(), [0; NAME], 0);
        while k < bytes.len() {
            assert!(bytes[k].is_ascii_lowercase() || bytes[k].is_ascii_digit(), "a name of letters and digits");
            text[k] = bytes[k];
            k += 1;
        }
        let [min, max, zero, origin, doubled] = [min as u8, max as u8, zero as u8, origin as u8, doubled as u8];
        Self { levels, midpoints, integers, denominator, min, max, zero, origin, doubled, name: text, unused: [0; 3] }
    }

    /// The name in configurations and checkpoints.
    pub fn name(&self) -> &str {
        let len = self.name.iter().position(|&byte| byte == 0).unwrap_or(NAME);
        core::str::from_utf8(&self.name[..len]).unwrap_or("")
    }

    /// What makes every level an integer, if anything does.
    #[inline(always)]
    pub fn denominator(&self) -> Option<i32> {
        if self.denominator == 0 { None } else { Some(self.denominator) }
    }

    /// The code of level 0, if it is a level; of two, the upper one.
    pub fn zero(&self) -> Option<u8> {
        if self.zero == NONE { None } else { Some(self.zero) }
    }

    /// Whether products of halves (IEEE 754 binary16) are exact: they multiply by the integers, which have to fit eleven bits but for zeros behind.
    pub fn fits_half(&self) -> bool {
        self.denominator != 0 && self.integers.iter().all(|n| n.unsigned_abs() >> n.trailing_zeros().min(15) < 2048)
    }

    /// The largest magnitude among the integers.
    pub fn largest_integer(&self) -> i32 {
        self.integers.iter().map(|&n| i32::from(n).abs()).max().unwrap_or(0)
    }

    /// The level of `code`; 0.0 where the code is not a level.
    #[inline(always)]
    pub fn level(&self, code: u8) -> f32 {
        self.levels[(code & 15) as usize]
    }

    /// Whether `code` stands for a level of this grid.
    #[inline(always)]
    pub fn is_level(&self, code: u8) -> bool {
        self.min <= code && code <= self.max
    }

    /// The lowest and the highest level.
    #[inline(always)]
    pub fn range(&self) -> [f32; 2] {
        [self.level(self.min), self.level(self.max)]
    }

    /// Half of the distance from the lowest to the highest level: on a symmetric grid, the largest.
    pub fn reach(&self) -> f32 {
        let [lowest, highest] = self.range();
        0.5 * (highest - lowest)
    }

    /// The codes at which a wider scale would help, each where the grid has one: the lowest and the highest, but not one of level 0.
    #[inline(always)]
    pub fn rails(&self) -> [u8; 2] {
        let rail = |code, other| if code == self.zero { other } else { code };
        [rail(self.min, self.max), rail(self.max, self.min)]
    }

    /// Where the codes end.
    #[inline(always)]
    pub fn ends(&self) -> Ends {
        Ends { min: self.min, max: self.max, doubled: self.doubled }
    }

    /// The code of the level nearest to `value`; a tie goes to the level nearer zero, NaN to the one nearest to zero. Of two codes with this level,
    /// the one nearer the [`zero`](Self::zero).
    #[inline(always)]
    pub fn nearest(&self, value: f32) -> u8 {
        let mut code = self.origin;
        for at in self.origin..self.max {
            code += (value > self.midpoints[(at & 15) as usize]) as u8;
        }
        for at in self.min..self.origin {
            code -= (value < self.midpoints[(at & 15) as usize]) as u8;
        }
        code
    }

    /// The distance from `code`'s level to the next one up or down; at a rail, the last gap.
    #[inline(always)]
    pub fn gap(&self, code: u8, up: bool) -> f32 {
        let code = code.clamp(self.min, self.max);
        let [lower, upper] = [-1, 1].map(|step| self.level(self.ends().moved(code, step)));
        let level = self.level(code);
        if upper == level || (!up && lower != level) { level - lower } else { upper - level }
    }
}

impl Eq for Grid {}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}
