//! Many messages to many chats, through every fault that a service is known for: none is lost, and the limits decide how long it takes.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tidewatch::operate::simulated::{Fault, Faults};

use super::deliveries::{Deliveries, Texts};
use super::{Outside, installation};

const CHATS: usize = 200;
const MESSAGES_PER_CHAT: usize = 50;
const BOT_PER_SECOND: usize = 400;

/// Each with 5 % of the requests. The client's patience is a second.
const FAULTS: [(f64, Fault); 6] = [
    (0.05, Fault::TooMany { retry_after: 1 }),
    (0.05, Fault::BadGateway),
    (0.05, Fault::HangBefore),
    (0.05, Fault::HangAfter),
    (0.05, Fault::ResetAfter),
    (0.05, Fault::SlowBody(Duration::from_millis(500))),
];

/// Half of them are groups.
fn chat(number: usize) -> String {
    if number.is_multiple_of(2) { format!("{}", 1000 + number) } else { format!("-100{number:07}") }
}

/// One video, and a rule for each chat that tells of every like.
fn topology(outside: &Outside) -> String {
    let mut text = format!(
        "application_id = \"many\"\n\n[sources.videos]\ntopic = \"youtube_videos\"\nvalue = \"youtube_video\"\nstart = \"earliest\"\n\n\
         [processors.changes]\ntype = \"latest\"\ninput = \"videos\"\nwatch = [\"likes\"]\n\n\
         [telegram]\ntoken = {{ env = \"TELEGRAM_BOT_TOKEN\" }}\nbase_url = \"{}\"\ntimeout = \"1s\"\n\
         [telegram.limits]\nchat_per_second = 10\ngroup_per_minute = 600\nbot_per_second = {BOT_PER_SECOND}\n\n",
        outside.telegram.base_url()
    );
    let mut rules = Vec::new();
    for number in 0..CHATS {
        let chat = chat(number);
        write!(text, "[processors.rule-{number}]\ntype = \"notify\"\ninput = \"changes\"\nchat_id = \"{chat}\"\ntext = \"{{{{ current.likes }}}}\"\n\n").unwrap();
        rules.push(format!("\"rule-{number}\""));
    }
    write!(text, "[sinks.outbox]\ninputs = [{}]\ntopic = \"telegram_outbox\"\nvalue = \"telegram_message\"\n", rules.join(", ")).unwrap();
    text
}

#[test]
fn messages_to_many_chats_arrive_through_all_faults() {
    let outside = Outside::start(5, Faults::by_chance(5, &FAULTS));
    let installation = installation(&topology(&outside));
    let mut rows = "observed_at,video_id,likes\n".to_owned();
    for likes in 0..=MESSAGES_PER_CHAT {
        writeln!(rows, "2026-01-01T00:{likes:02}:00Z,a,{likes}").unwrap();
    }
    installation.write("likes.csv", &rows);
    installation.succeed(&["import", "likes.csv"]);
    installation.succeed(&["run", "--only", "topology", "--until-end"]);

    let began = Instant::now();
    installation.succeed(&["run", "--only", "send", "--until-end"]);
    let took = began.elapsed().as_secs_f64();

    let wanted: Vec<String> = (1..=MESSAGES_PER_CHAT).map(|likes| likes.to_string()).collect();
    let texts: Texts = (0..CHATS).map(|number| (chat(number), wanted.clone())).collect();
    let twice = Deliveries::of(&outside.telegram.requests(), &texts).assert_right(&[]);
    let requests = outside.telegram.counts().requests;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let bound = requests as f64 / BOT_PER_SECOND as f64;
    println!(
        "{} messages to {CHATS} chats in {requests} requests: {took:.1} s, {:.2} times what the limits ask for; {twice} came twice",
        CHATS * MESSAGES_PER_CHAT,
        took / bound
    );
    assert!(twice > 0, "no outcome was unknown");
    // The last chats wait for their own faults, one after the other, and a busy machine takes its time too. Chats that wait for each other would take
    // many times as long.
    assert!(took < 5.0 * bound, "{took:.1} s where the limits ask for {bound:.1} s");
}
