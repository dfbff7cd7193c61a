//! Fault 8: the errors that a broker can answer with, on each call of a transaction. The proxy puts it into a real answer, or answers itself.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::proxy::{Deed, api};
use crate::scene::{Scene, Settings, Stage};
use crate::time::nap;

/// A call, and the codes of Kafka's protocol that it may be answered with. Those before the mark are the short run's.
struct Call {
    name: &'static str,
    api: i16,
    short: &'static [i16],
    long: &'static [i16],
}

const CALLS: &[Call] = &[
    Call { name: "InitProducerId", api: api::INIT_PRODUCER_ID, short: &[51, 47], long: &[-1, 7, 14, 15, 16, 53, 90, 120] },
    Call {
        name: "AddPartitionsToTxn",
        api: api::ADD_PARTITIONS,
        short: &[51, 90],
        long: &[-1, 3, 14, 15, 16, 29, 47, 48, 49, 53, 55, 120],
    },
    Call {
        name: "Produce",
        api: api::PRODUCE,
        short: &[6, 47],
        long: &[-1, 2, 3, 5, 7, 19, 20, 29, 45, 46, 48, 49, 53, 56, 59, 87, 90, 120],
    },
    Call { name: "AddOffsetsToTxn", api: api::ADD_OFFSETS, short: &[16, 120], long: &[-1, 14, 15, 30, 47, 48, 49, 51, 53, 90] },
    Call {
        name: "TxnOffsetCommit",
        api: api::TXN_OFFSET_COMMIT,
        short: &[22, 25, 27],
        long: &[-1, 3, 7, 12, 14, 15, 16, 28, 29, 30, 47, 53, 82, 90, 120],
    },
    Call { name: "EndTxn", api: api::END_TXN, short: &[15, 48, 7], long: &[-1, 14, 16, 47, 49, 51, 53, 59, 90, 120] },
];

/// Nobody may stand still for longer.
const HANGS: Duration = Duration::from_secs(30);

pub(crate) fn play(stage: &Stage, _: &[u8]) -> Result<(), String> {
    Scene::play(stage, "codes", Settings { instances: 2, ..Settings::default() }, |scene| {
        scene.start_all()?;
        let mut number = 0;
        for call in CALLS {
            let long = if scene.stage.long { call.long } else { &[] };
            for code in call.short.iter().chain(long) {
                answered(scene, number % 2, call, Deed::Falsify(*code))?;
                number += 1;
                // Where the broker did not do what it was asked for, too.
                if call.api == api::END_TXN {
                    answered(scene, number % 2, call, Deed::Refuse(*code))?;
                    number += 1;
                }
            }
        }
        Ok(())
    })
}

fn answered(scene: &mut Scene<'_>, place: usize, call: &Call, deed: Deed) -> Result<(), String> {
    let (Deed::Falsify(code) | Deed::Refuse(code)) = deed else { return Err("this is no answer".to_owned()) };
    let what = format!("{}{code}{}", call.name, if matches!(deed, Deed::Refuse(_)) { "refused" } else { "" });
    let id = scene.ledger.plan(8, &what.replace('-', "minus"));
    let (tell, told) = channel();
    let client = scene.instances[place].client();
    if call.api == api::INIT_PRODUCER_ID {
        // It is asked for at the start.
        scene.stop(place, 8);
    }
    scene.stage.proxy.order(&client, call.api, 0, deed, tell);
    if !scene.instances[place].runs() {
        scene.instances[place].start("");
    }
    let began = Instant::now();
    while told.try_recv().is_err() {
        if began.elapsed() > HANGS {
            scene.stage.proxy.forget(&client);
            return Err(format!("{what}: the call never came"));
        }
        scene.watch_for(Duration::from_millis(5), 8);
    }
    scene.happened(8, &id, "answer", Some(call.api != api::INIT_PRODUCER_ID));
    let began = Instant::now();
    while scene.monitor.wait_for_recovery(Duration::from_millis(20)).is_err() {
        for ended in scene.tend() {
            if ended.instance == place && ended.gave_up(&[1, 2]) {
                scene.ledger.remark(8, format!("{what}: ended with {}: {}", ended.status, ended.reason.replace('\n', "; ")));
            } else {
                scene.ledger.broken(8, format!("{what}: {ended}"));
            }
            scene.instances[ended.instance].start("");
        }
        if began.elapsed() > HANGS {
            let said = scene.instances[place].last_said();
            scene.ledger.broken(8, format!("{what}: nothing moves after {HANGS:?}\n{said}"));
            scene.instances[place].stop("KILL");
            scene.must_go_on(8);
            scene.instances[place].start("");
            return scene.monitor.wait_for_recovery(HANGS * 2);
        }
    }
    // Between two of them it works undisturbed.
    let ends = scene.load.ends.of_each();
    nap(Duration::from_millis(100));
    scene.monitor.wait_until(&ends, HANGS).map(drop)
}
