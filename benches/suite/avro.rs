//! Decoding and encoding, of each schema that the job uses, beside Apache Avro's own crate.

use std::hint::black_box;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use tidewatch::avro::{Decoder, Encoder, Row, Shape};

use super::observations;
use super::pair::Pair;
use super::rows::{self, BATCH, Rows};

const PEER: &str = "apache-avro";

/// Apache Avro's form of a shipped schema; the benchmarks keep it for good.
fn theirs(name: &str) -> &'static apache_avro::Schema {
    Box::leak(Box::new(apache_avro::Schema::parse_str(observations::schema(name).text()).unwrap()))
}

fn encoded(schema: &str, rows: &Rows) -> Vec<Vec<u8>> {
    let encoder = Encoder::compile(&observations::schema(schema), &rows.shape).unwrap();
    let encode = |(index, row): (u64, &Row)| {
        let mut bytes = Vec::new();
        encoder.encode(row, Some(rows::key(index).as_bytes()), &mut bytes).unwrap();
        bytes
    };
    (0..).zip(&rows.rows).map(encode).collect()
}

fn decoding(name: &'static str, schema: &str, wanted: &Shape, bodies: Vec<Vec<u8>>) -> Pair {
    let ours = {
        let parsed = observations::schema(schema);
        let decoder = Decoder::compile(&parsed, &parsed, wanted).unwrap();
        let (mut row, bodies) = (Row::of(wanted), bodies.clone());
        Box::new(move || {
            for body in &bodies {
                decoder.decode(black_box(body), &mut row).unwrap();
                black_box(&row);
            }
        })
    };
    let reader = GenericDatumReader::builder(theirs(schema)).build().unwrap();
    let theirs = Box::new(move || {
        for body in &bodies {
            black_box(reader.read_value(&mut black_box(body.as_slice())).unwrap());
        }
    });
    Pair { name, records: BATCH, ours, peer: PEER, theirs }
}

/// The job reads four of an observation's eleven fields; changes and messages are read whole.
pub(crate) fn decode() -> Vec<Pair> {
    let watched = observations::watched(&observations::schema("youtube_video"));
    let videos = encoded("youtube_video", &rows::videos());
    let whole = |schema: &str| observations::schema(schema).shape().clone();
    vec![
        decoding("decode youtube_video, 4 fields", "youtube_video", &watched, videos.clone()),
        decoding("decode youtube_video, whole", "youtube_video", &whole("youtube_video"), videos),
        decoding("decode youtube_change", "youtube_change", &whole("youtube_change"), encoded("youtube_change", &rows::changes())),
        decoding("decode telegram_message", "telegram_message", &whole("telegram_message"), encoded("telegram_message", &rows::messages())),
    ]
}

fn encoding(name: &'static str, schema: &str, rows: Rows) -> Pair {
    let avro = theirs(schema);
    let reader = GenericDatumReader::builder(avro).build().unwrap();
    // Made beforehand: whoever uses their crate would have to make one of each record first.
    let values: Vec<Value> = encoded(schema, &rows).iter().map(|body| reader.read_value(&mut body.as_slice()).unwrap()).collect();
    let writer = GenericDatumWriter::builder(avro).build().unwrap();
    let mut buffer = Vec::new();
    let theirs = Box::new(move || {
        for value in &values {
            buffer.clear();
            writer.write_value_ref(&mut buffer, black_box(value)).unwrap();
            black_box(&buffer);
        }
    });
    let encoder = Encoder::compile(&observations::schema(schema), &rows.shape).unwrap();
    let mut buffer = Vec::new();
    let ours = Box::new(move || {
        for row in &rows.rows {
            buffer.clear();
            encoder.encode(black_box(row), Some(b"video-000001"), &mut buffer).unwrap();
            black_box(&buffer);
        }
    });
    Pair { name, records: BATCH, ours, peer: PEER, theirs }
}

/// Whole rows into a buffer that is used again.
pub(crate) fn encode() -> Vec<Pair> {
    vec![
        encoding("encode youtube_video", "youtube_video", rows::videos()),
        encoding("encode youtube_change", "youtube_change", rows::changes()),
        encoding("encode telegram_message", "telegram_message", rows::messages()),
    ]
}
