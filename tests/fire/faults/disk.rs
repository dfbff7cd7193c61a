//! Faults 16 and 17: no space left, and files that are damaged, gone, or another's.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::instance::Instance;
use crate::load::Look;
use crate::monitor;
use crate::real::process::Process;
use crate::scene::{CAUGHT_UP, Scene, Settings, Stage};
use crate::time::{nap, wait_for};

const FULL: [usize; 2] = [1, 5];
const DAMAGES: [usize; 2] = [1, 5];

/// How long there is no space: longer than rows can wait in memory, shorter than the group waits for a poll.
const FULL_FOR: Duration = Duration::from_secs(35);

/// Longer than that, by a session.
const FULL_AND_LEFT: Duration = Duration::from_secs(85);

/// The size of the small disk.
const DISK: &str = "24m";

/// A small disk in a mount namespace of its own, so that nothing of it is seen outside and nothing is left.
#[derive(Debug)]
struct SmallDisk {
    _holder: Process,
    enter: Vec<OsString>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Puts an instance's state directory on one.
    fn under(instance: &mut Instance) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("tidewatch-fire-disk-").tempdir().unwrap();
        let path = instance.state_dir();
        fs::create_dir_all(&path).unwrap();
        let script = format!("mount -t tmpfs -o size={DISK},mode=0700 tmpfs \"$1\" && echo mounted && exec sleep 1000000");
        let mut command: Vec<OsString> = ["unshare", "-rm", "sh", "-c", &script, "sh"].map(OsString::from).into();
        command.push(path.clone().into());
        let mut holder = Process::start("the small disk", folder.path(), &command);
        holder.wait_for("mounted", |process| process.said().contains("mounted").then_some(()))?;
        let id = holder.id().to_string();
        let enter: Vec<OsString> = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", &id].map(OsString::from).into();
        instance.within.clone_from(&enter);
        Ok(Self { _holder: holder, enter, path, _folder: folder })
    }

    fn run(&self, script: &str) -> Result<String, String> {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).args(["sh", "-c", script, "sh"]).arg(self.path.join("filler"));
        let output = command.output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Takes all the space that is left.
    fn fill(&self) -> Result<(), String> {
        let said = self.run("dd if=/dev/zero of=\"$1\" bs=16k; dd if=/dev/zero of=\"$1.2\" bs=512")?;
        if said.contains("No space left") { Ok(()) } else { Err(format!("the disk is not full: {said}")) }
    }

    fn free(&self) -> Result<(), String> {
        self.run("rm -f \"$1\" \"$1.2\"").map(drop)
    }
}

/// Large rows and little memory for them: the stores write to their disks at once, and without a disk have no room for more within seconds.
pub(crate) fn full(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let look = Look { rate: 150, keys: 800, padding: 5000, ..Look::default() };
    let engine = "cache_mib = 2\nwrite_back_mib = 1".to_owned();
    Scene::play(stage, "disk", Settings { instances: 2, look, engine, ..Settings::default() }, |scene| {
        let disk = SmallDisk::under(&mut scene.instances[0])?;
        scene.start_all()?;
        for number in 0..FULL[usize::from(stage.long)] {
            scene.catch_up()?;
            // The last of the long run.
            let is_left = number > 0 && number + 1 == FULL[1];
            without_space(scene, &disk, if is_left { FULL_AND_LEFT } else { FULL_FOR })?;
        }
        scene.stop(0, 16);
        // The disk goes with this function: what is on it is brought to where the export looks for it.
        let state = scene.instances[0].state_dir();
        let copy = scene.instances[0].folder().join("copy");
        let script = format!("cp -a '{}' '{}'", state.display(), copy.display());
        let said = disk.run(&script)?;
        drop(disk);
        scene.instances[0].within.clear();
        fs::remove_dir_all(&state).map_err(|error| error.to_string())?;
        fs::rename(&copy, &state).map_err(|error| format!("{error}: {said}"))
    })
}

/// No space for a while. Who stands still for longer than its group waits drops out: others have its work meanwhile.
fn without_space(scene: &mut Scene<'_>, disk: &SmallDisk, time: Duration) -> Result<(), String> {
    let id = scene.ledger.plan(16, if time == FULL_FOR { "full" } else { "left" });
    disk.fill()?;
    scene.happened(16, &id, "disk", None);
    let (mut answers, said_before) = (0, scene.instances[0].said().len());
    for _ in 0..time.as_secs() {
        scene.watch_for(Duration::from_secs(1), 16);
        let output = scene.instances[0].command(&["status", "--json"]);
        answers += u64::from(String::from_utf8_lossy(&output.stdout).contains("\"state\""));
    }
    if time == FULL_FOR {
        waits_outside_of_transactions(scene);
    } else {
        scene.catch_up().map_err(|error| format!("nobody took its work: {error}"))?;
    }
    let said = scene.instances[0].said();
    let since = said.get(said_before..).unwrap_or(&said);
    for felt in ["committed rows stay in memory until there is space", "standing still until there is space again"] {
        if !since.iter().any(|line| line["message"] == felt) {
            scene.ledger.broken(16, format!("the full disk was not felt: {felt}"));
        }
    }
    disk.free()?;
    let took = scene.catch_up()?.as_millis();
    let asked = time.as_secs();
    scene.ledger.remark(
        16,
        format!("asked {asked} times while the disk was full, answered {answers} times; caught up {took} ms after there was space"),
    );
    // Whoever asks at the moment in which it is busy may have to ask again.
    if answers + 3 < asked {
        scene.ledger.broken(16, format!("only {answers} questions were answered while the disk was full"));
    }
    if time != FULL_FOR {
        let is_back = || scene.instances[0].command(&["status"]).status.success().then_some(());
        wait_for("a member again", CAUGHT_UP, is_back).map_err(|error| format!("{error}\n{}", scene.last_said()))?;
    }
    if scene.instances[0].has_said("the store is rebuilt") {
        scene.ledger.broken(16, "a store was wiped");
    }
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}

