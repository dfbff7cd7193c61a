//! Made-up observations, for tests that need more than there are, or none of the real ones.

use std::fmt::Write as _;

use super::csv::Observation;
use crate::random::Random;

/// So many videos, polled so many times; counters go up, fall back, are hidden; titles change.
pub(crate) fn observations(videos: u32, polls: u32, seed: u64) -> Vec<Observation> {
    let mut random = Random::seeded(seed);
    let mut views: Vec<i64> = (0..videos).map(|_| i64::try_from(random.below(1_000_000)).unwrap()).collect();
    let mut all = Vec::new();
    for poll in 0..polls {
        for (video, views) in (0..videos).zip(&mut views) {
            *views = (*views + i64::try_from(random.below(500)).unwrap() - 100).max(0);
            let hidden = random.below(20) == 0;
            let count = |per: i64| (!hidden).then_some(*views / per);
            let (likes, comments) = (count(20), count(300));
            let title = (random.below(50) > 0).then(|| format!("Video {video}, part {}", poll / 10));
            let observed_at = 1_767_225_600_000 + i64::from(poll) * 600_000 + i64::from(video);
            all.push(Observation { observed_at, video_id: format!("video-{video:04}"), title, views: Some(*views), likes, comments });
        }
    }
    all
}

/// The observations several times over, each time later and with higher counters.
pub(crate) fn repeated(observations: &[Observation], times: i64) -> Vec<Observation> {
    let span = observations.iter().map(|observation| observation.observed_at).max().unwrap_or(0)
        - observations.iter().map(|observation| observation.observed_at).min().unwrap_or(0);
    let more = |count: Option<i64>, round: i64| count.map(|count| count + round * 97);
    let round = |round: i64| {
        observations.iter().map(move |observation| Observation {
            observed_at: observation.observed_at + round * (span + 1),
            views: more(observation.views, round),
            likes: more(observation.likes, round),
            comments: more(observation.comments, round),
            ..observation.clone()
        })
    };
    (0..times).flat_map(round).collect()
}

/// A file of them. Titles must need no quotes.
pub(crate) fn to_csv(observations: &[Observation]) -> String {
    let mut text = String::from("observed_at,video_id,title,views,likes,comments\n");
    let cell = |count: Option<i64>| count.map(|count| count.to_string()).unwrap_or_default();
    for observation in observations {
        let title = observation.title.as_ref().map(|title| format!("\"{title}\"")).unwrap_or_default();
        let Observation { observed_at, video_id, views, likes, comments, .. } = observation;
        let at = jiff::Timestamp::from_millisecond(*observed_at).unwrap();
        writeln!(text, "{at:.3},{video_id},{title},{},{},{}", cell(*views), cell(*likes), cell(*comments)).unwrap();
    }
    text
}

#[test]
fn come_back_from_a_file_as_they_were() {
    let made = repeated(&observations(7, 9, 3), 2);
    assert_eq!(super::csv::observations(&to_csv(&made)), made);
    assert!(made.iter().any(|observation| observation.likes.is_none()));
}
