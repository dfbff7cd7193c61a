//! Where the processor time of tidewatch goes, as a flame graph: `perf` samples the process while it does the job.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use inferno::collapse::Collapse;
use inferno::collapse::perf::Folder;
use inferno::flamegraph;

/// Samples a second: few enough for the job to stay as it is.
const SAMPLES: &str = "299";
/// Stacks are unwound afterwards, from so much of each: RocksDB and librdkafka have no frame pointers.
const CALL_GRAPH: &str = "dwarf,16384";

/// Samples of a process.
#[derive(Debug)]
pub(crate) struct Flame {
    perf: Child,
    samples: PathBuf,
    graph: PathBuf,
}

/// What is missing, if something is.
pub(crate) fn missing() -> Result<(), String> {
    let asked = Command::new("perf").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match asked {
        Ok(status) if status.success() => Ok(()),
        _ => Err("--flame needs perf: install linux-perf (Debian) or linux-tools (Ubuntu)".to_owned()),
    }
}

impl Flame {
    /// Begins; the graph is written to `graph`.
    pub(crate) fn begin(process: u32, graph: &Path) -> Self {
        let samples = graph.with_extension("perf");
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "--event", "cpu-clock", "--freq", SAMPLES, "--call-graph", CALL_GRAPH]);
        perf.arg("--pid").arg(process.to_string()).arg("--output").arg(&samples).stdout(Stdio::null());
        Self { perf: perf.spawn().unwrap(), samples, graph: graph.to_owned() }
    }

    /// Writes the graph; the process must have ended.
    pub(crate) fn end(mut self) {
        // perf ends with the process, with a status that tells how that ended.
        self.perf.wait().unwrap();
        let mut script = Command::new("perf");
        script.args(["script", "--no-inline", "--input"]).arg(&self.samples).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = script.spawn().unwrap();
        let mut folded = Vec::new();
        let stacks = BufReader::new(script.stdout.take().unwrap());
        Folder::default().collapse(stacks, &mut folded).unwrap();
        assert!(script.wait().unwrap().success() && !folded.is_empty(), "perf has no samples: is kernel.perf_event_paranoid above 1?");
        let mut options = flamegraph::Options::default();
        "tidewatch, processor time by stack".clone_into(&mut options.title);
        let file = File::create(&self.graph).unwrap();
        flamegraph::from_reader(&mut options, folded.as_slice(), BufWriter::new(file)).unwrap();
        std::fs::remove_file(&self.samples).unwrap();
        println!("flame graph: {}", self.graph.display());
    }
}
