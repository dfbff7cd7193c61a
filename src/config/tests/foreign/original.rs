//! Records as the pipeline that this program replaces writes them: the schema that ksqlDB registers, upper case and 32 bits.

use super::*;

/// What ksqlDB registers for its stream: see `CREATE STREAM youtube_videos (… title VARCHAR, views INTEGER, …) WITH (VALUE_FORMAT = 'avro')`.
const KSQLDB: &str = r#"{"type":"record","name":"KsqlDataSourceSchema","namespace":"io.confluent.ksql.avro_schemas","fields":[
    {"name":"TITLE","type":["null","string"],"default":null},{"name":"VIEWS","type":["null","int"],"default":null},
    {"name":"COMMENTS","type":["null","int"],"default":null},{"name":"LIKES","type":["null","int"],"default":null}],
    "connect.name":"io.confluent.ksql.avro_schemas.KsqlDataSourceSchema"}"#;

const ALIAS: &str = "alias = { title = \"TITLE\", views = \"VIEWS\", likes = \"LIKES\", comments = \"COMMENTS\" }\n";

fn shipped_with_aliases() -> String {
    let text = SHIPPED.replace("start = \"earliest\"", &format!("{ALIAS}start = \"earliest\""));
    assert_ne!(text, SHIPPED);
    text
}

fn seen(views: i64, likes: i64, comments: i64) -> Json {
    json!({ "TITLE": "Tides", "VIEWS": views, "LIKES": likes, "COMMENTS": comments })
}

#[test]
fn the_originals_records_become_changes_and_messages() {
    let ground = Ground::new();
    let config = ground.load(&shipped_with_aliases(), None);
    let mut whole = ground.start(&config);
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(190, 412, 7));
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(i64::from(i32::MAX), 415, 7));
    let changes = whole.read("youtube_changes");
    assert_eq!(changes.len(), 1);
    let change = &changes[0].1;
    assert_eq!((&change["views_previous"], &change["views_current"]), (&json!(190), &json!(i32::MAX)));
    assert_eq!((&change["title"], &change["changed"]), (&json!("Tides"), &json!(["views", "likes"])));
    assert_eq!(whole.texts(), ["Likes changed: 412 => 415. Tides", "Views changed: 190 => 2147483647. Tides"]);
    assert!(whole.dead().is_empty());
}

#[test]
fn writers_of_both_schemas_share_the_topic() {
    let ground = Ground::new();
    let config = ground.load(&shipped_with_aliases(), None);
    let mut whole = ground.start(&config);
    let ours = crate::avro::shipped("youtube_video").unwrap();
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(190, 412, 7));
    let record = json!({ "title": "Tides", "views": 3_000_000_000_i64, "likes": 412, "comments": 7, "channel_id": null, "channel_title": null,
        "playlists": null, "published_at": null, "duration_seconds": null, "live_state": null, "appeared": null });
    // Another subject: the registry would refuse the two as versions of one.
    let bytes = confluent(&*whole.registry, "ours", ours, &record);
    whole.pipe("youtube_videos", Some(b"a"), Some(&bytes));
    let changes = whole.read("youtube_changes");
    assert_eq!(changes[0].1["views_current"], 3_000_000_000_i64);
    assert!(whole.dead().is_empty());
}

#[test]
fn without_the_aliases_nothing_would_be_known() {
    let ground = Ground::new();
    let config = ground.load(SHIPPED, None);
    let mut whole = ground.start(&config);
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(190, 412, 7));
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(700, 415, 7));
    assert!(whole.read("youtube_changes").is_empty());
}

#[test]
fn a_schema_of_the_registry_takes_the_topologys_names() {
    let ground = Ground::new();
    ground.registry.register("youtube_videos-value", &Schema::parse(KSQLDB).unwrap()).unwrap();
    let text = shipped_with_aliases().replace("value = \"youtube_video\"  ", "value = { format = \"avro\", schema = \"registry\" }  ");
    let config = ground.load(&text, None);
    let paths: Vec<&str> = config.sources[0].shape.fields.iter().map(|field| &*field.path).collect();
    assert_eq!(paths, ["title", "views", "comments", "likes"]);
    let mut whole = ground.start(&config);
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(190, 412, 7));
    whole.avro("youtube_videos", b"a", KSQLDB, &seen(191, 412, 8));
    assert_eq!(whole.read("youtube_changes")[0].1["changed"], json!(["views", "comments"]));
    assert_eq!(whole.texts(), ["Comments changed: 7 => 8. Tides"]);
}

#[test]
fn json_with_the_originals_names() {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("video.avsc"), crate::avro::shipped("youtube_video").unwrap()).unwrap();
    let text = shipped_with_aliases().replace("value = \"youtube_video\"  ", "value = { format = \"json\", schema = \"video.avsc\" }  ");
    let config = ground.load(&text, Some(folder.path()));
    let mut whole = ground.start(&config);
    for (views, likes) in [(190, 1), (3_000_000_000_i64, 1)] {
        let value = json!({ "TITLE": "Tides", "VIEWS": views, "LIKES": likes, "COMMENTS": null, "views": "ignored" }).to_string();
        whole.pipe("youtube_videos", Some(b"a"), Some(value.as_bytes()));
    }
    assert_eq!(whole.read("youtube_changes")[0].1["views_current"], 3_000_000_000_i64);
    assert!(whole.dead().is_empty());
}
