use primal_engine::train::ScaleSummary;

use super::*;

fn record(step: u64) -> StepRecord {
    StepRecord {
        step,
        loss: 4.0 - step as f64 * 0.125,
        tokens_per_second: Some(1024.5),
        flip_rate: Some(0.015_625),
        learning_rate: Some(0.001),
        ..StepRecord::default()
    }
}

fn steps(path: &Path) -> Vec<u64> {
    read(path).unwrap().iter().map(|r| r.step).collect()
}

#[test]
fn records_round_trip_and_absent_members_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut full = record(2);
    full.tokens = Some(8192);
    full.grad_norm = Some(0.5);
    full.saturation = Some(0.0625);
    full.seconds = Some(12.25);
    full.validation_loss = Some(3.5);
    let mut levels = [None; 16];
    levels[8] = Some(0.0);
    levels[14] = Some(1.0);
    full.layers = Some(vec![LayerRecord {
        name: "blocks.0.attention.q".into(),
        flip_rate: Some(0.25),
        saturation: Some(0.125),
        histogram: Some(std::array::from_fn(|code| code as u64 * 1_000_000_007)),
        levels: Some(levels),
        scale: ScaleSummary::of(&[0.5, -0.25, 1.0, 0.125]),
    }]);
    let mut writer = MetricsWriter::create(dir.path()).unwrap();
    writer.write(&record(1)).unwrap();
    writer.write(&full).unwrap();

    assert_eq!(read(writer.path()).unwrap(), [record(1), full]);
    let text = std::fs::read_to_string(writer.path()).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"step":1,"loss":3.875,"tokens_per_second":1024.5,"flip_rate":0.015625,"learning_rate":0.001}"#
    );
}

#[test]
fn a_loss_that_is_not_finite_stays_valid_json() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = MetricsWriter::create(dir.path()).unwrap();
    for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let record = StepRecord {
            step: 1,
            loss,
            grad_norm: Some(loss),
            layers: Some(vec![LayerRecord { scale: ScaleSummary::of(&[loss as f32]), ..LayerRecord::default() }]),
            ..StepRecord::default()
        };
        writer.write(&record).unwrap();
    }
    let text = std::fs::read_to_string(writer.path()).unwrap();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["loss"].is_null(), "{line}");
    }
    let back = read(writer.path()).unwrap();
    assert!(back.iter().all(|r| r.loss.is_nan() && r.grad_norm.is_none()));
    assert_eq!(back.len(), 3);
}

#[test]
fn resume_drops_later_records_and_a_torn_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = MetricsWriter::create(dir.path()).unwrap();
    for step in 1..=9 {
        writer.write(&record(step)).unwrap();
    }
    let path = writer.path().to_path_buf();
    let whole = std::fs::read(&path).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
    // Cut anywhere inside the last line, newline included: the record counts once its brace is there.
    for cut in last_line..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let expected: Vec<u64> = (1..=8 + u64::from(cut + 1 >= whole.len())).collect();
        assert_eq!(steps(&path), expected, "cut at byte {cut}");
        let mut writer = MetricsWriter::resume(dir.path(), 9).unwrap();
        writer.write(&record(10)).unwrap();
        assert_eq!(steps(&path), [&expected[..], &[10]].concat(), "cut at byte {cut}");
    }
    let mut writer = MetricsWriter::resume(dir.path(), 4).unwrap();
    writer.write(&record(5)).unwrap();
    assert_eq!(steps(&path), [1, 2, 3, 4, 5]);
    let leftovers = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(leftovers, 1, "temporary files were left behind");
}

#[test]
fn kept_lines_are_kept_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let line = r#"{"loss": 0.1000000000000000055, "step": 1, "a_later_version": {"x": [1]}}"#;
    std::fs::write(&path, format!("{line}\n{{\"step\":2,\"loss\":1}}\n")).unwrap();
    MetricsWriter::resume(dir.path(), 1).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{line}\n"));
}

#[test]
fn a_broken_line_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    for broken in ["{\"step\":", "not json", "{\"step\":-1,\"loss\":1}", "\0\0", "[1]"] {
        let text = format!("{{\"step\":1,\"loss\":1}}\n\n{broken}\n{{\"step\":3,\"loss\":1}}\n");
        std::fs::write(&path, text).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{broken:?}: {error}");
        assert_eq!(error.exit_code(), 2);
        assert!(MetricsWriter::resume(dir.path(), 3).is_err(), "{broken:?}");
    }
}

#[test]
fn another_run_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = MetricsWriter::create(dir.path()).unwrap();
    // A run that died before its first record may start again.
    MetricsWriter::create(dir.path()).unwrap();
    writer.write(&record(1)).unwrap();
    let error = MetricsWriter::create(dir.path()).unwrap_err();
    assert!(error.to_string().contains("--resume"), "{error}");
    assert_eq!(steps(writer.path()), [1]);
}