/// Where nothing is written to a changelog any more, nothing is open either.
fn waits_outside_of_transactions(scene: &mut Scene<'_>) {
    let (client, id) = (scene.stage.client.clone(), scene.id.clone());
    let ends = |isolation| monitor::ends(&client, &id, isolation);
    let before = ends("read_uncommitted");
    scene.watch_for(Duration::from_secs(2), 16);
    let (stable, after) = (ends("read_committed"), ends("read_uncommitted"));
    let still: Vec<_> = after.iter().filter(|(place, end)| place.0.ends_with("-changelog") && before.get(*place) == Some(end)).collect();
    let open: Vec<_> = still.iter().filter(|(place, end)| stable.get(*place) != Some(end)).collect();
    if still.is_empty() || !open.is_empty() {
        scene.ledger.broken(16, format!("the full disk: of the changelogs {still:?} stand still, and {open:?} have an open transaction"));
    }
}

/// How the files of a task are damaged.
const KINDS: [&str; 8] = ["byte", "table", "nocurrent", "current", "nomanifest", "manifest", "swapped", "noise"];

pub(crate) fn damaged(stage: &Stage, _: &[u8]) -> Result<(), String> {
    Scene::play(stage, "damage", Settings { instances: 1, ..Settings::default() }, |scene| {
        scene.start_all()?;
        for number in 0..DAMAGES[usize::from(stage.long)] * KINDS.len() {
            let (round, kind) = (number / KINDS.len(), KINDS[number % KINDS.len()]);
            scene.watch_for(Duration::from_secs(2), 17);
            // Each kind with either, from round to round.
            let signal = if (number + round) % 2 == 0 { "TERM" } else { "KILL" };
            scene.stop(0, 17);
            if signal == "KILL" {
                // With a tail to restore beside the damage.
                scene.instances[0].start("");
                scene.wait_until_running()?;
                scene.watch_for(Duration::from_millis(800), 17);
                scene.instances[0].stop("KILL");
            }
            let id = scene.ledger.plan(17, kind);
            damage(&scene.instances[0].state_dir().join("state"), (number + round) % 4, kind)?;
            scene.happened(17, &id, "damage", None);
            scene.instances[0].start("");
            scene.monitor.wait_for_recovery(CAUGHT_UP)?;
            let rebuilt =
                scene.instances[0].said().iter().filter(|line| line["message"] == "the store is rebuilt from its changelog").count();
            let restored = scene.instances[0].restored();
            scene.ledger.remark(17, format!("{kind}: {rebuilt} stores were rebuilt, {restored} records restored"));
            // Of two tasks whose files are exchanged both are wrong.
            if rebuilt > if kind == "swapped" { 2 } else { 1 } {
                scene.ledger.broken(17, format!("{kind}: a store was wiped more than once"));
            }
        }
        Ok(())
    })
}

fn damage(state: &Path, partition: usize, kind: &str) -> Result<(), String> {
    let task = state.join(format!("0_{partition}"));
    let failed = |error: std::io::Error| format!("{kind}: {error}");
    let find = |what: &str| -> Result<PathBuf, String> {
        let files = fs::read_dir(&task).map_err(failed)?.flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> =
            files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(what))).collect();
        found.sort();
        found.pop().ok_or_else(|| format!("{kind}: there is no {what} in {}", task.display()))
    };
    match kind {
        "byte" => {
            let path = find(".sst")?;
            let mut bytes = fs::read(&path).map_err(failed)?;
            let place = bytes.len() / 3;
            bytes[place] ^= 0x40;
            fs::write(path, bytes).map_err(failed)
        }
        "table" => fs::remove_file(find(".sst")?).map_err(failed),
        "nocurrent" => fs::remove_file(find("CURRENT")?).map_err(failed),
        "current" => fs::write(find("CURRENT")?, "MANIFEST-999999\n").map_err(failed),
        "nomanifest" => fs::remove_file(find("MANIFEST")?).map_err(failed),
        "manifest" => {
            let path = find("MANIFEST")?;
            let bytes = fs::read(&path).map_err(failed)?;
            fs::write(path, &bytes[..bytes.len() / 2]).map_err(failed)
        }
        "swapped" => {
            let (other, aside) = (state.join(format!("0_{}", (partition + 1) % 4)), state.join("aside"));
            fs::rename(&task, &aside).and_then(|()| fs::rename(&other, &task)).and_then(|()| fs::rename(&aside, &other)).map_err(failed)
        }
        _ => {
            let path = find("MANIFEST")?;
            fs::write(path, [0x5a; 4096]).map_err(failed)
        }
    }?;
    nap(Duration::from_millis(10));
    Ok(())
}
