use super::*;

/// One decoded protobuf field: a number (varint or the bits of a fixed field) or bytes.
#[derive(Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn read_varint(data: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = data[0];
        *data = &data[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn take<'a>(data: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = data.split_at(count);
    *data = tail;
    head
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |all, &b| all << 8 | u64::from(b))
}

fn fields(mut data: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = read_varint(&mut data);
        let field = match key & 7 {
            0 => Field::Number(read_varint(&mut data)),
            1 => Field::Number(little_endian(take(&mut data, 8))),
            5 => Field::Number(little_endian(take(&mut data, 4))),
            2 => {
                let length = read_varint(&mut data) as usize;
                Field::Bytes(take(&mut data, length))
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn number(fields: &[(u64, Field)], id: u64) -> u64 {
    let of_id = |f: &&(u64, Field)| f.0 == id;
    match fields.iter().find(of_id).unwrap_or_else(|| panic!("no field {id}: {fields:?}")) {
        (_, Field::Number(n)) => *n,
        other => panic!("{other:?} is no number"),
    }
}

fn bytes<'a>(fields: &[(u64, Field<'a>)], id: u64) -> &'a [u8] {
    let of_id = |f: &&(u64, Field<'a>)| f.0 == id;
    match fields.iter().find(of_id).unwrap_or_else(|| panic!("no field {id}")) {
        (_, Field::Bytes(b)) => b,
        other => panic!("{other:?} is not bytes"),
    }
}

/// Splits a TFRecord file, checking every CRC bit by bit rather than with the crate the writer uses.
fn events(file: &[u8]) -> Vec<&[u8]> {
    let crc_ok = |data: &[u8], stored: &[u8]| {
        let mut crc = !0u32;
        for &byte in data {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
            }
        }
        let crc = !crc;
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked.to_le_bytes(), stored, "CRC of {} bytes", data.len());
    };
    let mut rest = file;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = take(&mut rest, 8);
        crc_ok(length, take(&mut rest, 4));
        let data = take(&mut rest, little_endian(length) as usize);
        crc_ok(data, take(&mut rest, 4));
        found.push(data);
    }
    found
}

fn values(event: &[u8]) -> HashMap<String, Vec<(u64, Field<'_>)>> {
    let summary = fields(bytes(&fields(event), 5));
    summary
        .into_iter()
        .map(|(id, value)| {
            assert_eq!(id, 1);
            let Field::Bytes(value) = value else { panic!() };
            let value = fields(value);
            let tag = String::from_utf8(bytes(&value, 1).to_vec()).unwrap();
            (tag, value)
        })
        .collect()
}

fn layer(with_levels: bool) -> LayerRecord {
    let mut levels = [None; 16];
    levels[7..=9].copy_from_slice(&[Some(-0.5), Some(0.0), Some(1.0)]);
    let mut histogram = [0; 16];
    histogram[7..=9].copy_from_slice(&[3, 300, 5]);
    LayerRecord {
        name: "head".into(),
        flip_rate: Some(0.25),
        histogram: Some(histogram),
        levels: with_levels.then_some(levels),
        ..LayerRecord::default()
    }
}

#[test]
fn events_decode_to_what_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = TensorBoardWriter::create(dir.path(), 0).unwrap();
    let record = |step, layer| StepRecord {
        step,
        loss: 2.5,
        learning_rate: Some(0.125),
        validation_loss: Some(2.75),
        layers: Some(vec![layer]),
        ..StepRecord::default()
    };
    writer.write(&record(1, layer(true))).unwrap();
    writer.write(&record(300, layer(false))).unwrap();

    let file = std::fs::read(writer.path()).unwrap();
    let events = events(&file);
    assert_eq!(events.len(), 3);
    assert_eq!(bytes(&fields(events[0]), 3), b"brain.Event:2");
    for (event, step) in events[1..].iter().zip([1, 300]) {
        let top = fields(event);
        assert_eq!(number(&top, 2), step);
        let wall_time = f64::from_bits(number(&top, 1));
        assert!((now() - wall_time).abs() < 60.0, "wall time {wall_time}");

        let values = values(event);
        let scalar = |tag: &str| f32::from_bits(number(&values[tag], 2) as u32);
        assert_eq!(scalar("loss/train"), 2.5);
        assert_eq!(scalar("loss/validation"), 2.75);
        assert_eq!(scalar("learning_rate"), 0.125);
        assert_eq!(scalar("layer_flip_rate/head"), 0.25);
        assert_eq!(values.len(), 5, "{:?}", values.keys());

        let histogram = fields(bytes(&values["levels/head"], 5));
        let double = |id| f64::from_bits(number(&histogram, id));
        let doubles = |id| -> Vec<f64> {
            let packed = bytes(&histogram, id).chunks(8);
            packed.map(|b| f64::from_bits(little_endian(b))).collect()
        };
        let [min, max, num, sum, squares] = [1, 2, 3, 4, 5].map(double);
        assert_eq!([min, max, num], [-0.5, 1.0, 308.0]);
        assert_eq!([sum, squares], [3.5, 5.75]);
        assert_eq!(doubles(6), [-0.25, 0.5, 1.0]);
        assert_eq!(doubles(7), [3.0, 300.0, 5.0]);
    }
}

#[test]
fn a_resumed_run_starts_a_second_file_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = TensorBoardWriter::create(dir.path(), 0).unwrap();
    let second = TensorBoardWriter::create(dir.path(), 40).unwrap();
    assert_ne!(first.path(), second.path());
    let name = second.path().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let file = std::fs::read(second.path()).unwrap();
    let events = events(&file);
    let start = fields(events[1]);
    assert_eq!(number(&start, 2), 41);
    assert_eq!(number(&fields(bytes(&start, 7)), 1), 1);
}

#[test]
fn a_histogram_without_any_level_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = TensorBoardWriter::create(dir.path(), 0).unwrap();
    let mut empty = layer(false);
    empty.levels = Some([None; 16]);
    let record = StepRecord { loss: f64::NAN, layers: Some(vec![empty]), ..StepRecord::default() };
    writer.write(&record).unwrap();
    let file = std::fs::read(writer.path()).unwrap();
    let values = values(events(&file)[1]);
    assert!(!values.contains_key("levels/head"));
    assert!(f32::from_bits(number(&values["loss/train"], 2) as u32).is_nan());
}
