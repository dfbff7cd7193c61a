//! The processor by itself, step by step: what a bad record takes back between two commits, and what the processor keeps over them.

use super::*;
use crate::processors::testing::MemoryStore;
use crate::streams::processor::{KeyValueStore, RecordContext, ScheduleId};

const NOW: Timestamp = Timestamp(1_762_217_777_000);

/// The store of a task, and what its processor counts.
#[derive(Debug, Default)]
struct Task {
    store: MemoryStore,
    counts: BTreeMap<&'static str, u64>,
}

impl ProcessorContext<Letter> for Task {
    fn forward(&mut self, _: &Record<'_, Letter>) -> Result<(), BoxError> {
        panic!("nothing is given up here")
    }

    fn store(&mut self, _: StoreId) -> &mut dyn KeyValueStore {
        &mut self.store
    }

    fn source(&self) -> Option<RecordContext<'_>> {
        None
    }

    fn stream_time(&self) -> Timestamp {
        NOW
    }

    fn wall_clock(&self) -> Timestamp {
        NOW
    }

    fn count(&mut self, name: &'static str, by: u64) {
        *self.counts.entry(name).or_default() += by;
    }
}

/// A processor that is driven by hand.
struct Hand {
    sender: Sender,
    task: Task,
    desk: Arc<Desk>,
}

impl Hand {
    fn new(world: &World) -> Self {
        let desk = world.desk();
        Self { sender: Self::sender(Arc::new(world.settings.clone()), &desk), task: Task::default(), desk }
    }

    fn sender(settings: Arc<Settings>, desk: &Arc<Desk>) -> Sender {
        let mut sender = Sender::new(settings, Arc::clone(desk));
        let stores = [(sent_log::STORE.to_owned(), StoreId(0))];
        sender.init(&mut InitContext { stores: &stores, schedules: &mut Vec::new() }).unwrap();
        sender
    }

    /// The task is made anew in the same process, as when what came of a commit is not known: its rows are there, all of them committed.
    fn made_anew(self) -> Self {
        let Self { sender, task, desk } = self;
        let settings = Arc::clone(&sender.settings);
        drop(sender);
        Self { sender: Self::sender(settings, &desk), task, desk }
    }

    fn put(&mut self, chat: &str, text: &str) {
        let message = Queued { event_id: text.to_owned(), text: text.to_owned(), ..Queued::default() };
        self.sender.enqueue(chat, &message, &mut self.task).unwrap();
    }

    /// A turn; nothing is committed.
    fn turn(&mut self) {
        let punctuation = Punctuation { kind: PunctuationType::WallClockTime, timestamp: NOW, schedule: ScheduleId(0) };
        self.sender.punctuate(&punctuation, &mut self.task).unwrap();
    }

    /// A bad record: it is taken back alone, but its processor hears of nothing more than that.
    fn bad_record(&mut self) {
        self.sender.rolled_back();
    }

    /// Turns, each with its commit, until nothing happens any more.
    fn run(&mut self) {
        for _ in 0..10 {
            self.turn();
            self.sender.committed();
            self.desk.quiet();
        }
    }

    /// The requests that the desk has for the task.
    fn jobs(&self) -> usize {
        self.desk.jobs(self.sender.owner()).len()
    }
}

#[test]
fn a_bad_record_after_an_intent_neither_takes_a_place_for_good_nor_leaves_the_chat_waiting() {
    let world = World::new();
    let mut hand = Hand::new(&world);
    hand.put("5", "one");
    // More often than there are places.
    for _ in 0..300 {
        hand.turn();
        assert_eq!(hand.jobs(), 1, "its intent is written, and not committed");
        hand.bad_record();
        assert_eq!(hand.jobs(), 0);
    }
    hand.run();
    assert_eq!((world.fake.texts("5"), hand.jobs()), (strings(&["one"]), 0));
    assert_eq!(hand.task.counts, BTreeMap::from([("sent_total", 1)]));
}

#[test]
fn a_bad_record_after_an_outcome_does_not_make_it_that_of_the_next_message() {
    let world = World::new();
    let mut hand = Hand::new(&world);
    hand.put("5", "one");
    hand.put("5", "two");
    hand.turn();
    hand.sender.committed();
    assert_eq!(hand.desk.quiet(), 1);
    // The outcome is recorded and the next intent written; neither is committed when the bad record comes.
    hand.turn();
    assert_eq!(hand.task.counts, BTreeMap::from([("sent_total", 1)]));
    hand.bad_record();
    hand.run();
    assert_eq!((world.fake.texts("5"), hand.jobs()), (strings(&["one", "two"]), 0));
    assert_eq!(hand.task.counts, BTreeMap::from([("sent_total", 2)]));
}

#[test]
fn an_outcome_is_recorded_only_where_its_request_is_the_one_that_was_meant() {
    let world = World::new();
    for (other_session, other_job) in [(1, 0), (0, 1), (1, 1)] {
        let mut hand = Hand::new(&world);
        hand.put("5", "one");
        hand.turn();
        let row = hand.sender.view.row("5").cloned().unwrap();
        let Intent { session, job, edits } = row.intent.unwrap();
        let intent = Some(Intent { session: session ^ other_session, job: job + other_job, edits });
        let row = ChatRow { intent, ..row };
        book::put_chat(&mut hand.task.store, "5", &row).unwrap();
        hand.sender.view.set(&"5".into(), row.clone(), Turn::Flying);
        // It is not made, which its task is told.
        hand.desk.freeze();
        hand.sender.committed();
        hand.desk.settle(hand.sender.owner());
        assert_eq!(hand.desk.outcomes(hand.sender.owner()).len(), 1);
        hand.sender.record_outcomes(&mut hand.task).unwrap();
        assert_eq!(book::chat(&mut hand.task.store, "5").unwrap(), Some(row), "{other_session} {other_job}");
    }
}

#[test]
fn what_is_committed_is_forgotten_here_and_at_the_desk() {
    let world = World::new();
    let mut hand = Hand::new(&world);
    for number in 0..3 {
        hand.put("5", &format!("{number}"));
        hand.run();
        assert_eq!((hand.sender.settled.as_slice(), hand.jobs()), (&[][..], 0), "after {number}");
    }
    assert_eq!(world.fake.texts("5"), ["0", "1", "2"]);
}

#[test]
fn a_task_that_ends_as_soon_as_it_was_made_anew_leaves_nothing_unknown_that_its_process_knows() {
    let world = World::new();
    let mut hand = Hand::new(&world);
    hand.put("5", "asked");
    hand.turn();
    hand.sender.committed();
    hand.desk.quiet();
    hand.put("6", "not asked");
    hand.sender.start(&mut hand.task, NOW).unwrap();
    let mut hand = hand.made_anew();
    let intent = |hand: &mut Hand, chat: &str| book::chat(&mut hand.task.store, chat).unwrap().and_then(|row| row.intent);
    assert!(intent(&mut hand, "5").is_some() && intent(&mut hand, "6").is_some());
    hand.sender.suspend(&mut hand.task).unwrap();
    assert_eq!((intent(&mut hand, "5"), intent(&mut hand, "6")), (None, None));
    assert!(matches!(book::event(&mut hand.task.store, "5", "asked").unwrap(), Some(Event::Sent { .. })));
    assert_eq!(book::event(&mut hand.task.store, "6", "not asked").unwrap(), Some(Event::Queued));
    assert_eq!(hand.task.counts, BTreeMap::from([("sent_total", 1)]));
}
