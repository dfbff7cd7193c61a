//! Schemas, fields, conditions and templates.

use super::*;

#[test]
fn an_unknown_schema() {
    insta::assert_snapshot!(report("\"youtube_video\"", "\"youtube_vidoe\""), @r#"
      x there is no schema "youtube_vidoe"
       ,-[t.toml:4:9]
     4 | value = "youtube_vidoe"
       :         ^^^^^^^|^^^^^^^
       :                `-- unknown schema
       `----
      help: did you mean `youtube_video`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_schema_file_that_is_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    std::fs::write(folder.path().join("schemas/youtube_video.avsc"), "{\"type\": \"recrod\"}").unwrap();
    let faults = load_text(&SourceFile::new("t.toml", BASE), Some(folder.path()), &LoadOptions::offline()).unwrap_err();
    let text = faults.render(Style::Plain).replace(&folder.path().display().to_string(), "FOLDER");
    assert!(text.contains("youtube_video.avsc: the schema is not valid Avro"), "{text}");
}

#[test]
fn a_schema_beside_the_file_comes_before_the_shipped_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    let own = crate::avro::shipped("youtube_video").unwrap().replace("\"likes\"", "\"hearts\"");
    std::fs::write(folder.path().join("schemas/youtube_video.avsc"), own).unwrap();
    let faults = load_text(&SourceFile::new("t.toml", BASE), Some(folder.path()), &LoadOptions::offline()).unwrap_err();
    assert!(faults.iter().any(|fault| fault.code == "bad-field"), "{}", faults.render(Style::Plain));
}

