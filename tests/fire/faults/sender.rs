//! Faults 21, 22 and 24: a sender whose Telegram fails in every way that it is known for, killed at every point of a message's life.
//!
//! A process cannot be told to die at S1 to S4, for the point is a matter of each chat. So it dies at moments that lie near them, and what it left says
//! afterwards where that was: an intent without an outcome, which whoever comes next reports, beside what Telegram had of the message.

use std::fs;
use std::ops::Range;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidewatch::avro::{SchemaId, shipped};
use tidewatch::operate::simulated::telegram::{Effect, Options, Request, Telegram};
use tidewatch::operate::simulated::{Fault, Faults};
use tidewatch::streams::clock::{Clock as _, SystemClock};

use crate::deliveries::{self, Deliveries, Texts};
use crate::instance::{Instance, Surroundings};
use crate::ledger::Ledger;
use crate::monitor;
use crate::outbox::{self, Outbox};
use crate::random::Random;
use crate::real::{PATIENCE, records, unique};
use crate::results::Row;
use crate::scene::{CAUGHT_UP, LOGIN, PASSWORD, Stage, TOKEN, topology};
use crate::secrets;
use crate::time::{nap, wait_for};

/// What Telegram does, of so many requests; the sender's patience is three seconds. Each happens once at the beginning as well.
const FAULTS: [(f64, Fault); 10] = [
    (0.01, Fault::TooMany { retry_after: 1 }),
    (0.005, Fault::TooMany { retry_after: 8 }),
    (0.01, Fault::Internal),
    (0.01, Fault::BadGateway),
    (0.005, Fault::HangBefore),
    (0.005, Fault::HangAfter),
    (0.01, Fault::ResetBefore),
    (0.01, Fault::ResetAfter),
    (0.01, Fault::SlowBody(Duration::from_millis(300))),
    (0.01, Fault::CutBody),
];

/// Of all senders of the cluster: there are no others.
const DEAD_LETTERS: &str = "telegram_dead_letters";

/// How a shell tells of signal 9.
const KILLED: i32 = 128 + 9;

const POINTS: [&str; 4] = ["S1", "S2", "S3", "S4"];

/// How often each point has to be met, in the short run and in the long one, and how often a sender is killed while another is there.
const TIMES: [u64; 2] = [2, 25];
const TAKEOVERS: [u64; 2] = [1, 10];

/// After so many kills for each that is wanted, a point that was not met is given up: that is red.
const KILLS_PER_POINT: u64 = 15;

