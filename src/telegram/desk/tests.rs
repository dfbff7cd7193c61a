//! Tests see what waits and hold it up. What is held up must not be sent all at once afterwards.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Waker};

use secrecy::SecretString;

use super::*;
use crate::config::Rates;
use crate::streams::clock::{ManualClock, Timestamp};
use crate::telegram::Options;

impl Desk {
    /// Begins no request any more.
    pub(in crate::telegram) fn freeze(&self) {
        self.shared.board.lock().holds += 1;
    }

    /// Waits until no request waits or is on its way; how many are done.
    pub(in crate::telegram) fn quiet(&self) -> usize {
        self.wait_until(|status| status.waiting + status.in_flight == 0);
        let board = self.shared.board.lock();
        board.jobs.values().filter(|job| matches!(job.stage, Stage::Done(_))).count()
    }

    /// Waits until no request is on its way and those that wait are held up.
    pub(in crate::telegram) fn idle(&self) {
        let is_idle = |board: &Board| {
            let Status { waiting, in_flight, .. } = board.status();
            in_flight == 0 && (waiting == 0 || board.is_out_of_reach(self.clock.monotonic()))
        };
        self.wait(|board| is_idle(board));
    }

    /// Waits until it is as wanted.
    pub(in crate::telegram) fn wait_until(&self, wanted: impl Fn(&Status) -> bool) {
        self.wait(|board| wanted(&board.status()));
    }

    fn wait(&self, wanted: impl Fn(&Board) -> bool) {
        let mut board = self.shared.board.lock();
        let mut looks = 0;
        while !wanted(&board) {
            self.shared.done.wait_for(&mut board, LOOK);
            looks += 1;
            assert!(looks < 1_000, "a request neither ends nor is given up: {board:?}");
        }
    }
}

fn shared(clock: &ManualClock) -> Shared {
    Shared { board: Mutex::default(), done: Condvar::new(), free: Notify::new(), clock: Arc::new(clock.clone()) }
}

/// A desk whose requests nobody answers.
fn desk() -> Arc<Desk> {
    let options = Options { base_url: "http://127.0.0.1:1".to_owned(), token: SecretString::from("1:secret"), timeout: PATIENCE };
    let of = |count| NonZeroU32::new(count).unwrap();
    let rates = Rates { chat_per_second: of(1), group_per_minute: of(20), bot_per_second: of(30) };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(0)));
    Desk::start(Client::new(&options).unwrap(), Limits::new(&rates, Arc::clone(&clock)), 2, clock).unwrap()
}

