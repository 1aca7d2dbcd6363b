//! One coloured row per layer over the steps.

use std::fmt::Write;

use super::axis::{drawable, figure};
use super::svg::{coordinate, escape, text_width};

/// Dark to light at an even pace in lightness, so that it reads the same without colour vision.
const RAMP: [[f64; 3]; 6] =
    [[38.0, 24.0, 74.0], [72.0, 54.0, 138.0], [44.0, 110.0, 158.0], [30.0, 158.0, 142.0], [120.0, 202.0, 92.0], [246.0, 228.0, 86.0]];

/// Values further below the largest than this share one colour.
const DECADES: f64 = 3.0;

const ROW: f64 = 16.0;
const FONT: f64 = 11.0;

/// Values of `rows` over common columns.
pub(super) struct HeatMap {
    pub(super) title: String,
    /// First and last step of each column.
    pub(super) columns: Vec<(u64, u64)>,
    /// Name of each row and its value in each column, shares from 0 to 1.
    pub(super) rows: Vec<(String, Vec<Option<f64>>)>,
}

impl HeatMap {
    /// The map for an HTML page, `width` pixels wide.
    pub(super) fn svg(&self, width: f64) -> String {
        let scale = Colors::of(self.rows.iter().flat_map(|(_, values)| values.iter().flatten().copied()));
        let label_width = self.rows.iter().map(|(name, _)| text_width(name, FONT)).fold(0.0, f64::max);
        let left = (label_width + 10.0).min(width * 0.45).round();
        let bottom = self.rows.len() as f64 * ROW;
        let height = bottom + 58.0;
        let cell = (width - left - 4.0) / self.columns.len().max(1) as f64;
        let mut out =
            format!("<svg class=\"chart heat\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(&self.title));
        for (row, (name, values)) in self.rows.iter().enumerate() {
            let (y, name) = (row as f64 * ROW, escape(name));
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", left - 6.0, y + 11.5);
            for (column, value) in values.iter().enumerate() {
                let Some(value) = value.filter(|&v| drawable(v)) else { continue };
                let (first, last) = self.columns[column];
                let steps = if first == last { format!("step {first}") } else { format!("steps {first}–{last}") };
                let _ = writeln!(
                    out,
                    "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{name}\n{steps}: {} %</title></rect>",
                    coordinate(left + column as f64 * cell),
                    // Reaching a little into the next cell hides the seams of anti-aliasing.
                    coordinate(cell + 0.3),
                    ROW - 1.0,
                    scale.color(value),
                    figure(value * 100.0)
                );
            }
        }
        self.step_labels(&mut out, left, width - 4.0, bottom + 13.0);
        scale.legend(&mut out, left, width - 4.0, bottom + 28.0);
        out.push_str("</svg>\n");
        out
    }

    fn step_labels(&self, out: &mut String, left: f64, right: f64, y: f64) {
        let (Some(first), Some(last)) = (self.columns.first(), self.columns.last()) else { return };
        let _ = writeln!(out, "<text x=\"{left}\" y=\"{y}\">step {}</text>", first.0);
        if first != last {
            let _ = writeln!(out, "<text x=\"{right}\" y=\"{y}\" text-anchor=\"end\">step {}</text>", last.1);
        }
    }
}

/// Logarithmic colours between two shares.
struct Colors {
    low: f64,
    high: f64,
}

impl Colors {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|&v| drawable(v) && v > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        let high = if high > 0.0 { high } else { 1.0 };
        Self { low: low.max(high / 10f64.powf(DECADES)).min(high / 2.0), high }
    }

    fn color(&self, value: f64) -> String {
        let place = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        blend(place)
    }

    fn legend(&self, out: &mut String, left: f64, right: f64, y: f64) {
        const CELLS: usize = 48;
        let width = (right - left).min(300.0);
        for k in 0..CELLS {
            let (x, cell) = (left + width * k as f64 / CELLS as f64, width / CELLS as f64 + 0.3);
            let color = blend(k as f64 / (CELLS - 1) as f64);
            let _ = writeln!(out, "<rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"9\" fill=\"{color}\"/>", coordinate(x), coordinate(cell));
        }
        let middle = (self.low * self.high).sqrt();
        for (value, x, anchor) in [(self.low, left, "start"), (middle, left + width / 2.0, "middle"), (self.high, left + width, "end")] {
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{} %</text>", y + 22.0, percent(value));
        }
    }
}

/// A share as a percentage with two significant digits.
pub(super) fn percent(share: f64) -> String {
    two_digits(share * 100.0)
}

/// A value with two significant digits.
pub(super) fn two_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    } else if !drawable(value) {
        return "–".into();
    }
    let decimals = (1.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

fn blend(place: f64) -> String {
    let position = place.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let index = (position as usize).min(RAMP.len() - 2);
    let part = position - index as f64;
    let channel = |i: usize| (RAMP[index][i] * (1.0 - part) + RAMP[index + 1][i] * part).round() as u8;
    format!("#{:02x}{:02x}{:02x}", channel(0), channel(1), channel(2))
}