pub(crate) fn play(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut scene = Scene::open(stage)?;
    if let Err(error) = scene.body() {
        // Whatever that comes to, there is a judgement.
        scene.ledger.broken(22, format!("broke off: {error}"));
        for sender in &mut scene.senders {
            sender.stop("KILL");
        }
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
    /// From before the kill to after the end.
    kills: Vec<Range<Duration>>,
    slowest: Duration,
    id: String,
    stage: &'s Stage,
    began: Instant,
}

impl<'s> Scene<'s> {
    fn open(stage: &'s Stage) -> Result<Self, String> {
        let (began, id) = (Instant::now(), unique("fire-sender"));
        let clock = Arc::new(SystemClock::new());
        let options = Options { faults: Faults::by_chance(stage.seed, &FAULTS), ..Options::new(TOKEN) };
        let telegram = Telegram::start(options, Arc::<SystemClock>::clone(&clock)).map_err(|error| error.to_string())?;
        telegram.push_faults(FAULTS.map(|(_, fault)| fault));
        let more = format!(
            "commit_interval_ms = 20\n[telegram]\ntoken = {{ env = \"TELEGRAM_BOT_TOKEN\" }}\nbase_url = \"{}\"\ntimeout = \"3s\"\n\
             [telegram.limits]\nchat_per_second = 50\ngroup_per_minute = 3000\nbot_per_second = 500\n",
            telegram.base_url()
        );
        let surroundings = Surroundings {
            application: id.clone(),
            topology: topology(&id, &more) + LOGIN,
            bootstrap: stage.through_proxy.clone(),
            registry: stage.registry.url(),
            binary: stage.binary.clone(),
        };
        surroundings.set_up(2)?;
        let topic = format!("{id}.telegram_outbox");
        let schema = SchemaId(stage.registry.register(&format!("{topic}-value"), shipped("telegram_message").unwrap()));
        let mut senders = ["a", "b"].map(|name| Instance::new(name, &surroundings));
        for sender in &mut senders {
            sender.part = "send";
        }
        let ledger = Ledger::new(&senders[0].folder().join("fired.jsonl"));
        let outbox = Outbox::start(&stage.client, &topic, schema);
        Ok(Self { senders, outbox, telegram, clock, ledger, kills: Vec::new(), slowest: Duration::ZERO, id, stage, began })
    }

    fn body(&mut self) -> Result<(), String> {
        let mut random = Random::seeded(self.stage.seed);
        let column = usize::from(self.stage.long);
        self.killed_at_each_point(&mut random, TIMES[column])?;
        for number in 0..TAKEOVERS[column] {
            self.taken_over(&mut random, number)?;
        }
        Ok(())
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
            // Of a kill with a commit everything that this life had answered may have been in it.
            self.classify(&requests, if number % 3 == 0 { &requests[before..] } else { &[] });
            let points = &self.ledger.count(22).points;
            if POINTS.iter().all(|point| points.get(*point).is_some_and(|met| *met >= times)) {
                return Ok(());
            }
        }
        self.ledger.broken(22, "not every point was met");
        Ok(())
    }

    /// Dies right after a commit: of an intent whose request is not made yet, or of an outcome.
    fn killed_at_commit(&mut self, random: &mut Random) -> Result<Vec<Request>, String> {
        self.dies_of(0, "K7", 1 + random.below(25))?;
        Ok(self.telegram.requests())
    }

    /// Starts a sender that is to die by itself at a point of the engine's, and waits for it.
    fn dies_of(&mut self, place: usize, point: &str, count: u64) -> Result<(), String> {
        let id = self.ledger.plan(22, point);
        let before = self.clock.monotonic();
        self.senders[place].start(&format!("kill={point}@{count}"));
        let status = wait_for("dead", PATIENCE, || self.senders[place].ended()).map_err(|error| self.said(error))?;
        let announced = self.senders[place].fired().iter().any(|fired| fired.deed == "kill" && fired.point == point);
        self.died(&id, before, status, announced)
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
        self.kill("asking")?;
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
        self.kill("answered")?;
        Ok(self.telegram.requests())
    }

    fn kill(&mut self, point: &str) -> Result<(), String> {
        let (id, before) = (self.ledger.plan(22, point), self.clock.monotonic());
        let (status, _) = self.senders[0].stop("KILL").ok_or("it did not run")?;
        self.died(&id, before, status, true)
    }

    /// Who ended of itself was not killed.
    fn died(&mut self, id: &str, before: Duration, status: ExitStatus, announced: bool) -> Result<(), String> {
        self.kills.push(before..self.clock.monotonic());
        if status.code() != Some(KILLED) || !announced {
            return Err(self.said(format!("it was to be killed, and ended with {status}")));
        }
        self.ledger.fired(22, id, "kill", None, 0);
        Ok(())
    }

    /// Where the kill was, chat by chat, by what whoever came next found; `committed` are requests before a kill that came with a commit.
    fn classify(&mut self, requests: &[Request], committed: &[Request]) {
        let mut points = Vec::new();
        let mut unknown = Vec::new();
        for text in self.senders[0].said().iter().filter_map(|line| without_outcome(line, "the process ended")) {
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
            *self.ledger.count(22).points.entry(point.to_owned()).or_default() += 1;
        }
    }

    /// One of two dies, and the other has its chats before it comes back: nobody else is there who could send what was written.
    fn taken_over(&mut self, random: &mut Random, number: u64) -> Result<(), String> {
        let place = usize::try_from(number % 2).unwrap();
        self.senders[1 - place].start("");
        self.dies_of(place, "ANY", 500 + random.below(2000))?;
        if !self.senders[place].has_run() {
            self.ledger.remark(22, "one died before it had a chat");
        }
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
        wait_for("everything sent", CAUGHT_UP, arrived).map_err(|error| self.said(error))?;
        self.slowest = self.slowest.max(began.elapsed());
        Ok(())
    }

    fn stop(&mut self, place: usize) -> Result<(), String> {
        if let Err(error) = self.senders[place].stop_in_time().ok_or("it did not run")? {
            let said = self.said(error);
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
        if let Err(error) = self.recover(&texts) {
            self.ledger.broken(22, error);
        }
        if let Err(error) = self.stop(0) {
            self.ledger.broken(22, error);
        }
        self.count_faults();
        let verdict = self.judge(&texts);
        let mut seen: secrets::Seen = self.senders.iter().flat_map(|sender| secrets::bytes_below(sender.folder())).collect();
        seen.extend(secrets::bytes_of_topics(&self.stage.client, &self.id, &[DEAD_LETTERS]));
        self.ledger.search(&seen, &["telegram_outbox", "changelog"], &[TOKEN, PASSWORD]);
        let mut green = true;
        for (fault, count) in &self.ledger.counts {
            let slowest = (*fault == 22).then_some(self.slowest);
            let name = self.stage.mutant.as_deref().unwrap_or("sender");
            let row = Row::new(*fault, name, count, slowest, &verdict, (self.stage.seed, self.stage.long));
            let row = row.of_control(self.stage.mutant.is_some());
            green &= row.is_green();
            println!("  {}", row.line());
            self.stage.results.add(row);
        }
        println!("  sender: {} after {:.0} s; {verdict}", if green { "green" } else { "RED" }, self.began.elapsed().as_secs_f64());
        if !green {
            self.keep();
        }
        Ok(())
    }

    /// The faults that Telegram's requests met; each kind was planned once, and whatever more came by chance fired as well.
    fn count_faults(&mut self) {
        let name = |fault: &Fault| format!("{fault:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
        let requests = self.telegram.requests();
        let met: Vec<Fault> = requests.iter().filter_map(|request| request.fault).collect();
        for (_, fault) in &FAULTS {
            let times = met.iter().filter(|met| *met == fault).count();
            for _ in 0..times.max(1) {
                let id = self.ledger.plan(21, &name(fault));
                if times > 0 {
                    self.ledger.fired(21, &id, "fault", None, 0);
                }
            }
        }
    }

    /// What Telegram got against what was written, with what the senders themselves have said of unknown outcomes.
    fn judge(&mut self, texts: &Texts) -> Value {
        let found = Deliveries::of(&self.telegram.requests(), texts);
        let lines = self.senders.iter().flat_map(Instance::ever_said);
        let reported: Vec<String> = lines.filter_map(|line| without_outcome(&line, "")).collect();
        let unreported = deliveries::unreported(&found.repeats, &reported);
        let early = found.early.iter().filter(|pair| !deliveries::is_excused(pair, &self.kills)).count();
        let letters = records::read_uncommitted(&self.stage.client, DEAD_LETTERS).len();
        let hanging = self.hanging();
        let messages: usize = texts.values().map(Vec::len).sum();
        let twice = found.repeats.len();
        self.ledger.remark(22, format!("{messages} messages; {twice} came twice, each of an outcome that its sender reported as unknown"));
        let counts =
            [found.lost.len(), unreported.len(), found.out_of_order.len() + found.at_once.len(), early + found.strangers.len(), letters];
        if counts.iter().any(|count| *count > 0) || hanging > 0 {
            println!(
                "    lost {:?}, twice and not reported {unreported:?}, out of order {:?}, {} at once, {early} early, strangers {:?}, {letters} dead letters, {hanging} hanging",
                found.lost,
                found.out_of_order,
                found.at_once.len(),
                found.strangers
            );
        }
        json!({
            "ok": counts.iter().all(|count| *count == 0) && hanging == 0,
            "input": messages,
            "lost": counts[0],
            "duplicated": counts[1],
            "out_of_order": counts[2],
            "unexpected": counts[3],
            "dead_letter_mismatch": counts[4],
            "hanging_transactions": hanging,
        })
    }

    /// Partitions whose last stable offset is not their end, a while after everybody has stopped.
    fn hanging(&self) -> usize {
        let ends = |isolation| monitor::ends(&self.stage.client, &self.id, isolation);
        let differ = || ends("read_committed").into_iter().zip(ends("read_uncommitted")).filter(|(stable, end)| stable != end).count();
        wait_for("no open transaction", CAUGHT_UP, || (differ() == 0).then_some(())).map_or_else(|_| differ(), |()| 0)
    }

    /// Keeps what a red scene leaves.
    fn keep(&self) {
        let kept = self.stage.kept.join(&self.id);
        fs::create_dir_all(&kept).unwrap();
        for sender in &self.senders {
            sender.keep(&kept);
        }
        fs::write(kept.join("requests"), format!("{:#?}", self.telegram.requests())).unwrap();
        println!("  what it left is in {}", kept.display());
    }
}

fn is_answered(request: &Request) -> bool {
    deliveries::is_taken(request) && !deliveries::is_unanswered(request)
}

/// The text of the message of which a line says that its outcome is not known, for a reason that begins so.
fn without_outcome(line: &Value, reason: &str) -> Option<String> {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let told = text("message").starts_with("whether the message arrived is not known") && text("reason").starts_with(reason);
    told.then(|| outbox::text_of(text("event")))
}
