//! The known answers: the whole way of a user, from `setup` to what somebody else reads.

use super::{ALL, Application, observations};
use crate::data;
use crate::oracle::{Expected, csv, generated};

/// Sets up, imports, runs to the end, and compares; a second run finds nothing left to do.
#[track_caller]
fn assert_does_the_job(text: &str, partitions: i64) {
    let Some(application) = Application::shipped("") else { return };
    let expected = Expected::of(&csv::observations(text));
    application.set_up(partitions, text);
    let instance = application.instance();
    for _ in 0..2 {
        instance.succeed(&["run", "--only", "topology", "--until-end"]);
        application.assert_outputs(&expected, partitions);
    }
    application.progress("youtube_videos").wait_for(ALL, &mut []);
}

#[test]
fn every_change_of_the_trending_videos_is_told() {
    let text = data::trending().unwrap_or_else(|| generated::to_csv(&observations(1)));
    assert_does_the_job(&text, 3);
}

#[test]
fn one_partition_keeps_the_order_of_everything() {
    assert_does_the_job(&generated::to_csv(&generated::observations(60, 30, 3)), 1);
}

#[test]
fn awkward_titles_come_as_they_are() {
    assert_does_the_job(include_str!("../../fixtures/awkward.csv"), 2);
}
