//! Kafka Streams: compiled with the machine's own JDK against jars from packages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::peer::Job;
use crate::real::broker::write_logging;
use crate::real::packages::{from_maven, java, succeed};

/// What is needed to run the job in Kafka Streams.
#[derive(Debug)]
pub(crate) struct Java {
    lib: PathBuf,
    classes: tempfile::TempDir,
}

/// A file of this benchmark.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}

impl Java {
    /// Compiles the job once; or what is missing for it.
    pub(crate) fn get() -> Result<&'static Self, String> {
        static JAVA: OnceLock<Result<Java, String>> = OnceLock::new();
        JAVA.get_or_init(Self::compile).as_ref().map_err(Clone::clone)
    }

    fn compile() -> Result<Self, String> {
        java()?;
        let lib = from_maven("kafka_streams", |_| Ok(()))?.join("lib");
        let classes = tempfile::Builder::new().prefix("tidewatch-classes-").tempdir().map_err(|error| error.to_string())?;
        let files = ["Job.java", "Observations.java"].map(|name| source("kafka_streams").join(name));
        let mut compiler = Command::new("javac");
        compiler.arg("-cp").arg(lib.join("*")).arg("-d").arg(classes.path()).args(files);
        succeed("javac", &mut compiler)
            .map_err(|error| format!("{error} (a JDK of 17 or newer has it; Debian: openjdk-17-jdk-headless)"))?;
        Ok(Self { lib, classes })
    }

    /// The process that does a job.
    pub(crate) fn command(&self, job: &Job<'_>) -> Vec<OsString> {
        write_logging(&job.folder());
        let mut path = self.classes.path().as_os_str().to_owned();
        path.push(":");
        path.push(self.lib.join("*"));
        let mut logging = OsString::from("-Dlog4j2.configurationFile=file:");
        logging.push(job.folder().join("log4j2.properties"));
        let heap = format!("-Xmx{}m", job.options.heap_mib);
        let mut command = vec!["java".into(), heap.into(), "-cp".into(), path, logging, "Job".into()];
        command.extend(job.arguments());
        command
    }
}
