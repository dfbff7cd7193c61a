//! What was planned and what happened, fault by fault: for the verifier as a file, for the table as counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::secrets::{self, Seen};

/// The fault that is no fault: secrets that are shown.
pub(crate) const SECRETS: u8 = 24;

/// Counts of one fault of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) tried: u64,
    pub(crate) fired: u64,
    /// How often in an open transaction, where that is known.
    pub(crate) open: Option<u64>,
    /// How often at which point.
    pub(crate) points: BTreeMap<String, u64>,
    /// What did not go as it must, in words.
    pub(crate) broken: Vec<String>,
    /// What is worth telling, in words.
    pub(crate) remarks: Vec<String>,
}

/// The faults of one scene.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    pub(crate) planned: Vec<String>,
    pub(crate) counts: BTreeMap<u8, Count>,
}

impl Ledger {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: File::create(path).unwrap(), planned: Vec::new(), counts: BTreeMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn count(&mut self, fault: u8) -> &mut Count {
        self.counts.entry(fault).or_default()
    }

    /// A fault is planned; its name.
    pub(crate) fn plan(&mut self, fault: u8, point: &str) -> String {
        let id = format!("{fault}-{point}-{}", self.planned.len());
        self.planned.push(id.clone());
        self.count(fault).tried += 1;
        id
    }

    /// It has fired, in an open transaction or not, or nobody knows; `input_end` is how far the input was.
    pub(crate) fn fired(&mut self, fault: u8, id: &str, kind: &str, open: Option<bool>, input_end: i64) {
        let transaction = open.map_or("unknown", |open| if open { "open" } else { "none" });
        let line = json!({ "id": id, "kind": kind, "transaction": transaction, "input_end": input_end });
        writeln!(self.file, "{line}").unwrap();
        let point = id.split('-').nth(1).unwrap_or_default().to_owned();
        let count = self.count(fault);
        count.fired += 1;
        if let Some(open) = open {
            *count.open.get_or_insert(0) += u64::from(open);
        }
        *count.points.entry(point).or_default() += 1;
    }

    /// Looks for secrets in what was seen of a scene.
    pub(crate) fn search(&mut self, seen: &Seen, kinds: &[&str], secrets: &[&str]) {
        let id = self.plan(SECRETS, "search");
        self.fired(SECRETS, &id, "search", None, 0);
        match secrets::search(seen, kinds, secrets) {
            Ok(searched) => self.remark(SECRETS, searched),
            Err(found) => self.broken(SECRETS, found),
        }
    }

    /// Something did not go as it must.
    pub(crate) fn broken(&mut self, fault: u8, what: impl Into<String>) {
        let what = what.into();
        println!("    BROKEN fault {fault}: {what}");
        self.count(fault).broken.push(what);
    }

    pub(crate) fn remark(&mut self, fault: u8, what: impl Into<String>) {
        self.count(fault).remarks.push(what.into());
    }
}
