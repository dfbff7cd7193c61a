//! No command that people give by hand says a secret, whatever it meets.

use tidewatch::operate::simulated::{Fault, Faults};

use super::{KEY, Outside, TOKEN, installation, secrets, stop};
use crate::installation::PATIENCE;

#[test]
fn commands_say_no_secret() {
    let faults = [(0.1, Fault::HangAfter), (0.1, Fault::ResetBefore), (0.1, Fault::BadGateway), (0.1, Fault::CutBody)];
    let outside = Outside::start(43, Faults::by_chance(43, &faults));
    let installation = installation(&outside.topology(""));
    installation.write("canary.csv", secrets::ROWS);
    let live = installation.start(&["run", "-vvv"]);
    assert!(outside.telegram.wait_for(PATIENCE, |counts| counts.requests >= 20), "{:#?}", live.said());
    stop(live);
    let mut seen = secrets::Seen::new();
    for command in secrets::by_hand(&str::to_owned) {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        // Nothing runs: whoever asks how it does is told so.
        let output = installation.output(&words);
        assert_eq!(output.code, Some(i32::from(words.first() == Some(&"status"))), "{command:?}: {}", output.stderr);
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{command:?} says nothing");
        seen.push((command.join(" "), (output.stdout + &output.stderr).into_bytes()));
    }
    seen.extend(secrets::bytes_below(&installation.state_dir()));
    println!("{}", secrets::assert_none(&seen, &[TOKEN, KEY]));
}
