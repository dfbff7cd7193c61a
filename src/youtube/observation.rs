//! What is written of a video: the fields of a row, whose schema is `schemas/youtube_video.avsc` or one with the same fields.

use super::Video;
use crate::avro::{Row, Value};

/// How a video comes to be observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appeared {
    /// It is seen for the first time, in a list that was read before.
    New,
    /// It was removed, and is back.
    Restored,
}

impl Appeared {
    /// As it stands in the field `appeared`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Restored => "restored",
        }
    }
}

/// The row of a video that is in these lists, in the shape of [`observation_shape`](crate::config::observation_shape).
pub(super) fn row(video: &Video, lists: &[String], appeared: Option<Appeared>) -> Row {
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
