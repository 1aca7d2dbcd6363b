use primal_engine::train::{LayerRecord, ScaleSummary};

use super::*;
use crate::report::metrics::MetricsWriter;

fn layer(name: &str, step: u64) -> LayerRecord {
    let levels = std::array::from_fn(|code| (2..=14).contains(&code).then(|| (code as f32 - 8.0) / 6.0));
    LayerRecord {
        name: name.into(),
        flip_rate: Some(0.01 / step as f64),
        saturation: Some(0.03),
        histogram: Some(std::array::from_fn(|code| if (2..=14).contains(&code) { 100 + step * code as u64 } else { 0 })),
        levels: (step == 1).then_some(levels),
        scale: ScaleSummary::of(&[0.1, 0.2, 0.3]),
    }
}

fn run(steps: u64) -> RunData {
    let record = |step| StepRecord {
        step,
        loss: 1.0 + 4.0 / step as f64,
        tokens_per_second: Some(6000.0),
        flip_rate: Some(0.01),
        learning_rate: Some(1e-3),
        saturation: Some(0.02),
        validation_loss: (step % 10 == 0).then_some(1.5),
        layers: Some(vec![layer("blocks.0.mlp.fc1", step), layer("head", step)]),
        ..StepRecord::default()
    };
    RunData { name: "a run".into(), config: "[train]\nsteps = 30\n".into(), records: (1..=steps).map(record).collect() }
}

/// The inline SVGs of a page, each parsed as XML.
fn check_svgs(page: &str) -> usize {
    let starts = page.match_indices("<svg");
    let svgs = starts.map(|(from, _)| &page[from..from + page[from..].find("</svg>").expect("an SVG that is not closed") + 6]);
    svgs.map(|svg| {
        roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{e} in {svg}"));
        for bad in ["NaN", "inf"] {
            assert!(!svg.contains(bad), "{bad} in {svg}");
        }
    })
    .count()
}

#[test]
fn page_is_self_contained_and_its_pictures_are_well_formed() {
    let page = render(&run(30));
    for outside in ["http", "//", "<script", "<link", "<img", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} at byte {:?}", page.find(outside));
    }
    // Five curves in two widths, the heat map and the stack likewise, two pictures a layer.
    assert_eq!(check_svgs(&page), 2 * (5 + 1) + 2 + 2 + 4);
    for expected in
        ["Loss", "Learning rate", "Flip rate by layer", "2 matrices on a grid of 13 levels", "−1/6", "blocks.0.mlp.fc1", "steps = 30"]
    {
        assert!(page.contains(expected), "{expected} is missing");
    }
}

#[test]
fn text_from_the_run_is_escaped() {
    let mut run = run(3);
    run.name = "<b>&\"'\u{1}".into();
    run.config = "# </pre><script>alert(1)</script>".into();
    for record in &mut run.records {
        record.layers = Some(vec![layer("</title><i>", record.step)]);
    }
    let page = render(&run);
    check_svgs(&page);
    for raw in ["<b>", "<script", "<i>", "\u{1}"] {
        assert!(!page.contains(raw), "{raw:?} at byte {:?}", page.find(raw));
    }
    assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;&amp;&quot;&#39;·"));
}

#[test]
fn little_and_broken_data_make_a_page() {
    assert!(render(&RunData::default()).contains("No step is recorded yet"));
    assert!(check_svgs(&render(&run(1))) > 0);

    let mut float = run(30);
    for record in &mut float.records {
        (record.layers, record.flip_rate, record.saturation) = (None, None, None);
    }
    let page = render(&float);
    assert!(!page.contains("Flip rate") && !page.contains("Levels of"));

    let extremes = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX, f64::MIN_POSITIVE, 0.0];
    for value in extremes {
        let mut broken = run(4);
        for record in &mut broken.records {
            record.loss = value;
            let members = [&mut record.flip_rate, &mut record.saturation, &mut record.learning_rate, &mut record.seconds];
            members.into_iter().for_each(|member| *member = Some(value));
            (record.grad_norm, record.validation_loss) = (Some(value), Some(value));
            for layer in record.layers.iter_mut().flatten() {
                (layer.flip_rate, layer.saturation) = (Some(value), Some(value));
                layer.scale = Some(ScaleSummary { min: value, median: value, max: value, mean: value });
                layer.histogram = Some([u64::MAX; 16]);
                layer.levels = Some([Some(value as f32); 16]);
            }
        }
        broken.records[1].step = u64::MAX;
        assert!(check_svgs(&render(&broken)) > 0, "{value}");
    }
}

#[test]
fn long_runs_stay_small() {
    let page = render(&run(20_000));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
}

#[test]
fn report_is_written_beside_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("my <run>");
    let mut writer = MetricsWriter::create(&folder).unwrap();
    for record in run(12).records {
        writer.write(&record).unwrap();
    }
    std::fs::write(folder.join("config.toml"), "seed = 7\n").unwrap();
    let path = write_report(&folder).unwrap();
    assert_eq!(path, folder.join("report.html"));
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains("<h1>my &lt;run&gt;</h1>") && page.contains("seed = 7"));

    let error = write_report(dir.path()).unwrap_err();
    assert!(error.to_string().contains("metrics.jsonl"), "{error}");
    assert_eq!(error.exit_code(), 2);
}
