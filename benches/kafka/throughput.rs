//! Processor time per record and peak memory, of tidewatch and of the pass-through, in turn.

use std::process::Stdio;

use crate::application::Application;
use crate::load::load;
use crate::passthrough::{Output, Plan};
use crate::process::{Took, run};
use crate::real::records::read;

/// How much is processed.
#[derive(Debug)]
pub(crate) struct Size {
    pub(crate) records: u64,
    pub(crate) videos: u64,
    pub(crate) partitions: i32,
    pub(crate) runs: u64,
}

pub(crate) fn measure(size: &Size) {
    let application = Application::set_up(size.partitions);
    println!("{} observations of {} videos in {} partitions", size.records, size.videos, size.partitions);
    load(&application.client(), &application.topic("videos"), application.schema(), size.videos, 0..size.records);
    let mut both = Vec::new();
    for run_number in 0..size.runs {
        let ours = ours(&application, run_number);
        let limit = limit(&application, size, run_number);
        tell("tidewatch   ", &ours, size.records);
        tell("pass-through", &limit, size.records);
        both.push((ours, limit));
    }
    let mut ratios: Vec<f64> = both.iter().map(|(ours, limit)| ours.cpu.as_secs_f64() / limit.cpu.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    println!("processor time, tidewatch / pass-through: {:.2} (median of {})", ratios[ratios.len() / 2], ratios.len());
}

/// A run over the whole input, with a group and a state of its own.
fn ours(application: &Application, run_number: u64) -> Took {
    let file = application.folder().join("topology.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mine = application.folder().join(format!("run-{run_number}.toml"));
    let id = format!("{}-{run_number}", application.id);
    std::fs::write(&mine, text.replacen(&format!("application_id = \"{}\"", application.id), &format!("application_id = \"{id}\""), 1))
        .unwrap();
    let mine = mine.to_str().unwrap();
    let state = application.folder().join(&id);
    let state = state.to_str().unwrap();
    let status = application.command(&["setup", "--config", mine]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "setup: {status}");
    run(&mut application.command(&["run", "--only", "topology", "--until-end", "--config", mine, "--state-dir", state]))
}

/// The same bytes: as many as tidewatch wrote in its first run, by their mean.
fn limit(application: &Application, size: &Size, run_number: u64) -> Took {
    let (client, group) = (application.client(), format!("{}-pass-{run_number}", application.id));
    let (changelog, changes, outbox) =
        (format!("{}-0-changes-changelog", application.id), application.topic("changes"), application.topic("outbox"));
    let mut outputs = Vec::new();
    for (name, theirs) in [("changelog", &changelog), ("changes", &changes), ("outbox", &outbox)] {
        let sample = read(&client, theirs);
        let bytes: usize = sample.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).sum();
        let records = u64::try_from(sample.len()).unwrap() / if name == "changelog" { 1 } else { run_number + 1 };
        if records == 0 {
            continue;
        }
        let topic = format!("{group}-{name}");
        application.broker().create_topic(&topic, size.partitions, &[("retention.ms", "-1")]);
        outputs.push(Output { topic, bytes: bytes / sample.len(), every: (size.records / records).max(1) });
    }
    if run_number == 0 {
        for output in &outputs {
            println!("each {} records: {} bytes to {}", output.every, output.bytes, output.topic);
        }
    }
    let servers = application.broker().bootstrap_servers().to_owned();
    run(&mut Plan { servers, group, input: application.topic("videos"), commit_ms: 100, records: size.records, outputs }.command())
}

fn tell(who: &str, took: &Took, records: u64) {
    let Took { cpu, wall, peak_kib } = took;
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let records = records as f64;
    println!(
        "{who}: {:.2} us of processor time a record, {:.0} records/s, {} MB at most",
        cpu.as_secs_f64() * 1e6 / records,
        records / wall.as_secs_f64(),
        peak_kib / 1024
    );
}
