//! Sorts librdkafka's errors by what the engine must do about them. One `match`.
//!
//! Its flags alone do not do: a fenced producer comes back as "abortable" from three calls, and a time-out of the commit call as "abortable" although
//! the outcome is unknown. So the code and the call decide, and the flags only where the code says nothing.

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::context::{Ear, Reason};
use crate::streams::log::{Class, Error};

/// The calls that errors come from, as far as their meaning depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Everything of the transactional producer up to the flush, and the abort.
    Produce,
    /// `send_offsets_to_transaction`.
    SendOffsets,
    /// `commit_transaction`.
    Commit,
    /// Reading, committed offsets, topics.
    Other,
}

/// What the flags of a transactional call say.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    retriable: bool,
    abortable: bool,
}

fn flags(error: &KafkaError) -> Flags {
    match error {
        KafkaError::Transaction(error) => Flags { retriable: error.is_retriable(), abortable: error.txn_requires_abort() },
        _ => Flags::default(),
    }
}

/// The consequence of an error.
pub(super) fn class(call: Call, error: &KafkaError) -> Class {
    error.rdkafka_error_code().map_or(Class::Fatal, |code| classify(call, code, flags(error)))
}

fn classify(call: Call, code: Code, flags: Flags) -> Class {
    match (call, code) {
        // Whatever the flags say.
        (_, Code::ProducerFenced | Code::Fenced | Code::FencedInstanceId | Code::InvalidProducerEpoch) => Class::Fenced,
        // Refused by the client itself, in the wrong order: nothing was done.
        (_, Code::State) => Class::Fatal,
        // Nothing but a retriable error leaves the outcome of a commit known.
        (Call::Commit, _) => {
            if flags.retriable {
                Class::Retriable
            } else {
                Class::Unknown
            }
        }
        (Call::SendOffsets, Code::IllegalGeneration | Code::RebalanceInProgress | Code::UnknownMemberId) => Class::Rebalanced,
        (_, Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation | Code::NoOffset) => Class::OutOfRange,
        (
            _,
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed,
        ) => Class::Denied,
        (_, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => Class::UnknownTopic,
        (_, Code::TopicAlreadyExists) => Class::Exists,
        (
            _,
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp,
        ) => Class::Record,
        (_, code) if flags.retriable || passes(code) => Class::Retriable,
        (Call::Produce | Call::SendOffsets, _) if flags.abortable => Class::Abortable,
        // A record that was not delivered in time, or purged: the transaction is lost, the producer is not.
        (Call::Produce, Code::MessageTimedOut | Code::PurgeQueue | Code::PurgeInflight) => Class::Abortable,
        _ => Class::Fatal,
    }
}

/// Whether an error speaks of something that passes by itself: the way to a broker, a broker that is starting, an election.
pub(super) fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::DestroyBroker
            | Code::OffsetNotAvailable
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::QueueFull
            | Code::Retry
            | Code::WaitCache
            | Code::PollExceeded
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::ReassignmentInProgress
            | Code::ThrottlingQuotaExceeded
    )
}

/// An error of a call; `reason` is what a broker last said, for calls that only timed out.
pub(super) fn of(call: Call, operation: impl Into<String>, error: KafkaError, reason: Option<Reason>) -> Error {
    let mut class = class(call, &error);
    let code = error.rdkafka_error_code();
    let silent =
        matches!(code, Some(Code::OperationTimedOut | Code::AllBrokersDown | Code::BrokerTransportFailure | Code::RequestTimedOut));
    // Librdkafka goes on trying and only says that nobody answered; a producer that was let in once goes on with it.
    let refusal = match code {
        Some(code @ (Code::Authentication | Code::SSL)) => Some(code),
        _ => reason.as_ref().filter(|_| silent && call == Call::Other).and_then(|reason| reason.refusal),
    };
    if refusal.is_some() && call == Call::Other {
        class = Class::Denied;
    }
    let words = reason.map(|reason| format!(": {}", reason.words)).unwrap_or_default();
    let message = match refusal {
        Some(Code::SSL) => format!("there is no secure connection to the cluster{words}; look at the certificates, `ssl.*` in [kafka]"),
        Some(_) => format!("the cluster refuses the credentials{words}; look at the user and the password in [kafka]"),
        None if silent && !words.is_empty() => format!("the cluster did not answer; last it was{words}"),
        None if silent => "the cluster did not answer".to_owned(),
        None if class == Class::Denied => "this user may not; `tidewatch setup` says which rights are needed".to_owned(),
        None => "the cluster refused".to_owned(),
    };
    Error::caused(class, operation, message, error)
}

