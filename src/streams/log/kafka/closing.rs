//! How a consumer gives up its partitions, and how it ends.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::Ear;
use crate::streams::log::TopicPartition;

/// How long closing may take (a leave request that is not answered is waited for), and after how many polls it is helped along.
const CLOSE_POLLS: u32 = 300;
const CLOSE_POLLS_SILENT: u32 = 20;
const CLOSE_POLL: Duration = Duration::from_millis(50);

/// A poll that takes longer than this will not return any more.
const CLOSE_STUCK: Duration = Duration::from_secs(3);

/// Grants a revocation. A partition that was never read must not be named: librdkafka refuses the whole list then, and the group waits.
pub(super) fn give_up(consumer: &BaseConsumer<Ear>, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
    let assignment = consumer.assignment()?;
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        if assignment.find_partition(&partition.topic, partition.partition.0).is_some() {
            list.add_partition(&partition.topic, partition.partition.0);
        }
    }
    consumer.incremental_unassign(&list)
}

/// Closes a consumer, as [`close`] does, and does not wait for a poll that is stuck: librdkafka may end the group's side of a consumer while a
/// rebalance is still to be told to us, and what is asked about it in that callback has no answer then, for ever. It was seen where an instance
/// had nothing to do and stopped before its group had answered.
pub(super) fn close_in_time(consumer: &Arc<BaseConsumer<Ear>>) -> bool {
    let (tell, told) = channel();
    let other = Arc::clone(consumer);
    let work = move || {
        let closed = close(&other, || tell.send(None).unwrap_or_default());
        // The owner's is the last.
        drop(other);
        tell.send(Some(closed)).unwrap_or_default();
    };
    if thread::Builder::new().name("closing".to_owned()).spawn(work).is_err() {
        return close(consumer, || ());
    }
    loop {
        match told.recv_timeout(CLOSE_STUCK) {
            Ok(None) => {}
            Ok(Some(closed)) => return closed,
            Err(_) => return false,
        }
    }
}

/// Closes a consumer; whether that came to an end. One with a fatal error is closed when it is dropped. `beat` is called between polls.
fn close(consumer: &BaseConsumer<Ear>, beat: impl Fn()) -> bool {
    if consumer.closed() || consumer.close_queue().is_err() {
        return true;
    }
    for polls in 0..CLOSE_POLLS {
        if consumer.closed() {
            return true;
        }
        beat();
        drop(consumer.poll(CLOSE_POLL));
        // A revocation that nobody will be told of any more: while it closes, any answer is taken for "all of them".
        if polls % CLOSE_POLLS_SILENT == CLOSE_POLLS_SILENT - 1
            && let Err(error) = consumer.incremental_unassign(&TopicPartitionList::new())
        {
            tracing::debug!(target: "librdkafka", %error, "closing");
        }
    }
    consumer.closed()
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::streams::log::kafka::context::Rebalance;
    use crate::streams::log::kafka::{Options, settings};
    use crate::streams::log::{ConsumerOptions, Isolation};
    use rdkafka::config::FromClientConfigAndContext;

    #[test]
    fn a_consumer_whose_revocation_nobody_grants_closes_all_the_same() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let options = Options::new([cluster.bootstrap_servers()]);
        let wanted = ConsumerOptions { group: Some("g".into()), instance_id: None, isolation: Isolation::ReadCommitted };
        let consumer = BaseConsumer::from_config_and_context(&settings::consumer(&options, &wanted), Ear::default()).unwrap();
        consumer.subscribe(&["t"]).unwrap();
        let told = |wanted: fn(&Rebalance) -> bool| {
            for _ in 0..600 {
                drop(consumer.poll(Duration::from_millis(50)));
                if consumer.context().rebalances.lock().drain(..).any(|rebalance| wanted(&rebalance)) {
                    return;
                }
            }
            panic!("the group does not speak");
        };
        told(|rebalance| matches!(rebalance, Rebalance::Assign(partitions) if partitions.len() == 1));
        // It leaves, is asked for its partition, and the answer is lost.
        consumer.unsubscribe();
        told(|rebalance| matches!(rebalance, Rebalance::Revoke { .. }));
        let closed = close(&consumer, || ());
        if !closed {
            // Or the drop would hang instead of the assertion failing.
            std::mem::forget(Arc::new(consumer));
        }
        assert!(closed);
    }
}
