//! Products of a panel and some rows of activations. The sum of a group is an exact integer, which `f32` holds (at most 32 · 127 · 127); it is multiplied
//! by the weight's factor, rounded, and by the activations' in a fused addition to the running sum, then the offset times the group's sum is. So all
//! kernels give the same bits.

use primal_device::grid::GROUP;

use super::panel::{self, GROUP_BYTES, OUTPUTS, Panel, QUAD};
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::instructions;

/// Rows of a kernel, at most.
pub const ROWS: usize = 6;

/// Rounded activations of some rows and groups.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    /// `[rows, groups, 32]`.
    pub q: &'a [i8],
    /// What integers of a group stand for, `[rows, groups]`.
    pub steps: &'a [f32],
    /// The sum of a group of integers times the lowest integer of the grid, `[rows, groups]`.
    pub starts: &'a [i32],
    /// The sum of a group of rounded activations, `[rows, groups]`.
    pub sums: &'a [f32],
    /// Groups of a row.
    pub groups: usize,
}

impl<'a> Activations<'a> {
    /// Those of `count` rows from `row` on, from the group `group` on.
    pub fn from(&self, row: usize, count: usize, group: usize) -> Self {
        let at = row * self.groups + group..self.steps.len().min((row + count) * self.groups);
        let q = &self.q[at.start * GROUP..at.end * GROUP];
        Self { q, steps: &self.steps[at.clone()], starts: &self.starts[at.clone()], sums: &self.sums[at], groups: self.groups }
    }

    fn require(&self, rows: usize, groups: usize) {
        let least = (rows - 1) * self.groups + groups;
        assert!(self.q.len() >= least * GROUP, "{} activations", self.q.len());
        assert!([self.steps.len(), self.starts.len(), self.sums.len()].iter().all(|&len| len >= least), "groups of activations");
    }
}

/// Where the running sums of some rows are, `OUTPUTS` of each.
#[derive(Clone, Copy)]
pub struct Sums {
    /// The first.
    pub start: *mut f32,
    /// From row to row.
    pub stride: usize,
    /// Whether they begin at zero, whatever is there.
    pub fresh: bool,
}

impl Sums {
    /// A row.
    ///
    /// # Safety
    /// It is there, and nothing else uses it.
    unsafe fn row<'a>(self, row: usize) -> &'a mut [f32; OUTPUTS] {
        // SAFETY: by the caller's contract.
        unsafe { &mut *self.start.add(row * self.stride).cast() }
    }
}

/// Unpacks codes, a row each so many bytes, to levels by a table, from a group on so many groups: see [`panel::unpack`].
type Unpack = unsafe fn(&mut [u8], &[u8], usize, &[u8; 16], [usize; 2]);
/// Adds the products of `[rows, groups]` to sums, which are this call's alone; the last are whether there are offsets, and the largest level.
type Multiply = unsafe fn(Sums, &Activations, &Panel, [usize; 2], bool, u8);

/// How a processor multiplies.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// The instruction set.
    pub name: &'static str,
    /// How codes become levels.
    pub unpack: Unpack,
    /// How levels are multiplied.
    pub multiply: Multiply,
}

impl Kernel {
    /// The kernels that this processor can run, the fastest first.
    pub fn all() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let has_vectors = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl");
            if instructions::allows_avx512() && has_vectors && is_x86_feature_detected!("avx512vnni") {
                kernels.push(Self { name: "AVX-512", unpack: panel::avx2::unpack, multiply: avx512::multiply });
            }
            kernels.push(Self { name: "AVX2", unpack: panel::avx2::unpack, multiply: avx2::multiply });
        }
        kernels.push(Self { name: "portable", unpack: panel::unpack, multiply: portable });
        kernels
    }
}

