//! How often a message may be sent: per chat, per group, and by the bot as a whole.
//!
//! Telegram's FAQ for bots says about 1 message a second to a chat, 20 a minute to a group and 30 a second in all; what it counts exactly it does not say.
//! So messages are spaced evenly and, at these rates, no burst is made: in no second are there more than 30, in no minute more than 20 to one group. What a 429 says
//! is another matter: it is an answer, and whoever sends obeys it.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};
use parking_lot::Mutex;

use crate::config::Rates;
use crate::streams::clock::Clock;

/// Of so many chats it is known when they had their last message; those who may have the next one are forgotten first.
const CHATS_MAX: usize = 10_000;

/// Nobody looks again sooner.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// The part of a high rate with which lateness is made up for.
const LATE_PART: u32 = 100;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The limits at work; one for all who send in this process.
pub struct Limits {
    chats: Chats,
    groups: Chats,
    /// Held while all three are asked, so that none counts a message that another refuses.
    bot: Mutex<Bot>,
    bot_per_second: NonZeroU32,
    time: Time,
}

type Chats = RateLimiter<Asked, Book, Time, NoOpMiddleware<Duration>>;

struct Bot {
    limiter: RateLimiter<NotKeyed, InMemoryState, Time, NoOpMiddleware<Duration>>,
    /// The part of the bot's rate that is this process's.
    share: (u32, u32),
}

/// Why a message has to wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The chat has had one: others need not wait.
    Chat(Duration),
    /// The bot has: all wait.
    Bot(Duration),
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("chats", &self.chats.len()).field("share", &self.bot.lock().share).finish_non_exhaustive()
    }
}

impl Limits {
    /// Nothing was sent yet, and the whole of the bot's rate is this process's.
    pub fn new(rates: &Rates, clock: Arc<dyn Clock>) -> Self {
        let time = Time(clock);
        let of_chats = |period, count: NonZeroU32| RateLimiter::new(evenly(period, count), Book::default(), time.clone());
        Self {
            chats: of_chats(SECOND, rates.chat_per_second),
            groups: of_chats(MINUTE, rates.group_per_minute),
            bot: Mutex::new(Bot::new(rates.bot_per_second, (1, 1), &time)),
            bot_per_second: rates.bot_per_second,
            time,
        }
    }

    /// The bot's rate is shared: `part` of `of` is this process's, at least one.
    pub fn set_share(&self, part: u32, of: u32) {
        let share = (part.clamp(1, of.max(1)), of.max(1));
        let mut bot = self.bot.lock();
        if bot.share != share {
            *bot = Bot::new(self.bot_per_second, share, &self.time);
            // As if messages had just been sent: what was sent under the old share is not forgotten.
            while bot.limiter.check().is_ok() {}
        }
    }

    /// Waits until a message may be sent to `chat`, and counts it. Who is dropped while waiting is not counted.
    pub async fn ready(&self, chat: &str) {
        while let Err(Wait::Chat(wait) | Wait::Bot(wait)) = self.take(chat) {
            tokio::time::sleep(wait.max(WAIT_MIN)).await;
        }
    }

    /// Counts a message to `chat` if it may be sent now; otherwise says how long not, and counts nothing.
    pub(super) fn take(&self, chat: &str) -> Result<(), Wait> {
        let bot = self.bot.lock();
        if let Some(wait) = self.wait_for_chat(chat) {
            return Err(Wait::Chat(wait));
        }
        bot.limiter.check().map_err(|until| Wait::Bot(self.left(&until)))?;
        // Both would have let it through a moment ago, and time goes on only.
        for limiter in self.limiters(chat) {
            limiter.check_key(&Asked { chat: chat.into(), counted: true }).unwrap_or_default();
            if limiter.len() > CHATS_MAX {
                limiter.retain_recent();
            }
        }
        Ok(())
    }

    /// How long the chat may have no message; none where it may have one now.
    fn wait_for_chat(&self, chat: &str) -> Option<Duration> {
        let asked = Asked { chat: chat.into(), counted: false };
        self.limiters(chat).filter_map(|limiter| limiter.check_key(&asked).err()).map(|until| self.left(&until)).max()
    }

    /// Groups, supergroups and channels have negative ids; who has a name instead of a number is one of the public ones.
    fn limiters(&self, chat: &str) -> impl Iterator<Item = &Chats> {
        let is_group = chat.starts_with(['-', '@']);
        std::iter::once(&self.chats).chain(is_group.then_some(&self.groups))
    }

