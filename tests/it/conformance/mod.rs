//! What a log promises, as scripts over `&dyn Log`: the same observations in memory, on disk and on a real broker.
//!
//! A script says what must be seen, not when: a broker makes some things visible a moment after the call (markers, members,
//! deleted topics), so it looks until it sees it, or until it is tired of waiting. What the embedded log promises beyond
//! that (at once, exactly then) is asked by its own unit tests.

mod consuming;
mod groups;
mod handover;
mod offsets;
mod producing;
mod records;
mod scene;
mod times;
mod topics;
mod transactions;

use std::sync::{Arc, OnceLock};

use tidewatch::streams::log::Log;
use tidewatch::streams::log::kafka::{self, KafkaLog};
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::rocks::{Budget, Options, Profile, Rocks};

use crate::real::broker::Broker;
use crate::real::unique;

/// Makes a test per script and log. A script that is not in the table is dead code, and so a warning.
macro_rules! conformance {
    ($($file:ident: $($script:ident),+;)+) => {
        mod in_memory { $(mod $file { $(#[test] fn $script() {
            crate::conformance::in_memory(crate::conformance::$file::$script);
        })+ })+ }
        mod on_disk { $(mod $file { $(#[test] fn $script() {
            crate::conformance::on_disk(crate::conformance::$file::$script);
        })+ })+ }
        mod on_kafka { $(mod $file { $(#[test] fn $script() {
            crate::conformance::on_kafka(crate::conformance::$file::$script, concat!(stringify!($file), "-", stringify!($script)));
        })+ })+ }
    };
}

conformance! {
    transactions:
        records_are_seen_when_their_transaction_commits,
        aborted_records_are_passed_over,
        the_oldest_open_transaction_holds_back_the_last_stable_offset,
        all_partitions_and_topics_of_a_transaction_commit_together,
        the_newest_holder_of_an_id_fences_the_former,
        a_new_holder_of_an_id_aborts_nothing_that_was_committed,
        commits_and_aborts_take_turns;
    producing:
        what_was_only_queued_is_gone_after_an_abort,
        a_commit_flushes,
        a_transaction_of_nothing_leaves_no_trace,
        calls_out_of_order_are_refused,
        a_topic_that_is_named_twice_keeps_the_records_of_both_names,
        delivered_names_the_first_and_last_offset_of_this_transaction,
        a_large_transaction_is_read_whole_and_in_order;
    records:
        keys_values_and_nulls_come_back,
        headers_keep_order_nulls_and_repeated_keys,
        timestamps_are_kept,
        keys_decide_the_partition_as_in_java,
        an_explicit_partition_overrides_the_key,
        a_record_without_a_key_goes_somewhere,
        large_records_come_back,
        a_record_that_is_too_large_is_refused,
        a_compacted_topic_refuses_a_record_without_a_key,
        an_unknown_topic_or_partition_is_refused;
    consuming:
        a_batch_holds_one_partition_in_order,
        positions_begin_where_assigned_and_pass_over_markers,
        a_seek_reads_again_or_skips,
        a_paused_partition_keeps_its_position,
        a_partition_that_was_given_up_paused_is_read_when_it_comes_back,
        assigning_again_is_a_seek_and_a_resume,
        an_unassigned_partition_is_not_read,
        an_abort_does_not_move_the_position,
        an_offset_outside_the_log_is_an_error,
        an_unknown_topic_is_an_error,
        what_needs_a_group_or_an_assignment_is_refused_without;
    offsets:
        offsets_are_the_groups_when_the_transaction_commits,
        committed_offsets_wait_for_open_transactions,
        a_new_holder_of_an_id_frees_the_offsets_of_the_former,
        metadata_may_be_long_and_of_any_language,
        one_transaction_moves_several_groups,
        offsets_are_set_and_removed_by_hand,
        offsets_of_a_group_with_members_are_not_changed_by_hand,
        offsets_go_with_their_topic;
    groups:
        two_members_share_and_one_that_leaves_hands_over,
        partitions_are_spread_evenly,
        nothing_is_read_before_it_is_assigned,
        groups_do_not_disturb_each_other,
        a_member_that_left_can_join_again,
        who_only_asks_for_offsets_disturbs_no_member,
        a_second_holder_of_an_instance_id_fences_the_first,
        a_member_that_comes_back_takes_up_its_own_partitions,
        what_a_member_died_with_in_a_hand_over_is_not_forgotten;
    handover:
        what_was_committed_before_giving_up_is_found_by_the_next_owner,
        a_partition_that_was_never_assigned_can_be_given_up,
        a_stale_generation_is_refused_and_the_current_one_is_not;
    topics:
        a_topic_is_created_described_and_deleted,
        what_cannot_be_created_is_refused,
        an_unknown_topic_has_no_watermarks_and_cannot_be_deleted,
        a_topic_made_again_is_empty,
        a_compacted_topic_keeps_the_last_value_of_each_key;
    times:
        a_time_finds_the_first_record_that_is_not_older,
        a_time_finds_a_record_and_never_a_marker,
        a_time_does_not_find_what_was_aborted;
}

fn in_memory(script: fn(&dyn Log, &str)) {
    script(&*LocalLog::in_memory(), "");
}

fn on_disk(script: fn(&dyn Log, &str)) {
    let directory = tempfile::tempdir().unwrap();
    let rocks = Rocks::open(&directory.path().join("log"), &Options::new(Profile::Log, Budget::new(1 << 20, 1 << 20))).unwrap();
    script(&*LocalLog::open(Arc::new(rocks)).unwrap(), "");
}

fn on_kafka(script: fn(&dyn Log, &str), name: &str) {
    static LOG: OnceLock<Arc<KafkaLog>> = OnceLock::new();
    let Some(broker) = Broker::shared() else { return };
    let log = LOG.get_or_init(|| KafkaLog::new(kafka::Options::new(broker.bootstrap_servers().split(',').map(str::trim))).unwrap());
    // Names for this run alone: a broker remembers what earlier runs left.
    script(&**log, &unique(&format!("conformance-{name}-")));
}