/// # Safety
/// The rows of sums are this call's alone.
unsafe fn portable(sums: Sums, x: &Activations, panel: &Panel, [rows, groups]: [usize; 2], offsets: bool, _: u8) {
    x.require(rows, groups);
    for row in 0..rows {
        // SAFETY: by the caller's contract.
        let of_row = unsafe { sums.row(row) };
        if sums.fresh {
            of_row.fill(0.0);
        }
        for group in 0..groups {
            let at = row * x.groups + group;
            let mut totals = [x.starts[at]; OUTPUTS];
            let quads = x.q[at * GROUP..][..GROUP].chunks_exact(4);
            for (q, levels) in quads.zip(panel.levels[group * GROUP_BYTES..].chunks_exact(QUAD)) {
                for (total, levels) in totals.iter_mut().zip(levels.chunks_exact(4)) {
                    *total += levels.iter().zip(q).map(|(&level, &q)| i32::from(level) * i32::from(q)).sum::<i32>();
                }
            }
            for (i, sum) in of_row.iter_mut().enumerate() {
                *sum = (totals[i] as f32 * panel.factors[group][i]).mul_add(x.steps[at], *sum);
                if offsets {
                    *sum = panel.offsets[group][i].mul_add(x.sums[at], *sum);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{Activations, GROUP, GROUP_BYTES, Panel, QUAD, Sums};

    /// Vectors of a row of sums.
    const VECTORS: usize = 2;

    /// # Safety
    /// The rows of sums are this call's alone.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub unsafe fn multiply(sums: Sums, x: &Activations, panel: &Panel, [rows, groups]: [usize; 2], offsets: bool, _: u8) {
        macro_rules! by_rows {
            ($($count:literal)*) => {
                match (rows, offsets) {
                    $(
                        ($count, false) => some_rows::<$count, false>(sums, x, panel, groups),
                        ($count, true) => some_rows::<$count, true>(sums, x, panel, groups),
                    )*
                    _ => panic!("{rows} rows of a kernel"),
                }
            };
        }
        // SAFETY: by the caller's contract.
        unsafe { by_rows!(1 2 3 4 5 6) }
    }

    /// # Safety
    /// As above.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn some_rows<const R: usize, const OFFSETS: bool>(sums: Sums, x: &Activations, panel: &Panel, groups: usize) {
        x.require(R, groups);
        assert!(groups <= panel.factors.len());
        // SAFETY: all places are within rows and groups of activations, counted above, and of the panel.
        unsafe {
            let mut of_rows = [[_mm512_setzero_ps(); VECTORS]; R];
            if !sums.fresh {
                for (row, of_row) in of_rows.iter_mut().enumerate() {
                    let sums = sums.row(row).as_ptr();
                    *of_row = [_mm512_loadu_ps(sums), _mm512_loadu_ps(sums.add(16))];
                }
            }
            for group in 0..groups {
                let mut totals = [[_mm512_setzero_si512(); VECTORS]; R];
                for (row, totals) in totals.iter_mut().enumerate() {
                    *totals = [_mm512_set1_epi32(*x.starts.as_ptr().add(row * x.groups + group)); VECTORS];
                }
                let levels = panel.levels.as_ptr().add(group * GROUP_BYTES);
                let q = x.q.as_ptr().add(group * GROUP);
                for quad in 0..GROUP / 4 {
                    let levels = levels.add(quad * QUAD);
                    let levels = [_mm512_load_si512(levels.cast()), _mm512_load_si512(levels.add(64).cast())];
                    for (row, totals) in totals.iter_mut().enumerate() {
                        let four = _mm512_set1_epi32(q.add(row * x.groups * GROUP + 4 * quad).cast::<i32>().read_unaligned());
                        for (total, levels) in totals.iter_mut().zip(levels) {
                            *total = _mm512_dpbusd_epi32(*total, levels, four);
                        }
                    }
                }
                let load = |values: &[f32; 32]| [_mm512_load_ps(values.as_ptr()), _mm512_load_ps(values.as_ptr().add(16))];
                let (factors, offsets) = (load(&panel.factors[group]), load(&panel.offsets[group]));
                for (row, (sums, totals)) in of_rows.iter_mut().zip(totals).enumerate() {
                    let at = row * x.groups + group;
                    let (step, sum) = (_mm512_set1_ps(*x.steps.as_ptr().add(at)), _mm512_set1_ps(*x.sums.as_ptr().add(at)));
                    for i in 0..VECTORS {
                        let product = _mm512_mul_ps(_mm512_cvtepi32_ps(totals[i]), factors[i]);
                        sums[i] = _mm512_fmadd_ps(product, step, sums[i]);
                        if OFFSETS {
                            sums[i] = _mm512_fmadd_ps(offsets[i], sum, sums[i]);
                        }
                    }
                }
            }
            for (row, of_row) in of_rows.iter().enumerate() {
                let sums = sums.row(row).as_mut_ptr();
                _mm512_storeu_ps(sums, of_row[0]);
                _mm512_storeu_ps(sums.add(16), of_row[1]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Activations, GROUP, GROUP_BYTES, OUTPUTS, Panel, QUAD, Sums};

    /// Vectors that are multiplied together.
    const VECTORS: usize = 2;
    /// Largest level of which eight products of two with activations add up in 16 bits.
    const NARROW: u8 = 16;

    /// # Safety
    /// The rows of sums are this call's alone.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn multiply(sums: Sums, x: &Activations, panel: &Panel, [rows, groups]: [usize; 2], offsets: bool, largest: u8) {
        x.require(rows, groups);
        assert!(groups <= panel.factors.len());
        for first in (0..rows).step_by(2) {
            let count = 2.min(rows - first);
            let (sums, x) = (Sums { start: sums.start.wrapping_add(first * sums.stride), ..sums }, x.from(first, count, 0));
            // SAFETY: by the caller's contract.
            unsafe {
                match (count, largest <= NARROW) {
                    (1, true) => some_rows::<1, true>(sums, &x, panel, groups, offsets),
                    (1, false) => some_rows::<1, false>(sums, &x, panel, groups, offsets),
                    (_, true) => some_rows::<2, true>(sums, &x, panel, groups, offsets),
                    (_, false) => some_rows::<2, false>(sums, &x, panel, groups, offsets),
                }
            }
        }
    }

    /// # Safety
    /// As above.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn some_rows<const R: usize, const N: bool>(sums: Sums, x: &Activations, panel: &Panel, groups: usize, offsets: bool) {
        let ones = _mm256_set1_epi16(1);
        // SAFETY: all places are within rows and groups of activations, counted by the caller, of the panel, and of sums.
        unsafe {
            if sums.fresh {
                (0..R).for_each(|row| sums.row(row).fill(0.0));
            }
            for first in (0..OUTPUTS).step_by(8 * VECTORS) {
                for group in 0..groups {
                    // Pairs in 16 bits, if they fit, else sums in 32.
                    let mut totals = [[_mm256_setzero_si256(); VECTORS]; R];
                    for quad in 0..GROUP / 4 {
                        let levels = panel.levels.as_ptr().add(group * GROUP_BYTES + quad * QUAD + 4 * first);
                        let levels = [_mm256_loadu_si256(levels.cast()), _mm256_loadu_si256(levels.add(32).cast())];
                        for (row, totals) in totals.iter_mut().enumerate() {
                            let q = x.q.as_ptr().add((row * x.groups + group) * GROUP + 4 * quad).cast::<i32>();
                            let four = _mm256_set1_epi32(q.read_unaligned());
                            for (total, levels) in totals.iter_mut().zip(levels) {
                                let pairs = _mm256_maddubs_epi16(levels, four);
                                *total = if N {
                                    _mm256_add_epi16(*total, pairs)
                                } else {
                                    _mm256_add_epi32(*total, _mm256_madd_epi16(pairs, ones))
                                };
                            }
                        }
                    }
                    for (row, totals) in totals.into_iter().enumerate() {
                        let (at, sums) = (row * x.groups + group, sums.row(row));
                        let start = _mm256_set1_epi32(x.starts[at]);
                        let (step, sum) = (_mm256_set1_ps(x.steps[at]), _mm256_set1_ps(x.sums[at]));
                        for (i, total) in totals.into_iter().enumerate() {
                            let column = first + 8 * i;
                            let total = _mm256_add_epi32(start, if N { _mm256_madd_epi16(total, ones) } else { total });
                            let factors = _mm256_loadu_ps(panel.factors[group].as_ptr().add(column));
                            let product = _mm256_mul_ps(_mm256_cvtepi32_ps(total), factors);
                            let slots = sums.as_mut_ptr().add(column);
                            let mut value = _mm256_fmadd_ps(product, step, _mm256_loadu_ps(slots));
                            if offsets {
                                value = _mm256_fmadd_ps(_mm256_loadu_ps(panel.offsets[group].as_ptr().add(column)), sum, value);
                            }
                            _mm256_storeu_ps(slots, value);
                        }
                    }
                }
            }
        }
    }
}
