//! Decoding an observation and encoding a change, with Apache Avro's own decoder beside ours.

use std::hint::black_box;

use apache_avro::reader::datum::GenericDatumReader;
use criterion::{Criterion, Throughput};
use tidewatch::avro::{Decoder, Encoder, Row, SchemaId, wire};

use super::observations::{self, Writer};

/// One observation, the four watched fields.
pub(crate) fn decode(criterion: &mut Criterion) {
    let schema = observations::schema("youtube_video");
    let wanted = observations::watched(&schema);
    let mut value = Vec::new();
    Writer::new(SchemaId(1)).write(123_456, 1000, &mut value);
    let body = &value[wire::PREFIX_LENGTH..];

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let decoder = Decoder::compile(&schema, &schema, &wanted).unwrap();
    let mut row = Row::of(&wanted);
    group.bench_function("compiled", |bencher| {
        bencher.iter(|| {
            decoder.decode(black_box(body), &mut row).unwrap();
            black_box(&row);
        });
    });
    let theirs = apache_avro::Schema::parse_str(schema.text()).unwrap();
    let reader = GenericDatumReader::builder(&theirs).build().unwrap();
    group.bench_function("apache-avro", |bencher| {
        bencher.iter(|| reader.read_value(&mut black_box(body)).unwrap());
    });
    group.finish();
}

/// One observation into a reused buffer.
pub(crate) fn encode(criterion: &mut Criterion) {
    let schema = observations::schema("youtube_video");
    let shape = observations::watched(&schema);
    let encoder = Encoder::compile(&schema, &shape).unwrap();
    let mut row = Row::of(&shape);
    observations::fill(&mut row, 123_456, 1000);
    let mut into = Vec::new();

    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("compiled", |bencher| {
        bencher.iter(|| {
            into.clear();
            encoder.encode(black_box(&row), None, &mut into).unwrap();
            black_box(&into);
        });
    });
    group.finish();
}
