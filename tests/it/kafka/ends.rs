//! The two ends on a broker: what would be sent, and how each end begins anew.

use tidewatch::operate::simulated::Faults;

use super::whole::application;
use crate::real::broker::Broker;
use crate::real::registry::Registry;
use crate::whole::Outside;

const ROWS: &str = "observed_at,video_id,title,views,likes\n1,a,One,100,1\n2,a,One,350,2\n";

#[test]
fn begin_anew_where_they_are_told() {
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let outside = Outside::start(9, Faults::none());
    let flags = ["--bootstrap-servers", broker.bootstrap_servers(), "--registry", &registry.url()];
    let Some(application) = application(&outside, &flags, "") else { return };
    application.set_up(1, ROWS);
    let home = &application.home;
    let requests = || outside.telegram.counts().requests;
    let send = || drop(home.succeed(&["run", "--only", "send", "--until-end", "--leave-on-stop"]));
    home.succeed(&["run", "--only", "topology", "--until-end", "--leave-on-stop"]);
    let expected = "101  Likes changed: 1 => 2. One\n103  Views changed: 100 => 350. One\n";
    assert_eq!(home.succeed(&["telegram", "dry-run"]).stdout, expected);
    send();
    assert_eq!(requests(), 2);
    assert_eq!(home.succeed(&["telegram", "dry-run"]).stdout, "");
    home.succeed(&["reset", "--sender", "--to", "earliest", "--yes"]);
    home.succeed(&["setup", "--partitions", "1"]);
    assert_eq!(home.succeed(&["telegram", "dry-run"]).stdout, expected);
    home.succeed(&["reset", "--sender", "--to", "latest", "--yes"]);
    home.succeed(&["setup", "--partitions", "1"]);
    send();
    assert_eq!(requests(), 2, "the backlog is left out");

    let poll = || drop(home.succeed(&["run", "--only", "poll", "--once", "--leave-on-stop"]));
    poll();
    home.succeed(&["reset", "--poller", "--yes"]);
    home.succeed(&["setup", "--partitions", "1"]);
    poll();
    let videos = home.succeed(&["tap", &application.topic("youtube_videos"), "--until-end", "--json"]).stdout;
    assert!(videos.lines().count() > 4 && !videos.contains("\"new\""), "{videos}");
}
