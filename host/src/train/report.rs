//! `RUN/report.html`.
mod axis;
pub mod chart;
mod series;
pub mod svg;
