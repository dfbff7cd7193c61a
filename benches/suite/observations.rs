//! What the benchmarks work on: observations of videos whose counters go up, as the poller would write them.

use tidewatch::avro::{Encoder, Row, Schema, SchemaId, Shape, Value, shipped, wire};

/// The schema of a shipped name.
pub(crate) fn schema(name: &str) -> Schema {
    Schema::parse(shipped(name).unwrap()).unwrap()
}

/// The fields of an observation that the shipped topology looks at.
pub(crate) fn watched(schema: &Schema) -> Shape {
    let fields = ["title", "views", "likes", "comments"].map(|path| schema.shape().field(path).unwrap().clone());
    Shape { fields: fields.to_vec() }
}

/// The observation number `index` of a run over `videos` videos; the values of [`watched`].
pub(crate) fn fill(row: &mut Row, index: u64, videos: u64) {
    let (video, poll) = (index % videos, index / videos);
    let count = |per: u64| Value::Long(i64::try_from((10_000 + video * 17 + poll * 120) / per).unwrap());
    row.values[0].set_str("How a tide is made, and why it is late every day");
    row.values[1] = count(1);
    row.values[2] = count(20);
    row.values[3] = count(300);
}

/// Encodes observations as a record's value holds them.
#[derive(Debug)]
pub(crate) struct Writer {
    encoder: Encoder,
    row: Row,
    id: SchemaId,
}

impl Writer {
    pub(crate) fn new(id: SchemaId) -> Self {
        let schema = schema("youtube_video");
        let shape = watched(&schema);
        Self { encoder: Encoder::compile(&schema, &shape).unwrap(), row: Row::of(&shape), id }
    }

    /// Replaces what is in `into`.
    pub(crate) fn write(&mut self, index: u64, videos: u64, into: &mut Vec<u8>) {
        into.clear();
        wire::prefix(self.id, into);
        fill(&mut self.row, index, videos);
        self.encoder.encode(&self.row, None, into).unwrap();
    }
}
