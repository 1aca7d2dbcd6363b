//! Line charts as SVG: several labelled series, bands, tooltips without a script.

use std::fmt::Write;

use super::axis::{Axis, drawable, figure};
use super::series::{MAX_POINTS, thin};
use super::svg::{area, coordinate, escape, path, text_width};

/// Colours and type of every chart; light and dark by the reader's preference. Part of a page that shows charts inline.
pub const STYLE: &str = include_str!("chart.css");

/// Number of colours; colour numbers wrap around. Chosen to stay apart for the common kinds of colour blindness.
pub const COLORS: usize = 8;

/// Colours for programs that draw SVG without CSS variables: the light theme's.
const FALLBACK: [&str; COLORS] = ["#0072b2", "#d55e00", "#00845f", "#b0528c", "#b07d00", "#3f9bd8", "#6b4fbb", "#5f6b76"];

/// Columns of a chart that answer to the mouse.
const PROBES: usize = 60;

const FONT: f64 = 12.0;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A solid line.
    Line,
    /// A thin, pale line, such as raw values behind smoothed ones. Not in the legend.
    Faint,
    /// Dots joined by a dotted line: few measurements.
    Dots,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name in the legend and the tooltips.
    pub label: String,
    /// Number of the colour, modulo [`COLORS`].
    pub color: usize,
    /// How it is drawn.
    pub mark: Mark,
    /// (x, y), ascending in x. A y that is not finite breaks the line.
    pub points: Vec<(f64, f64)>,
}

/// A shaded range.
#[derive(Clone, Debug)]
pub struct Band {
    /// Name in the legend.
    pub label: String,
    /// Number of the colour, modulo [`COLORS`].
    pub color: usize,
    /// (x, low, high), ascending in x.
    pub points: Vec<(f64, f64, f64)>,
}

/// A chart of curves over one x axis.
#[derive(Clone, Debug, Default)]
pub struct LineChart {
    /// What it shows; drawn by [`LineChart::standalone_svg`], read out by screen readers in both forms.
    pub title: String,
    /// Quantity and unit of x.
    pub x_label: String,
    /// Quantity and unit of y.
    pub y_label: String,
    /// Whether y begins at zero.
    pub from_zero: bool,
    /// The curves, drawn in this order.
    pub series: Vec<Series>,
    /// Ranges behind the curves.
    pub bands: Vec<Band>,
}

impl LineChart {
    /// A chart without curves.
    #[must_use]
    pub fn new(title: &str, x_label: &str, y_label: &str) -> Self {
        Self { title: title.into(), x_label: x_label.into(), y_label: y_label.into(), ..Self::default() }
    }

    /// Adds a solid line in the next colour.
    #[must_use]
    pub fn line(self, label: &str, points: Vec<(f64, f64)>) -> Self {
        let color = self.series.len();
        self.series(label, color, Mark::Line, points)
    }

    /// Adds a curve.
    #[must_use]
    pub fn series(mut self, label: &str, color: usize, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        self.series.push(Series { label: label.into(), color, mark, points });
        self
    }

    /// Adds a shaded range of (x, low, high).
    #[must_use]
    pub fn band(mut self, label: &str, color: usize, points: Vec<(f64, f64, f64)>) -> Self {
        self.bands.push(Band { label: label.into(), color, points });
        self
    }

