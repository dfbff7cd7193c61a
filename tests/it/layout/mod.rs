//! The rules of the source, as tests over its text: who may import whom, what is named where, how long a file may be.
//!
//! Each rule is a function from source text to faults, so that a made-up text can show that it would find one.

mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rules::Fault;
use source::Source;

const LINES_MAX: usize = 500;

/// What may lie at the top level, besides dotfiles.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "connect",
    "dev",
    "docker-compose.yml",
    "docs",
    "examples",
    "schemas",
    "src",
    "tests",
    "topology.toml",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files under a folder of the project, by their paths relative to it, sorted.
pub(crate) fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut open = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn faults_in_src(rule: fn(&Source) -> Vec<Fault>) -> Vec<Fault> {
    let files = rust_files("src");
    assert!(files.len() > 10, "the source was not found");
    files.iter().flat_map(|(path, text)| rule(&Source::new(path, text))).collect()
}

#[track_caller]
fn assert_none(faults: &[Fault]) {
    let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} fault(s):\n{}", list.len(), list.join("\n"));
}

#[test]
fn imports_point_downwards() {
    assert_none(&faults_in_src(rules::imports));
}

#[test]
fn every_module_has_a_place_in_the_order() {
    assert_none(&faults_in_src(rules::placed));
}

#[test]
fn rocksdb_and_rdkafka_are_named_in_one_folder_each() {
    assert_none(&faults_in_src(rules::storage_crates));
}

#[test]
fn the_environment_is_read_in_config_only() {
    assert_none(&faults_in_src(rules::environment));
}

#[test]
fn the_clock_is_read_in_one_file() {
    assert_none(&faults_in_src(rules::clock));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let files = ["src", "tests", "benches", "examples"].into_iter().flat_map(rust_files);
    let faults: Vec<Fault> = files.flat_map(|(path, text)| rules::file(&path, &text, LINES_MAX)).collect();
    assert_none(&faults);
}

#[test]
fn every_file_of_the_integration_tests_is_compiled() {
    let files = rust_files("tests/it");
    let missing = rules::not_in_mod_lists(&files);
    assert!(missing.is_empty(), "not in any mod list: {missing:?}");
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    let list = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    let names: Vec<String> = match list {
        Ok(list) if list.status.success() => {
            let text = String::from_utf8(list.stdout).unwrap();
            text.split('\0').filter_map(|path| path.split('/').next()).map(str::to_owned).collect()
        }
        _ => fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect(),
    };
    let strange: Vec<&String> = rules::strange_at_top_level(&names, TOP_LEVEL);
    assert!(strange.is_empty(), "not expected at the top level: {strange:?}");
}

