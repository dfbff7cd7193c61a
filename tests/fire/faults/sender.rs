//! Faults 21, 22 and 24: a sender whose Telegram fails in every way that it is known for, killed at every point of a message's life.
//!
//! A process cannot be told to die at S1 to S4, for the point is a matter of each chat. So it dies at moments that lie near them, and what it left says
//! afterwards where that was: an intent without an outcome, which whoever comes next reports, beside what Telegram had of the message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataTopic;
use serde_json::{Value, json};
use tidewatch::avro::{SchemaId, shipped};
use tidewatch::operate::simulated::telegram::{Effect, Options, Request, Telegram};
use tidewatch::operate::simulated::{Fault, Faults};
use tidewatch::streams::clock::{Clock as _, SystemClock};

use crate::deliveries::{self, Texts};
use crate::instance::{Instance, Surroundings};
use crate::ledger::Ledger;
use crate::outbox::{self, Outbox};
use crate::random::Random;
use crate::real::{PATIENCE, records, unique};
use crate::results::Row;
use crate::scene::{CAUGHT_UP, STOPPED, Stage, TOKEN, topology};
use crate::secrets;
use crate::time::{nap, wait_for};

/// What Telegram does, of so many requests; the sender's patience is a second.
const FAULTS: [(f64, Fault); 9] = [
    (0.01, Fault::TooMany { retry_after: 1 }),
    (0.01, Fault::Internal),
    (0.01, Fault::BadGateway),
    (0.005, Fault::HangBefore),
    (0.005, Fault::HangAfter),
    (0.01, Fault::ResetBefore),
    (0.01, Fault::ResetAfter),
    (0.01, Fault::SlowBody(Duration::from_millis(300))),
    (0.01, Fault::CutBody),
];

const POINTS: [&str; 4] = ["S1", "S2", "S3", "S4"];

/// How often each point has to be met, in the short run and in the long one, and how often a sender is killed while another is there.
const TIMES: [u64; 2] = [3, 25];
const TAKEOVERS: [u64; 2] = [2, 10];

/// After so many kills for each that is wanted, a point that was not met is given up: that is red.
const KILLS_PER_POINT: u64 = 15;

pub(crate) fn play(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut scene = Scene::open(stage)?;
    let mut random = Random::seeded(stage.seed);
    let column = usize::from(stage.long);
    scene.killed_at_each_point(&mut random, TIMES[column])?;
    for number in 0..TAKEOVERS[column] {
        scene.taken_over(&mut random, number)?;
    }
    scene.finish()
}

/// Fields are dropped in order: processes before what they talk to.
struct Scene<'s> {
    senders: [Instance; 2],
    outbox: Outbox,
    telegram: Telegram,
    clock: Arc<SystemClock>,
    ledger: Ledger,
    kills: Vec<Duration>,
    slowest: Duration,
    id: String,
    stage: &'s Stage,
    began: Instant,
    folder: tempfile::TempDir,
}

impl<'s> Scene<'s> {
    fn open(stage: &'s Stage) -> Result<Self, String> {
        let (began, id) = (Instant::now(), unique("fire-sender"));
        let clock = Arc::new(SystemClock::new());
        let options = Options { faults: Faults::by_chance(stage.seed, &FAULTS), ..Options::new(TOKEN) };
        let telegram = Telegram::start(options, Arc::<SystemClock>::clone(&clock)).map_err(|error| error.to_string())?;
        let more = format!(
            "commit_interval_ms = 20\n[telegram]\ntoken = {{ env = \"TELEGRAM_BOT_TOKEN\" }}\nbase_url = \"{}\"\ntimeout = \"1s\"\n\
             [telegram.limits]\nchat_per_second = 50\ngroup_per_minute = 3000\nbot_per_second = 500\n",
            telegram.base_url()
        );
        let surroundings = Surroundings {
            application: id.clone(),
            topology: topology(&id, &more),
            bootstrap: stage.through_proxy.clone(),
            registry: stage.registry.url(),
            binary: stage.binary.clone(),
        };
        let set_up = Instance::new("setup", &surroundings).command(&["setup", "--partitions", "2"]);
        if !set_up.status.success() {
            return Err(format!("setup: {}", String::from_utf8_lossy(&set_up.stderr)));
        }
        let topic = format!("{id}.telegram_outbox");
        let schema = SchemaId(stage.registry.register(&format!("{topic}-value"), shipped("telegram_message").unwrap()));
        let mut senders = ["a", "b"].map(|name| Instance::new(name, &surroundings));
        for sender in &mut senders {
            sender.part = "send";
        }
        let folder = tempfile::Builder::new().prefix("tidewatch-fire-").tempdir().unwrap();
        let (outbox, ledger) = (Outbox::start(&stage.client, &topic, schema), Ledger::new(&folder.path().join("fired.jsonl")));
        Ok(Self { senders, outbox, telegram, clock, ledger, kills: Vec::new(), slowest: Duration::ZERO, id, stage, began, folder })
    }

