//! What came out, a row for each fault and scene: lines for people, a file for the table in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ledger::{Count, SECRETS};

/// What the faults are called, from 1 on.
pub(crate) const TITLES: [&str; 24] = [
    "`kill -9` at a point of the protocol, and at any call",
    "all instances killed at once",
    "SIGTERM under load: stopped within 10 s, 0 records restored",
    "a process stopped past its session, then continued",
    "a thread that stalls in the middle of a batch, beyond the watchdog or `max.poll.interval`",
    "a commit request that arrives in the next transaction",
    "a commit that is done and whose answer is lost",
    "error codes on transactional calls",
    "a broker restarted, in good order and by a kill",
    "all brokers away, away at the start, and away in a hand-over",
    "the way to the brokers cut or slow, answers lost at the start",
    "instances that come and go, with standby tasks",
    "bad bytes, bad schemas, no key, a panic in a processor",
    "the registry down, failing, slow",
    "a result that the broker refuses as too large",
    "disk full, then space again",
    "damaged, missing and exchanged files of a store",
    "a changelog cut, deleted, made anew, held open",
    "an input twice, out of order, full of tombstones, with kills",
    "two processes on one directory, or with one id",
    "Telegram answers 429, 5xx, slowly, with half an answer, or not at all",
    "`kill -9` of a sender at S1 to S4, and at any call with another there",
    "YouTube's quota used up, 403, 5xx, half a document, deleted videos",
    "secrets: every byte of logs, state and topics searched for the bot's token and the registry's password",
];

/// What is counted of a verdict beside what is lost and what is there twice: none of it may be.
const BREACHES: [&str; 13] = [
    "aborted_read",
    "inconsistent_offset",
    "non_monotonic",
    "hanging_transactions",
    "store_mismatch",
    "unexpected",
    "out_of_order",
    "misplaced",
    "dead_letter_mismatch",
    "lag",
    "faults_missing",
    "input_exhausted",
    "open_at_kills",
];

/// Those that say something of the run and nothing of the engine.
const OF_THE_RUN: [&str; 4] = ["lag", "faults_missing", "input_exhausted", "open_at_kills"];

/// A fault in one scene.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) fault: u8,
    pub(crate) scene: String,
    pub(crate) tried: u64,
    pub(crate) fired: u64,
    /// None where it is not known of any.
    pub(crate) in_open_transaction: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// What else the verifier found, by kind.
    pub(crate) breaches: BTreeMap<String, u64>,
    pub(crate) slowest_recovery_ms: Option<u64>,
    /// The probability of a failure at one try is below this with 95 % certainty.
    pub(crate) bound: f64,
    pub(crate) seed: u64,
    /// Whether it is of a long run.
    #[serde(default)]
    pub(crate) long: bool,
    pub(crate) points: BTreeMap<String, u64>,
    pub(crate) broken: Vec<String>,
    pub(crate) remarks: Vec<String>,
    /// Input records, as the verifier counted them.
    pub(crate) input: u64,
    pub(crate) verified: bool,
    /// Whether this is a control, of which the verifier must find something.
    pub(crate) breaks: bool,
}

impl Row {
    pub(crate) fn new(
        fault: u8,
        scene: &str,
        count: &Count,
        slowest: Option<Duration>,
        verdict: &Value,
        (seed, long): (u64, bool),
    ) -> Self {
        // The verifier knows nothing of secrets.
        let harmless = json!({ "ok": true, "input": verdict["input"] });
        let verdict = if fault == SECRETS { &harmless } else { verdict };
        let number = |name: &str| verdict[name].as_u64().unwrap_or(0);
        let breaches = BREACHES.iter().map(|name| ((*name).to_owned(), number(name))).filter(|(_, times)| *times > 0).collect();
        let mut broken = count.broken.clone();
        broken.extend(verdict["error"].as_str().map(str::to_owned));
        let counted: u64 = ["lost", "duplicated"].iter().chain(&BREACHES).map(|name| number(name)).sum();
        if verdict["ok"] == false && counted == 0 {
            broken.push(format!("the verifier says no: {verdict}"));
        }
        #[expect(clippy::cast_precision_loss, reason = "no run has so many tries")]
        let bound = 3.0 / count.fired.max(1) as f64;
        Self {
            fault,
            scene: scene.to_owned(),
            tried: count.tried,
            fired: count.fired,
            in_open_transaction: count.open,
            lost: number("lost"),
            duplicated: number("duplicated"),
            breaches,
            slowest_recovery_ms: slowest.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            bound: bound.min(1.0),
            seed,
            long,
            points: count.points.clone(),
            broken,
            remarks: count.remarks.clone(),
            input: number("input"),
            verified: verdict["ok"].is_boolean() && verdict["error"].is_null(),
            breaks: false,
        }
    }

    /// The same of a control, which the verifier has to find out. Of secrets it shows none all the same.
    pub(crate) fn of_control(mut self, breaks: bool) -> Self {
        self.breaks = breaks && self.fault != SECRETS;
        self
    }

