//! What librdkafka calls back: turned into values that the owner of a client looks at when it has polled.
//!
//! All callbacks run inside a poll of the owner, log lines too: of a client that nobody polls nothing is heard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::closing::give_up;
use crate::streams::log::{Delivered, Offset, TopicPartition};

/// A change of the assignment that the group asks for.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke { partitions: Vec<TopicPartition>, lost: bool },
}

/// What the deliveries of a transaction said.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// By topic index and partition: the first and the last offset; a last one of -1 where the end is not known.
    offsets: Vec<Vec<(i64, i64)>>,
    /// The first record that was refused, else the first that was given up with it: its topic index, its size and why.
    pub(super) failed: Option<(usize, usize, KafkaError)>,
}

impl Deliveries {
    pub(super) fn clear(&mut self) {
        self.offsets.iter_mut().for_each(Vec::clear);
        self.failed = None;
    }

    pub(super) fn of(&self, topic: usize, partition: i32) -> Option<Delivered> {
        let (first, last) = *self.offsets.get(topic)?.get(usize::try_from(partition).ok()?)?;
        (last >= 0).then_some(Delivered { first: Offset(first), last: Offset(last) })
    }

    /// A record was not delivered. With one that a broker refuses all others of its transaction are purged, some of which are told of before.
    fn refused(&mut self, topic: usize, bytes: usize, cause: KafkaError) {
        let is_purged =
            |cause: &KafkaError| matches!(cause.rdkafka_error_code(), Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight));
        let replaces = self.failed.as_ref().is_none_or(|(_, _, known)| is_purged(known) && !is_purged(&cause));
        if replaces {
            self.failed = Some((topic, bytes, cause));
        }
    }

    fn delivered(&mut self, topic: usize, partition: i32, offset: i64) {
        let Ok(partition) = usize::try_from(partition) else { return };
        if self.offsets.len() <= topic {
            self.offsets.resize_with(topic + 1, Vec::new);
        }
        let Some(offsets) = self.offsets.get_mut(topic) else { return };
        if offsets.len() <= partition {
            offsets.resize(partition + 1, (i64::MAX, -1));
        }
        if let Some((first, last)) = offsets.get_mut(partition) {
            // A report may lack its offset: then nothing is known of the partition's end.
            (*first, *last) = if offset < 0 { (*first, -1) } else { (offset.min(*first), offset.max(*last)) };
        }
    }
}

/// Why a cluster did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// What librdkafka said.
    pub(super) words: String,
    /// Where a broker did answer, and does not know the client, or the client it: the code for that.
    pub(super) refusal: Option<RDKafkaErrorCode>,
}

/// What librdkafka calls its lines about a session that timed out and about an owner that did not poll (`rdkafka_cgrp.c` of 2.12): it forgets who it was
/// in the group then, and joins again.
const DROPPED_OUT: [&str; 2] = ["SESSTMOUT", "MAXPOLL"];

/// The ear of one client.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// What the group asked for, in order.
    pub(super) rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set before a consumer is closed: what is asked for then is granted at once, or closing would wait for ever.
    pub(super) closing: AtomicBool,
    /// Set where a member has given up its place by itself, since its brokers or its owner were silent for too long.
    pub(super) dropped_out: AtomicBool,
    /// What was delivered in the open transaction.
    pub(super) deliveries: Mutex<Deliveries>,
    /// Whether an error of a broker was reported since it was last cleared.
    pub(super) troubled: AtomicBool,
    /// The last such error in words.
    reason: Mutex<Option<Reason>>,
}

