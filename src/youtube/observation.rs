//! What is written of a video: the fields of a row, whose schema is `schemas/youtube_video.avsc` or one with the same fields.

use super::answer::Video;
use crate::avro::{Field, Row, Shape, Type, Value};

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

/// The fields of an observation, as the poller writes them into the source's topic; any of them may be null.
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

/// The row of a video that is in these lists, in the shape of [`shape`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::clock::Timestamp;

    #[test]
    fn a_row_has_a_value_of_each_field_in_the_place_of_the_field() {
        let (number, text) = (Some::<u64>, |name: &str| Some(name.to_owned()));
        let video = Video {
            id: "id".to_owned(),
            title: text("title"),
            views: number(1),
            likes: number(2),
            comments: number(3),
            channel_id: text("channel_id"),
            channel_title: text("channel_title"),
            published_at: Some(Timestamp(4)),
            duration_seconds: Some(5),
            live_state: text("live_state"),
            privacy: None,
        };
        let lists = vec!["playlists".to_owned()];
        let (shape, row) = (shape(), row(&video, &lists, Some(Appeared::New)));
        assert_eq!(row.values.len(), shape.fields.len());
        let value = |name: &str| row.get(shape.index_of(name).unwrap()).clone();
        for name in ["title", "channel_id", "channel_title", "live_state"] {
            assert_eq!(value(name), Value::String(name.to_owned()));
        }
        let numbers = ["views", "likes", "comments", "published_at", "duration_seconds"].map(value);
        assert_eq!(numbers, [1, 2, 3, 4, 5].map(Value::Long));
        assert_eq!((value("playlists"), value("appeared")), (Value::Strings(lists.clone()), Value::String("new".to_owned())));
    }
}
