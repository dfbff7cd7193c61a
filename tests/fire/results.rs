//! What came out, a row for each fault and scene: lines for people, a file for the table in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Count;

/// What is counted of a verdict beside what is lost and what is there twice: none of it may be.
const BREACHES: [&str; 12] = [
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
];

/// A fault in one scene.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) fault: u8,
    pub(crate) scene: String,
    pub(crate) tried: u64,
    pub(crate) fired: u64,
    pub(crate) in_open_transaction: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// What else the verifier found, by kind.
    pub(crate) breaches: BTreeMap<String, u64>,
    pub(crate) slowest_recovery_ms: Option<u64>,
    /// The probability of a failure at one try is below this with 95 % certainty.
    pub(crate) bound: f64,
    pub(crate) seed: u64,
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
    pub(crate) fn new(fault: u8, scene: &str, count: &Count, slowest: Option<Duration>, verdict: &Value, seed: u64) -> Self {
        let number = |name: &str| verdict[name].as_u64().unwrap_or(0);
        let breaches = BREACHES.iter().map(|name| ((*name).to_owned(), number(name))).filter(|(_, times)| *times > 0).collect();
        let mut broken = count.broken.clone();
        broken.extend(verdict["error"].as_str().map(str::to_owned));
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
            points: count.points.clone(),
            broken,
            remarks: count.remarks.clone(),
            input: number("input"),
            verified: verdict["ok"].is_boolean() && verdict["error"].is_null(),
            breaks: false,
        }
    }

    /// Whether the fault did no harm. A fault that was planned and did not fire, or a run that nobody verified, is red.
    pub(crate) fn is_green(&self) -> bool {
        let counts = self.lost + self.duplicated + self.breaches.values().sum::<u64>();
        self.verified && (counts > 0) == self.breaks && self.broken.is_empty() && self.fired == self.tried && self.tried > 0
    }

    pub(crate) fn line(&self) -> String {
        let mut text = format!(
            "fault {:>2} {:<10} tried {:>4}, fired {:>4}, in an open transaction {:>4}, lost {}, duplicated {}",
            self.fault, self.scene, self.tried, self.fired, self.in_open_transaction, self.lost, self.duplicated
        );
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

/// All rows so far, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    rows: Mutex<Vec<Row>>,
}

impl Results {
    /// Begins a new file.
    pub(crate) fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        Self { path, rows: Mutex::default() }
    }

    pub(crate) fn add(&self, row: Row) {
        let mut rows = self.rows.lock().unwrap();
        rows.push(row);
        let text: String = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
        fs::write(&self.path, text).unwrap();
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap().clone()
    }
}