    /// Begins y at zero.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// The chart for an HTML page that includes [`STYLE`], `width` × `height` in pixels.
    #[must_use]
    pub fn svg(&self, width: f64, height: f64) -> String {
        let title = escape(&self.title);
        format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n{}</svg>\n",
            self.body(width, height, 0.0)
        )
    }

    /// The chart as a file of its own, with its title.
    #[must_use]
    pub fn standalone_svg(&self, width: f64, height: f64) -> String {
        let title = escape(&self.title);
        let style = escape(STYLE).replace("&quot;", "\"");
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" role=\"img\" aria-label=\"{title}\">\n<style>{style}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\" style=\"fill: var(--surface)\"/>\n\
             <text class=\"title\" x=\"4\" y=\"24\">{title}</text>\n{}</svg>\n",
            self.body(width, height, 30.0)
        )
    }

    fn body(&self, width: f64, height: f64, top: f64) -> String {
        let mut out = String::new();
        let xs = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
        let xs = xs.chain(self.bands.iter().flat_map(|b| b.points.iter().map(|p| p.0)));
        let ys = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.1));
        let ys = ys.chain(self.bands.iter().flat_map(|b| b.points.iter().flat_map(|p| [p.1, p.2])));
        let x_axis = Axis::tight(xs, (width / 90.0).clamp(2.0, 10.0));
        let y_axis = Axis::round(ys, (height / 50.0).clamp(2.0, 7.0), self.from_zero);
        let (Some(x_axis), Some(y_axis)) = (x_axis, y_axis) else {
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">nothing recorded yet</text>", width / 2.0, height / 2.0);
            return out;
        };
        let legend_bottom = self.legend(&mut out, width, top + FONT + 2.0);
        let label_width = y_axis.ticks().iter().map(|&t| text_width(&y_axis.label(t), FONT)).fold(20.0, f64::max);
        let frame = Frame {
            left: (label_width + 14.0).round(),
            right: width - 12.0,
            top: legend_bottom + 16.0,
            bottom: height - 40.0,
            x_axis,
            y_axis,
        };
        self.axes(&mut out, &frame, height);
        for band in &self.bands {
            let points: Vec<_> = band.points.iter().map(|&(x, low, high)| (frame.x(x), frame.y(low), frame.y(high))).collect();
            let color = band.color % COLORS;
            let _ = writeln!(out, "<path class=\"band f{color}\" fill=\"{}\" d=\"{}\"/>", FALLBACK[color], area(&points));
        }
        for series in &self.series {
            draw_series(&mut out, series, &frame);
        }
        self.probes(&mut out, &frame);
        out
    }

    /// The y label and, where there is a choice, the legend; returns where it ends.
    fn legend(&self, out: &mut String, width: f64, baseline: f64) -> f64 {
        let _ = writeln!(out, "<text x=\"4\" y=\"{baseline}\">{}</text>", escape(&self.y_label));
        let lines = self.series.iter().filter(|s| s.mark != Mark::Faint).map(|s| (&s.label, s.color, Some(s.mark)));
        let entries: Vec<_> = lines.chain(self.bands.iter().map(|b| (&b.label, b.color, None))).collect();
        if entries.len() < 2 {
            return baseline + 2.0;
        }
        let mut x = 4.0;
        let mut y = baseline + 20.0;
        for (label, color, mark) in entries {
            let needed = 24.0 + text_width(label, FONT) + 16.0;
            if x > 4.0 && x + needed > width {
                (x, y) = (4.0, y + 18.0);
            }
            let (color, middle) = (color % COLORS, y - 4.0);
            let fallback = FALLBACK[color];
            let _ = match mark {
                None => writeln!(
                    out,
                    "<rect class=\"band f{color}\" fill=\"{fallback}\" x=\"{x}\" y=\"{}\" width=\"16\" height=\"10\"/>",
                    middle - 5.0
                ),
                Some(Mark::Dots) => {
                    writeln!(out, "<circle class=\"f{color}\" fill=\"{fallback}\" cx=\"{}\" cy=\"{middle}\" r=\"3.5\"/>", x + 8.0)
                }
                Some(_) => {
                    writeln!(out, "<path class=\"line s{color}\" stroke=\"{fallback}\" d=\"M{x} {middle}h16\"/>")
                }
            };
            let _ = writeln!(out, "<text class=\"legend\" x=\"{}\" y=\"{y}\">{}</text>", x + 22.0, escape(label));
            x += needed;
        }
        y + 2.0
    }

    fn axes(&self, out: &mut String, frame: &Frame, height: f64) {
        for tick in frame.y_axis.ticks() {
            let y = coordinate(frame.y(tick));
            let (label_x, label_y) = (frame.left - 8.0, y + 4.0);
            let _ = writeln!(
                out,
                "<path class=\"grid\" stroke=\"#e6e9ed\" d=\"M{} {y}H{}\"/><text x=\"{label_x}\" y=\"{label_y}\" text-anchor=\"end\">{}</text>",
                frame.left,
                frame.right,
                frame.y_axis.label(tick)
            );
        }
        let base = frame.bottom;
        let _ = writeln!(out, "<path class=\"axis\" stroke=\"#b4bcc5\" d=\"M{} {base}H{}\"/>", frame.left, frame.right);
        for tick in frame.x_axis.ticks() {
            let x = coordinate(frame.x(tick));
            let label = frame.x_axis.label(tick);
            // A label at the very edge moves inwards rather than out of the picture.
            let half = text_width(&label, FONT) / 2.0;
            let label_x = coordinate(x.min(frame.right + 10.0 - half));
            let _ = writeln!(
                out,
                "<path class=\"axis\" stroke=\"#b4bcc5\" d=\"M{x} {base}v4\"/><text x=\"{label_x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                base + 17.0
            );
        }
        let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", frame.right, height - 6.0, escape(&self.x_label));
    }

    /// Columns that show the values under the mouse.
    fn probes(&self, out: &mut String, frame: &Frame) {
        let wide = (frame.right - frame.left) / PROBES as f64;
        let mut seen: Vec<usize> = vec![0; self.series.len()];
        for k in 0..PROBES {
            let left = frame.left + k as f64 * wide;
            let mut lines = String::new();
            for (series, from) in self.series.iter().zip(&mut seen) {
                // The points of this column: the first not yet passed up to its right edge.
                let rest = &series.points[*from..];
                let is_last = k + 1 == PROBES;
                let count = if is_last { rest.len() } else { rest.iter().take_while(|p| frame.x(p.0) < left + wide).count() };
                let column = &rest[..count];
                *from += count;
                if let Some(&(x, y)) = column.iter().rev().find(|p| drawable(p.1))
                    && series.mark != Mark::Faint
                {
                    let _ = write!(lines, "\n{} at {}: {}", escape(&series.label), figure(x), figure(y));
                }
            }
            if !lines.is_empty() {
                let _ = writeln!(
                    out,
                    "<rect class=\"probe\" fill-opacity=\"0\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                    coordinate(left),
                    coordinate(frame.top),
                    coordinate(wide),
                    coordinate(frame.bottom - frame.top),
                    lines.trim_start()
                );
            }
        }
    }
}