/// Asks each once; how many are to be made now.
fn ready(turns: &mut [Pin<Box<dyn Future<Output = bool> + '_>>]) -> usize {
    let polled = turns.iter_mut().map(|turn| turn.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    polled.filter(std::task::Poll::is_ready).count()
}

#[test]
fn what_was_held_up_is_not_sent_in_one_burst() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let clock = ManualClock::at(Timestamp(0));
    let shared = shared(&clock);
    let of = |count| NonZeroU32::new(count).unwrap();
    let rates = Rates { chat_per_second: of(1), group_per_minute: of(20), bot_per_second: of(10) };
    let limits = Limits::new(&rates, Arc::new(clock.clone()));
    let chats: Vec<String> = (0..5).map(|chat| chat.to_string()).collect();
    for (id, chat) in (0..).zip(&chats) {
        shared.board.lock().jobs.insert(id, Job { owner: Some(1), chat: chat.as_str().into(), stage: Stage::Handed });
    }
    shared.board.lock().holds = 1;
    let mut turns: Vec<Pin<Box<dyn Future<Output = bool> + '_>>> = Vec::new();
    for (id, chat) in (0..).zip(&chats) {
        turns.push(Box::pin(shared.turn(id, chat, &limits)));
        assert_eq!(ready(&mut turns[usize::try_from(id).unwrap()..]), 0, "held up");
        clock.advance(Duration::from_secs(1));
    }
    shared.board.lock().holds = 0;
    shared.free.notify_waiters();
    assert_eq!(ready(&mut turns), 1, "the others have their turn later");
}

#[test]
fn a_service_that_does_not_answer_is_tried_by_one_request_at_a_time() {
    let clock = ManualClock::at(Timestamp(1_000_000));
    let shared = shared(&clock);
    let failed = Outcome::Retry { reason: "r".to_owned() };
    let hand = |id: u64| {
        shared.board.lock().jobs.insert(id, Job { owner: Some(1), chat: "5".into(), stage: Stage::Handed });
        shared.gate(id, true)
    };
    for _ in 1..TROUBLE {
        shared.board.lock().heard(&failed, clock.monotonic());
    }
    assert_eq!((hand(1), hand(2)), (Gate::Open, Gate::Open), "that few may be chance");
    shared.board.lock().jobs.clear();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        shared.board.lock().heard(&failed, clock.monotonic());
        let began = clock.monotonic();
        while hand(3) == Gate::Shut {
            clock.advance(Duration::from_millis(500));
        }
        pauses.push(clock.monotonic().saturating_sub(began).as_secs());
        clock.advance(Duration::from_secs(60));
        assert_eq!(hand(4), Gate::Shut, "one is under way");
        shared.board.lock().jobs.clear();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    let parked = Outcome::Parked { reason: "any answer will do".to_owned() };
    shared.board.lock().heard(&parked, clock.monotonic());
    assert_eq!((hand(5), hand(6)), (Gate::Open, Gate::Open));
}

#[test]
fn nothing_is_begun_for_a_task_that_stood_still() {
    let clock = ManualClock::at(Timestamp(1_000_000));
    let shared = shared(&clock);
    shared.board.lock().owners.insert(1, clock.monotonic());
    shared.board.lock().jobs.insert(7, Job { owner: Some(1), chat: "5".into(), stage: Stage::Handed });
    clock.advance(ALIVE);
    assert_eq!(shared.gate(7, false), Gate::Open);
    clock.advance(Duration::from_millis(1));
    assert_eq!(shared.gate(7, false), Gate::Shut, "its partition may be another's");
    shared.board.lock().owners.insert(1, clock.monotonic());
    assert_eq!(shared.gate(7, true), Gate::Open);
}

#[test]
fn there_are_so_many_places_and_no_more_for_all_tasks_together() {
    let desk = desk();
    let (one, two) = (desk.join(), desk.join());
    let chat: ChatId = "5".into();
    let taken = |owner, places: usize| (0..places).filter(|_| desk.reserve(owner, &chat).is_some()).count();
    assert_eq!(taken(one, JOBS_MAX - 1), JOBS_MAX - 1);
    assert_eq!(taken(two, 3), 1, "the last one");
    desk.release(two);
    assert_eq!((desk.jobs(one).len(), desk.jobs(two).len()), (JOBS_MAX - 1, 0), "each gives up its own");
    assert_eq!(taken(two, 3), 1);
    // What is under way for a task that is gone is nobody's place; what was not begun is not made.
    desk.shared.board.lock().jobs.values_mut().take(10).for_each(|job| job.stage = Stage::Started);
    desk.leave(one);
    assert_eq!(desk.shared.board.lock().jobs.len(), 11);
    assert_eq!(taken(two, JOBS_MAX), JOBS_MAX - 1);
}

#[test]
fn a_request_that_was_forgotten_unrecorded_may_have_been_made_and_one_that_was_never_here_was_not() {
    let desk = desk();
    let (gone, next) = (desk.join(), desk.join());
    let (first, last) = (1, u64::try_from(ORPHANS_MAX).unwrap() + 2);
    {
        let mut board = desk.shared.board.lock();
        for id in first..=last {
            board.jobs.insert(id, Job { owner: Some(gone), chat: "5".into(), stage: Stage::Started });
        }
        board.last_job = last;
    }
    assert_eq!(desk.adopt(next, last + 1), Known::Never);
    desk.leave(gone);
    // Two more than are kept: the oldest went.
    let known: Vec<Known> = [1, 2, 3, last, last + 1].into_iter().map(|job| desk.adopt(next, job)).collect();
    assert_eq!(known, [Known::Perhaps, Known::Perhaps, Known::Here, Known::Here, Known::Never]);
    assert_eq!(desk.jobs(next).len(), 2);
}
