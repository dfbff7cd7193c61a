//! What a poll costs: units, time and memory of the real program's poller at a YouTube on loopback, by number of videos.

use std::process::{Command, Stdio};

use tidewatch::streams::clock::{Clock as _, ManualClock, SystemClock};

use super::fake::Fake;
use super::process;

/// The channel, and the list of all its uploads.
const CHANNEL: &str = "UC0123456789abcdefghijkQ";
const UPLOADS: &str = "UU0123456789abcdefghijkQ";

const VIDEOS: [u64; 4] = [40, 500, 5_000, 20_000];

/// What a run of the script that this program stands in for costs: lists are read in pages of five, and each video by itself.
fn original(videos: u64) -> u64 {
    videos.div_ceil(5) + videos
}

/// A table of all sizes, or of the smaller ones.
pub(crate) fn measure(is_quick: bool) {
    println!("| videos | poll | units | the original's | ratio | time | processor time | peak memory |");
    println!("|---|---|---|---|---|---|---|---|");
    let most = if is_quick { 500 } else { u64::MAX };
    for videos in VIDEOS.into_iter().filter(|&videos| videos <= most) {
        let fake = Fake::start(ManualClock::at(SystemClock::new().now()));
        fake.with(|world| (0..videos).for_each(|number| world.add(UPLOADS, &format!("video{number:05}A"))));
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "{}\n[youtube]\napi_key = \"AIza-loopback\"\nbase_url = \"{}\"\nchannels = [\"{CHANNEL}\"]\n",
            tidewatch::config::SHIPPED,
            fake.url()
        );
        std::fs::write(folder.path().join("topology.toml"), text).unwrap();
        // The first poll knows nothing; before the next one the state is read back from the log.
        for poll in ["first", "second"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
            command.args(["run", "--only", "poll", "--once", "--state-dir", "state"]).current_dir(folder.path());
            command.stdin(Stdio::null()).stderr(Stdio::null()).env("TELEGRAM_CHAT_ID", "4711");
            let took = process::run(&mut command);
            let units = u64::try_from(fake.paths().len()).unwrap();
            let (ours, theirs) = (u32::try_from(units).unwrap(), u32::try_from(original(videos)).unwrap());
            println!(
                "| {videos} | {poll} | {units} | {theirs} | 1/{:.0} | {:.2} s | {:.2} s | {:.0} MiB |",
                f64::from(theirs) / f64::from(ours),
                took.time.as_secs_f64(),
                took.cpu.as_secs_f64(),
                f64::from(u32::try_from(took.peak_kib).unwrap()) / 1024.0
            );
        }
    }
}