/// The rules, shown on made-up sources: that each finds what it is for, and nothing else.
mod would_find {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Fault>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(Path::new(path), text)).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn an_import_that_points_upwards() {
        let found = |path, text| lines(rules::imports, path, text);
        assert_eq!(found("src/streams/kv/mod.rs", "use crate::streams::state::StateStore;"), [1]);
        assert_eq!(found("src/streams/task/mod.rs", "use std::fmt;\nuse crate::avro::Row;"), [2]);
        assert_eq!(found("src/streams/task/mod.rs", "use crate::{\n    streams::kv,\n    processors::{Latest, Filter},\n};"), [3, 3]);
        assert_eq!(found("src/streams/log/mod.rs", "fn f() { let _ = super::rocks::open(); }"), [1]);
        assert_eq!(found("src/streams/log/batch.rs", "use super::local::LocalLog;"), [1]);
        assert_eq!(found("src/avro/row.rs", "use super::super::config;"), [1]);
        assert_eq!(found("src/avro/mod.rs", "mod tests { mod deep { use super::super::super::cli; } }"), [1]);
        assert_eq!(found("src/config/mod.rs", "type A = crate::cli::Error;"), [1]);
        assert_eq!(found("src/config/mod.rs", "use tidewatch::cli::Error;"), [1]);
        assert_eq!(found("src/streams/log/mod.rs", "pub mod local;\npub use local::LocalLog;"), [2]);
        assert_eq!(found("src/streams/kv/mod.rs", "use crate as all;\nuse crate::*;"), [1, 2]);
    }

    #[test]
    fn nothing_in_imports_that_point_downwards() {
        let found = |path, text| lines(rules::imports, path, text);
        assert_eq!(found("src/streams/state/mod.rs", "use crate::streams::{kv::Kv, log::{Offset, local}, clock};"), [0; 0]);
        assert_eq!(found("src/cli/run.rs", "use super::Error;\nuse crate::{config, streams::runtime, operate};"), [0; 0]);
        assert_eq!(
            found("src/avro/row.rs", "// use crate::cli::x;\n/* crate::cli /* nested */ crate::cli */ const A: &str = \"crate::cli\";"),
            [0; 0]
        );
        assert_eq!(
            found("src/avro/row.rs", "const B: &str = r#\"a \" crate::cli\"#; const C: char = '\"'; fn f<'a>(x: &'a str) {}"),
            [0; 0]
        );
        assert_eq!(found("src/avro/row.rs", "mod tests { use super::Row; mod deep { use super::super::Row; } }"), [0; 0]);
    }

    #[test]
    fn a_module_without_a_place() {
        assert_eq!(lines(rules::placed, "src/misc/mod.rs", ""), [1]);
        assert_eq!(lines(rules::placed, "src/streams/extra.rs", ""), [1]);
        assert_eq!(lines(rules::placed, "src/streams/log/headers.rs", ""), [0; 0]);
    }

    #[test]
    fn a_storage_crate_named_elsewhere() {
        let found = |path, text| lines(rules::storage_crates, path, text);
        assert_eq!(found("src/streams/state/mod.rs", "use rocksdb::DB;"), [1]);
        assert_eq!(found("src/streams/runtime/mod.rs", "\nfn f() -> rdkafka::error::KafkaError {}"), [2]);
        assert_eq!(found("src/streams/rocks/mod.rs", "use rocksdb::DB;"), [0; 0]);
        assert_eq!(found("src/streams/log/kafka/consumer.rs", "use rdkafka::ClientConfig;"), [0; 0]);
        assert_eq!(found("src/streams/rocks/mod.rs", "use rdkafka::ClientConfig;"), [1]);
        assert_eq!(found("src/cli/mod.rs", "// rocksdb\nconst LEVELS: &str = \"rocksdb=warn\";"), [0; 0]);
    }

    #[test]
    fn an_environment_variable_read_elsewhere() {
        let found = |path, text| lines(rules::environment, path, text);
        assert_eq!(found("src/cli/mod.rs", "let home = std::env::var(\"HOME\");"), [1]);
        assert_eq!(found("src/cli/mod.rs", "use std::env::{self, vars_os};"), [1]);
        assert_eq!(found("src/cli/mod.rs", "for a in std::env::args() {}"), [0; 0]);
        assert_eq!(found("src/config/secrets.rs", "std::env::var_os(\"TOKEN\")"), [0; 0]);
    }

    #[test]
    fn a_clock_read_elsewhere() {
        let found = |path, text| lines(rules::clock, path, text);
        assert_eq!(found("src/streams/task/mod.rs", "let a = 1;\nlet t = Instant::now();"), [2]);
        assert_eq!(found("src/cli/mod.rs", "std::time::SystemTime :: now()"), [1]);
        assert_eq!(found("src/cli/mod.rs", "jiff::Timestamp::now(); jiff::Zoned::now()"), [1, 1]);
        assert_eq!(found("src/cli/mod.rs", "clock.now()"), [0; 0]);
        assert_eq!(found("src/streams/clock.rs", "SystemTime::now()"), [0; 0]);
    }

    #[test]
    fn a_file_that_is_too_long_or_says_nothing() {
        let path = Path::new("src/x.rs");
        assert_eq!(rules::file(path, "//! Head.\n", 2).len(), 0);
        assert_eq!(rules::file(path, "#![doc = include_str!(\"A.md\")]\n", 2).len(), 0);
        assert_eq!(rules::file(path, "//! Head.\n\n\n", 2).len(), 1);
        assert_eq!(rules::file(path, "use a;\n", 2).len(), 1);
    }

    #[test]
    fn a_test_file_that_is_not_compiled() {
        let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let files = [
            file("tests/it/main.rs", "mod a;\nmod b;\n// mod c;"),
            file("tests/it/a.rs", ""),
            file("tests/it/b/mod.rs", "mod inner;"),
            file("tests/it/b/inner.rs", ""),
            file("tests/it/b/other.rs", ""),
            file("tests/it/c.rs", ""),
        ];
        assert_eq!(rules::not_in_mod_lists(&files), ["tests/it/b/other.rs", "tests/it/c.rs"]);
    }

    #[test]
    fn a_stray_at_the_top_level() {
        let names = ["src", "justfile", ".gitignore"].map(str::to_owned);
        assert_eq!(rules::strange_at_top_level(&names, TOP_LEVEL), ["justfile"]);
    }
}