    /// A sender that is alone dies again and again until each point was met often enough.
    fn killed_at_each_point(&mut self, random: &mut Random, times: u64) -> Result<(), String> {
        let wanted = times * u64::try_from(POINTS.len()).unwrap();
        for number in 0..wanted * KILLS_PER_POINT {
            let before = self.telegram.requests().len();
            let requests = match number % 3 {
                0 => self.killed_at_commit(random)?,
                1 => self.killed_while_asking([Fault::HangBefore, Fault::HangAfter][usize::from(random.below(2) == 0)])?,
                _ => self.killed_when_answered(random)?,
            };
            let written = self.outbox.written();
            self.senders[0].start("");
            self.recover(&written)?;
            self.stop(0)?;
            // Of a kill after a commit all that was answered in this life may be of interest.
            self.classify(&requests, if number % 3 == 0 { &requests[before..] } else { &[] });
            let met = |point: &str| self.ledger.counts.get(&22).and_then(|count| count.points.get(point)).copied().unwrap_or(0);
            if POINTS.iter().all(|point| met(point) >= times) {
                return Ok(());
            }
        }
        self.ledger.broken(22, "not every point was met");
        Ok(())
    }

    /// Dies right after a commit: of an intent whose request is not made yet, or of an outcome.
    fn killed_at_commit(&mut self, random: &mut Random) -> Result<Vec<Request>, String> {
        self.senders[0].start(&format!("kill=K7@{}", 1 + random.below(25)));
        wait_for("dead after a commit", PATIENCE, || self.senders[0].ended()).map_err(|error| self.said(error))?;
        self.kills.push(self.clock.monotonic());
        Ok(self.telegram.requests())
    }

    /// Dies while a request waits for its answer, taken or not.
    fn killed_while_asking(&mut self, fault: Fault) -> Result<Vec<Request>, String> {
        self.senders[0].start("");
        let before = self.telegram.requests().len();
        self.telegram.push_faults([fault]);
        let asks = || {
            let requests = self.telegram.requests();
            let waits = |request: &Request| request.ended.is_none() && (fault == Fault::HangBefore || request.effect != Effect::None);
            requests[before..].iter().any(|request| request.fault == Some(fault) && waits(request)).then_some(requests)
        };
        let requests = wait_for("a request", PATIENCE, asks).map_err(|error| self.said(error))?;
        self.kill(0);
        Ok(requests)
    }

    /// Dies just behind an answer.
    fn killed_when_answered(&mut self, random: &mut Random) -> Result<Vec<Request>, String> {
        self.senders[0].start("");
        let wanted = self.telegram.counts().taken + 1 + random.below(5);
        if !self.telegram.wait_for(PATIENCE, |counts| counts.taken >= wanted && counts.open == 0) {
            return Err(self.said("no message came".to_owned()));
        }
        nap(Duration::from_micros(random.below(8_000)));
        self.kill(0);
        Ok(self.telegram.requests())
    }

    fn kill(&mut self, place: usize) {
        self.senders[place].stop("KILL");
        // Behind its end: whatever it asked for came before.
        self.kills.push(self.clock.monotonic());
    }

    /// Where the kill was, chat by chat, by what whoever came next found; `committed` are requests before a kill that came with a commit.
    fn classify(&mut self, requests: &[Request], committed: &[Request]) {
        let mut points = Vec::new();
        let mut unknown = Vec::new();
        for (chat, event) in self.senders[0].said().iter().filter_map(without_outcome) {
            let number = event.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
            let text = outbox::message(&chat, number).1;
            let asked: Vec<&Request> = requests.iter().filter(|request| request.parameter("text") == text).collect();
            points.push(match asked.as_slice() {
                [] => "S1",
                asked if asked.iter().any(|request| is_answered(request)) => "S3",
                _ => "S2",
            });
            unknown.push(text);
        }
        for chat in outbox::CHATS {
            let last = committed.iter().rfind(|request| request.chat() == chat && is_answered(request));
            if last.is_some_and(|request| !unknown.iter().any(|text| text == request.parameter("text"))) {
                points.push("S4");
            }
        }
        for point in points {
            let id = self.ledger.plan(22, point);
            self.ledger.fired(22, &id, "kill", false, 0);
        }
    }

    /// One of two dies; the other has its chats before it comes back.
    fn taken_over(&mut self, random: &mut Random, number: u64) -> Result<(), String> {
        let place = usize::try_from(number % 2).unwrap();
        self.senders[1 - place].start("");
        self.senders[place].start(&format!("kill=ANY@{}", 100 + random.below(1000)));
        wait_for("dead", PATIENCE, || self.senders[place].ended()).map_err(|error| self.said(error))?;
        self.kills.push(self.clock.monotonic());
        let id = self.ledger.plan(22, "ANY");
        self.ledger.fired(22, &id, "kill", false, 0);
        let written = self.outbox.written();
        self.recover(&written)?;
        self.stop(1 - place)
    }

