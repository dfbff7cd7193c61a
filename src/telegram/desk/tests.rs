//! Tests see what waits and hold it up. What is held up must not be sent all at once afterwards.

use std::num::NonZeroU32;

use secrecy::SecretString;

use super::board::{ALIVE, Board, HOLD, JOBS_MAX, LOOK, ORPHANS_MAX, PATIENCE, TROUBLE};
use super::*;
use crate::config::Rates;
use crate::streams::clock::{ManualClock, Timestamp};
use crate::telegram::{Message, Options};

impl Desk {
    /// Begins no request any more.
    pub(in crate::telegram) fn freeze(&self) {
        self.tray.board.lock().ending += 1;
    }

    /// Waits until no request is on its way, and none waits but those that are held up; how many are done or held up.
    pub(in crate::telegram) fn quiet(&self) -> usize {
        self.wait(|board| board.status().in_flight == 0 && (board.status().waiting == 0 || board.is_held(self.now())));
        let board = self.tray.board.lock();
        board.jobs.values().filter(|job| matches!(job.stage, Stage::Done(_) | Stage::Handed(_))).count()
    }

    /// Waits until no request is on its way and those that wait are held up.
    pub(in crate::telegram) fn idle(&self) {
        let is_idle = |board: &Board| {
            let Status { waiting, in_flight, .. } = board.status();
            in_flight == 0 && (waiting == 0 || board.is_out_of_reach(self.now()))
        };
        self.wait(|board| is_idle(board));
    }

    /// Waits until it is as wanted.
    pub(in crate::telegram) fn wait_until(&self, wanted: impl Fn(&Status) -> bool) {
        self.wait(|board| wanted(&board.status()));
    }

    fn wait(&self, wanted: impl Fn(&Board) -> bool) {
        let mut looks = 0;
        while !wanted(&self.tray.board.lock()) {
            self.tray.wait_for(LOOK, &wanted);
            looks += 1;
            assert!(looks < 1_000, "a request neither ends nor is given up: {self:?}");
        }
    }
}

fn rates(bot: u32) -> Rates {
    let of = |count| NonZeroU32::new(count).unwrap();
    Rates { chat_per_second: of(1), group_per_minute: of(20), bot_per_second: of(bot) }
}

/// A tray where so many requests of one task wait, each to a chat of its own.
fn tray(bot_per_second: u32, waiting: u64) -> (Arc<Tray>, ManualClock) {
    let clock = ManualClock::at(Timestamp(1_000_000));
    let tray = Tray::new(Limits::new(&rates(bot_per_second), Arc::new(clock.clone())), Arc::new(clock.clone()));
    for id in 0..waiting {
        put(&tray, id);
    }
    (tray, clock)
}

fn put(tray: &Tray, id: u64) {
    let request = Request::Send(Message { chat_id: id.to_string(), ..Message::default() });
    let job = Job { owner: Some(1), chat: id.to_string().into(), stage: Stage::Handed(request) };
    tray.board.lock().jobs.insert(id, job);
}

/// The numbers of the requests that are to be made now.
fn ready(tray: &Tray) -> Vec<u64> {
    tray.next().requests.into_iter().map(|(id, _)| id).collect()
}

/// A desk whose requests nobody answers.
fn desk() -> Arc<Desk> {
    let options = Options { base_url: "http://127.0.0.1:1".to_owned(), token: SecretString::from("1:secret"), timeout: PATIENCE };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(0)));
    Desk::start(Client::new(&options).unwrap(), Limits::new(&rates(30), Arc::clone(&clock)), 2, clock).unwrap()
}

#[test]
fn what_was_held_up_is_not_sent_in_one_burst() {
    let (tray, clock) = tray(10, 5);
    tray.board.lock().ending = 1;
    for _ in 0..5 {
        assert_eq!(ready(&tray), [0; 0], "held up");
        clock.advance(Duration::from_secs(1));
    }
    tray.board.lock().has_ended(clock.monotonic());
    assert_eq!(ready(&tray), [0; 0], "another task may come to an end at once");
    clock.advance(Duration::from_millis(250));
    assert_eq!(ready(&tray), [0], "the others have their turn later");
    assert_eq!(tray.next().look_in, Some(Duration::from_millis(100)));
    clock.advance(Duration::from_millis(100));
    assert_eq!(ready(&tray), [1]);
}

#[test]
fn a_chat_that_waits_does_not_keep_those_behind_it_waiting() {
    let (tray, clock) = tray(50, 2);
    assert_eq!(ready(&tray), [0]);
    clock.advance(Duration::from_millis(20));
    put(&tray, 0);
    let next = tray.next();
    assert_eq!((next.requests.len(), next.requests[0].0), (1, 1));
    assert_eq!(next.look_in, Some(Duration::from_millis(980)), "the first chat had one a moment ago");
}