impl Ear {
    /// The last error that a broker, or the way to it, gave; for messages about calls that only timed out.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason.lock().clone()
    }

    /// A call has come through: what was wrong before it explains nothing any more.
    pub(super) fn answered(&self) {
        *self.reason.lock() = None;
    }

    /// Whether a broker refused our credentials, or we its certificate: that does not pass by waiting.
    pub(super) fn refusal(&self) -> Option<RDKafkaErrorCode> {
        self.reason.lock().as_ref()?.refusal
    }

    fn note(&self, words: &str, code: Option<RDKafkaErrorCode>) {
        // The name of the thread says nothing to anybody.
        let words = words.split_once("]: ").filter(|(thread, _)| thread.starts_with("[thrd:")).map_or(words, |(_, words)| words);
        let has = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
        let refusal = match code {
            Some(code @ (RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)) => Some(code),
            _ if has(&["SASL authentication", "mechanism handshake failed"]) => Some(RDKafkaErrorCode::Authentication),
            _ if has(&["SSL handshake failed"]) => Some(RDKafkaErrorCode::SSL),
            _ => None,
        };
        *self.reason.lock() = Some(Reason { words: words.to_owned(), refusal });
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        if fac == "FAIL" && matches!(level, RDKafkaLogLevel::Error | RDKafkaLogLevel::Critical) {
            self.note(message, None);
        }
        if DROPPED_OUT.contains(&fac) {
            self.dropped_out.store(true, Ordering::Release);
        }
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", fac, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", fac, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", fac, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition arrives here too and is no error.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.troubled.store(true, Ordering::Release);
        // "All brokers are down" and the like: what happened to each of them was said before.
        if self.reason.lock().is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason, error.rdkafka_error_code());
        }
        tracing::info!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Ear {
    /// Only takes note: tasks are closed and opened by the thread that owns them, after its poll has returned.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<_> = list.elements().iter().map(|it| TopicPartition::new(it.topic(), it.partition())).collect();
        let granted = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                if !self.is_closing() {
                    self.rebalances.lock().push_back(Rebalance::Assign(partitions));
                }
                // Nothing is read before the stores are restored; the group only wants to hear that the assignment was taken.
                consumer.incremental_assign(&TopicPartitionList::new())
            }
            _ if self.is_closing() || partitions.is_empty() => give_up(consumer, &partitions),
            _ => {
                let lost = consumer.assignment_lost();
                self.rebalances.lock().push_back(Rebalance::Revoke { partitions, lost });
                Ok(())
            }
        };
        if let Err(error) = granted {
            tracing::warn!(target: "librdkafka", %error, "a rebalance was not taken");
        }
    }
}

impl ProducerContext for Ear {
    /// The index of the topic among the producer's.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, topic: usize) {
        let mut deliveries = self.deliveries.lock();
        match result {
            Ok(message) => deliveries.delivered(topic, message.partition(), message.offset()),
            Err((error, message)) => {
                let bytes = message.key_len() + message.payload_len();
                deliveries.refused(topic, bytes, error.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_wrong_password_is_not_hidden_by_what_follows() {
        let ear = Ear::default();
        let line =
            "[thrd:sasl_plaintext://b:9092/bootstrap]: sasl_plaintext://b:9092/bootstrap: SASL authentication error: invalid credentials";
        ear.log(RDKafkaLogLevel::Error, "FAIL", line);
        let words = "sasl_plaintext://b:9092/bootstrap: SASL authentication error: invalid credentials".to_owned();
        let expected = Some(Reason { words, refusal: Some(RDKafkaErrorCode::Authentication) });
        assert_eq!(ear.reason(), expected);
        ear.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(ear.reason(), expected);
        ear.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), "b:9092: Connect failed");
        assert_eq!(ear.reason(), Some(Reason { words: "b:9092: Connect failed".to_owned(), refusal: None }));
        ear.answered();
        assert_eq!(ear.reason(), None);
    }

    #[test]
    fn the_record_that_was_refused_is_told_and_not_those_that_went_with_it() {
        let cause = KafkaError::MessageProduction;
        let mut deliveries = Deliveries::default();
        for (topic, code) in
            [(1, RDKafkaErrorCode::PurgeQueue), (2, RDKafkaErrorCode::MessageSizeTooLarge), (3, RDKafkaErrorCode::PurgeInflight)]
        {
            deliveries.refused(topic, topic * 10, cause(code));
        }
        deliveries.refused(4, 40, cause(RDKafkaErrorCode::InvalidRecord));
        assert_eq!(deliveries.failed, Some((2, 20, cause(RDKafkaErrorCode::MessageSizeTooLarge))));
    }

    #[test]
    fn a_report_without_an_offset_leaves_the_end_unknown() {
        let mut deliveries = Deliveries::default();
        deliveries.delivered(2, 1, 7);
        deliveries.delivered(2, 1, 9);
        let known = |first, last| Some(Delivered { first: Offset(first), last: Offset(last) });
        assert_eq!(deliveries.of(2, 1), known(7, 9));
        assert_eq!(deliveries.of(2, 0), None);
        assert_eq!(deliveries.of(0, 0), None);
        deliveries.delivered(2, 1, -1001);
        assert_eq!(deliveries.of(2, 1), None);
        deliveries.clear();
        deliveries.delivered(2, 1, 3);
        assert_eq!(deliveries.of(2, 1), known(3, 3));
    }
}
