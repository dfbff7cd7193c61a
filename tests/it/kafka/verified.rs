//! The verifier on a real broker: it agrees with an undisturbed run, and sees what is done to its topics afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use super::{ALL, Application, PATIENCE};
use crate::oracle::generated;
use crate::real::broker::Broker;
use crate::real::records::{self, Stored};
use crate::real::verifier::{self, Follower, Verdict};

const PARTITIONS: i64 = 3;
/// Where all messages of an installation of the tests go.
const CHAT: &str = "4711";

/// Runs the Python tests of a directory, of which there are at least so many.
#[track_caller]
fn assert_own_tests_pass(directory: &Path, at_least: u32) {
    let Some(python) = verifier::interpreter() else { return };
    let output = Command::new(python).args(["-B", "-m", "unittest", "-b"]).current_dir(directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let ran = said.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(ran.is_some_and(|ran| ran >= at_least), "too few tests ran: {said}");
}

#[test]
fn the_verifiers_own_tests_pass() {
    assert_own_tests_pass(&verifier::sources(), 50);
}

#[test]
fn the_judgement_of_a_soak_passes_its_own_tests() {
    assert_own_tests_pass(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soak"), 7);
}

struct Scene {
    python: PathBuf,
    folder: tempfile::TempDir,
    broker: &'static Broker,
    application: Application,
    specification: Value,
}

impl Scene {
    /// The shipped topology was run over some observations by an instance that was not disturbed; somebody read along.
    fn of_a_right_run() -> Option<Self> {
        let (python, broker) = (verifier::interpreter()?, Broker::shared()?);
        let application = Application::shipped("commit_interval_ms = 20")?;
        let specification = verifier::shipped(&application.id, |name| application.topic(name), &application.registry, [CHAT; 3]);
        let mut scene = Self { python, folder: tempfile::tempdir().unwrap(), broker, application, specification };
        scene.run();
        Some(scene)
    }

    fn run(&mut self) {
        self.application.set_up(PARTITIONS, &generated::to_csv(&generated::observations(60, 20, 7)));
        // A record that nobody can read, and one without a key.
        let input = self.application.topic("youtube_videos");
        records::write(&self.application.client, &input, &[("video-0001", b"torn"), ("video-0002", b"\0\0\0\0\xff?")]);
        let folder = self.folder.path().join("follow");
        fs::create_dir(&folder).unwrap();
        let follower = Follower::start(&self.python, &folder, self.broker.bootstrap_servers(), &self.specification);
        let progress = self.application.progress("youtube_videos");
        let machine = self.application.instance();
        let mut live = machine.start(&["run", "--only", "topology"]);
        progress.wait_for(ALL, &mut [&mut live]);
        wait_for_positions(&follower);
        live.signal(rustix::process::Signal::TERM);
        assert_eq!(live.join(PATIENCE).0, Some(0));
        self.specification["follow"] = json!(follower.stop());
        self.specification["quiet_seconds"] = json!(3);
    }

    fn judged(&self) -> Verdict {
        verifier::verify(&self.python, self.folder.path(), self.broker.bootstrap_servers(), &self.specification)
    }

    /// A client that writes in transactions.
    fn producer(&self) -> BaseProducer {
        let id = format!("{}-stranger", self.application.id);
        let producer: BaseProducer = self.application.client.clone().set("transactional.id", id).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer
    }

    fn write(&self, producer: &BaseProducer, topic: &str, record: &Stored) {
        let topic = self.application.topic(topic);
        let (key, value) = (record.key.clone().unwrap(), record.value.clone().unwrap());
        let record = BaseRecord::to(&topic).key(&key).payload(&value).timestamp(record.timestamp.unwrap()).partition(record.partition);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    #[track_caller]
    fn assert_found(&self, kind: &str) {
        let verdict = self.judged();
        assert_eq!(verdict.code, Some(1), "{verdict}");
        assert!(verdict.count(kind) > 0, "{verdict}");
    }
}

/// Waits until the follower has seen how far the group is, twice.
#[track_caller]
fn wait_for_positions(follower: &Follower) {
    let positions = |path: &Path| fs::read_to_string(path).unwrap().matches("stable_before").count();
    let (deadline, wanted) = (Instant::now() + PATIENCE, positions(follower.seen()) + 2);
    while positions(follower.seen()) < wanted {
        assert!(Instant::now() < deadline, "the follower sees no positions");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_right_run_is_all_right_and_what_is_done_to_it_is_found() {
    let Some(scene) = Scene::of_a_right_run() else { return };
    let verdict = scene.judged();
    assert_eq!(verdict.code, Some(0), "{verdict}");
    assert_eq!((verdict.count("input"), verdict.count("lost")), (1202, 0), "{verdict}");
    for what in ["changes", "messages", "followed_records", "followed_checkpoints"] {
        assert!(verdict.count(what) > 0, "no {what}: {verdict}");
    }
    // Nobody will have read along from here on.
    let mut scene = scene;
    scene.specification.as_object_mut().unwrap().remove("follow");

    // An aborted transaction is nobody's business.
    let change = records::read(&scene.application.client, &scene.application.topic("youtube_changes")).swap_remove(0);
    let producer = scene.producer();
    scene.write(&producer, "youtube_changes", &change);
    producer.abort_transaction(PATIENCE).unwrap();
    let verdict = scene.judged();
    assert_eq!((verdict.code, verdict.count("aborted_batches")), (Some(0), 1), "{verdict}");

    // One without an end is.
    producer.begin_transaction().unwrap();
    scene.write(&producer, "telegram_outbox", &change);
    scene.assert_found("hanging_transactions");
    producer.abort_transaction(PATIENCE).unwrap();

    // A change once more.
    producer.begin_transaction().unwrap();
    scene.write(&producer, "youtube_changes", &change);
    producer.commit_transaction(PATIENCE).unwrap();
    scene.assert_found("duplicated");

    // An observation that the group has not seen.
    records::write(&scene.application.client, &scene.application.topic("youtube_videos"), &[("video-0003", b"torn")]);
    scene.assert_found("lag");
}
