//! How the weights spread over the levels of their grid as training goes on.

use std::fmt::Write;

use super::axis::{Axis, figure};
use super::svg::{area, coordinate, escape};
use primal_engine::train::ScaleSummary;

/// Number of weights on each code after a step.
pub(super) type Column = (u64, [u64; 16]);

/// Level of each code.
pub(super) type Levels = [Option<f32>; 16];

/// Shades on either side of zero.
const SHADES: usize = 7;
/// The shade of zero itself.
const ZERO: usize = SHADES;

/// Style rules `.l0` to `.l14`: blue below zero, grey, orange above, deeper the further out.
pub(super) fn style() -> String {
    let mut css = String::new();
    for shade in 0..=2 * SHADES {
        let steps = shade.abs_diff(ZERO) as f64;
        let (near, far) =
            if shade < ZERO { ([190.0, 218.0, 240.0], [4.0, 58.0, 112.0]) } else { ([253.0, 216.0, 172.0], [140.0, 48.0, 6.0]) };
        let part = ((steps - 1.0) / (SHADES - 1) as f64).clamp(0.0, 1.0);
        let [r, g, b] = if shade == ZERO { [222.0; 3] } else { std::array::from_fn(|i| near[i] * (1.0 - part) + far[i] * part) };
        let _ = write!(css, ".l{shade}{{fill:rgb({r:.0} {g:.0} {b:.0});background:rgb({r:.0} {g:.0} {b:.0})}}");
    }
    css
}

/// The shade of a code: one a level on its side of zero, of whose two sides the longer one sets the pace where there are more levels than shades.
/// Without a grid code 8 is taken for zero.
fn shade(levels: Option<&Levels>, code: usize) -> usize {
    let unknown: Levels = std::array::from_fn(|code| Some(code as f32 - 8.0));
    let levels = levels.unwrap_or(&unknown);
    let Some(level) = levels[code] else { return ZERO };
    let mut sides = [Vec::new(), Vec::new()];
    for size in levels.iter().flatten().filter(|level| **level != 0.0) {
        sides[usize::from(*size > 0.0)].push(size.abs());
    }
    let longest = sides.iter().map(Vec::len).max().unwrap_or(0).max(SHADES);
    let steps = sides[usize::from(level > 0.0)].iter().filter(|size| **size <= level.abs()).count();
    let steps = if level == 0.0 { 0 } else { (steps * SHADES).div_ceil(longest) };
    if level < 0.0 { ZERO - steps } else { ZERO + steps }
}

/// The codes to show: those with a level, or without a grid those that were ever used.
pub(super) fn codes(levels: Option<&Levels>, columns: &[Column]) -> Vec<usize> {
    let used = |code: usize| columns.iter().any(|(_, counts)| counts[code] > 0);
    (0..16).filter(|&code| levels.map_or_else(|| used(code), |levels| levels[code].is_some() || used(code))).collect()
}

/// Name of a code: its level as a fraction where it is a simple one.
pub(super) fn level_name(levels: Option<&Levels>, code: usize) -> String {
    let Some(level) = levels.and_then(|levels| levels[code]) else { return format!("code {code}") };
    let (size, sign) = (level.abs(), if level < 0.0 { "−" } else { "" });
    let simple = (1..=13u8).find_map(|q| {
        let p = (size * f32::from(q)).round();
        ((p / f32::from(q) - size).abs() < 1e-6 && p < 100.0).then_some((p, q))
    });
    match simple {
        Some((p, 1)) => format!("{sign}{p}"),
        Some((p, q)) => format!("{sign}{p}/{q}"),
        None => figure(f64::from(level)),
    }
}

/// Swatches that name the colours.
pub(super) fn legend(levels: Option<&Levels>, codes: &[usize]) -> String {
    let mut out = String::from("<p class=\"levels\">");
    for &code in codes {
        let _ = write!(out, "<span><i class=\"l{}\"></i>{}</span>", shade(levels, code), escape(&level_name(levels, code)));
    }
    out + "</p>\n"
}

