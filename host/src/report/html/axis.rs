//! Axes: ranges, ticks at round numbers, and their labels.

/// Values beyond this are treated like infinities, so that differences of values cannot overflow.
const LARGEST: f64 = 1e30;

/// Values below this are zero to an axis, so that its steps stay ordinary numbers.
const SMALLEST: f64 = 1e-30;

/// Whether a value can be drawn.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// A linear axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Distance between ticks.
    pub(super) step: f64,
}

impl Axis {
    /// An axis that spans `values` exactly, with about `ticks` ticks inside, at whole numbers if all values are whole.
    /// `None` without a drawable value.
    pub(super) fn tight(values: impl Iterator<Item = f64>, ticks: f64) -> Option<Self> {
        let mut whole = true;
        let values = values.inspect(|v| whole &= !drawable(*v) || v.fract() == 0.0);
        let (low, high) = bounds(values)?;
        let size = low.abs().max(high.abs());
        // One point, or points that differ only by rounding.
        let room = if high - low <= size * 1e-9 { (size * 1e-3).max(1.0) } else { 0.0 };
        let (low, high) = (low - room, high + room);
        let mut step = round_step((high - low) / ticks.max(1.0));
        // Halves of a training step make no sense.
        while whole && step.fract() != 0.0 {
            step = round_step(step * 1.01);
        }
        Some(Self { low, high, step })
    }

    /// An axis around `values` that begins and ends at a tick.
    pub(super) fn round(values: impl Iterator<Item = f64>, ticks: f64, from_zero: bool) -> Option<Self> {
        let (mut low, mut high) = bounds(values)?;
        if from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        // A flat line gets room around it; so does one whose only variation is rounding noise.
        let size = low.abs().max(high.abs());
        if high - low <= size * 1e-9 {
            let room = if size > 0.0 { size * 0.5 } else { 0.5 };
            (low, high) = (low - room, high + room);
        }
        let step = round_step((high - low) / ticks.max(1.0));
        Some(Self { low: (low / step + 1e-9).floor() * step, high: (high / step - 1e-9).ceil() * step, step })
    }

    /// Position of `value` between `from` (the low end) and `to`; NaN for a value that cannot be drawn.
    pub(super) fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        if drawable(value) { from + (value - self.low) / (self.high - self.low) * (to - from) } else { f64::NAN }
    }

    /// The multiples of the step inside the axis, ascending.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let last = (self.high / self.step + 1e-6).floor();
        let count = (last - first).clamp(-1.0, 100.0) as i64;
        (0..=count).map(|k| (first + k as f64) * self.step).collect()
    }

    /// Label of a tick, with the decimals that the step needs.
    pub(super) fn label(&self, value: f64) -> String {
        let size = self.low.abs().max(self.high.abs());
        // Up to 9999 without a unit.
        let thousands = [(1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")];
        if value == 0.0 || (value / self.step).abs() < 1e-6 {
            "0".into()
        } else if size < 1e-2 {
            let text = format!("{value:.2e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{}e{}", mantissa.trim_end_matches('0').trim_end_matches('.'), exponent.replace('-', "−")).replace("-", "−")
        } else if let Some((_, unit, name)) = thousands.iter().find(|(from, ..)| size >= *from) {
            format!("{}{name}", decimal(value / unit, self.step / unit))
        } else {
            decimal(value, self.step)
        }
    }
}

/// `value` with as many decimals as distinguish neighbours `step` apart.
fn decimal(value: f64, step: f64) -> String {
    let decimals = (-(step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize;
    // A step of 2.5 has one decimal more than its power of ten.
    let fine = (step * 10f64.powi(decimals as i32)).fract();
    let decimals = decimals + usize::from(fine > 1e-6 && fine < 1.0 - 1e-6);
    format!("{value:.decimals$}").replace('-', "−")
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.filter(|&v| drawable(v)).map(|v| if v.abs() < SMALLEST { 0.0 } else { v });
    values.fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-30).log10().floor());
    let candidates = [1.0, 2.0, 2.5, 5.0, 10.0];
    candidates.into_iter().map(|c| c * power).find(|&s| s >= least * 0.999_999).unwrap_or(10.0 * power)
}

/// A value for a tooltip or a fact: about four significant digits, thin spaces between thousands.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "not finite".into()
    } else if size >= 1e15 || (size < 1e-3 && size > 0.0) {
        format!("{value:.2e}").replace('-', "−")
    } else if size >= 1000.0 {
        grouped(size.round() as u64, value < 0.0)
    } else {
        let decimals = if size >= 100.0 {
            1
        } else if size >= 10.0 {
            2
        } else if size >= 1.0 || size == 0.0 {
            3
        } else {
            4
        };
        let text = format!("{value:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
    }
}

fn grouped(value: u64, negative: bool) -> String {
    let digits = value.to_string();
    let mut text = String::from(if negative { "−" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::round([1.37, 4.61].into_iter(), 5.0, false).unwrap();
        assert_eq!(axis, Axis { low: 1.0, high: 5.0, step: 1.0 });
        assert_eq!(axis.ticks(), [1.0, 2.0, 3.0, 4.0, 5.0]);
        let axis = Axis::tight([3.0, 500.0].into_iter(), 5.0).unwrap();
        assert_eq!(axis.ticks(), [100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(Axis::tight([1.0, 3.0].into_iter(), 10.0).unwrap().ticks(), [1.0, 2.0, 3.0]);
        assert_eq!(Axis::tight([0.0, 1.5].into_iter(), 3.0).unwrap().ticks(), [0.0, 0.5, 1.0, 1.5]);
    }

    #[test]
    fn labels_have_the_decimals_of_the_step() {
        let labels = |low, high, ticks| -> Vec<String> {
            let axis = Axis::round([low, high].into_iter(), ticks, false).unwrap();
            axis.ticks().into_iter().map(|t| axis.label(t)).collect()
        };
        assert_eq!(labels(0.0, 1.0, 4.0), ["0", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(0.0, 3e-3, 3.0), ["0", "1e−3", "2e−3", "3e−3"]);
        assert_eq!(labels(0.0, 50_000.0, 2.0), ["0", "25k", "50k"]);
        assert_eq!(labels(-1.0, 1.0, 2.0), ["−1", "0", "1"]);
    }

    #[test]
    fn odd_ranges_make_finite_axes() {
        let cases: [&[f64]; 6] = [&[0.0], &[1e30], &[1e30, -1e30], &[1e-300, 2e-300], &[f64::NAN, 2.0], &[0.1, 0.1 + 1e-17]];
        for values in cases {
            for axis in [Axis::round(values.iter().copied(), 5.0, false), Axis::tight(values.iter().copied(), 5.0)] {
                let axis = axis.unwrap();
                let ticks = axis.ticks();
                assert!(axis.high > axis.low && axis.step > 0.0, "{values:?}: {axis:?}");
                assert!(ticks.len() <= 12, "{values:?}: {axis:?} has {} ticks", ticks.len());
                assert!(axis.place(values[values.len() - 1], 0.0, 1.0).is_finite(), "{values:?}: {axis:?}");
            }
        }
        assert_eq!(Axis::round([f64::NAN, f64::INFINITY, 1e31].into_iter(), 5.0, true), None);
    }

    #[test]
    fn figures() {
        let texts = [0.0, 2.34567, 12.5, 123.456, 0.0421, -1_234_567.0, 3e-4].map(figure);
        assert_eq!(texts, ["0", "2.346", "12.5", "123.5", "0.0421", "−1\u{202f}234\u{202f}567", "3.00e−4"]);
    }
}