/// An error of a poll; none for one that passes by itself and needs nobody.
pub(super) fn of_poll(consumer: &BaseConsumer<Ear>, cause: KafkaError) -> Option<Error> {
    let fatal = matches!(cause, KafkaError::MessageConsumptionFatal(_));
    let code = cause.rdkafka_error_code();
    if !fatal && code.is_some_and(|code| passes(code) || code == Code::PartitionEOF) {
        tracing::debug!(target: "librdkafka", error = %cause, "consumer");
        return None;
    }
    // A fatal error is told as such once; what it was is asked for.
    let cause = match code {
        Some(Code::Fatal) => {
            let code = consumer.client().fatal_error().map_or(Code::Fatal, |(code, _)| code);
            KafkaError::MessageConsumptionFatal(code)
        }
        _ => cause,
    };
    let mut error = of(Call::Other, "reading", cause, consumer.context().reason());
    // Whoever was let in and is refused once: a broker that starts does not know its users yet. Again and again ends it all the same.
    if code == Some(Code::Authentication) && !fatal {
        error.class = Class::Retriable;
    }
    Some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Flags = Flags { retriable: false, abortable: false };
    const ABORTABLE: Flags = Flags { retriable: false, abortable: true };
    const RETRIABLE: Flags = Flags { retriable: true, abortable: false };

    #[test]
    fn fencing_is_seen_through_every_flag() {
        for call in [Call::Produce, Call::SendOffsets, Call::Commit, Call::Other] {
            for code in [Code::ProducerFenced, Code::Fenced, Code::FencedInstanceId, Code::InvalidProducerEpoch] {
                for flags in [NONE, ABORTABLE, RETRIABLE] {
                    assert_eq!(classify(call, code, flags), Class::Fenced, "{call:?} {code:?}");
                }
            }
        }
    }

    #[test]
    fn the_outcome_of_a_commit_is_unknown_unless_it_may_be_tried_again() {
        for code in [Code::RequestTimedOut, Code::OperationTimedOut, Code::UnknownProducerId, Code::InvalidTransactionalState, Code::Fail] {
            assert_eq!(classify(Call::Commit, code, ABORTABLE), Class::Unknown, "{code:?}");
            assert_eq!(classify(Call::Commit, code, NONE), Class::Unknown, "{code:?}");
            assert_eq!(classify(Call::Commit, code, RETRIABLE), Class::Retriable, "{code:?}");
        }
    }

    #[test]
    fn a_commit_of_no_transaction_was_none() {
        assert_eq!(classify(Call::Commit, Code::State, NONE), Class::Fatal);
    }

    #[test]
    fn a_rebalance_that_overtakes_the_offsets_is_ordinary() {
        for code in [Code::IllegalGeneration, Code::RebalanceInProgress, Code::UnknownMemberId] {
            assert_eq!(classify(Call::SendOffsets, code, ABORTABLE), Class::Rebalanced, "{code:?}");
        }
    }

    #[test]
    fn before_the_commit_call_the_flags_and_the_code_decide() {
        assert_eq!(classify(Call::Produce, Code::UnknownProducerId, ABORTABLE), Class::Abortable);
        assert_eq!(classify(Call::Produce, Code::MessageTimedOut, NONE), Class::Abortable);
        assert_eq!(classify(Call::Produce, Code::OperationTimedOut, NONE), Class::Retriable);
        assert_eq!(classify(Call::Produce, Code::MessageSizeTooLarge, NONE), Class::Record);
        assert_eq!(classify(Call::Produce, Code::InvalidRecord, ABORTABLE), Class::Record);
        assert_eq!(classify(Call::Produce, Code::TopicAuthorizationFailed, ABORTABLE), Class::Denied);
        assert_eq!(classify(Call::SendOffsets, Code::TransactionalIdAuthorizationFailed, NONE), Class::Denied);
        assert_eq!(classify(Call::SendOffsets, Code::CoordinatorNotAvailable, NONE), Class::Retriable);
    }

    #[test]
    fn reading_tells_what_is_gone_from_what_passes() {
        assert_eq!(classify(Call::Other, Code::AutoOffsetReset, NONE), Class::OutOfRange);
        assert_eq!(classify(Call::Other, Code::OffsetOutOfRange, NONE), Class::OutOfRange);
        assert_eq!(classify(Call::Other, Code::UnknownTopicOrPartition, NONE), Class::UnknownTopic);
        assert_eq!(classify(Call::Other, Code::UnstableOffsetCommit, NONE), Class::Retriable);
        for code in [Code::AllBrokersDown, Code::DestroyBroker, Code::OffsetNotAvailable] {
            assert_eq!(classify(Call::Other, code, NONE), Class::Retriable);
        }
        assert_eq!(classify(Call::Other, Code::TopicAlreadyExists, NONE), Class::Exists);
        assert_eq!(classify(Call::Other, Code::GroupAuthorizationFailed, NONE), Class::Denied);
    }

    #[test]
    fn all_brokers_down_during_a_flush_is_no_transaction_error() {
        let error = KafkaError::Flush(Code::OperationTimedOut);
        assert_eq!(class(Call::Produce, &error), Class::Retriable);
        assert_eq!(class(Call::Commit, &error), Class::Unknown);
        let shown = of(Call::Produce, "flushing", error, Some(Reason { words: "connect: no".to_owned(), refusal: None }));
        assert_eq!(shown.to_string(), "flushing: the cluster did not answer; last it was: connect: no");
    }

    #[test]
    fn a_wrong_password_is_told_from_silence() {
        let denied = || Some(Reason { words: "SASL authentication error: no".to_owned(), refusal: Some(Code::Authentication) });
        let expected = "listing the topics: the cluster refuses the credentials: SASL authentication error: no; \
                        look at the user and the password in [kafka]";
        for code in [Code::BrokerTransportFailure, Code::Authentication] {
            let shown = of(Call::Other, "listing the topics", KafkaError::MetadataFetch(code), denied());
            assert_eq!(shown.class, Class::Denied);
            assert_eq!(shown.to_string(), expected);
        }
        let untrusted = Some(Reason { words: "SSL handshake failed: no".to_owned(), refusal: Some(Code::SSL) });
        let shown = of(Call::Other, "x", KafkaError::MetadataFetch(Code::OperationTimedOut), untrusted);
        assert!(
            shown.to_string().starts_with("x: there is no secure connection to the cluster: SSL handshake failed: no; look at"),
            "{shown}"
        );
        // In the middle of a transaction it is an outage.
        assert_eq!(of(Call::Commit, "committing", KafkaError::Flush(Code::OperationTimedOut), denied()).class, Class::Unknown);
        // An answer is what it is, whatever was before.
        assert_eq!(of(Call::Other, "x", KafkaError::Global(Code::UnknownTopic), denied()).class, Class::UnknownTopic);
    }
}
