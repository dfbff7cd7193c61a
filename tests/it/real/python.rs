//! Confluent's own client, in Python: scripts beside this file, run in a virtual environment that has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::or_skip;
use super::packages::{Package, succeed};

/// The path of a script.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/real").join(name)
}

/// Runs a script to its end; its standard output. None where the test is to be skipped; panics when the script fails.
pub(crate) fn python(name: &str, arguments: &[&str]) -> Option<String> {
    let folder = or_skip(Package::Python.folder())?;
    let mut command = Command::new(folder.join("bin/python"));
    // No compiled files beside the scripts.
    command.arg("-B").arg(script(name)).args(arguments);
    Some(succeed(name, &mut command).unwrap_or_else(|said| panic!("{said}")))
}

/// The lines of a script that prints a document in JSON on each.
pub(crate) fn python_json(name: &str, arguments: &[&str]) -> Option<Vec<serde_json::Value>> {
    let lines = python(name, arguments)?;
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}