    /// Whether the fault did no harm. A fault that was planned and did not fire, or a run that nobody verified, is red.
    pub(crate) fn is_green(&self) -> bool {
        let counts = self.lost + self.duplicated + self.breaches.values().sum::<u64>();
        let of_the_run = |kind: &&String| OF_THE_RUN.contains(&kind.as_str());
        let harmless: u64 = self.breaches.iter().filter(|(kind, _)| of_the_run(kind)).map(|(_, times)| times).sum();
        let unharmed = self.broken.is_empty() && self.fired == self.tried;
        self.verified && self.tried > 0 && if self.breaks { counts > harmless } else { counts == 0 && unharmed }
    }

    pub(crate) fn line(&self) -> String {
        let mut text = format!(
            "fault {:>2} {:<10} tried {:>4}, fired {:>4}, lost {}, duplicated {}",
            self.fault, self.scene, self.tried, self.fired, self.lost, self.duplicated
        );
        if let Some(open) = self.in_open_transaction {
            write!(text, ", in an open transaction {open}").unwrap();
        }
        if let Some(slowest) = self.slowest_recovery_ms {
            write!(text, ", slowest recovery {slowest} ms").unwrap();
        }
        if !self.points.is_empty() {
            let points: Vec<String> = self.points.iter().map(|(point, times)| format!("{point} {times}")).collect();
            write!(text, " ({})", points.join(", ")).unwrap();
        }
        for (kind, times) in &self.breaches {
            write!(text, ", {kind} {times}").unwrap();
        }
        for remark in &self.remarks {
            write!(text, "\n      {remark}").unwrap();
        }
        if !self.is_green() {
            write!(text, "\n      RED: {}", self.broken.first().map_or("see above", String::as_str)).unwrap();
        }
        text
    }
}

/// The rows of this run in memory; in a file with those of earlier runs, of scenes in which the fault was not played since.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    earlier: Vec<Row>,
    rows: Mutex<Vec<Row>>,
}

impl Results {
    pub(crate) fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Rows of another version say nothing any more.
        let earlier = read(&path).unwrap_or_default();
        Self { path, earlier, rows: Mutex::default() }
    }

    pub(crate) fn add(&self, row: Row) {
        let mut rows = self.rows.lock().unwrap();
        rows.push(row);
        let earlier =
            self.earlier.iter().filter(|earlier| rows.iter().all(|row| (row.fault, &row.scene) != (earlier.fault, &earlier.scene)));
        let text: String = earlier.chain(rows.iter()).map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
        fs::write(&self.path, text).unwrap();
    }

    /// The rows of the last run in which each fault was played in each scene, and of the last one with each broken engine.
    pub(crate) fn read_all(folder: &Path) -> Result<Vec<Row>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let entries = fs::read_dir(folder).map_err(failed)?.flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect();
        // Order: the run itself before the controls.
        paths.sort_by_key(|path| (path.file_name().is_some_and(|name| name != "results.jsonl"), path.clone()));
        let mut rows = Vec::new();
        for path in paths {
            rows.extend(read(&path)?);
        }
        Ok(rows)
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap().clone()
    }
}

fn read(path: &Path) -> Result<Vec<Row>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))).collect()
}

/// The command that plays it once more.
fn again(row: &Row) -> String {
    let long = if row.long { " --long" } else { "" };
    format!("./dev fire{long} --seed {} --fault {}", row.seed, row.fault)
}

/// The table of the documentation: a line for each fault, and one for each control.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| # | fault | tried | in an open transaction | lost | duplicated | slowest recovery | a failure is rarer than | again |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (fault, title) in (1..).zip(TITLES) {
        let of_it: Vec<&Row> = rows.iter().filter(|row| row.fault == fault && !row.breaks).collect();
        if of_it.is_empty() {
            continue;
        }
        let sum = |count: fn(&Row) -> u64| of_it.iter().map(|row| count(row)).sum::<u64>();
        let slowest = of_it.iter().filter_map(|row| row.slowest_recovery_ms).max();
        let slowest = slowest.map(|ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100)).unwrap_or_default();
        let red = if of_it.iter().all(|row| row.is_green()) { "" } else { " **red**" };
        let (tried, lost, duplicated) = (sum(|row| row.fired), sum(|row| row.lost), sum(|row| row.duplicated));
        let open: Option<u64> = of_it.iter().filter_map(|row| row.in_open_transaction).reduce(|sum, open| sum + open);
        let open = open.map(|open| open.to_string()).unwrap_or_default();
        let bound = if tried > 3 { format!("3/{tried}") } else { "1".to_owned() };
        let again = of_it.last().map(|row| again(row)).unwrap_or_default();
        writeln!(text, "| {fault} | {title}{red} | {tried} | {open} | {lost} | {duplicated} | {slowest} | {bound} | `{again}` |").unwrap();
    }
    text.push_str("\n| control | tried | found |\n|---|---|---|\n");
    for row in rows.iter().filter(|row| row.breaks) {
        let mut found = vec![format!("lost {}", row.lost), format!("duplicated {}", row.duplicated)];
        found.extend(row.breaches.iter().map(|(kind, times)| format!("{kind} {times}")));
        let red = if row.is_green() { "" } else { " **nothing: red**" };
        writeln!(text, "| {}: fault {} | {} | {}{red} |", row.scene, row.fault, row.fired, found.join(", ")).unwrap();
    }
    text
}
