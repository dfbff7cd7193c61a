//! The encoder against Apache Avro's own, and clause by clause.

use proptest::prelude::*;

use super::*;
use crate::avro::arbitrary::{Kinds, Random, Ty, at, read, record, written};
use crate::avro::{Decoder, Field, NameSet, shipped, to_json};

fn parse(json: &str) -> Schema {
    Schema::parse(json).unwrap()
}

fn ours(name: &str) -> Schema {
    parse(shipped(name).unwrap())
}

/// A record with one field `x` of this type.
fn x(ty: &str) -> Schema {
    parse(&format!(r#"{{"type":"record","name":"r","fields":[{{"name":"x","type":{ty}}}]}}"#))
}

fn shape(fields: &[(&str, Type)]) -> Shape {
    Shape { fields: fields.iter().map(|(path, ty)| Field::new(*path, ty.clone(), true)).collect() }
}

fn encode(schema: &Schema, ty: Type, value: Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let encoder = Encoder::compile(schema, &shape(&[("x", ty)])).unwrap();
    encoder.encode(&Row { values: vec![value] }, None, &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

fn misfits(schema: &Schema, shape: &Shape) -> Vec<String> {
    Encoder::compile(schema, shape).unwrap_err().iter().map(ToString::to_string).collect()
}

fn has_optional_record(ty: &Ty) -> bool {
    match ty {
        Ty::Union(branches) => branches.iter().any(|branch| matches!(branch, Ty::Record(..))),
        Ty::Record(_, fields) => fields.iter().any(|(_, ty)| has_optional_record(ty)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn writes_what_apache_avro_writes(seed: u64) {
        let mut random = Random(seed);
        let ty = record(&mut random, Kinds::Selectable);
        let schema = ty.schema();
        let body = written(&schema, &ty.value(&mut random));
        let mut row = Row::default();
        Decoder::compile(&schema, &schema, schema.shape()).unwrap().decode(&body, &mut row).unwrap();
        let mut out = Vec::new();
        Encoder::compile(&schema, schema.shape()).unwrap().encode(&row, None, &mut out).unwrap();
        // A row does not tell a null record from a record of nulls.
        if !has_optional_record(&ty) {
            prop_assert_eq!(&out, &body, "{}", schema.text());
        }
        let back = read(&schema, &schema, &out).unwrap();
        for (index, field) in schema.shape().fields.iter().enumerate() {
            prop_assert_eq!(row.get(index), &at(&back, &field.path), "{} of {}", field.path, schema.text());
        }
    }
}

/// The shape of what `latest` emits for the shipped pipeline.
fn latest() -> (Shape, Row) {
    let names: Arc<[Arc<str>]> = ["title", "views", "likes", "comments"].map(Arc::from).into();
    let fields = [
        ("key", Type::String, Value::String("dQw4w9WgXcQ".into())),
        ("previous.title", Type::String, Value::Null),
        ("current.title", Type::String, Value::String("Tide".into())),
        ("previous.views", Type::Long, Value::Long(199)),
        ("current.views", Type::Long, Value::Long(200)),
        ("previous.likes", Type::Long, Value::Null),
        ("current.likes", Type::Long, Value::Null),
        ("previous.comments", Type::Long, Value::Long(-1)),
        ("current.comments", Type::Long, Value::Long(3_000_000_000)),
        ("previous.observed_at", Type::Timestamp, Value::Long(1000)),
        ("current.observed_at", Type::Timestamp, Value::Long(2000)),
        ("changed", Type::Names(Arc::clone(&names)), Value::Names(NameSet { names, bits: 0b1010 })),
        ("removed", Type::Boolean, Value::Boolean(false)),
        ("reason", Type::String, Value::Null),
    ];
    let shape = shape(&fields.each_ref().map(|(path, ty, _)| (*path, ty.clone())));
    (shape, Row { values: fields.map(|(_, _, value)| value).into() })
}

#[test]
fn a_change_has_these_bytes() {
    let (shape, row) = latest();
    let schema = ours("youtube_change");
    let encoder = Encoder::compile(&schema, &shape).unwrap();
    assert!(encoder.defaulted().is_empty());
    let mut out = Vec::new();
    encoder.encode(&row, Some(b"dQw4w9WgXcQ"), &mut out).unwrap();
    let golden = [
        &b"\x16dQw4w9WgXcQ"[..],
        b"\x02\x08Tide",
        b"\x00\x02\x08Tide",
        b"\x02\x8e\x03\x02\x90\x03",
        b"\x00\x00",
        b"\x02\x01\x02\x80\xf8\x82\xad\x16",
        b"\x04\x0aviews\x10comments\x00",
        b"\x02\xd0\x0f\xa0\x1f",
        b"\x00\x00",
    ];
    assert_eq!(out, golden.concat());
    let json = to_json(&schema, &out).unwrap();
    assert_eq!(json["video_id"], "dQw4w9WgXcQ");
    assert_eq!(json["comments_current"], 3_000_000_000_i64);
    assert_eq!(json["changed"], serde_json::json!(["views", "comments"]));
    assert_eq!(encoder.encode(&row, None, &mut out).unwrap_err().to_string(), "field video_id: the record has no key");
    assert_eq!(encoder.encode(&row, Some(&[0xff]), &mut out).unwrap_err().to_string(), "field video_id: the record's key is not UTF-8");
}

#[test]
fn a_video_has_these_bytes() {
    let schema = ours("youtube_video");
    let encoder =
        Encoder::compile(&schema, &shape(&[("views", Type::Long), ("title", Type::String), ("playlists", Type::Strings)])).unwrap();
    let row = Row { values: vec![Value::Long(64), Value::String("é".into()), Value::Strings(vec!["PL1".into()])] };
    let mut out = Vec::new();
    encoder.encode(&row, None, &mut out).unwrap();
    assert_eq!(out, b"\x02\x04\xc3\xa9\x02\x80\x01\x00\x00\x00\x00\x02\x02\x06PL1\x00\x00\x00\x00\x00");
    let defaulted: Vec<_> = encoder.defaulted().iter().map(|path| &**path).collect();
    assert_eq!(
        defaulted,
        ["likes", "comments", "channel_id", "channel_title", "published_at", "duration_seconds", "live_state", "appeared"]
    );
}

#[test]
fn a_message_has_these_bytes() {
    let shape = shape(&[
        ("chat_id", Type::String),
        ("text", Type::String),
        ("parse_mode", Type::String),
        ("message_thread_id", Type::Long),
        ("disable_notification", Type::Boolean),
        ("disable_web_page_preview", Type::Boolean),
        ("event_id", Type::String),
    ]);
    let text = |text: &str| Value::String(text.into());
    let mut row =
        Row { values: vec![text("-100"), text("Hi"), text(""), Value::Long(0), Value::Boolean(false), Value::Boolean(true), text("e")] };
    let encoder = Encoder::compile(&ours("telegram_message"), &shape).unwrap();
    let mut out = Vec::new();
    encoder.encode(&row, Some(b"-100"), &mut out).unwrap();
    assert_eq!(out, b"\x08-100\x04Hi\x00\x00\x00\x01\x02e\x00", "the last one is the default of a field that the row lacks");
    row.values[1] = Value::Null;
    assert_eq!(encoder.encode(&row, None, &mut out).unwrap_err().to_string(), "field text: a null, where the schema allows none");
    row.values[1] = text("Hi");
    row.values[3] = Value::Long(1 << 31);
    assert_eq!(
        encoder.encode(&row, None, &mut out).unwrap_err().to_string(),
        "field message_thread_id: a number beyond the 32 bits of an int"
    );
}

#[test]
fn what_does_not_fit_is_said_for_every_field() {
    let text = ours("telegram_message");
    assert_eq!(
        misfits(&text, &shape(&[("chat_id", Type::Long), ("event_id", Type::String), ("parse_mode", Type::Boolean)])),
        [
            "field chat_id (string) cannot be filled from chat_id (long)",
            "field text (string) cannot be filled from the row: it has no such field, and the schema has no default",
            "field parse_mode (string) cannot be filled from parse_mode (boolean)",
        ]
    );
    let time = x(r#"["null",{"type":"long","logicalType":"timestamp-millis"}]"#);
    assert_eq!(misfits(&time, &shape(&[("x", Type::Long)])), ["field x (union of null, timestamp) cannot be filled from x (long)"]);
    let key = parse(r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long","tidewatch":"key"}]}"#);
    assert_eq!(misfits(&key, &shape(&[])), ["field id (long) cannot be filled from the record's key (string)"]);
    assert_eq!(misfits(&parse("\"long\""), &shape(&[])).len(), 1);
}

#[test]
fn values_are_written_as_the_schema_wants_them() {
    let micros = x(r#"{"type":"long","logicalType":"timestamp-micros"}"#);
    assert_eq!(encode(&micros, Type::Timestamp, Value::Long(2)), Ok(vec![0xa0, 0x1f]));
    assert_eq!(
        encode(&micros, Type::Timestamp, Value::Long(i64::MAX)),
        Err("field x: a time beyond what the schema's unit can say".into())
    );
    assert_eq!(encode(&x("\"long\""), Type::Timestamp, Value::Long(2)), Ok(vec![4]));
    assert_eq!(encode(&x("\"double\""), Type::Long, Value::Long(1)), Ok(1_f64.to_le_bytes().into()));
    assert_eq!(encode(&x("\"float\""), Type::Double, Value::Double(0.5)), Ok(0.5_f32.to_le_bytes().into()));
    let symbols = x(r#"{"type":"enum","name":"e","symbols":["A","B"]}"#);
    assert_eq!(encode(&symbols, Type::String, Value::String("B".into())), Ok(vec![2]));
    assert_eq!(encode(&symbols, Type::String, Value::String("C".into())), Err("field x: a text that is no symbol of the enum".into()));
    let fixed = x(r#"{"type":"fixed","name":"f","size":2}"#);
    assert_eq!(encode(&fixed, Type::Bytes, Value::Bytes(vec![7, 8])), Ok(vec![7, 8]));
    assert_eq!(encode(&fixed, Type::Bytes, Value::Bytes(vec![7])), Err("field x: bytes of another length than the schema's".into()));
    assert_eq!(encode(&x("\"string\""), Type::Bytes, Value::Bytes(vec![0xff])), Err("field x: bytes that are not UTF-8".into()));
    assert_eq!(
        encode(&x("\"long\""), Type::Long, Value::Boolean(true)),
        Err("field x: a value of another type than the row's shape says".into())
    );
    assert_eq!(encode(&x(r#"["long","string","null"]"#), Type::String, Value::String("a".into())), Ok(vec![2, 2, b'a']));
    assert_eq!(encode(&x(r#"["long","string","null"]"#), Type::String, Value::Null), Ok(vec![4]));
}

#[test]
fn a_record_is_null_when_the_row_has_nothing_for_it() {
    let schema = x(
        r#"["null",{"type":"record","name":"o","fields":[{"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null}]}]"#,
    );
    let encoder = Encoder::compile(&schema, &shape(&[("x.a", Type::Long)])).unwrap();
    let mut out = Vec::new();
    encoder.encode(&Row { values: vec![Value::Long(1)] }, None, &mut out).unwrap();
    encoder.encode(&Row { values: vec![Value::Null] }, None, &mut out).unwrap();
    assert_eq!(out, [2, 2, 0, 0]);
    assert_eq!(encoder.defaulted(), ["x.b".into()]);
}

#[test]
fn previous_and_current_are_found_by_their_suffix() {
    let schema = parse(
        r#"{"type":"record","name":"r","fields":[{"name":"order_price_previous","type":["null","double"]},{"name":"order_price_current","type":["null","double"]}]}"#,
    );
    let encoder =
        Encoder::compile(&schema, &shape(&[("previous.order.price", Type::Double), ("current.order.price", Type::Double)])).unwrap();
    let mut out = Vec::new();
    encoder.encode(&Row { values: vec![Value::Null, Value::Double(0.0)] }, None, &mut out).unwrap();
    assert_eq!(out, [0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn every_kind_of_default_is_written_as_apache_avro_reads_it() {
    let fields = [
        (r#""long""#, "-5"),
        (r#""int""#, "3"),
        (r#""double""#, "1.5"),
        (r#""float""#, "0.25"),
        (r#""boolean""#, "true"),
        (r#""string""#, r#""ü""#),
        (r#""bytes""#, r#""\u00ff\u0001""#),
        (r#"{"type":"array","items":"long"}"#, "[1,2]"),
        (r#"{"type":"map","values":"string"}"#, r#"{"k":"v"}"#),
        (r#"{"type":"enum","name":"e","symbols":["A","B"]}"#, r#""B""#),
        (r#"{"type":"record","name":"o","fields":[{"name":"p","type":"long"},{"name":"q","type":"long","default":9}]}"#, r#"{"p":1}"#),
        (r#"["null","long"]"#, "null"),
        (r#"["long","null"]"#, "4"),
    ];
    let with = |default: bool| {
        let fields = fields.iter().enumerate().map(|(index, (ty, value))| {
            let value = if default { format!(r#","default":{value}"#) } else { String::new() };
            format!(r#"{{"name":"f{index}","type":{ty}{value}}}"#)
        });
        parse(&format!(r#"{{"type":"record","name":"r","fields":[{}]}}"#, fields.collect::<Vec<_>>().join(",")))
    };
    let mut out = Vec::new();
    Encoder::compile(&with(true), &Shape::default()).unwrap().encode(&Row::default(), None, &mut out).unwrap();
    let json = to_json(&with(true), &out).unwrap();
    for (index, (_, value)) in fields.iter().enumerate() {
        let mut expected: serde_json::Value = serde_json::from_str(value).unwrap();
        if let Some(record) = expected.as_object_mut().filter(|record| record.contains_key("p")) {
            record.insert("q".into(), 9.into());
        }
        assert_eq!(json[format!("f{index}")], expected);
    }
    let schema = with(true);
    assert!(read(&schema, &schema, &out).is_ok());
    assert_eq!(misfits(&with(false), &Shape::default()).len(), fields.len() - 2);
}

#[test]
fn a_key_that_is_a_number_fills_numbers_and_texts() {
    let schema = parse(
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long","tidewatch":"key"},{"name":"b","type":["null","int"],"tidewatch":"key"},
            {"name":"c","type":"string","tidewatch":"key"},{"name":"d","type":"double","tidewatch":"key"}]}"#,
    );
    let encoder = Encoder::compile_keyed(&schema, &Shape::default(), KeyFormat::Long).unwrap();
    let mut out = Vec::new();
    encoder.encode(&Row::default(), Some(&300_i64.to_be_bytes()), &mut out).unwrap();
    assert_eq!(to_json(&schema, &out).unwrap(), serde_json::json!({ "a": 300, "b": 300, "c": "300", "d": 300.0 }));
    let too_large = encoder.encode(&Row::default(), Some(&i64::MAX.to_be_bytes()), &mut out).unwrap_err();
    assert_eq!(too_large.to_string(), "field b: a number beyond the 32 bits of an int");
    let no_key = encoder.encode(&Row::default(), Some(b"x"), &mut out).unwrap_err();
    assert_eq!(no_key.to_string(), "field a: the record's key is not what its source declares");
    let misfits = Encoder::compile_keyed(&schema, &Shape::default(), KeyFormat::Bytes).unwrap_err();
    assert_eq!(misfits.len(), 4);
    assert_eq!(misfits[0].to_string(), "field a (long) cannot be filled from the record's key (bytes)");
}
