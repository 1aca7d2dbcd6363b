//! A picture with its title, drawn for wide and for narrow screens.

use super::chart::LineChart;
use super::svg::escape;

/// A panel with the chart in two widths.
pub(super) fn of_chart(chart: &LineChart, full: bool) -> String {
    let (class, width, height) = if full { ("panel full", 1118.0, 340.0) } else { ("panel", 535.0, 230.0) };
    panel(class, &chart.title, &chart.svg(width, height), &chart.svg(340.0, 230.0))
}

/// A panel of these classes with a title and its picture in both widths.
pub(super) fn panel(class: &str, title: &str, wide: &str, narrow: &str) -> String {
    format!(
        "<figure class=\"{class}\">\n<h3>{}</h3>\n<div class=\"wide\">{wide}</div>\n<div class=\"narrow\">{narrow}</div>\n</figure>\n",
        escape(title)
    )
}