/// Shares of the levels over the steps, stacked from the lowest level up. `axes` adds ticks and labels.
pub(super) fn stack(title: &str, columns: &[&Column], levels: Option<&Levels>, codes: &[usize], size: (f64, f64), axes: bool) -> String {
    let (width, height) = size;
    let (left, right, top, bottom) = if axes { (46.0, width - 12.0, 8.0, height - 38.0) } else { (0.0, width, 0.0, height) };
    let mut out = format!("<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(title));
    let Some(x_axis) = Axis::tight(columns.iter().map(|c| c.0 as f64), (width / 90.0).clamp(2.0, 10.0)) else { return out + "</svg>\n" };
    let total = |counts: &[u64; 16]| counts.iter().map(|&n| n as f64).sum::<f64>().max(1.0);
    let y = |share: f64| bottom + share * (top - bottom);
    let mut below = vec![0.0; columns.len()];
    for &code in codes {
        let mut edges: Vec<(f64, f64, f64)> = Vec::with_capacity(columns.len());
        for ((step, counts), below) in columns.iter().zip(&mut below) {
            let above = *below + counts[code] as f64 / total(counts);
            edges.push((x_axis.place(*step as f64, left, right), y(*below), y(above)));
            *below = above;
        }
        if let [(_, low, high)] = edges[..] {
            edges = vec![(left, low, high), (right, low, high)];
        }
        let last = columns.last().map_or(0.0, |(_, counts)| counts[code] as f64 / total(counts));
        let name = escape(&level_name(levels, code));
        let _ = writeln!(
            out,
            "<path class=\"l{}\" d=\"{}\"><title>level {name}: {:.1} % at the end</title></path>",
            shade(levels, code),
            area(&edges),
            last * 100.0
        );
    }
    if axes {
        for percent in [0, 25, 50, 75, 100] {
            let place = coordinate(y(f64::from(percent) / 100.0));
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent} %</text>", left - 6.0, place + 4.0);
        }
        for tick in x_axis.ticks() {
            let x = coordinate(x_axis.place(tick, left, right));
            let label = x_axis.label(tick);
            let _ = writeln!(
                out,
                "<path class=\"axis\" d=\"M{x} {bottom}v4\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 17.0
            );
        }
        let _ = writeln!(out, "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">step</text>", height - 6.0);
    }
    out + "</svg>\n"
}

/// A small curve of a layer's row scales: the median, in the range from the smallest to the largest.
pub(super) fn scale_strip(scales: &[&(u64, ScaleSummary)], width: f64, height: f64) -> String {
    let ends = scales.iter().flat_map(|(_, s)| [s.min, s.max, s.median]);
    let (Some(x_axis), Some(y_axis)) = (Axis::tight(scales.iter().map(|s| s.0 as f64), 2.0), Axis::round(ends, 3.0, true)) else {
        return String::new();
    };
    let x = |step: u64| if scales.len() == 1 { f64::NAN } else { x_axis.place(step as f64, 0.0, width) };
    let y = |value: f64| y_axis.place(value, height - 1.0, 1.0);
    let mut range: Vec<_> = scales.iter().map(|(step, s)| (x(*step), y(s.min), y(s.max))).collect();
    let mut median: Vec<_> = scales.iter().map(|(step, s)| (x(*step), y(s.median))).collect();
    if let [(_, s)] = scales {
        range = vec![(0.0, y(s.min), y(s.max)), (width, y(s.min), y(s.max))];
        median = vec![(0.0, y(s.median)), (width, y(s.median))];
    }
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"row scales\">\n<path class=\"band f2\" d=\"{}\"/>\n\
         <path class=\"line s2\" d=\"{}\"/>\n<path class=\"axis\" d=\"M0 {}H{width}\"/>\n</svg>\n",
        area(&range),
        super::svg::path(median.into_iter()),
        height - 0.5
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_by_their_fractions() {
        let mut levels = [None; 16];
        for (code, level) in [(2, -1.0), (7, -1.0 / 11.0), (8, 0.0), (9, 1.0 / 13.0), (10, 2.0 / 3.0), (11, 0.123)] {
            levels[code] = Some(level);
        }
        let names: Vec<_> = [2, 7, 8, 9, 10, 11, 12].map(|code| level_name(Some(&levels), code)).into();
        assert_eq!(names, ["−1", "−1/11", "0", "1/13", "2/3", "0.123", "code 12"]);
    }

    #[test]
    fn shades_go_out_from_zero_wherever_it_is() {
        use primal_device::grid::{E2M1, Grid, INT4, NF4, PRIME13, UINT4, UNIFORM16};
        let shades = |grid: &Grid| {
            let levels: Levels = std::array::from_fn(|code| grid.is_level(code as u8).then(|| grid.level(code as u8)));
            (usize::from(grid.min)..=usize::from(grid.max)).map(|code| shade(Some(&levels), code)).collect::<Vec<_>>()
        };
        assert_eq!(shades(&PRIME13), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(shades(&E2M1), [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14]);
        for grid in [&INT4, &UINT4, &NF4, &UNIFORM16] {
            let shades = shades(grid);
            assert!(shades.is_sorted() && shades[15] >= 13, "{grid:?}: {shades:?}");
            assert_eq!(grid.zero().map(|zero| shades[usize::from(zero)]), grid.zero().map(|_| ZERO), "{grid:?}");
            assert_eq!(shades.iter().filter(|shade| **shade == ZERO).count(), usize::from(grid.zero().is_some()), "{grid:?}");
        }
        // What no grid is known of: as if code 8 were zero.
        assert_eq!([1, 7, 8, 9, 15].map(|code| shade(None, code)), [0, 6, 7, 8, 14]);
    }

    #[test]
    fn every_column_of_a_stack_fills_the_height() {
        let mut counts = [0; 16];
        (counts[7], counts[8], counts[9]) = (1, 2, 1);
        let columns = [(1, counts), (2, counts)];
        let codes = codes(None, &columns);
        assert_eq!(codes, [7, 8, 9]);
        let svg = stack("t", &[&columns[0], &columns[1]], None, &codes, (100.0, 80.0), false);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let areas: Vec<_> = document.descendants().filter_map(|n| n.attribute("d")).collect();
        assert_eq!(areas, ["M0 60L100 60L100 80L0 80Z", "M0 20L100 20L100 60L0 60Z", "M0 0L100 0L100 20L0 20Z"]);
    }
}
