//! What is written of a video: the fields of a row, whose schema is `schemas/youtube_video.avsc` or one with the same fields.

use super::Video;
use crate::avro::{Field, Row, Shape, Type, Value};

/// How a video comes to be observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appeared {
    /// It is seen for the first time, in a list that was read before.
    New,
    /// It was removed, and is back.
    Restored,
}

impl Appeared {
    /// As it stands in the field `appeared`.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Restored => "restored",
        }
    }
}

/// The fields of an observation, all of them nullable.
pub fn shape() -> Shape {
    let fields = [
        ("title", Type::String),
        ("views", Type::Long),
        ("likes", Type::Long),
        ("comments", Type::Long),
        ("channel_id", Type::String),
        ("channel_title", Type::String),
        ("playlists", Type::Strings),
        ("published_at", Type::Timestamp),
        ("duration_seconds", Type::Long),
        ("live_state", Type::String),
        ("appeared", Type::String),
    ];
    Shape { fields: fields.into_iter().map(|(path, ty)| Field::new(path, ty, true)).collect() }
}

/// The row of a video that is in these lists.
pub fn row(video: &Video, lists: &[String], appeared: Option<Appeared>) -> Row {
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    let long = |number: Option<i64>| number.map_or(Value::Null, Value::Long);
    let values = vec![
        text(&video.title),
        long(count(video.views)),
        long(count(video.likes)),
        long(count(video.comments)),
        text(&video.channel_id),
        text(&video.channel_title),
        Value::Strings(lists.to_vec()),
        long(video.published_at.map(|at| at.0)),
        long(video.duration_seconds),
        text(&video.live_state),
        appeared.map_or(Value::Null, |appeared| Value::String(appeared.name().to_owned())),
    ];
    Row { values }
}

/// A counter as a field holds it.
pub(super) fn count(count: Option<u64>) -> Option<i64> {
    count.map(|count| i64::try_from(count).unwrap_or(i64::MAX))
}
