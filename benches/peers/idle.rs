//! What each takes while nothing happens: started, with a thousand videos in four partitions behind it.

use std::time::{Duration, Instant};

use crate::application::Application;
use crate::group::Group;
use crate::keys::Keys;
use crate::load::load;
use crate::peer::{Job, Options, Peer};
use crate::process::{cpu, resident_kib};
use crate::report::{Report, number, whole};

const VIDEOS: u64 = 1_000;
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn measure(report: &mut Report, peers: &[Peer], seconds: u64, options: Options) {
    let application = Application::set_up(4);
    report.say(&format!("### Idle\n\n4 partitions, {VIDEOS} videos known, nothing arrives for {seconds} s."));
    load(&application.client(), &application.topic("videos"), application.schema(), (Keys::InTurn, VIDEOS, VIDEOS));
    let mut rows = Vec::new();
    for peer in peers {
        let job = Job::new(&application, peer.argument(), options);
        peer.set_up(&job);
        let mut process = peer.start(&job);
        Group::of(&job).wait_for(&mut process, VIDEOS, LIMIT, |_| {});
        let (before, began) = (cpu(process.id()), Instant::now());
        std::thread::park_timeout(Duration::from_secs(seconds));
        let share = cpu(process.id()).saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
        rows.push(vec![peer.name().to_owned(), whole(number(resident_kib(process.id())) / 1024.0), format!("{share:.1} %")]);
    }
    report.table(&["", "memory, MB", "of a processor"], &rows);
}