    /// Waits until Telegram has all that was written.
    fn recover(&mut self, written: &Texts) -> Result<(), String> {
        let began = Instant::now();
        let arrived = || {
            let texts: std::collections::BTreeSet<String> = self.telegram.texts().into_iter().map(|(_, text)| text).collect();
            written.values().flatten().all(|text| texts.contains(text)).then_some(())
        };
        if let Err(error) = wait_for("everything sent", CAUGHT_UP, arrived) {
            let said = self.said(error);
            self.ledger.broken(22, said);
            return Err("it does not go on".to_owned());
        }
        self.slowest = self.slowest.max(began.elapsed());
        Ok(())
    }

    fn stop(&mut self, place: usize) -> Result<(), String> {
        let Some((status, took)) = self.senders[place].stop("TERM") else { return Err("it did not run".to_owned()) };
        if status.code() != Some(0) || took > STOPPED {
            let said = self.said(format!("asked to stop, it ended after {took:?} with {status}"));
            self.ledger.broken(22, said);
        }
        Ok(())
    }

    fn said(&self, error: String) -> String {
        self.senders.iter().fold(error, |said, sender| format!("{said}\n    {}:\n{}", sender.name, sender.last_said()))
    }

    fn finish(mut self) -> Result<(), String> {
        let texts = self.outbox.stop()?;
        self.senders[0].start("");
        self.recover(&texts)?;
        self.stop(0)?;
        for request in self.telegram.requests() {
            let Some(fault) = request.fault else { continue };
            let name = format!("{fault:?}");
            let id = self.ledger.plan(21, name.split([' ', '(']).next().unwrap_or_default());
            self.ledger.fired(21, &id, "fault", false, 0);
        }
        let messages: usize = texts.values().map(Vec::len).sum();
        let judged = deliveries::judge(&self.telegram, &texts, &self.kills);
        match &judged {
            Ok(twice) => {
                self.ledger.remark(22, format!("{messages} messages; {twice} came twice, each for an outcome that nobody could know"));
            }
            Err(fault) => [21, 22].into_iter().for_each(|row| self.ledger.broken(row, fault.clone())),
        }
        let id = self.ledger.plan(24, "search");
        self.ledger.fired(24, &id, "search", false, 0);
        match secrets::search(&self.all_bytes(), &[TOKEN]) {
            Ok(searched) => self.ledger.remark(24, searched),
            Err(found) => self.ledger.broken(24, found),
        }
        let verdict = json!({ "ok": judged.is_ok(), "input": messages, "unexpected": u8::from(judged.is_err()) });
        for (fault, count) in &self.ledger.counts {
            let slowest = (*fault == 22).then_some(self.slowest);
            let name = self.stage.mutant.as_deref().unwrap_or("sender");
            let mut row = Row::new(*fault, name, count, slowest, &verdict, self.stage.seed);
            row.breaks = self.stage.mutant.is_some();
            println!("  {}", row.line());
            self.stage.results.add(row);
        }
        println!("  sender: {} kills, {messages} messages, {:.0} s", self.kills.len(), self.began.elapsed().as_secs_f64());
        drop(self.folder);
        Ok(())
    }

    /// What somebody could read: logs, state directories, topics.
    fn all_bytes(&self) -> secrets::Seen {
        let mut seen: secrets::Seen = self.senders.iter().flat_map(|sender| secrets::bytes_below(sender.folder())).collect();
        let consumer: BaseConsumer = self.stage.client.clone().set("group.id", "unused").create().unwrap();
        let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
        let own = metadata.topics().iter().map(MetadataTopic::name).filter(|name| name.starts_with(&self.id));
        for topic in own.chain(["telegram_dead_letters"]) {
            for record in records::read(&self.stage.client, topic) {
                let headers = record.headers.into_iter().flat_map(|(name, value)| [name.into_bytes(), value.unwrap_or_default()]);
                let all = [record.key.unwrap_or_default(), record.value.unwrap_or_default()].into_iter().chain(headers);
                seen.push((topic.to_owned(), all.flatten().collect()));
            }
        }
        seen
    }
}

fn is_answered(request: &Request) -> bool {
    matches!(request.effect, Effect::Taken(_)) && !deliveries::is_unanswered(request)
}

/// The chat and the event of an intent that a process before had left without an outcome, where a line tells of one.
fn without_outcome(line: &Value) -> Option<(String, String)> {
    let fields = line.get("fields").unwrap_or(line);
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    let told = text("message")?.starts_with("whether the message arrived is not known") && text("reason")?.starts_with("the process ended");
    if told { Some((text("chat")?, text("event")?)) } else { None }
}