/// The plot area in pixels with its axes.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_axis: Axis,
    y_axis: Axis,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.x_axis.place(value, self.left, self.right)
    }

    fn y(&self, value: f64) -> f64 {
        self.y_axis.place(value, self.bottom, self.top)
    }
}

fn draw_series(out: &mut String, series: &Series, frame: &Frame) {
    let color = series.color % COLORS;
    let stroke = FALLBACK[color];
    let points = thin(&series.points, MAX_POINTS);
    let data = path(points.iter().map(|&(x, y)| (frame.x(x), frame.y(y))));
    let class = match series.mark {
        Mark::Line => "line",
        Mark::Faint => "faint",
        Mark::Dots => "link",
    };
    let _ = writeln!(out, "<path class=\"{class} s{color}\" fill=\"none\" stroke=\"{stroke}\" d=\"{data}\"/>");
    // A single point would be an invisible line.
    if series.mark == Mark::Dots || points.len() == 1 {
        let radius = if points.len() > 60 { 2.0 } else { 3.5 };
        for &(x, y) in points.iter().filter(|p| drawable(p.0) && drawable(p.1)) {
            let (x, y) = (coordinate(frame.x(x)), coordinate(frame.y(y)));
            let _ = writeln!(out, "<circle class=\"dot f{color}\" fill=\"{stroke}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(svg: &str) -> usize {
        roxmltree::Document::parse(svg).unwrap().descendants().filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "circle"))).count()
    }

    #[test]
    fn arms_of_a_comparison_make_one_picture() {
        let arm = |offset: f64| -> Vec<(f64, f64)> { (1..=50).map(|i| (f64::from(i), offset + 3.0 / f64::from(i))).collect() };
        let chart = LineChart::new("votes & <twins>", "tokens (millions)", "validation loss (nats/byte)")
            .line("votes", arm(1.0))
            .line("adamw", arm(0.9))
            .band("three seeds", 0, arm(1.0).into_iter().map(|(x, y)| (x, y - 0.1, y + 0.1)).collect());
        let svg = chart.standalone_svg(720.0, 400.0);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<_> = document.descendants().filter(|n| n.is_text()).filter_map(|n| n.text()).collect();
        for expected in ["votes & <twins>", "votes", "adamw", "three seeds", "tokens (millions)"] {
            assert!(texts.contains(&expected), "{expected} is missing in {texts:?}");
        }
        let lines = document.descendants().filter(|n| n.attribute("class").is_some_and(|c| c.starts_with("line "))).count();
        assert_eq!(lines, 4, "two curves and their two legend entries");
    }

    #[test]
    fn values_that_are_not_finite_are_gaps() {
        let points = vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, f64::INFINITY), (f64::NAN, 1.0), (5.0, 1.0)];
        let svg = LineChart::new("t", "x", "y").series("dots", 9, Mark::Dots, points).standalone_svg(400.0, 200.0);
        assert_eq!(circles(&svg), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn nothing_and_one_point_are_drawn() {
        let empty = LineChart::new("t", "x", "y").line("a", vec![(1.0, f64::NAN)]).standalone_svg(400.0, 200.0);
        assert!(empty.contains("nothing recorded yet"));
        assert_eq!(circles(&empty), 0);
        assert_eq!(circles(&LineChart::new("t", "x", "y").line("a", vec![(1.0, 2.0)]).standalone_svg(400.0, 200.0)), 1);
    }
}
