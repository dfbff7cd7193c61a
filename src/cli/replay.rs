//! `demo --from`: a file of observations through the whole pipeline, and what came of it.

use std::path::Path;

use serde::Serialize;

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::temporary::Temporary;
use super::terminal::{Out, Progress, say};
use super::{Error, Result, import, run};
use crate::config::Parts;
use crate::operate::health::Reported;
use crate::operate::owner;
use crate::operate::tally::{self, Tally};
use crate::streams::runtime::Status;

/// Imports the file, runs the topology until all is committed, and counts the topics.
pub(super) fn execute(file: &Path, json: bool, context: &Context, shutdown: &Shutdown) -> Result {
    let config = context.load_embedded()?;
    std::fs::metadata(file).map_err(|source| import::missing(file, source))?;
    let temporary = if context.state_dir.is_none() { Some(Temporary::new().map_err(Error::unavailable)?) } else { None };
    let path = temporary.as_ref().map_or_else(|| context.state_dir(), |temporary| temporary.path().to_owned());
    let installation = context.own(&path)?;
    let status = Reported::default();
    let server = run::serve(&installation, &config, &status)?;
    let targets = owner::targets(&config);
    let target = owner::target(&targets, None).map_err(Error::user)?;
    installation.create_topics(&config, Parts::TOPOLOGY).map_err(refused)?;
    import::tell(file, &import::into(installation.connection(), target, file, context, shutdown)?)?;

    let engine = installation.engine(&config, |options| options.until_end = true).map_err(refused)?;
    let observations = config.sources.iter().map(|source| end(&installation, &source.topic)).sum::<Result<u64>>()?;
    let progress = Progress::new("processing", observations, false, &context.clock);
    let ended = run::drive(&engine, shutdown, &status, |status| {
        let done = position(status);
        progress.reach(done);
        progress.note(&format!("{done} of {observations}"));
    });
    progress.end();
    ended?;
    drop(server);
    if shutdown.requested() {
        let error = Error::unavailable("the replay was interrupted");
        return Err(match temporary {
            Some(_) => error,
            None => error.hinted("What was committed stays; the same command goes on from there."),
        });
    }
    let (log, registry) = (installation.log(), installation.registry());
    let mut out = Out::new();
    let mut printed = Ok(());
    let tally = tally::tally(&*log, &*registry, &config, &mut |message| {
        if !json && printed.is_ok() {
            printed = out.line(message);
        }
    });
    printed?;
    let tally = tally.map_err(Error::internal)?;
    if json {
        out.line(&to_json(&tally))?;
    }
    out.flush()?;
    if !json {
        say(&in_words(&tally));
    }
    Ok(())
}

/// The number of records of a topic, markers included.
fn end(installation: &crate::operate::installation::Installation, topic: &str) -> Result<u64> {
    use crate::streams::log::{Isolation, TopicPartition};
    let admin = installation.log().admin();
    let failed = |error| refused(crate::operate::installation::Error::Log(error));
    let partitions = admin.describe(topic).map_err(failed)?.map_or(0, |description| description.config.partitions);
    let mut sum = 0;
    for partition in 0..partitions {
        let (_, end) = admin.watermarks(&TopicPartition::new(topic, partition), Isolation::ReadCommitted).map_err(failed)?;
        sum += u64::try_from(end.0).unwrap_or_default();
    }
    Ok(sum)
}

/// How far all tasks are.
fn position(status: &Status) -> u64 {
    status.tasks.values().map(|task| u64::try_from(task.committed.0).unwrap_or_default()).sum()
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The summary for people.
pub(super) fn in_words(tally: &Tally) -> String {
    let Tally { observations, videos, changes, messages, dead_letters } = tally;
    let rules: Vec<String> = messages.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    let rules = rules.join(", ");
    let total = messages.total();
    format!("{observations} observations of {videos} videos, {changes} changes, {total} messages ({rules}), {dead_letters} dead letters.")
}