#[test]
fn an_unknown_field_in_watch() {
    insta::assert_snapshot!(report("\"likes\", ", "\"lieks\", "), @r#"
      x `watch` of `changes`: unknown field `lieks`
       ,-[t.toml:9:29]
     9 | watch = ["title", "views", "lieks", "comments"]
       :                             ^^|^^
       :                               `-- here
       `----
      help: did you mean `likes`?

    t.toml: 1 error
    "#);
}

#[test]
fn an_empty_watch() {
    insta::assert_snapshot!(report("watch = [\"title\", \"views\", \"likes\", \"comments\"]", "watch = []"), @r#"
      x `watch` names no field, so nothing would ever change
       ,-[t.toml:9:9]
     9 | watch = []
       :         ^|
       :          `-- here
       `----
      help: name the fields whose changes matter, as in `watch = ["views", "likes"]`

    t.toml: 1 error
    "#);
}

#[test]
fn an_unknown_field_in_a_condition() {
    insta::assert_snapshot!(report("current.likes != previous.likes", "current.likes != previous.lieks"), @r#"
      x `when` of `likes`: unknown field `previous.lieks`
        ,-[t.toml:13:26]
     13 | when = "current.likes != previous.lieks"
        :                          ^^^^^^^|^^^^^^
        :                                 `-- here
        `----
      help: did you mean `previous.likes`?

    t.toml: 1 error
    "#);
}

#[test]
fn an_unknown_field_in_a_multi_line_condition() {
    insta::assert_snapshot!(report("\"current.likes != previous.likes\"", "\"\"\"\ncurrent.likes > 5 &&\n  current.lieks < 9\"\"\""), @r#"
      x `when` of `likes`: unknown field `current.lieks`
        ,-[t.toml:15:3]
     15 |   current.lieks < 9"""
        :   ^^^^^^|^^^^^^
        :         `-- here
        `----
      help: did you mean `current.likes`?

    t.toml: 1 error
    "#);
}

#[test]
fn an_unknown_field_behind_an_escape() {
    insta::assert_snapshot!(report("current.likes != previous.likes", "current.title == \\\"\\u00e9\\\" && current.lieks < 9"), @r#"
      x `when` of `likes`: unknown field `current.lieks`
        ,-[t.toml:13:40]
     13 | when = "current.title == \"\u00e9\" && current.lieks < 9"
        :                                        ^^^^^^|^^^^^^
        :                                              `-- here
        `----
      help: did you mean `current.likes`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_wrong_type_in_a_condition() {
    insta::assert_snapshot!(report("current.likes != previous.likes", "current.title > 5"), @r#"
      x `when` of `likes`: cannot compare string with long
        ,-[t.toml:13:9]
     13 | when = "current.title > 5"
        :         ^^^^^^^^|^^^^^^^^
        :                 `-- here
        `----
      help: a number is written without quotes

    t.toml: 1 error
    "#);
}

#[test]
fn an_unhandled_null() {
    insta::assert_snapshot!(report("current.likes != previous.likes", "current.likes - previous.likes > 5"), @r#"
      x `when` of `likes`: unhandled null: `current.likes` may be null here
        ,-[t.toml:13:9]
     13 | when = "current.likes - previous.likes > 5"
        :         ^^^^^^|^^^^^^
        :               `-- here
        `----
      help: put a test before it: `current.likes != null && ...`

      x `when` of `likes`: unhandled null: `previous.likes` may be null here
        ,-[t.toml:13:25]
     13 | when = "current.likes - previous.likes > 5"
        :                         ^^^^^^^|^^^^^^
        :                                `-- here
        `----
      help: put a test before it: `previous.likes != null && ...`

    t.toml: 2 errors
    "#);
}

#[test]
fn a_condition_that_cannot_be_read() {
    insta::assert_snapshot!(report("current.likes != previous.likes", "current.likes != "), @r#"
      x `when` of `likes`: the condition ends too early
        ,-[t.toml:13:26]
     13 | when = "current.likes != "
        :                          |
        :                          `-- here
        `----
      help: a condition is CEL, as in `current.likes != previous.likes`

    t.toml: 1 error
    "#);
}

#[test]
fn an_unknown_field_in_a_template() {
    insta::assert_snapshot!(report("{{ current.title }}", "{{ current.titel }}"), @r#"
      x `text` of `likes`: unknown field `current.titel`
        ,-[t.toml:15:12]
     15 | text = "{{ current.titel }}: {{ current.likes }}"
        :            ^^^^^^|^^^^^^
        :                  `-- here
        `----
      help: did you mean `current.title`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_template_that_cannot_be_read() {
    insta::assert_snapshot!(report("{{ current.title }}", "{{ current.title"), @r#"
      x `text` of `likes`: template: unexpected `:`, expected end of variable block
        ,-[t.toml:15:9]
     15 | text = "{{ current.title: {{ current.likes }}"
        :         ^^^^^^^^^^^^^^^^^^|^^^^^^^^^^^^^^^^^^
        :                           `-- here
        `----
      help: close it: `{{ ... }}`, `{% ... %}`, `{# ... #}`

    t.toml: 1 error
    "#);
}

#[test]
fn a_sink_that_does_not_fit() {
    insta::assert_snapshot!(report("\"telegram_message\"", "\"youtube_change\""), @r#"
      x schema youtube_change does not fit what comes from `likes`: field observed_at_current (timestamp) cannot be filled
      | from the row: it has no such field, and the schema has no default
        ,-[t.toml:19:9]
     19 | value = "youtube_change"
        :         ^^^^^^^^|^^^^^^^
        :                 `-- field `observed_at_current`
        `----
      help: give the field a default, or watch a field of that name; `x_previous` and `x_current` are filled from
            `previous.x` and `current.x`

    t.toml: 1 error
    "#);
}

const MILESTONE: &str = r#"[processors.views]
type = "milestone"
input = "changes"
field = "views"
every = 200
chat_id = "1"
text = "{{ boundary }}"
[sinks.outbox]"#;

fn milestone(from: &str, to: &str) -> String {
    assert_eq!(MILESTONE.matches(from).count(), 1, "{from}");
    let text = spoilt("[sinks.outbox]", &MILESTONE.replace(from, to)).replace("input = \"likes\"", "inputs = [\"likes\", \"views\"]");
    match offline(&text) {
        Err(faults) => faults.render(Style::Plain),
        Ok(_) => String::new(),
    }
}

#[test]
fn a_milestone_without_faults() {
    assert_eq!(milestone("every = 200", "every = 200"), "");
    assert_eq!(milestone("every = 200", "at = [100, 1_000]"), "");
    assert_eq!(milestone("every = 200", "every = 200\nwhen = \"boundary > 1000\""), "");
}

#[test]
fn a_milestone_of_an_unknown_field() {
    insta::assert_snapshot!(milestone("\"views\"", "\"veiws\""), @r#"
      x `field` of `views`: unknown field `veiws`
        ,-[t.toml:19:10]
     19 | field = "veiws"
        :          ^^|^^
        :            `-- here
        `----
      help: did you mean `views`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_milestone_without_boundaries() {
    insta::assert_snapshot!(milestone("every = 200\n", ""), @r"
      x [processors.views] has no `every` and no `at`
        ,-[t.toml:16:13]
     16 | [processors.views]
        :             ^^|^^
        :               `-- in this table
        `----
      help: add `every = 200` or `at = [100, 1000, 10000]`

    t.toml: 1 error
    ");
}

#[test]
fn a_milestone_with_both_kinds_of_boundaries() {
    insta::assert_snapshot!(milestone("every = 200", "every = 200\nat = [5]"), @r"
      x `every` and `at` exclude each other
        ,-[t.toml:21:1]
     21 | at = [5]
        : ^|
        :  `-- leave this out, or `every`
        `----
      help: `every` fires at all multiples, `at` at the values of a list

    t.toml: 1 error
    ");
}

#[test]
fn a_milestone_every_zero() {
    insta::assert_snapshot!(milestone("every = 200", "every = 0"), @r"
      x `every` cannot be 0
        ,-[t.toml:20:9]
     20 | every = 0
        :         |
        :         `-- here
        `----
      help: at least 1

    t.toml: 1 error
    ");
}

#[test]
fn milestones_that_do_not_ascend() {
    insta::assert_snapshot!(milestone("every = 200", "at = [100, 50]"), @r"
      x the numbers of `at` must ascend
        ,-[t.toml:20:12]
     20 | at = [100, 50]
        :            ^|
        :             `-- not above the one before
        `----
      help: sort them, and name each once

    t.toml: 1 error
    ");
}

#[test]
fn only_what_is_needed_is_decoded() {
    let config = offline(&spoilt("\"title\", \"views\", ", "\"title\", ")).unwrap();
    let paths: Vec<&str> = config.sources[0].shape.fields.iter().map(|field| &*field.path).collect();
    assert_eq!(paths, ["title", "likes", "comments"]);
    let filtered = spoilt("input = \"videos\"", "input = \"live\"")
        + "[processors.live]\ntype = \"filter\"\ninput = \"videos\"\nwhen = \"live_state == 'live'\"";
    let config = offline(&filtered).unwrap();
    let paths: Vec<&str> = config.sources[0].shape.fields.iter().map(|field| &*field.path).collect();
    assert_eq!(paths, ["title", "views", "likes", "comments", "live_state"]);
    assert_eq!(&*config.processors[0].name, "live", "an input comes before who reads it");
}

#[test]
fn what_is_wrong_behind_a_wrong_node_is_found_too() {
    let text = spoilt("\"likes\", ", "\"lieks\", ")
        .replace("current.title }}", "current.titel }}")
        .replace("\"telegram_message\"", "\"youtube_change\"");
    let faults = offline(&text).unwrap_err();
    let codes: Vec<_> = faults.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, ["bad-field", "bad-template", "sink-misfit"]);
}

#[test]
fn a_message_is_edited_in_place_where_the_file_says_so() {
    let text = "text = \"{{ current.title }}: {{ current.likes }}\"";
    assert!(offline(&spoilt(text, &format!("edit_in_place = true\n{text}"))).is_ok());
    let report = report(text, &format!("edit_in_place = 1\n{text}"));
    assert!(report.contains("`edit_in_place`"), "{report}");
}
