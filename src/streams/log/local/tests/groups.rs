//! Groups: generations, rebalance between members, committed offsets.

use super::*;

fn parts(numbers: &[i32]) -> Vec<TopicPartition> {
    numbers.iter().map(|&number| TopicPartition::new("t", number)).collect()
}

#[test]
fn a_partition_moves_only_after_its_owner_gave_it_up() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        let mut first = member(&log, "g", "1");
        first.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *first), Polled::Assigned(parts(&[0, 1])));
        assert_eq!(event(&mut *first), Polled::Nothing);
        let mut second = member(&log, "g", "2");
        second.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *second), Polled::Nothing);
        assert_eq!(event(&mut *first), Polled::Revoked(parts(&[1])));
        assert_eq!(event(&mut *second), Polled::Nothing);
        first.unassign(&parts(&[1])[0]).unwrap();
        assert_eq!(event(&mut *second), Polled::Assigned(parts(&[1])));
        second.unsubscribe().unwrap();
        assert_eq!(event(&mut *first), Polled::Assigned(parts(&[1])));
    });
}

#[test]
fn partitions_are_spread_evenly_over_any_number_of_members() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(7));
        let mut members: Vec<_> = (0..3).map(|number| member(&log, "g", &number.to_string())).collect();
        let mut owned = vec![Vec::new(); 3];
        for joining in 0..3 {
            members[joining].subscribe(&["t".into()]).unwrap();
            for _ in 0..10 {
                for (member, owned) in members.iter_mut().zip(&mut owned) {
                    match event(&mut **member) {
                        Polled::Assigned(more) => owned.extend(more),
                        Polled::Revoked(less) => {
                            for partition in &less {
                                member.unassign(partition).unwrap();
                            }
                            owned.retain(|partition| !less.contains(partition));
                        }
                        _ => {}
                    }
                }
            }
        }
        let mut sizes: Vec<_> = owned.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [2, 2, 3]);
        let mut all: Vec<_> = owned.concat();
        all.sort();
        assert_eq!(all, parts(&[0, 1, 2, 3, 4, 5, 6]));
    });
}

#[test]
fn offsets_of_a_stale_generation_are_refused() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        let mut producer = producer(&log, "p", &["t"]);
        let mut first = member(&log, "g", "1");
        first.subscribe(&["t".into()]).unwrap();
        event(&mut *first);
        let stale = first.group_metadata();
        let mut second = member(&log, "g", "2");
        second.subscribe(&["t".into()]).unwrap();
        producer.begin().unwrap();
        // It has not heard of the rebalance yet: its partitions are still its own.
        producer.send_offsets(&[(at("t"), offset(1))], &stale, ZERO).unwrap();
        event(&mut *first);
        assert_eq!(producer.send_offsets(&[(at("t"), offset(2))], &stale, ZERO).unwrap_err().class, Class::Rebalanced);
        assert_eq!(producer.send_offsets(&[(at("t"), offset(2))], &no_member("g"), ZERO).unwrap_err().class, Class::Rebalanced);
        producer.send_offsets(&[(at("t"), offset(3))], &first.group_metadata(), ZERO).unwrap();
        producer.commit(ZERO).unwrap();
        assert_eq!(second.committed(&[at("t")], ZERO).unwrap(), [Some(offset(3))]);
    });
}

#[test]
fn a_second_holder_of_an_instance_id_fences_the_first() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut first = member(&log, "g", "same");
        first.subscribe(&["t".into()]).unwrap();
        event(&mut *first);
        let mut second = member(&log, "g", "same");
        second.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *second), Polled::Assigned(parts(&[0])));
        assert_eq!(first.poll(ZERO, &mut RecordBatch::default()).unwrap_err().class, Class::Fenced);
    });
}

#[test]
fn an_evicted_member_hears_that_it_lost_its_partitions_and_joins_again() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        let (mut first, mut second) = (member(&log, "g", "1"), member(&log, "g", "2"));
        first.subscribe(&["t".into()]).unwrap();
        event(&mut *first);
        second.subscribe(&["t".into()]).unwrap();
        let stale = first.group_metadata();
        assert!(log.evict("g", &stale.member_id));
        assert_eq!(event(&mut *second), Polled::Assigned(parts(&[0, 1])));
        let mut producer = producer(&log, "p", &["t"]);
        producer.begin().unwrap();
        assert_eq!(producer.send_offsets(&[(at("t"), offset(1))], &stale, ZERO).unwrap_err().class, Class::Rebalanced);
        assert_eq!(event(&mut *first), Polled::Lost(parts(&[0, 1])));
        let Polled::Revoked(back) = event(&mut *second) else { panic!("the second must share") };
        second.unassign(&back[0]).unwrap();
        assert_eq!(event(&mut *first), Polled::Assigned(back));
    });
}

