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

/// The title of every video.
pub(crate) const TITLE: &str = "How a tide is made, and why it is late every day";

/// Views, likes and comments of a video at its observation number `poll`. All but the comments change with each, those with two of five.
pub(crate) fn counts(video: u64, poll: u64) -> [i64; 3] {
    [1, 20, 300].map(|per| i64::try_from((10_000 + video * 17 + poll * 120) / per).unwrap())
}

/// The observation number `index` of a run over `videos` videos in turn; the values of [`watched`].
pub(crate) fn fill(row: &mut Row, index: u64, videos: u64) {
    fill_poll(row, index % videos, index / videos);
}

fn fill_poll(row: &mut Row, video: u64, poll: u64) {
    row.values[0].set_str(TITLE);
    for (value, count) in row.values[1..].iter_mut().zip(counts(video, poll)) {
        *value = Value::Long(count);
    }
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
        self.write_poll(index % videos, index / videos, into);
    }

    /// The observation number `poll` of a video. Replaces what is in `into`.
    pub(crate) fn write_poll(&mut self, video: u64, poll: u64, into: &mut Vec<u8>) {
        into.clear();
        wire::prefix(self.id, into);
        fill_poll(&mut self.row, video, poll);
        self.encoder.encode(&self.row, None, into).unwrap();
    }
}
