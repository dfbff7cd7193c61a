//! The two ends of the way begin anew: the poller forgets what it knows, the sender what it sent.

use super::{Application, Error, Move, Plan, Scope, To, plan};
use crate::config::{Config, Telegram};
use crate::streams::log::{Admin, TopicPartition};
use crate::telegram::{application_id, sent_log};
use crate::youtube::poller::{group, state_topic};

/// The poller of an application forgets everything: its next poll is a first one.
pub fn poller(admin: &dyn Admin, config: &Config) -> Result<Plan, Error> {
    let (group, topic) = (group(&config.application_id), state_topic(&config.application_id));
    let committed = admin.group_offsets(&group)?;
    // Its offset has no meaning, but a group with members keeps it: that is how one that polls is noticed.
    let moves = committed
        .into_iter()
        .filter(|(partition, _)| *partition.topic == *topic)
        .map(|(partition, committed)| forgotten(partition, committed.offset));
    Ok(Plan {
        whose: format!("the poller of {}", config.application_id),
        moves: moves.collect(),
        changelogs: if admin.describe(&topic)?.is_some() { vec![topic] } else { Vec::new() },
        tasks: Vec::new(),
        moves_position: true,
        consequences: vec![
            "The next poll is a first one: no video is new, and one that went away meanwhile is not told as removed.".to_owned(),
            "The units that were spent today count as not spent.".to_owned(),
        ],
        group,
    })
}

fn forgotten(partition: TopicPartition, previous: crate::streams::log::Offset) -> Move {
    Move { partition, previous: Some(previous), current: None, metadata: "".into() }
}

/// The sender of an application forgets what it sent and what waits, and reads its outbox from here on; `tasks` are those with a state on this
/// machine.
pub fn sender(admin: &dyn Admin, config: &Config, telegram: &Telegram, tasks: Vec<String>, to: To) -> Result<Plan, Error> {
    let application = Application {
        id: application_id(config),
        inputs: vec![telegram.outbox.to_string()],
        outputs: Vec::new(),
        stores: vec![sent_log::STORE.to_owned()],
        tasks,
        outbox: None,
    };
    let consequences = vec![
        "Messages that wait to be sent are forgotten, unless they are read again.".to_owned(),
        "What was sent is forgotten, too: a message that is read a second time is sent a second time.".to_owned(),
    ];
    let whose = format!("the sender of {}", config.application_id);
    Ok(Plan { whose, consequences, ..plan(admin, &application, &Scope::All(to))? })
}