#[test]
fn offsets_of_a_group_with_members_are_not_changed_by_hand() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let admin = log.admin();
        admin.alter_group_offsets("g", &[(at("t"), Some(offset(5)))]).unwrap();
        let mut first = member(&log, "g", "1");
        first.subscribe(&["t".into()]).unwrap();
        assert!(admin.alter_group_offsets("g", &[(at("t"), None)]).is_err());
        drop(first);
        admin.alter_group_offsets("g", &[(at("t"), None)]).unwrap();
        assert_eq!(admin.group_offsets("g").unwrap(), []);
    });
}

#[test]
fn a_waiting_poll_is_woken_by_a_commit() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut consumer = reader(&log, Isolation::ReadCommitted);
        consumer.assign(&at("t"), Offset(0)).unwrap();
        let mut producer = producer(&log, "p", &["t"]);
        let waiting = std::thread::spawn(move || {
            let mut batch = RecordBatch::default();
            while consumer.poll(Duration::from_secs(60), &mut batch).unwrap() != Polled::Records {}
            batch.len()
        });
        commit(&mut *producer, &[("a", "1")]);
        assert_eq!(waiting.join().unwrap(), 1);
    });
}

#[test]
fn a_member_that_comes_back_under_its_instance_id_takes_up_its_own_partitions() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(3));
        let (mut first, mut second) = (member(&log, "g", "1"), member(&log, "g", "2"));
        first.subscribe(&["t".into()]).unwrap();
        event(&mut *first);
        second.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *first), Polled::Revoked(parts(&[2])));
        first.unassign(&parts(&[2])[0]).unwrap();
        assert_eq!(event(&mut *second), Polled::Assigned(parts(&[2])));
        let mut again = member(&log, "g", "1");
        again.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *again), Polled::Assigned(parts(&[0, 1])));
        assert_eq!(event(&mut *second), Polled::Nothing);
    });
}

#[test]
fn a_partition_that_was_asked_back_and_is_to_stay_is_assigned_again() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        let (mut first, mut second) = (member(&log, "g", "1"), member(&log, "g", "2"));
        first.subscribe(&["t".into()]).unwrap();
        event(&mut *first);
        second.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *first), Polled::Revoked(parts(&[1])));
        second.unsubscribe().unwrap();
        assert_eq!(event(&mut *first), Polled::Nothing, "it has not given it up yet");
        first.unassign(&parts(&[1])[0]).unwrap();
        assert_eq!(event(&mut *first), Polled::Assigned(parts(&[1])));
    });
}

#[test]
fn eviction_hands_out_what_was_on_its_way_to_the_evicted_too() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        let (mut first, mut second) = (member(&log, "g", "1"), member(&log, "g", "2"));
        first.subscribe(&["t".into()]).unwrap();
        event(&mut *first);
        second.subscribe(&["t".into()]).unwrap();
        assert_eq!(event(&mut *first), Polled::Revoked(parts(&[1])));
        assert!(log.evict("g", &second.group_metadata().member_id));
        first.unassign(&parts(&[1])[0]).unwrap();
        assert_eq!(event(&mut *first), Polled::Assigned(parts(&[1])));
    });
}

#[test]
fn a_poll_waits_no_longer_than_it_was_told_and_not_shorter_for_what_concerns_others() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        let mut consumer = reader(&log, Isolation::ReadCommitted);
        consumer.assign(&parts(&[1])[0], Offset(0)).unwrap();
        let mut batch = RecordBatch::default();
        assert_eq!(consumer.poll(Duration::from_millis(1), &mut batch).unwrap(), Polled::Nothing);
        let mut producer = producer(&log, "p", &["t"]);
        let waiting = std::thread::spawn(move || {
            let polled = consumer.poll(Duration::from_secs(600), &mut batch).unwrap();
            (polled, batch.source().cloned())
        });
        for _ in 0..50 {
            commit(&mut *producer, &[("a", "1")]);
        }
        producer.begin().unwrap();
        producer.send(&ProducerRecord { partition: Some(Partition(1)), ..record("b", Some("2"), 0) }).unwrap();
        producer.commit(ZERO).unwrap();
        assert_eq!(waiting.join().unwrap(), (Polled::Records, Some(parts(&[1])[0].clone())));
    });
}
