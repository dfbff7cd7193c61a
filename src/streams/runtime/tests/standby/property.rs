//! Whatever happens, in whatever order: the disk of a machine is at any time what its changelog was up to the checkpoint.

use proptest::prelude::*;

use super::*;

const PARTITIONS: i32 = 2;
const KEYS: u8 = 4;

#[derive(Clone, Debug)]
enum Op {
    /// A record for a partition; without a value the key is forgotten.
    Write {
        partition: i32,
        key: u8,
        value: Option<u8>,
    },
    /// A few turns of a stream thread: less than it takes, often.
    Work {
        machine: usize,
        turns: u8,
    },
    /// A few steps of its standby tasks.
    Follow {
        machine: usize,
        steps: u8,
    },
    /// Everybody until nothing is left to do.
    Settle,
    Kill {
        machine: usize,
    },
    Stop {
        machine: usize,
    },
    Start {
        machine: usize,
    },
    /// Seconds, or hours: tombstones are kept for a day.
    Wait {
        seconds: u64,
    },
}

fn op(machines: usize) -> impl Strategy<Value = Op> {
    let machine = 0..machines;
    prop_oneof![
        8 => (0..PARTITIONS, 0..KEYS, proptest::option::weighted(0.7, any::<u8>())).prop_map(|(partition, key, value)| Op::Write { partition, key, value }),
        6 => (machine.clone(), 1..6_u8).prop_map(|(machine, turns)| Op::Work { machine, turns }),
        6 => (machine.clone(), 1..12_u8).prop_map(|(machine, steps)| Op::Follow { machine, steps }),
        3 => Just(Op::Settle),
        2 => machine.clone().prop_map(|machine| Op::Kill { machine }),
        1 => machine.clone().prop_map(|machine| Op::Stop { machine }),
        4 => machine.prop_map(|machine| Op::Start { machine }),
        3 => prop_oneof![3 => 1..10_u64, 2 => 30_000..80_000_u64].prop_map(|seconds| Op::Wait { seconds }),
    ]
}

/// Everything that was ever committed to the changelogs, whatever compaction left of it.
#[derive(Default)]
struct History(BTreeMap<i32, (Vec<Row>, Offset)>);

impl History {
    fn look(&mut self, sea: &Sea) {
        if sea.log.admin().describe(CHANGELOG).unwrap().is_none() {
            return;
        }
        for partition in 0..PARTITIONS {
            let (known, until) = self.0.entry(partition).or_default();
            let (more, position) = changelog(&sea.log, partition, *until);
            known.extend(more);
            *until = position;
        }
    }

    fn check(&self, machines: &[Machine]) -> Result<(), TestCaseError> {
        for machine in machines {
            for (partition, (records, until)) in &self.0 {
                let (checkpoint, rows) = machine.disk(&last(), task(*partition));
                let checkpoint = checkpoint.unwrap_or_default();
                prop_assert!(checkpoint <= *until, "{} {partition}: {checkpoint} leads {until}", machine.name);
                prop_assert_eq!(&rows, &fold(records, checkpoint), "{} {}: the rows up to {}", machine.name, partition, checkpoint);
            }
        }
        Ok(())
    }
}

fn apply(op: &Op, sea: &mut Sea, machines: &mut [Machine]) {
    match *op {
        Op::Write { partition, key, value } => sea.write(partition, &format!("k{key}"), value.map(|value| format!("v{value}")).as_deref()),
        Op::Work { machine, turns } => {
            if let Some(process) = &mut machines[machine].running {
                (0..turns).for_each(|_| assert!(process.thread.run_once(ZERO).is_ok()));
            }
        }
        Op::Follow { machine, steps } => {
            if let Some(process) = &mut machines[machine].running {
                let more = (0..steps).filter(|_| process.standby.step(ZERO)).count();
                assert!(more <= usize::from(steps));
            }
        }
        Op::Settle => settle(sea, &mut machines.iter_mut().collect::<Vec<_>>()),
        Op::Kill { machine } => machines[machine].kill(),
        Op::Stop { machine } => machines[machine].stop(),
        Op::Start { machine } if machines[machine].running.is_none() => machines[machine].start(sea),
        Op::Start { .. } => {}
        Op::Wait { seconds } => sea.clock.advance(SECOND * u32::try_from(seconds).unwrap()),
    }
}

fn run(ops: &[Op]) -> Result<u64, TestCaseError> {
    let mut sea = Sea::new(PARTITIONS);
    let mut machines = ["one", "two", "three"].map(Machine::new);
    let mut history = History::default();
    for op in ops {
        apply(op, &mut sea, &mut machines);
        history.look(&sea);
        history.check(&machines)?;
    }
    for machine in &mut machines {
        if machine.running.is_none() {
            machine.start(&sea);
        }
    }
    // A member that hears of a rebalance in between looks for its standby tasks afterwards, and stores that stood still for a day are left alone for a while.
    for _ in 0..7 {
        settle(&sea, &mut machines.iter_mut().collect::<Vec<_>>());
    }
    history.look(&sea);
    history.check(&machines)?;
    let mut followed = 0;
    for machine in &mut machines {
        let status = machine.status();
        prop_assert_eq!(status.tasks.len() + status.standbys.len(), 2, "{}: {:?}", machine.name, status);
        for (id, standby) in status.standbys {
            prop_assert_eq!((standby.waiting.clone(), standby.lag()), (None, 0), "{} {}: {:?}", machine.name, id, standby);
            let (checkpoint, _) = machine.disk(&last(), id);
            prop_assert_eq!(checkpoint, Some(history.0[&id.partition].1), "the standby is at the end");
        }
        followed += status.standby_records_total;
    }
    Ok(followed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_disk_is_the_changelog_up_to_its_checkpoint(ops in proptest::collection::vec(op(3), 1..80)) {
        run(&ops)?;
    }
}
