//! Dead letters on a broker.

use super::{Application, file};
use crate::dead_letters::{BROKEN, MENDED, OBSERVATIONS, are_put_back_once, broken};
use crate::real::broker::Broker;
use crate::real::registry::Registry;

#[test]
fn of_a_broker_are_put_back_once() {
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let application = Application::on(broker, registry, &broken(&file("topology.toml")), &[]);
    application.set_up(2, OBSERVATIONS);
    let home = &application.home;
    home.succeed(&["run", "--until-end"]);
    let mend = || drop(home.installation.write("topology.toml", &application.surroundings.topology.replace(BROKEN, MENDED)));
    let topics = ["youtube_videos", "telegram_outbox"].map(|name| application.topic(name));
    are_put_back_once(&|arguments| home.succeed(arguments), &topics[0], &topics[1], &mend);
}
