//! How the nodes hang together.

use super::*;

#[test]
fn an_input_that_is_not_there() {
    insta::assert_snapshot!(report("input = \"changes\"", "input = \"change\""), @r#"
      x there is no source or processor `change`
        ,-[t.toml:12:9]
     12 | input = "change"
        :         ^^^^|^^^
        :             `-- unknown node
        `----
      help: did you mean `changes`?

    t.toml: 1 error
    "#);
}

#[test]
fn a_sink_as_input() {
    insta::assert_snapshot!(report("input = \"changes\"", "input = \"outbox\""), @r#"
      x `outbox` is a sink, and nothing comes out of a sink
        ,-[t.toml:12:9]
     12 | input = "outbox"
        :         ^^^^|^^^
        :             `-- a sink
        `----
      help: name the sink's own input, or read its topic with a source

    t.toml: 1 error
    "#);
}

#[test]
fn a_cycle() {
    let second = "[processors.again]\ntype = \"filter\"\ninput = \"more\"\nwhen = \"removed\"\n[processors.more]\ntype = \"filter\"\ninput = \"again\"\nwhen = \"removed\"\n[sinks.outbox]";
    insta::assert_snapshot!(report("[sinks.outbox]", second), @r#"
      x the nodes again -> more -> again are a cycle
        ,-[t.toml:18:9]
     18 | input = "more"
        :         ^^^|^^
        :            `-- closes the cycle
        `----
      help: inputs must lead back to a source

    t.toml: 1 error
    "#);
}

#[test]
fn a_node_that_feeds_itself() {
    insta::assert_snapshot!(report("input = \"changes\"", "input = \"likes\""), @r#"
      ! nobody reads the processor `changes`
       ,-[t.toml:6:13]
     6 | [processors.changes]
       :             ^^^|^^^
       :                `-- without consumers
       `----
      help: name it as the input of a processor or a sink, or remove it

      x `likes` is its own input
        ,-[t.toml:12:9]
     12 | input = "likes"
        :         ^^^|^^^
        :            `-- closes the cycle
        `----
      help: inputs must lead back to a source

    t.toml: 1 error, 1 warning
    "#);
}

#[test]
fn a_source_and_a_processor_of_one_name() {
    insta::assert_snapshot!(report("[processors.likes]", "[processors.videos]"), @r#"
      x there are a source and a processor `videos`
        ,-[t.toml:10:13]
     10 | [processors.videos]
        :             ^^^|^^
        :                `-- one of two nodes of this name
        `----
      help: an input could mean either: every node has a name of its own

      x there is no source or processor `likes`
        ,-[t.toml:17:9]
     17 | input = "likes"
        :         ^^^|^^^
        :            `-- unknown node
        `----
      help: known: `changes`, `videos`

    t.toml: 2 errors
    "#);
}

#[test]
fn a_sink_may_have_the_name_of_a_processor() {
    assert!(offline(&spoilt("[sinks.outbox]", "[sinks.likes]")).is_ok());
}

#[test]
fn a_node_without_consumers() {
    insta::assert_snapshot!(report("[sinks.outbox]", "[processors.more]\ntype = \"filter\"\ninput = \"changes\"\nwhen = \"removed\"\n[sinks.outbox]"), @r"
      ! nobody reads the processor `more`
        ,-[t.toml:16:13]
     16 | [processors.more]
        :             ^^|^
        :               `-- without consumers
        `----
      help: name it as the input of a processor or a sink, or remove it

    t.toml: 1 warning
    ");
}

#[test]
fn a_source_without_consumers_is_only_a_warning() {
    let text = spoilt("[sinks.outbox]", "[sources.b]\ntopic = \"b\"\nvalue = \"youtube_video\"\nstart = \"latest\"\n[sinks.outbox]");
    insta::assert_snapshot!(offline(&text).unwrap().warnings().render(Style::Plain), @r"
      ! nobody reads the source `b`
        ,-[t.toml:16:10]
     16 | [sources.b]
        :          |
        :          `-- without consumers
        `----
      help: name it as the input of a processor or a sink, or remove it

    t.toml: 1 warning
    ");
}

const SECOND: &str = r#"[sources.b]
topic = "b"
value = "youtube_video"
start = "latest"
[processors.more]
type = "notify"
input = "b"
chat_id = 1
text = "{{ title }}"
[sinks.outbox]"#;

#[test]
fn a_sink_that_joins_two_sources() {
    let text = spoilt("[sinks.outbox]", SECOND).replace("input = \"likes\"", "inputs = [\"likes\", \"more\"]");
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @r#"
      x sink `outbox` joins the sources `videos` and `b`
        ,-[t.toml:26:20]
     26 | inputs = ["likes", "more"]
        :                    ^^^|^^
        :                       `-- comes from `b`
        `----
      help: the partitions of two topics may be given to different instances, which would tear the task apart: give each
            source a sink of its own, to the same topic if you like

    t.toml: 1 error
    "#);
}

#[test]
fn two_sources_with_sinks_of_their_own_to_one_topic() {
    let text =
        spoilt("[sinks.outbox]", SECOND) + "[sinks.more]\ninput = \"more\"\ntopic = \"telegram_outbox\"\nvalue = \"telegram_message\"";
    assert!(offline(&text).unwrap().warnings().is_empty());
}

#[test]
fn two_sources_of_one_topic() {
    let text = spoilt("[sinks.outbox]", &SECOND.replace("\"b\"\nvalue", "\"youtube_videos\"\nvalue"));
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @r#"
      x the sources `videos` and `b` read the same topic
        ,-[t.toml:17:9]
     17 | topic = "youtube_videos"
        :         ^^^^^^^^|^^^^^^^
        :                 `-- second source of this topic
        `----
      help: several processors may have the same source as their input

      ! nobody reads the processor `more`
        ,-[t.toml:20:13]
     20 | [processors.more]
        :             ^^|^
        :               `-- without consumers
        `----
      help: name it as the input of a processor or a sink, or remove it

    t.toml: 1 error, 1 warning
    "#);
}

#[test]
fn one_topic_with_two_schemas() {
    let text = BASE.to_owned() + "[sinks.more]\ninput = \"changes\"\ntopic = \"telegram_outbox\"\nvalue = \"youtube_change\"";
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @r#"
      x the sinks `outbox` and `more` write topic `telegram_outbox` with different schemas
        ,-[t.toml:23:9]
     23 | value = "youtube_change"
        :         ^^^^^^^^|^^^^^^^
        :                 `-- differs
        `----
      help: a topic has one schema: use the same one, or another topic

    t.toml: 1 error
    "#);
}

#[test]
fn a_topic_that_is_read_and_written() {
    insta::assert_snapshot!(report("topic = \"telegram_outbox\"", "topic = \"youtube_videos\""), @r#"
      x topic `youtube_videos` is read and written in a loop
        ,-[t.toml:18:9]
     18 | topic = "youtube_videos"
        :         ^^^^^^^^|^^^^^^^
        :                 `-- read by the source `videos`
        `----
      help: write to another topic: every record would go round for ever

    t.toml: 1 error
    "#);
}

#[test]
fn a_sink_on_an_internal_topic() {
    insta::assert_snapshot!(report("topic = \"telegram_outbox\"", "topic = \"app-dead-letters\""), @r#"
      x `app-dead-letters` is the name of an internal topic
        ,-[t.toml:18:9]
     18 | topic = "app-dead-letters"
        :         ^^^^^^^^^|^^^^^^^^
        :                  `-- not for sinks
        `----
      help: choose another name

    t.toml: 1 error
    "#);
}

#[test]
fn state_behind_a_changed_key() {
    let text = spoilt("[sinks.outbox]", "[processors.more]\ntype = \"latest\"\ninput = \"likes\"\nwatch = [\"text\"]\n[sinks.outbox]");
    insta::assert_snapshot!(offline(&text).unwrap_err().render(Style::Plain), @r#"
      ! nobody reads the processor `more`
        ,-[t.toml:16:13]
     16 | [processors.more]
        :             ^^|^
        :               `-- without consumers
        `----
      help: name it as the input of a processor or a sink, or remove it

      x `more` remembers by key, but `likes` before it changes the key
        ,-[t.toml:18:9]
     18 | input = "likes"
        :         ^^^|^^^
        :            `-- keyed by chat
        `----
      help: state lives in the partition of the source's key: write to a topic and read that with a source

    t.toml: 1 error, 1 warning
    "#);
}

#[test]
fn an_input_named_twice() {
    insta::assert_snapshot!(report("input = \"likes\"", "inputs = [\"likes\", \"likes\"]"), @r#"
      x `likes` is named twice
        ,-[t.toml:17:20]
     17 | inputs = ["likes", "likes"]
        :                    ^^^|^^^
        :                       `-- second time
        `----
      help: every record would be written twice

    t.toml: 1 error
    "#);
}

#[test]
fn input_and_inputs() {
    insta::assert_snapshot!(report("input = \"likes\"", "input = \"likes\"\ninputs = [\"likes\"]"), @r#"
      x `input` and `inputs` exclude each other
        ,-[t.toml:18:1]
     18 | inputs = ["likes"]
        : ^^^|^^
        :    `-- leave this out, or `input`
        `----
      help: as in `inputs = ["likes", "views"]`

    t.toml: 1 error
    "#);
}