#[test]
fn a_service_that_does_not_answer_is_tried_by_one_request_at_a_time() {
    let (tray, clock) = tray(1_000, 0);
    let fail = || tray.board.lock().heard(&Outcome::Retry { reason: "r".to_owned() }, clock.monotonic());
    let start = |ids: [u64; 2]| {
        tray.board.lock().jobs.clear();
        for id in ids {
            put(&tray, id);
        }
        // The limits allow one a millisecond.
        (0..2)
            .flat_map(|_| {
                clock.advance(Duration::from_millis(1));
                ready(&tray)
            })
            .collect::<Vec<_>>()
    };
    (1..TROUBLE).for_each(|_| fail());
    assert_eq!(start([1, 2]), [1, 2], "that few may be chance");
    let mut pauses = Vec::new();
    for round in 0..6 {
        fail();
        let began = clock.monotonic();
        tray.board.lock().jobs.clear();
        (10 * round + 11..10 * round + 13).for_each(|id| put(&tray, id));
        while ready(&tray).is_empty() {
            clock.advance(Duration::from_millis(500));
        }
        pauses.push(clock.monotonic().saturating_sub(began).as_secs());
        clock.advance(Duration::from_secs(60));
        assert_eq!(ready(&tray), [0; 0], "one is under way");
    }
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    tray.board.lock().heard(&Outcome::Parked { reason: "any answer will do".to_owned() }, clock.monotonic());
    assert_eq!(start([101, 102]), [101, 102]);
}

#[test]
fn nothing_is_begun_for_a_task_that_stood_still() {
    let (tray, clock) = tray(1_000, 1);
    tray.board.lock().owners.insert(1, clock.monotonic());
    clock.advance(ALIVE + Duration::from_millis(1));
    assert_eq!(ready(&tray), [0; 0], "its partition may be another's");
    assert_eq!(tray.next().look_in, Some(LOOK));
    tray.board.lock().owners.insert(1, clock.monotonic());
    clock.advance(ALIVE);
    assert_eq!(ready(&tray), [0]);
}

/// Lets a second pass each time somebody waits, and answers after so many waits.
#[derive(Debug)]
struct Slow {
    tray: Arc<Tray>,
    clock: ManualClock,
    waits: parking_lot::Mutex<(u32, u32)>,
}

impl Courier for Slow {
    fn call(&self) {}

    fn wait(&self, _: u64) {
        self.clock.advance(Duration::from_secs(1));
        let mut waits = self.waits.lock();
        waits.0 += 1;
        if waits.0 == waits.1 {
            self.tray.done(0, Outcome::Sent { message_id: 1 });
        }
    }
}

#[test]
fn a_task_that_ends_waits_for_what_is_under_way_and_no_longer_than_others_can_wait() {
    for (answered_after, waits) in [(3, 3), (100, 8)] {
        let (tray, clock) = tray(1_000, 1);
        assert_eq!(ready(&tray), [0]);
        put(&tray, 7);
        let slow = Slow { tray: Arc::clone(&tray), clock: clock.clone(), waits: parking_lot::Mutex::new((0, answered_after)) };
        let began = clock.monotonic();
        let desk = Desk::new(Arc::clone(&tray), Box::new(slow), 1, 5);
        desk.settle(1);
        assert_eq!(clock.monotonic().saturating_sub(began), Duration::from_secs(waits));
        let done: Vec<(u64, bool)> = desk.outcomes(1).into_iter().map(|(id, _, what)| (id, what == Delivery::NotMade)).collect();
        let expected: &[(u64, bool)] = if waits == 3 { &[(0, false), (7, true)] } else { &[(7, true)] };
        assert_eq!(done, expected, "what is not begun is not made");
    }
}

#[test]
fn tasks_that_end_together_share_the_time_and_one_that_ends_later_has_its_own() {
    let (mut board, began) = (Board::default(), Duration::from_secs(100));
    let until = began + PATIENCE;
    assert_eq!(board.end(1, began), until);
    assert_eq!(board.end(2, began + Duration::from_secs(3)), until, "while another one ends");
    board.has_ended(until);
    board.has_ended(until);
    let next = until + HOLD.saturating_sub(Duration::from_millis(1));
    assert_eq!(board.end(3, next), until, "nothing was begun since");
    board.has_ended(next);
    assert_eq!(board.end(4, next + HOLD), next + HOLD + PATIENCE, "a request may have been begun since");
    board.has_ended(next + HOLD);
    let early = next + HOLD + Duration::from_secs(1);
    assert_eq!(board.end(5, early), early + PATIENCE, "that the one before it has not used its time is nothing to it");
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
    desk.tray.board.lock().jobs.values_mut().take(10).for_each(|job| job.stage = Stage::Started);
    desk.leave(one);
    assert_eq!(desk.tray.board.lock().jobs.len(), 11);
    assert_eq!(taken(two, JOBS_MAX), JOBS_MAX - 1);
}

#[test]
fn a_request_that_was_forgotten_unrecorded_may_have_been_made_and_one_that_was_never_here_was_not() {
    let desk = desk();
    let (gone, next) = (desk.join(), desk.join());
    let (first, last) = (1, u64::try_from(ORPHANS_MAX).unwrap() + 2);
    {
        let mut board = desk.tray.board.lock();
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