    fn left(&self, until: &NotUntil<Duration>) -> Duration {
        until.wait_time_from(self.time.now())
    }
}

impl Bot {
    fn new(per_second: NonZeroU32, share: (u32, u32), time: &Time) -> Self {
        let (part, of) = share;
        let in_all = per_second.saturating_mul(NonZeroU32::new(part).unwrap_or(NonZeroU32::MIN));
        // Timers are late by a millisecond or two, which counts where messages are as close as that: a hundredth of them may make up for it,
        // and in no second are there more.
        let late = in_all.get() / of / LATE_PART;
        let steady = NonZeroU32::new(in_all.get() - late.saturating_mul(of)).unwrap_or(in_all);
        let quota = evenly(SECOND * of, steady).allow_burst(NonZeroU32::MIN.saturating_add(late));
        Self { limiter: RateLimiter::new(quota, InMemoryState::default(), time.clone()), share }
    }
}

/// `count` in each `period`, evenly.
fn evenly(period: Duration, count: NonZeroU32) -> Quota {
    // No period is none only for a duration of zero, and the shortest here is some nanoseconds.
    Quota::with_period((period / count.get()).max(Duration::from_nanos(1))).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
}

/// The engine's clock as the limiter's.
#[derive(Clone, Debug)]
struct Time(Arc<dyn Clock>);

impl governor::clock::Clock for Time {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

/// A question to a limiter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    chat: Box<str>,
    /// Whether a message is counted; otherwise it is only asked whether one may be.
    counted: bool,
}

/// When each chat may have its next message, for the limiter.
#[derive(Debug, Default)]
struct Book(Mutex<HashMap<Box<str>, Nanos>>);

impl StateStore for Book {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, key: &Asked, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut book = self.0.lock();
        let (answer, next) = f(book.get(&key.chat).copied())?;
        if key.counted {
            book.insert(key.chat.clone(), next);
        }
        Ok(answer)
    }
}

impl ShrinkableKeyedStateStore<Asked> for Book {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut book = self.0.lock();
        book.retain(|_, next| *next > drop_below);
        // Only where the limits are set very low: those who wait shortest are forgotten.
        if book.len() > CHATS_MAX {
            let mut times: Vec<Nanos> = book.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(CHATS_MAX / 2);
            let middle = *middle;
            book.retain(|_, next| *next > middle);
        }
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::clock::{ManualClock, Timestamp};
    use proptest::prelude::*;

