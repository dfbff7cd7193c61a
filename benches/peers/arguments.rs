//! The command line.

use std::fmt::Display;
use std::str::FromStr;

/// All there is.
pub(crate) const HELP: &str = "usage: ./dev bench-peers [COMMAND] [OPTIONS]

commands; without one all but the last, which takes more than an hour:
  throughput   processor time per record, records/s, peak memory; whether the outputs are the same
  idle         memory and processor while nothing happens
  restore      a lost state directory, beside a bare consumer of its changelog
  restart      kill -9 to the next committed output
  latency      append to readable change, beside a pass-through that commits at once
  takeover     two instances of tidewatch, one is killed; with and without standby tasks

options; lists are separated by commas:
  --peers LIST          tidewatch,pass-through,kafka-streams,quix (all that can be had here)
  --records N           throughput: observations (2000000)
  --quix-records N      throughput: no more than these for Quix Streams, which is slow (200000)
  --videos LIST         throughput: how many videos (100000,1000000); restore, restart, takeover: the largest (1000000)
  --keys LIST           throughput: uniform,zipf,in-turn (uniform,zipf)
  --partitions N        throughput: (4)
  --runs N              throughput, restore, latency: runs in turn (3)
  --rate LIST           latency: observations a second (100,1000,10000)
  --seconds N           latency: how long (20); idle: how long (10)
  --threads N           stream threads of tidewatch and Kafka Streams (1)
  --heap N              -Xmx of Java, in MiB (512)
  --flame FILE.svg      throughput: a flame graph of tidewatch's first run, which is slower for it, with the last size (needs perf)
  --out FILE            the tables as Markdown; a relative path is below the clone";

const NAMES: [&str; 13] = [
    "--peers",
    "--records",
    "--quix-records",
    "--videos",
    "--keys",
    "--partitions",
    "--runs",
    "--rate",
    "--seconds",
    "--threads",
    "--heap",
    "--flame",
    "--out",
];

const COMMANDS: [&str; 6] = ["throughput", "idle", "restore", "restart", "latency", "takeover"];

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// Empty for all.
    pub(crate) command: String,
    pub(crate) help: bool,
    options: Vec<(String, String)>,
}

impl Arguments {
    pub(crate) fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let mut parsed = Self { command: String::new(), help: false, options: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--help" {
                parsed.help = true;
            } else if NAMES.contains(&argument.as_str()) {
                let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"))?;
                parsed.options.push((argument, value));
            } else if COMMANDS.contains(&argument.as_str()) && parsed.command.is_empty() {
                parsed.command = argument;
            } else {
                return Err(format!("what is {argument}?"));
            }
        }
        Ok(parsed)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    /// One number, at least 1.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{name} {text}: one number is wanted")),
        }
    }

    /// What is separated by commas.
    pub(crate) fn list<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<Vec<T>>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.split(',').map(|item| item.parse().map_err(|error| format!("{name} {item}: {error}"))).collect::<Result<_, _>>().map(Some)
    }
}
