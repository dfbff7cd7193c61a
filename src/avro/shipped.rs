//! The schemas that are part of the binary.

/// The text of a schema by the name of its file without `.avsc`; none where there is no such schema.
pub fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(known, _)| *known == name).map(|&(_, text)| text)
}

/// All shipped schemas: name and text.
pub const SHIPPED: [(&str, &str); 3] = [
    ("youtube_video", include_str!("../../schemas/youtube_video.avsc")),
    ("youtube_change", include_str!("../../schemas/youtube_change.avsc")),
    ("telegram_message", include_str!("../../schemas/telegram_message.avsc")),
];

#[cfg(test)]
mod tests {
    use super::super::{Schema, Type, check_readable};
    use super::*;

    #[test]
    fn every_field_is_documented() {
        for (name, text) in SHIPPED {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(json["doc"].as_str().is_some_and(|doc| doc.ends_with('.')), "{name}");
            assert_eq!(json["name"], name);
            assert_eq!(json["namespace"], "tidewatch");
            for field in json["fields"].as_array().unwrap() {
                assert!(field["doc"].as_str().is_some_and(|doc| doc.ends_with('.')), "{name}.{}", field["name"]);
            }
            let schema = Schema::parse(text).unwrap();
            assert_eq!(schema.unsupported(), []);
            assert_eq!(schema.shape().fields.len(), json["fields"].as_array().unwrap().len());
        }
    }

    #[test]
    fn what_was_written_before_a_field_was_added_can_be_read() {
        for (name, added) in [("youtube_video", "appeared"), ("youtube_change", "removed_reason")] {
            let mut json: serde_json::Value = serde_json::from_str(shipped(name).unwrap()).unwrap();
            let before = json["fields"].as_array().unwrap().len();
            json["fields"].as_array_mut().unwrap().retain(|field| field["name"] != added);
            assert_eq!(json["fields"].as_array().unwrap().len(), before - 1);
            let older = Schema::parse(&json.to_string()).unwrap();
            assert!(check_readable(&older, &Schema::parse(shipped(name).unwrap()).unwrap()).is_ok(), "{name}");
        }
    }

    #[test]
    fn no_field_of_a_telegram_message_is_null_or_an_object() {
        let schema = Schema::parse(shipped("telegram_message").unwrap()).unwrap();
        for field in &schema.shape().fields {
            assert!(!field.nullable, "{}", field.path);
            assert!(!field.path.contains('.'), "{}", field.path);
        }
    }

    #[test]
    fn every_field_of_a_video_may_be_null_and_counters_are_long() {
        let text = shipped("youtube_video").unwrap();
        let schema = Schema::parse(text).unwrap();
        assert!(schema.shape().fields.iter().all(|field| field.nullable));
        assert_eq!(schema.shape().field("published_at").unwrap().ty, Type::Timestamp);
        assert_eq!(schema.shape().field("playlists").unwrap().ty, Type::Strings);
        for counter in ["views", "likes", "comments", "duration_seconds"] {
            assert_eq!(schema.shape().field(counter).unwrap().ty, Type::Long);
        }
        assert!(!text.contains("\"int\""));
        assert_eq!(shipped("nonesuch"), None);
    }
}
