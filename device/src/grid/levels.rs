//! The grids as data: sixteen codes, at most fifteen levels.
//!
//! On every grid [`ZERO`] is 0.0, the levels ascend with the code, code `ZERO + k` is minus code `ZERO − k`, and code 0 is
//! never a level: a byte of zeros cannot be mistaken for weights. Every level is an integer over the grid's denominator, so
//! a dot product with integer activations is exact.

/// The code of level 0.0 on every grid.
pub const ZERO: u8 = 8;

/// One of the grids, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GridId {
    /// 0 and ± the reciprocals of 11, 7, 5, 3, 2 and 1; codes 2..=14.
    Prime13,
    /// `Prime13` with ±1/13 as the innermost level; codes 1..=15.
    Prime15,
    /// 0, ±1/12, ±1/8, ±1/6, ±1/4, ±1/3, ±1/2, ±2/3; codes 1..=15.
    Fine15,
    /// ±k/7 for k = 0..=7; codes 1..=15.
    Uniform15,
}

impl GridId {
    /// Every grid.
    pub const ALL: [GridId; 4] = [Self::Prime13, Self::Prime15, Self::Fine15, Self::Uniform15];

    /// The grid's table.
    pub fn grid(self) -> &'static Grid {
        &GRIDS[self as usize]
    }

    /// The name in configurations and checkpoints.
    pub fn name(self) -> &'static str {
        self.grid().name
    }

    /// The grid of that name.
    pub fn from_name(name: &str) -> Option<GridId> {
        Self::ALL.into_iter().find(|id| id.name() == name)
    }
}

/// A grid's table, indexed by code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The name in configurations and checkpoints.
    pub name: &'static str,
    /// The level of each code, ascending over `min..=max`; 0.0 elsewhere.
    pub levels: [f32; 16],
    /// `level · denominator`, exact; 0 outside `min..=max`.
    pub integers: [i16; 16],
    /// What makes every level an integer: 2310, 30030, 24 or 7.
    pub denominator: i32,
    /// The lowest code that is a level.
    pub min: u8,
    /// The highest code that is a level.
    pub max: u8,
}

/// The grids, in the order of [`GridId`].
pub static GRIDS: [Grid; 4] = [
    Grid::new("prime13", &[210, 330, 462, 770, 1155, 2310], 2310),
    Grid::new("prime15", &[2310, 2730, 4290, 6006, 10010, 15015, 30030], 30030),
    Grid::new("fine15", &[2, 3, 4, 6, 8, 12, 16], 24),
    Grid::new("uniform15", &[1, 2, 3, 4, 5, 6, 7], 7),
];

impl Grid {
    /// The grid whose positive levels are `positive / denominator`, ascending.
    const fn new(name: &'static str, positive: &[i16], denominator: i32) -> Self {
        let (mut levels, mut integers) = ([0.0; 16], [0; 16]);
        let mut k = 1;
        while k <= positive.len() {
            let integer = positive[k - 1];
            let level = integer as f32 / denominator as f32;
            integers[ZERO as usize + k] = integer;
            integers[ZERO as usize - k] = -integer;
            levels[ZERO as usize + k] = level;
            levels[ZERO as usize - k] = -level;
            k += 1;
        }
        let steps = positive.len() as u8;
        Self { name, levels, integers, denominator, min: ZERO - steps, max: ZERO + steps }
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

    /// The code of the level nearest to `value`; a tie goes to the level nearer zero, NaN to [`ZERO`].
    #[inline(always)]
    pub fn nearest(&self, value: f32) -> u8 {
        let magnitude = if value < 0.0 { -value } else { value };
        let mut steps = 0;
        for pair in self.levels[ZERO as usize..=self.max as usize].windows(2) {
            steps += (magnitude > 0.5 * (pair[0] + pair[1])) as u8;
        }
        if value < 0.0 { ZERO - steps } else { ZERO + steps }
    }

    /// The largest level.
    pub fn largest(&self) -> f32 {
        self.level(self.max)
    }

    /// The distance from `code`'s level to the next one up or down; at a rail, the last gap.
    #[inline(always)]
    pub fn gap(&self, code: u8, up: bool) -> f32 {
        let code = code.clamp(self.min, self.max);
        let upper = if up { (code + 1).min(self.max) } else { code.max(self.min + 1) };
        self.level(upper) - self.level(upper - 1)
    }
}
