//! Inputs that are nearly right: documents with the words that are looked for in the wrong places, chunks with a few bytes changed. A fuzzer needs long
//! for them; here they are made by rules.

use proptest::prelude::*;

use super::*;

/// What stands where in the documents that are read.
const WORDS: [&str; 64] = [
    "kind",
    "youtube#videoListResponse",
    "youtube#playlistItemListResponse",
    "items",
    "id",
    "snippet",
    "title",
    "publishedAt",
    "2026-01-02T03:04:05Z",
    "statistics",
    "viewCount",
    "likeCount",
    "18446744073709551615",
    "contentDetails",
    "videoId",
    "duration",
    "P1DT2H",
    "status",
    "privacyStatus",
    "nextPageToken",
    "error",
    "errors",
    "details",
    "reason",
    "quotaExceeded",
    "metadata",
    "quota_limit",
    "PerDay",
    "ok",
    "result",
    "error_code",
    "description",
    "Bad Request: can't parse entities",
    "parameters",
    "retry_after",
    "migrate_to_chat_id",
    "message_id",
    "message",
    "chat",
    "type",
    "update_id",
    "new_chat_member",
    "last",
    "lists",
    "missed",
    "gone",
    "since",
    "left-playlist",
    "refused",
    "day",
    "units",
    "started",
    "partitions",
    "epoch",
    "stores",
    "fields",
    "command",
    "tap",
    "dead_letters",
    "request",
    "list",
    "flag",
    "text",
    "order",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

/// A document of these words.
fn document() -> impl Strategy<Value = serde_json::Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        (-5_i64..500).prop_map(serde_json::Value::from),
        Just(serde_json::Value::from(u64::MAX)),
        any::<f64>().prop_map(serde_json::Value::from),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        number,
        word().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            4 => prop::collection::vec((word(), inner), 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// A length in two bytes, and so many bytes.
fn part(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn headers() -> impl Strategy<Value = Vec<u8>> {
    let names = ["__value_schema_id", "__key_schema_id", "__streams.errors.topic", "__streams.errors.offset", "x"];
    let value = prop_oneof![
        Just(None),
        prop::collection::vec(any::<u8>(), 0..18).prop_map(Some),
        Just(Some(vec![0, 0, 0, 0, 1])),
        Just(Some(b"7".to_vec())),
    ];
    prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..4).prop_map(|list| {
        let mut headers = crate::streams::log::HeadersBuf::default();
        for (name, value) in &list {
            headers.push(name, value.as_deref());
        }
        headers.as_headers().as_bytes().to_vec()
    })
}

fn run_named(name: &str, input: &[u8]) {
    run(target(name).unwrap(), input);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_that_are_nearly_right_are_read_or_refused(first: u8, second: u8, retry_after in "[0-9-]{0,22}", document in document()) {
        let text = document.to_string();
        run_named("json", text.as_bytes());
        run_named("socket", text.as_bytes());
        let answer = [&[first], retry_after.as_bytes(), &[0], text.as_bytes()].concat();
        run_named("youtube", &answer);
        run_named("telegram", &answer);
        let key = ["video/a", "list/PL", "handle/h", "quota", "poll"][usize::from(second) % 5];
        run_named("rows", &[&[1], key.as_bytes(), &[0], text.as_bytes()].concat());
        run_named("rows", &[&[5], text.as_bytes()].concat());
        let row = [&part(&[2, 0, second % 3])[..], &part(text.as_bytes())].concat();
        run_named("rows", &[&[6][..], &row].concat());
    }

    #[test]
    fn half_a_document_is_refused(document in document(), at: prop::sample::Index) {
        let text = document.to_string();
        let half = &text.as_bytes()[..at.index(text.len())];
        for name in ["youtube", "telegram"] {
            run_named(name, &[&[0, 0][..], half].concat());
        }
        run_named("socket", half);
        run_named("json", half);
    }

    #[test]
    fn headers_keys_and_values_are_read_or_refused(headers in headers(), id in 0_u32..8, body in prop::collection::vec(any::<u8>(), 0..40)) {
        let value = [&[0][..], &id.to_be_bytes(), &body].concat();
        for value in [&value[..], &body] {
            run_named("wire", &[&part(&headers)[..], value].concat());
            run_named("rows", &[&[4][..], &part(&headers), &part(&body), value].concat());
        }
    }

    #[test]
    fn a_damaged_log_is_read_or_refused(
        chunks in prop::collection::vec(chunk(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut base = 0_u16;
        let mut input = Vec::new();
        for (chunk, records) in chunks {
            input.extend([&[0][..], &part(&base.to_be_bytes()), &part(&chunk)].concat());
            base += records;
        }
        for (place, byte) in changes {
            let at = place.index(input.len());
            input[at] = byte;
        }
        run_named("log", &input);
    }
}

/// A chunk of records as it is written, and how many there are.
fn chunk() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..6));
    prop::collection::vec((bytes(), bytes(), any::<i32>()), 1..6).prop_map(|records| {
        let count = u16::try_from(records.len()).unwrap();
        (crate::streams::log::local::fuzz::written(&records), count)
    })
}
