//! `import`: a file of observations into the topic of a source, by this process or by the one that owns the directory.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::context::{Access, Context, refused, remote};
use super::shutdown::Shutdown;
use super::terminal::{ImportTalk, say};
use super::{Error, Result};
use crate::config::{LoadOptions, Parts};
use crate::operate::append::{self, Target};
use crate::operate::import::{self, Import, Outcome};
use crate::operate::installation::Connection;
use crate::operate::owner;
use crate::operate::socket::{self, Request, Response};
use crate::streams::runtime::dead_letter_topic;

/// Append a file of observations to the topic of a source
///
/// The file is CSV, plain or gzip, with the columns `observed_at` (RFC 3339, or milliseconds since 1970) and `video_id`, and any of title, views,
/// likes and comments; further columns are ignored, an empty cell is a null. A row that cannot be read goes to the dead letters.
///
/// A file is known by its content: an import that was killed goes on where it was, and one that was done is not done again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file
    #[arg(value_name = "FILE.csv[.gz]")]
    file: PathBuf,
    /// The source of the topology whose topic takes the observations; needed where there are several
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

pub(super) fn execute(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    let config = context.load(&LoadOptions::connecting())?;
    // Seen here, so that a wrong path is not first looked for by another process.
    let path = args.file.canonicalize().map_err(|source| missing(&args.file, source))?;
    let targets = owner::targets(&config);
    let target = || owner::target(&targets, args.source.as_deref()).map_err(Error::user);
    let outcome = match context.access(config.kafka.as_ref(), shutdown)? {
        Access::Own(installation) => {
            let target = target()?;
            installation.create_topics(&config, Parts::TOPOLOGY).map_err(refused)?;
            into(installation.connection(), target, &args.file, context, shutdown)?
        }
        Access::Cluster(connection) => {
            let target = target()?;
            let dead_letters = dead_letter_topic(&target.application_id);
            connection.require_topics([&*target.topic, &*dead_letters]).map_err(refused)?;
            into(&connection, target, &args.file, context, shutdown)?
        }
        Access::Owner(directory) => {
            let talk = ImportTalk::new(&args.file, &context.clock, shutdown);
            through(&directory, path, args.source.clone(), &talk)?
        }
    };
    tell(&args.file, &outcome)
}

/// The file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read")]
struct Missing {
    path: String,
    #[source]
    source: std::io::Error,
}

pub(super) fn missing(path: &Path, source: std::io::Error) -> Error {
    Error::user(Missing { path: path.display().to_string(), source })
}

/// Imports with a log that this process can write itself. The topics are there.
pub(super) fn into(connection: &Connection, target: &Target, file: &Path, context: &Context, shutdown: &Shutdown) -> Result<Outcome> {
    let import = Import { log: &*connection.log, registry: &*connection.registry, target, path: file };
    let mut talk = ImportTalk::new(file, &context.clock, shutdown);
    let progress = talk.progress.clone();
    let on_bytes = Box::new(move |bytes| progress.advance(bytes));
    let outcome = import.run(on_bytes, &mut talk);
    talk.progress.end();
    outcome.map_err(|error| match &error {
        import::Error::File(file) if file.is_by_user() => Error::user(error),
        import::Error::File(_) => {
            Error::unavailable(error).hinted("What was read before is committed; the same import goes on from there.")
        }
        import::Error::Append(append::Error::Format { .. }) => {
            Error::user(error).hinted("Name another source with --source, or write to the topic with a producer of its own.")
        }
        import::Error::Append(_) => Error::internal(error),
    })
}

/// Asks the owner of the directory to import.
fn through(directory: &Path, path: PathBuf, source: Option<String>, talk: &ImportTalk) -> Result<Outcome> {
    let mut outcome = None;
    let request = Request::Import { path, source };
    let answer = socket::ask(directory, &request, &|| talk.shutdown.requested(), &mut |response| {
        match response {
            Response::BadRow { line, fault } => talk.bad_row(line, &fault),
            Response::Committed(rows) => talk.committed(rows),
            Response::Imported(imported) => outcome = Some(imported),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    talk.progress.end();
    match answer.map_err(Error::unavailable)? {
        Some(failure) => Err(remote(failure)),
        None => Ok(outcome.unwrap_or_default()),
    }
}

/// Says what became of the file.
pub(super) fn tell(file: &Path, outcome: &Outcome) -> Result {
    let file = file.display();
    let Outcome { before, now, complete } = *outcome;
    if !complete {
        let error = Error::unavailable(format!("the import of {file} was interrupted"));
        return Err(error.hinted("What was committed stays; the same import goes on from there."));
    }
    if now == import::Counts::default() && before != now {
        say(&format!("{file} was imported before: {}. Nothing was appended.", counted(before)));
    } else if before == import::Counts::default() {
        say(&format!("{file}: {} appended.", counted(now)));
    } else {
        say(&format!("{file}: {} appended, {} were there from an import that broke off.", counted(now), counted(before)));
    }
    Ok(())
}

fn counted(counts: import::Counts) -> String {
    let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match counts.bad_rows {
        0 => plural(counts.observations, "observation"),
        bad => format!("{} and {} in the dead letters", plural(counts.observations, "observation"), plural(bad, "bad row")),
    }
}
