//! The decoder against Apache Avro's own, and clause by clause.

use apache_avro::types::Value as Avro;
use proptest::prelude::*;

use super::*;
use crate::avro::arbitrary::{Kinds, Random, Ty, at, read, record, written};
use crate::avro::{shipped, to_json};

fn parse(json: &str) -> Schema {
    Schema::parse(json).unwrap()
}

/// A record with these fields, each `name type`.
fn of(fields: &[(&str, &str)]) -> Schema {
    let fields: Vec<_> = fields.iter().map(|(name, ty)| format!(r#"{{"name":"{name}","type":{ty}}}"#)).collect();
    parse(&format!(r#"{{"type":"record","name":"r","fields":[{}]}}"#, fields.join(",")))
}

fn decode(writer: &Schema, reader: &Schema, body: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let mut row = Row::default();
    Decoder::compile(writer, reader, reader.shape()).unwrap().decode(body, &mut row)?;
    Ok(row.values)
}

fn refused(writer: &Schema, reader: &Schema) -> String {
    Decoder::compile(writer, reader, reader.shape()).unwrap_err().to_string()
}

/// The fields of a shape that a coin chooses.
fn some(random: &mut Random, shape: &Shape) -> Shape {
    Shape { fields: shape.fields.iter().filter(|_| random.below(2) == 0).cloned().collect() }
}

fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for index in (1..items.len()).rev() {
        items.swap(index, random.below(index + 1));
    }
}

/// A schema that can read what `writer` wrote: fields dropped, added with defaults, reordered, widened and made nullable.
fn evolved(random: &mut Random, writer: &Ty) -> Schema {
    let Ty::Record(name, fields) = writer else { panic!("not a record") };
    let mut kept: Vec<serde_json::Value> = Vec::new();
    for (name, ty) in fields {
        let json = match (random.below(5), ty) {
            (0, _) => continue,
            (1, Ty::Int) => "long".into(),
            (2, Ty::Int | Ty::Long) | (1, Ty::Float) => "double".into(),
            (3, Ty::Int | Ty::Long) => "float".into(),
            (1, Ty::String) => "bytes".into(),
            (1, Ty::Bytes) => "string".into(),
            (2, Ty::Union(_) | Ty::Null) => ty.json(),
            (2, ty) => serde_json::json!(["null", ty.json()]),
            _ => ty.json(),
        };
        kept.push(serde_json::json!({"name": name, "type": json}));
    }
    kept.push(serde_json::json!({"name": "added_long", "type": "long", "default": 7}));
    kept.push(serde_json::json!({"name": "added_text", "type": ["null", "string"], "default": null}));
    kept.push(serde_json::json!({"name": "added_list", "type": {"type": "array", "items": "string"}, "default": ["a", "b"]}));
    shuffle(random, &mut kept);
    parse(&serde_json::json!({"type": "record", "name": name, "fields": kept}).to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn reads_what_apache_avro_wrote(seed: u64) {
        let mut random = Random(seed);
        let ty = record(&mut random, Kinds::All);
        let schema = ty.schema();
        let value = ty.value(&mut random);
        let body = written(&schema, &value);
        let wanted = some(&mut random, schema.shape());
        let mut row = Row::default();
        for shape in [schema.shape(), &wanted, schema.shape()] {
            Decoder::compile(&schema, &schema, shape).unwrap().decode(&body, &mut row).unwrap();
            for (index, field) in shape.fields.iter().enumerate() {
                prop_assert_eq!(row.get(index), &at(&value, &field.path), "{} of {}", field.path, schema.text());
            }
        }
        to_json(&schema, &body).unwrap();
    }

    #[test]
    fn resolves_to_an_evolved_schema_as_apache_avro_does(seed: u64) {
        let mut random = Random(seed);
        let ty = record(&mut random, Kinds::All);
        let (writer, reader) = (ty.schema(), evolved(&mut random, &ty));
        let body = written(&writer, &ty.value(&mut random));
        let expected = read(&writer, &reader, &body);
        let found = decode(&writer, &reader, &body);
        match expected {
            Ok(expected) => {
                let found = found.unwrap();
                for (field, value) in reader.shape().fields.iter().zip(&found) {
                    prop_assert_eq!(value, &at(&expected, &field.path), "{}: {} from {}", field.path, reader.text(), writer.text());
                }
            }
            Err(error) => prop_assert!(found.is_err(), "{} but {:?}", error, found),
        }
    }

    #[test]
    fn a_truncated_body_is_an_error(seed: u64) {
        let mut random = Random(seed);
        let ty = record(&mut random, Kinds::All);
        let schema = ty.schema();
        let body = written(&schema, &ty.value(&mut random));
        let decoder = Decoder::compile(&schema, &schema, &some(&mut random, schema.shape())).unwrap();
        let mut row = Row::default();
        for end in 0..body.len() {
            let error = decoder.decode(&body[..end], &mut row).unwrap_err();
            prop_assert!(error.at <= end);
            prop_assert!(to_json(&schema, &body[..end]).is_err());
        }
    }

    #[test]
    fn malformed_bytes_never_panic(seed: u64, noise: Vec<u8>) {
        let mut random = Random(seed);
        let ty = record(&mut random, Kinds::All);
        let schema = ty.schema();
        let decoder = Decoder::compile(&schema, &schema, &some(&mut random, schema.shape())).unwrap();
        let mut row = Row::default();
        drop(decoder.decode(&noise, &mut row));
        drop(to_json(&schema, &noise));
        let mut body = written(&schema, &ty.value(&mut random));
        for _ in 0..20.min(body.len()) {
            let place = random.below(body.len());
            body[place] = random.next().to_le_bytes()[0];
            drop(decoder.decode(&body, &mut row));
            drop(to_json(&schema, &body));
        }
    }
}

#[test]
fn a_row_of_another_shape_is_filled_anew() {
    let schema = of(&[("a", r#""string""#), ("b", r#"["null","string"]"#)]);
    let decoder = Decoder::compile(&schema, &schema, schema.shape()).unwrap();
    let mut row = Row { values: vec![Value::Long(1), Value::Bytes(vec![1]), Value::Null] };
    decoder.decode(&[2, b'x', 0], &mut row).unwrap();
    assert_eq!(row.values, [Value::String("x".into()), Value::Null]);
}

#[test]
fn fields_go_by_the_readers_aliases() {
    let writer = of(&[("a", "\"int\""), ("b", "\"string\"")]);
    let reader = parse(
        r#"{"type":"record","name":"r","fields":[{"name":"x","aliases":["nonesuch","a"],"type":"long"},{"name":"b","aliases":["a"],"type":"string"}]}"#,
    );
    assert_eq!(decode(&writer, &reader, &[6, 2, b'y']).unwrap(), [Value::Long(3), Value::String("y".into())]);
}

#[test]
fn a_map_of_aliases_finds_what_the_original_wrote() {
    let field = |name: &str, ty: &str| format!(r#"{{"name":"{name}","type":["null","{ty}"],"default":null}}"#);
    let writer = parse(&format!(
        r#"{{"type":"record","name":"KsqlDataSourceSchema","namespace":"io.confluent.ksql.avro_schemas","fields":[{},{},{},{}],"connect.name":"io.confluent.ksql.avro_schemas.KsqlDataSourceSchema"}}"#,
        field("TITLE", "string"),
        field("VIEWS", "int"),
        field("COMMENTS", "int"),
        field("LIKES", "int")
    ));
    let reader = parse(shipped("youtube_video").unwrap());
    let wanted = Shape { fields: ["title", "views", "likes", "comments"].map(|path| reader.shape().field(path).unwrap().clone()).into() };
    let aliases: Aliases = wanted.fields.iter().map(|field| (field.path.to_string(), field.path.to_uppercase())).collect();
    let decoder = Decoder::compile_with(&writer, &reader, &wanted, &aliases).unwrap();
    let mut row = Row::default();
    decoder.decode(&[2, 4, b'H', b'i', 2, 20, 2, 6, 0], &mut row).unwrap();
    assert_eq!(row.values, [Value::String("Hi".into()), Value::Long(10), Value::Null, Value::Long(3)]);
    // The same source may carry records of our own: the alias is not there, the name is.
    let decoder = Decoder::compile_with(&reader, &reader, &wanted, &aliases).unwrap();
    decoder.decode(&[2, 4, b'H', b'i', 2, 20, 2, 6, 0, 0, 0, 0, 0, 0, 0, 0], &mut row).unwrap();
    assert_eq!(row.values, [Value::String("Hi".into()), Value::Long(10), Value::Long(3), Value::Null]);
}

#[test]
fn an_alias_may_lead_into_a_record() {
    let writer = parse(
        r#"{"type":"record","name":"w","fields":[{"name":"id","type":"long"},{"name":"body","type":["null",{"type":"record","name":"b","fields":[
            {"name":"skip","type":"string"},{"name":"n","type":"int"}]}]}]}"#,
    );
    let reader = of(&[("price", r#"["null","double"]"#)]);
    let aliases = Aliases::from([("price".to_owned(), "body.n".to_owned())]);
    let decoder = Decoder::compile_with(&writer, &reader, reader.shape(), &aliases).unwrap();
    let mut row = Row::default();
    decoder.decode(&[2, 2, 2, b'x', 4], &mut row).unwrap();
    assert_eq!(row.values, [Value::Double(2.0)]);
    decoder.decode(&[2, 0], &mut row).unwrap();
    assert_eq!(row.values, [Value::Null]);
    let twice = of(&[("p", "\"long\""), ("q", "\"long\"")]);
    let aliases = Aliases::from([("p".to_owned(), "id".to_owned()), ("q".to_owned(), "id".to_owned())]);
    let error = Decoder::compile_with(&writer, &twice, twice.shape(), &aliases).unwrap_err();
    assert_eq!(error.to_string(), "fields q and p are read from the same field of the writer's schema");
}

#[test]
fn a_union_becomes_a_type_where_the_value_fits() {
    let writer = of(&[("x", r#"["null","long","string"]"#)]);
    let reader = of(&[("x", "\"long\"")]);
    assert_eq!(decode(&writer, &reader, &[2, 4]).unwrap(), [Value::Long(2)]);
    assert_eq!(decode(&writer, &reader, &[0]).unwrap_err().to_string(), "field x, byte 1: a null, where the reader's schema allows none");
    assert_eq!(
        decode(&writer, &reader, &[4, 2, b'x']).unwrap_err().to_string(),
        "field x, byte 1: a value of type string, which the reader's schema does not take"
    );
    assert_eq!(decode(&writer, &reader, &[6]).unwrap_err().to_string(), "field x, byte 0: a branch or symbol is number 3 of 3");
}

#[test]
fn times_become_milliseconds() {
    let micros = of(&[("t", r#"{"type":"long","logicalType":"timestamp-micros"}"#)]);
    let millis = of(&[("t", r#"{"type":"long","logicalType":"timestamp-millis"}"#)]);
    let plain = of(&[("t", "\"long\"")]);
    assert_eq!(decode(&micros, &millis, &[0xfd, 0x1f]).unwrap(), [Value::Long(-3)]);
    assert_eq!(decode(&plain, &millis, &[0xfd, 0x1f]).unwrap(), [Value::Long(-2047)]);
    assert_eq!(decode(&micros, &plain, &[0xfd, 0x1f]).unwrap(), [Value::Long(-2047)]);
    assert_eq!(decode(&plain, &micros, &[0xd0, 0x0f]).unwrap(), [Value::Long(1)]);
}

#[test]
fn an_enum_goes_by_symbol() {
    let writer = of(&[("e", r#"{"type":"enum","name":"w","symbols":["A","B","C"]}"#)]);
    let reader = of(&[("e", r#"{"type":"enum","name":"e","symbols":["C","A"]}"#)]);
    let lenient = of(&[("e", r#"{"type":"enum","name":"e","symbols":["C","A"],"default":"C"}"#)]);
    assert_eq!(decode(&writer, &reader, &[0]).unwrap(), [Value::String("A".into())]);
    assert_eq!(decode(&writer, &reader, &[2]).unwrap_err().to_string(), "field e, byte 1: the symbol B is not in the reader's schema");
    assert_eq!(decode(&writer, &lenient, &[2]).unwrap(), [Value::String("C".into())]);
}

#[test]
fn blocks_with_a_size_are_read_and_passed_over() {
    let writer = of(&[("a", r#"{"type":"array","items":"string"}"#), ("m", r#"{"type":"map","values":"long"}"#), ("x", "\"long\"")]);
    let body = [3, 8, 2, b'a', 2, b'b', 2, 2, b'c', 0, 1, 6, 2, b'k', 4, 0, 10];
    assert_eq!(decode(&writer, &writer, &body).unwrap(), [Value::Strings(vec!["a".into(), "b".into(), "c".into()]), Value::Long(5)]);
    assert_eq!(decode(&writer, &of(&[("x", "\"long\"")]), &body).unwrap(), [Value::Long(5)]);
}

#[test]
fn a_huge_count_of_nothing_takes_no_time() {
    let writer = of(&[("a", r#"{"type":"array","items":"null"}"#), ("x", "\"long\"")]);
    let mut body = Vec::new();
    crate::avro::cursor::put_long(i64::MAX, &mut body);
    body.extend_from_slice(&[0, 10]);
    assert_eq!(decode(&writer, &writer, &body).unwrap(), [Value::Long(5)]);
}

#[test]
fn records_within_records_end() {
    let writer = parse(r#"{"type":"record","name":"l","fields":[{"name":"next","type":["null","l"]},{"name":"x","type":"long"}]}"#);
    let list = |length: usize| [vec![2; length], vec![0], vec![6; length + 1]].concat();
    assert_eq!(decode(&writer, &writer, &list(400)).unwrap(), [Value::Long(3)]);
    assert_eq!(decode(&writer, &writer, &list(100_000)).unwrap_err().to_string(), "field next, byte 500: records are nested too deeply");
}

#[test]
fn nested_defaults_are_found() {
    let nested = |default: &str| {
        parse(&format!(
            r#"{{"type":"record","name":"r","fields":[{{"name":"o","type":["null",{{"type":"record","name":"o","fields":[
                {{"name":"p","type":"double"}},{{"name":"q","type":"string","default":"q"}}]}}],"default":null}},
                {{"name":"b","type":"bytes","default":"\u00ff"}}{default}]}}"#
        ))
    };
    let writer = of(&[("z", "\"long\"")]);
    assert_eq!(decode(&writer, &nested(""), &[2]).unwrap(), [Value::Null, Value::Null, Value::Bytes(vec![255])]);
    let o = r#"{"type":"record","name":"r","fields":[{"name":"o","type":{"type":"record","name":"o","fields":[{"name":"p","type":"double"}]}}]}"#;
    let body = 0.5_f64.to_le_bytes();
    assert_eq!(decode(&parse(o), &nested(""), &body).unwrap(), [Value::Double(0.5), Value::String("q".into()), Value::Bytes(vec![255])]);
    assert_eq!(
        refused(&writer, &nested(r#",{"name":"n","type":"long"}"#)),
        "field n is not in the writer's schema and has no default in the reader's"
    );
}

#[test]
fn what_cannot_be_read_is_said_at_once() {
    let x = |ty: &str| of(&[("x", ty)]);
    assert_eq!(refused(&x("\"long\""), &x("\"int\"")), "field x was written as long, which cannot be read as int");
    assert_eq!(refused(&x("\"string\""), &x(r#"["null","long"]"#)), "field x was written as string, which cannot be read as null or long");
    assert_eq!(
        refused(&x(r#"["null","string"]"#), &x("\"long\"")),
        "field x was written as union of null, string, which cannot be read as long"
    );
    assert_eq!(
        refused(&x("\"long\""), &x(r#"{"type":"record","name":"o","fields":[{"name":"y","type":"long"}]}"#)),
        "field x.y was written as long, which cannot be read as record o"
    );
    assert_eq!(refused(&parse("\"long\""), &x("\"long\"")), "the writer's schema is not a record");
    let schema = x("\"long\"");
    let error = |path: &str, ty| {
        Decoder::compile(&schema, &schema, &Shape { fields: vec![crate::avro::Field::new(path, ty, false)] }).unwrap_err().to_string()
    };
    assert_eq!(error("y", crate::avro::Type::Long), "the reader's schema has no field y");
    assert_eq!(error("x", crate::avro::Type::String), "field x is wanted as string, but is long in the reader's schema");
}

#[test]
fn faults_name_the_field_and_the_byte() {
    let schema = parse(shipped("youtube_video").unwrap());
    let told = |body: &[u8]| decode(&schema, &schema, body).unwrap_err().to_string();
    assert_eq!(told(&[]), "field title, byte 0: the body ends too early");
    assert_eq!(told(&[2, 20, b'a']), "field title, byte 1: a length is 10, with 1 bytes left");
    assert_eq!(told(&[2, 2, 0xff]), "field title, byte 1: a string is not UTF-8");
    assert_eq!(told(&[0, 8]), "field views, byte 1: a branch or symbol is number 4 of 2");
    assert_eq!(told(&[0; 12]), "byte 11: 1 bytes are left after the last field");
    let schema = of(&[("i", "\"int\""), ("b", "\"boolean\"")]);
    assert_eq!(
        decode(&schema, &schema, &[0x80, 0x80, 0x80, 0x80, 0x20]).unwrap_err().to_string(),
        "field i, byte 0: an int has more than 32 bits"
    );
    assert_eq!(decode(&schema, &schema, &[2, 2]).unwrap_err().to_string(), "field b, byte 1: a boolean is 2, neither 0 nor 1");
    let nested = of(&[("o", r#"["null",{"type":"record","name":"o","fields":[{"name":"y","type":"string"}]}]"#)]);
    assert_eq!(decode(&nested, &nested, &[2, 2]).unwrap_err().to_string(), "field o.y, byte 1: a length is 1, with 0 bytes left");
}

#[test]
fn a_row_keeps_its_buffers() {
    let schema = of(&[("t", r#"["null","string"]"#), ("a", r#"{"type":"array","items":"string"}"#)]);
    let body = written(
        &schema,
        &Avro::Record(vec![
            ("t".into(), Avro::Union(1, Box::new(Avro::String("a title".into())))),
            ("a".into(), Avro::Array(vec![Avro::String("one".into())])),
        ]),
    );
    let decoder = Decoder::compile(&schema, &schema, schema.shape()).unwrap();
    let mut row = Row::default();
    decoder.decode(&body, &mut row).unwrap();
    let place = |row: &Row| match &row.values[..] {
        [Value::String(text), Value::Strings(texts)] => (text.as_ptr(), texts[0].as_ptr()),
        other => panic!("{other:?}"),
    };
    let before = place(&row);
    decoder.decode(&body, &mut row).unwrap();
    assert_eq!(place(&row), before);
}

#[test]
fn unwanted_fields_may_all_be_null_or_not() {
    let schema = of(&[
        ("a", r#"["null","long"]"#),
        ("b", r#"["null","string"]"#),
        ("c", r#"["null","double"]"#),
        ("x", "\"long\""),
        ("d", r#"["null","int"]"#),
    ]);
    let wanted = Shape { fields: vec![schema.shape().field("x").unwrap().clone()] };
    let decoder = Decoder::compile(&schema, &schema, &wanted).unwrap();
    let mut row = Row::default();
    for body in [&[0, 0, 0, 10, 0][..], &[0, 2, 2, b'b', 0, 10, 0], &[2, 1, 0, 0, 10, 2, 1]] {
        decoder.decode(body, &mut row).unwrap();
        assert_eq!(row.values, [Value::Long(5)]);
    }
    assert_eq!(decoder.decode(&[0, 0], &mut row).unwrap_err().to_string(), "field c, byte 2: the body ends too early");
    assert_eq!(decoder.decode(&[0, 0, 4], &mut row).unwrap_err().to_string(), "field c, byte 2: a branch or symbol is number 2 of 2");
}