    fn limits(chat: u32, group: u32, bot: u32) -> (Limits, ManualClock) {
        let clock = ManualClock::at(Timestamp(1_000_000));
        let of = |count| NonZeroU32::new(count).unwrap();
        let rates = Rates { chat_per_second: of(chat), group_per_minute: of(group), bot_per_second: of(bot) };
        (Limits::new(&rates, Arc::new(clock.clone())), clock)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_chat_has_one_message_a_second_and_a_group_one_in_three() {
        let (limits, clock) = limits(1, 20, 1000);
        assert_eq!(limits.take("1"), Ok(()));
        assert_eq!(limits.take("1"), Err(Wait::Chat(ms(1000))));
        clock.advance(ms(1));
        for group in ["-100", "@channel"] {
            assert_eq!(limits.take(group), Ok(()), "others do not wait for it");
            assert_eq!(limits.take(group), Err(Wait::Chat(ms(3000))));
            clock.advance(ms(1));
        }
        clock.advance(ms(998));
        assert_eq!(limits.take("1"), Ok(()));
        assert_eq!(limits.take("-100"), Err(Wait::Chat(ms(2001 - 2 + 1))));
    }

    #[test]
    fn a_chat_that_waits_for_the_bot_is_not_counted() {
        let (limits, clock) = limits(1, 20, 2);
        assert_eq!(limits.take("1"), Ok(()));
        assert_eq!(limits.take("2"), Err(Wait::Bot(ms(500))));
        clock.advance(ms(500));
        assert_eq!(limits.take("2"), Ok(()));
        clock.advance(ms(500));
        assert_eq!(limits.take("2"), Err(Wait::Chat(ms(500))), "counted from when it was sent");
    }

    #[test]
    fn the_bots_rate_can_be_shared_while_it_runs() {
        let (limits, clock) = limits(1000, 1000, 10);
        limits.set_share(1, 4);
        assert_eq!(limits.take("1"), Err(Wait::Bot(ms(400))), "what was sent before counts");
        clock.advance(ms(400));
        assert_eq!(limits.take("1"), Ok(()));
        limits.set_share(1, 4);
        assert_eq!(limits.take("2"), Err(Wait::Bot(ms(400))), "the same share changes nothing");
        limits.set_share(0, 0);
        clock.advance(ms(100));
        assert_eq!(limits.take("3"), Ok(()));
        limits.set_share(9, 3);
        clock.advance(ms(99));
        assert_eq!(limits.take("4"), Err(Wait::Bot(ms(1))), "nobody has more than all of it");
    }

    #[test]
    fn at_a_high_rate_lateness_is_made_up_for_and_no_second_holds_more() {
        let (limits, clock) = limits(1000, 60_000, 400);
        let mut sent: Vec<Duration> = Vec::new();
        let mut chat = 0;
        while clock.monotonic() < Duration::from_secs(1_010) {
            // A timer that is always late.
            clock.advance(ms(4));
            while limits.take(&chat.to_string()) == Ok(()) {
                sent.push(clock.monotonic());
                chat = (chat + 1) % 1_000;
            }
        }
        assert!(sent.len() >= 9 * 390, "{} in 10 s", sent.len());
        for (first, start) in sent.iter().enumerate() {
            let within = sent[first..].iter().take_while(|at| **at < *start + SECOND).count();
            assert!(within <= 400, "{within}");
        }
        limits.set_share(1, 2);
        clock.advance(ms(4));
        assert!(limits.take("x").is_err(), "a new share begins without a burst");
    }

    #[test]
    fn chats_that_may_have_a_message_are_forgotten_when_there_are_many() {
        let (limits, clock) = limits(1, 20, 2000);
        for chat in 0..3 * CHATS_MAX {
            clock.advance(ms(1));
            assert_eq!(limits.take(&chat.to_string()), Ok(()));
            assert!(limits.chats.len() <= CHATS_MAX + 1);
        }
        let last = (3 * CHATS_MAX - 1).to_string();
        assert_eq!(limits.take(&last), Err(Wait::Chat(ms(1000))), "the recent ones are not");
        assert!(format!("{limits:?}").contains("chats"));
    }

    #[test]
    fn the_number_of_chats_is_limited_even_if_all_of_them_wait() {
        let (limits, clock) = limits(1, 1, 2000);
        for chat in 0..CHATS_MAX + 10 {
            clock.advance(ms(1));
            assert_eq!(limits.take(&format!("-{chat}")), Ok(()));
        }
        assert!(limits.groups.len() <= CHATS_MAX);
    }

    #[test]
    fn ready_waits_for_the_chat_and_for_the_bot_in_turn() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (limits, clock) = limits(20, 1200, 100);
            limits.ready("1").await;
            let before = clock.monotonic();
            // It is ready when the clock says so; each time others have their turn, the clock moves.
            let moving = async {
                loop {
                    clock.advance(ms(1));
                    tokio::task::yield_now().await;
                }
            };
            let both = async { tokio::join!(limits.ready("1"), limits.ready("2")) };
            tokio::select! {
                _ = both => {}
                () = moving => {}
                () = tokio::time::sleep(Duration::from_secs(30)) => panic!("nobody was ready"),
            }
            assert!(clock.monotonic() >= before + ms(50));
            assert_eq!(limits.chats.len(), 2, "both were counted");
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_window_holds_more_than_is_allowed(steps in prop::collection::vec((0_usize..6, 0_u64..400), 1..300)) {
            let (limits, clock) = limits(2, 20, 5);
            let chats = ["1", "2", "-3", "@four", "-5", "6"];
            let mut sent: Vec<(Duration, &str)> = Vec::new();
            for (chat, pause) in steps {
                clock.advance(ms(pause));
                if limits.take(chats[chat]).is_ok() {
                    sent.push((clock.monotonic(), chats[chat]));
                }
            }
            for (start, _) in &sent {
                let within = |length: Duration, wanted: &dyn Fn(&str) -> bool| {
                    sent.iter().filter(|(at, chat)| *at >= *start && *at < *start + length && wanted(chat)).count()
                };
                prop_assert!(within(SECOND, &|_| true) <= 5);
                for chat in chats {
                    prop_assert!(within(SECOND, &|seen| seen == chat) <= 2);
                    prop_assert!(!chat.starts_with(['-', '@']) || within(MINUTE, &|seen| seen == chat) <= 20);
                }
            }
        }
    }
}
