//! The file as such: TOML, tables, keys, types, names.

use super::*;

#[test]
fn the_base_has_no_faults() {
    let config = offline(BASE).unwrap();
    assert!(config.warnings().is_empty(), "{}", config.warnings().render(Style::Plain));
    assert_eq!(config.stores().collect::<Vec<_>>(), ["changes"]);
}

#[test]
fn a_syntax_error() {
    insta::assert_snapshot!(report("start = \"earliest\"", "start = earliest"), @r"
      x string values must be quoted, expected literal string
       ,-[t.toml:5:9]
     5 | start = earliest
       :         ^^^^|^^^
       :             `-- not valid TOML
       `----
      help: the format is explained at https://toml.io

    t.toml: 1 error
    ");
}

#[test]
fn a_text_that_is_not_closed() {
    insta::assert_snapshot!(report("start = \"earliest\"", "start = \"earliest"), @r#"
      x invalid basic string, expected `"`
       ,-[t.toml:5:17]
     5 | start = "earliest
       :                 |
       :                 `-- not valid TOML
       `----
      help: the format is explained at https://toml.io

    t.toml: 1 error
    "#);
}

#[test]
fn an_unknown_key() {
    insta::assert_snapshot!(report("watch =", "wathc ="), @r#"
      x [processors.changes] has no key `wathc`
       ,-[t.toml:9:1]
     9 | wathc = ["title", "views", "likes", "comments"]
       : ^^|^^
       :   `-- not known here
       `----
      help: did you mean `watch`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_key_of_another_world() {
    insta::assert_snapshot!(report("watch =", "batch_size = 5\nwatch ="), @r"
      x [processors.changes] has no key `batch_size`
       ,-[t.toml:9:1]
     9 | batch_size = 5
       : ^^^^^|^^^^
       :      `-- not known here
       `----
      help: known: `type`, `input`, `watch`, `nulls`, `on_first`, `emit`, `order`

    t.toml: 1 error
    ");
}

#[test]
fn an_unknown_table() {
    insta::assert_snapshot!(report("[sinks.outbox]", "[sink.outbox]"), @r"
      ! nobody reads the processor `likes`
        ,-[t.toml:10:13]
     10 | [processors.likes]
        :             ^^|^^
        :               `-- without consumers
        `----
      help: name it as the input of a processor or a sink, or remove it

      x the file has no key `sink`
        ,-[t.toml:16:2]
     16 | [sink.outbox]
        :  ^^|^
        :    `-- not known here
        `----
      help: did you mean `sinks`?

    t.toml: 1 error, 1 warning
    ");
}

#[test]
fn a_table_that_comes_later() {
    insta::assert_snapshot!(report("[sources.videos]", "[tests]\n[sources.videos]"), @r"
      x [tests] is not supported by this version
       ,-[t.toml:2:2]
     2 | [tests]
       :  ^^|^^
       :    `-- not supported yet
       `----
      help: leave it out

    t.toml: 1 error
    ");
}

#[test]
fn a_missing_key() {
    insta::assert_snapshot!(report("topic = \"youtube_videos\"\n", ""), @r#"
      x [sources.videos] has no `topic`
       ,-[t.toml:2:10]
     2 | [sources.videos]
       :          ^^^|^^
       :             `-- in this table
       `----
      help: add `topic = "my_topic"`

    t.toml: 1 error
    "#);
}

#[test]
fn a_missing_application_id() {
    insta::assert_snapshot!(report("application_id = \"app\"\n", ""), @r#"
      x the file has no `application_id`
       ,-[t.toml:1:1]
     1 | [sources.videos]
       : ^
       : `-- here
       `----
      help: add `application_id = "my-application"`

    t.toml: 1 error
    "#);
}

#[test]
fn a_missing_start() {
    insta::assert_snapshot!(report("start = \"earliest\"\n", ""), @r#"
      x [sources.videos] has no `start`: a group that has not read yet must be told where to begin
       ,-[t.toml:2:10]
     2 | [sources.videos]
       :          ^^^|^^
       :             `-- in this table
       `----
      help: add `start = "earliest"` or `start = "latest"`

    t.toml: 1 error
    "#);
}

#[test]
fn a_wrong_start() {
    insta::assert_snapshot!(report("\"earliest\"", "\"erliest\""), @r#"
      x `start` cannot be "erliest"
       ,-[t.toml:5:9]
     5 | start = "erliest"
       :         ^^^^|^^^^
       :             `-- here
       `----
      help: did you mean `earliest`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_value_of_the_wrong_type() {
    insta::assert_snapshot!(report("input = \"videos\"", "input = 7"), @r#"
      x `input` must be a string, not a whole number
       ,-[t.toml:8:9]
     8 | input = 7
       :         |
       :         `-- here
       `----
      help: as in `input = "name-of-a-node"`

    t.toml: 1 error
    "#);
}

#[test]
fn a_list_with_a_wrong_element() {
    insta::assert_snapshot!(report("\"views\", ", "5, "), @r#"
      x an element of `watch` must be a string, not a whole number
       ,-[t.toml:9:19]
     9 | watch = ["title", 5, "likes", "comments"]
       :                   |
       :                   `-- here
       `----
      help: as in `watch = ["views", "likes"]`

    t.toml: 1 error
    "#);
}

#[test]
fn a_node_that_is_no_table() {
    insta::assert_snapshot!(report("[sources.videos]", "[processors]\nx = 1\n[sources.videos]"), @r"
      x `x` must be a table, not a whole number
       ,-[t.toml:3:5]
     3 | x = 1
       :     |
       :     `-- here
       `----
      help: as in `[processors.x]`

    t.toml: 1 error
    ");
}

#[test]
fn an_unknown_node_type() {
    insta::assert_snapshot!(report("type = \"notify\"", "type = \"notfy\""), @r#"
      x there is no node type "notfy"
        ,-[t.toml:11:8]
     11 | type = "notfy"
        :        ^^^|^^^
        :           `-- unknown type
        `----
      help: did you mean `notify`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_bad_name() {
    insta::assert_snapshot!(report("[sources.videos]", "[sources.\"Video s\"]"), @r#"
      x a name cannot contain 'V'
       ,-[t.toml:2:10]
     2 | [sources."Video s"]
       :          ^^^^|^^^^
       :              `-- here
       `----
      help: names become parts of topic names: a-z, 0-9, _ and - are allowed

      x there is no source or processor `videos`
       ,-[t.toml:8:9]
     8 | input = "videos"
       :         ^^^^|^^^
       :             `-- unknown node
       `----
      help: did you mean `Video s`?

    t.toml: 2 errors
    "#);
}

#[test]
fn a_bad_application_id() {
    insta::assert_snapshot!(report("\"app\"", "\"my.app\""), @r#"
      x application_id cannot contain '.'
       ,-[t.toml:1:18]
     1 | application_id = "my.app"
       :                  ^^^^|^^^
       :                      `-- here
       `----
      help: names become parts of topic names: a-z, 0-9, _ and - are allowed

    t.toml: 1 error
    "#);
}

#[test]
fn a_bad_topic() {
    insta::assert_snapshot!(report("\"telegram_outbox\"", "\"telegram outbox\""), @r#"
      x "telegram outbox" cannot be the name of a topic
        ,-[t.toml:18:9]
     18 | topic = "telegram outbox"
        :         ^^^^^^^^|^^^^^^^^
        :                 `-- here
        `----
      help: a-z, A-Z, 0-9, the dot, _ and -, at most 249 of them

    t.toml: 1 error
    "#);
}

#[test]
fn a_table_that_occurs_twice() {
    insta::assert_snapshot!(report("[sinks.outbox]", "[sources.videos]\n[sinks.outbox]"), @r"
      x the table [sources.videos] occurs twice
        ,-[t.toml:16:10]
     16 | [sources.videos]
        :          ^^^|^^
        :             `-- second table of this name
        `----
      help: every node has a name of its own

    t.toml: 1 error
    ");
}

#[test]
fn a_key_that_occurs_twice() {
    insta::assert_snapshot!(report("input = \"videos\"", "input = \"videos\"\ninput = \"videos\""), @r#"
      x the key `input` occurs twice
       ,-[t.toml:9:1]
     9 | input = "videos"
       : ^^|^^
       :   `-- second time
       `----
      help: keep one of them

    t.toml: 1 error
    "#);
}

#[test]
fn no_source() {
    insta::assert_snapshot!(offline("application_id = \"a\"").unwrap_err().render(Style::Plain), @r#"
      x the file declares no source, so there is nothing to do
       ,-[t.toml:1:1]
     1 | application_id = "a"
       : ^
       : `-- here
       `----
      help: declare one: [sources.NAME] with `topic`, `value` and `start`

    t.toml: 1 error
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    let faults = load(Path::new("no/such.toml"), &LoadOptions::offline()).unwrap_err();
    insta::assert_snapshot!(faults.render(Style::Plain), @r"
      x no/such.toml cannot be read: No such file or directory (os error 2)
      help: name the topology file with --config FILE, or write topology.toml here; `tidewatch demo` needs none

    no/such.toml: 1 error
    ");
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_file() {
    let text = spoilt("start = \"earliest\"\n", "")
        .replace("wat", "wot")
        .replace("current.title", "current.titel")
        .replace("topic = \"tel", "topc = \"tel");
    let faults = offline(&text).unwrap_err();
    let codes: Vec<_> = faults.iter().map(|fault| (faults.file().position(fault.span.clone().unwrap().start).0, fault.code)).collect();
    insta::assert_snapshot!(format!("{codes:?}"), @r#"[(2, "missing-key"), (8, "unknown-key"), (14, "bad-template"), (17, "unknown-key")]"#);
}
