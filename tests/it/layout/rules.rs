//! The rules: each takes a source and returns its faults.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::source::Source;

/// Where and how a rule is broken.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The modules from the bottom to the top; those of one line may import each other. The longest match counts.
const ORDER: &[&[&str]] = &[
    &["loopback", "fuzzing::input"],
    &["streams::clock", "streams::kv", "streams::log", "streams::processor"],
    &["streams::rocks", "streams::log::local", "streams::log::kafka", "streams::state"],
    &["streams::topology", "streams::task", "streams::runtime", "streams::testing"],
    &["streams"],
    &["avro"],
    &["processors"],
    &["youtube::ids", "youtube::answer", "youtube::observation", "youtube::problem"],
    &["config"],
    &["youtube", "telegram"],
    &["operate"],
    &["cli"],
    &["fuzzing"],
];

/// The module of [`ORDER`] that a path belongs to, and its place from the bottom.
fn place(path: &[String]) -> Option<(usize, &'static str)> {
    let path = path.join("::");
    let matches = |module: &str| path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let known = ORDER.iter().enumerate().flat_map(|(rank, modules)| modules.iter().map(move |&module| (rank, module)));
    known.filter(|(_, module)| matches(module)).max_by_key(|(_, module)| module.len())
}

/// Imports that point upwards.
pub(crate) fn imports(source: &Source) -> Vec<Fault> {
    // The crate's root (lib.rs, main.rs) is above everything.
    let Some((rank, _)) = place(&source.module) else { return Vec::new() };
    let upwards = |path: &[String]| match place(path) {
        Some((target, module)) if target > rank => Some(module.to_owned()),
        None => Some(format!("the crate's root ({})", path.join("::"))),
        _ => None,
    };
    let faults = source.mentions().into_iter().filter_map(|mention| Some((mention.line, upwards(&mention.path)?)));
    faults.map(|(line, module)| source.fault(line, format!("{} must not import {module}", source.module.join("::")))).collect()
}

/// Modules that [`ORDER`] does not know, or knows only as some part of `streams`.
pub(crate) fn placed(source: &Source) -> Vec<Fault> {
    let unknown = match place(&source.module) {
        None => !source.module.is_empty(),
        Some((_, module)) => module == "streams" && source.module.len() > 1,
    };
    let fault = || source.fault(1, format!("module {} has no place in the order of imports", source.module.join("::")));
    unknown.then(fault).into_iter().collect()
}

/// `rocksdb` and `rdkafka` outside their folders.
pub(crate) fn storage_crates(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, folder) in [("rocksdb", "src/streams/rocks"), ("rdkafka", "src/streams/log/kafka")] {
        if !source.lies_in(folder) {
            let lines = source.find(&[name]).into_iter();
            faults.extend(lines.map(|line| source.fault(line, format!("{name} may be named in {folder} only"))));
        }
    }
    faults
}

/// The environment, read outside of `src/config`.
pub(crate) fn environment(source: &Source) -> Vec<Fault> {
    if source.lies_in("src/config") {
        return Vec::new();
    }
    let reads = ["var", "vars", "var_os", "vars_os"];
    let mut lines: Vec<usize> = reads.iter().flat_map(|name| source.find(&["env", "::", name])).collect();
    // `use std::env::{...}`: any of the names in the tree.
    for line in source.find(&["env", "::", "{"]) {
        let named = source.tokens.iter().any(|token| token.line == line && reads.contains(&token.text.as_str()));
        lines.extend(named.then_some(line));
    }
    lines.into_iter().map(|line| source.fault(line, "the environment may be read in src/config only".to_owned())).collect()
}

/// The machine's clock, read outside of `src/streams/clock.rs`.
pub(crate) fn clock(source: &Source) -> Vec<Fault> {
    if source.path == "src/streams/clock.rs" {
        return Vec::new();
    }
    let clocks = ["SystemTime", "Instant", "Timestamp", "Zoned"];
    let lines = clocks.iter().flat_map(|clock| source.find(&[clock, "::", "now"]));
    lines.map(|line| source.fault(line, "the clock may be read in src/streams/clock.rs only".to_owned())).collect()
}

/// A file that is too long, or that does not begin by saying what it is for.
pub(crate) fn file(path: &Path, text: &str, lines_max: usize) -> Vec<Fault> {
    let fault = |message: String| Fault { path: path.display().to_string(), line: 1, message };
    let lines = text.lines().count();
    let mut faults = Vec::new();
    if lines > lines_max {
        faults.push(fault(format!("{lines} lines; {lines_max} are allowed")));
    }
    if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!(") {
        faults.push(fault("does not begin with a `//!` that says what the file is for".to_owned()));
    }
    faults
}

/// The files below `tests/it` that no `mod` line reaches.
pub(crate) fn not_in_mod_lists(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut reached = BTreeSet::from(["tests/it/main.rs".to_owned()]);
    for (path, text) in files {
        let source = Source::new(path, text);
        let folder = match path.file_name().and_then(|name| name.to_str()) {
            Some("main.rs" | "mod.rs") => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        for module in source.declared_modules() {
            reached.insert(folder.join(format!("{module}.rs")).display().to_string());
            reached.insert(folder.join(module).join("mod.rs").display().to_string());
        }
    }
    files.iter().map(|(path, _)| path.display().to_string()).filter(|path| !reached.contains(path)).collect()
}

/// The names that are neither expected nor dotfiles.
pub(crate) fn strange_at_top_level<'a>(names: &'a [String], expected: &[&str]) -> Vec<&'a String> {
    let strange: BTreeSet<&String> =
        names.iter().filter(|name| !name.is_empty() && !name.starts_with('.') && !expected.contains(&name.as_str())).collect();
    strange.into_iter().collect()
}

impl Source {
    fn fault(&self, line: usize, message: String) -> Fault {
        Fault { path: self.path.clone(), line, message }
    }

    fn lies_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['/', '.']))
    }
}
