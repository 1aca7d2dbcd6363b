//! Text and path data for SVG inside HTML.

use std::fmt::Write;

/// `text` for element content or a quoted attribute, in HTML and XML alike. Control characters, which XML
/// forbids, become a dot.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('·'),
            c if c.is_control() => out.push('·'),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with one decimal at most, which is finer than a pixel.
pub(super) fn coordinate(value: f64) -> f64 {
    let rounded = (value * 10.0).round() / 10.0;
    // Adding zero turns −0 into 0.
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

/// Path data through `points`; one that is not finite breaks the line.
pub(super) fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut data = String::new();
    let mut pen_up = true;
    for (x, y) in points {
        if x.is_finite() && y.is_finite() {
            let command = if pen_up { 'M' } else { 'L' };
            let _ = write!(data, "{command}{} {}", coordinate(x), coordinate(y));
        }
        pen_up = !(x.is_finite() && y.is_finite());
    }
    data
}

/// Closed path data of the area between two edges, given as (x, low, high).
pub(super) fn area(points: &[(f64, f64, f64)]) -> String {
    let finite = |p: &&(f64, f64, f64)| p.0.is_finite() && p.1.is_finite() && p.2.is_finite();
    let upper = points.iter().filter(finite).map(|&(x, _, high)| (x, high));
    let lower = points.iter().rev().filter(finite).map(|&(x, low, _)| (x, low));
    let data = path(upper.chain(lower));
    if data.is_empty() { data } else { data + "Z" }
}

/// Width of `text` in pixels at a font size of `size`: an estimate for a common sans-serif.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.56
}
