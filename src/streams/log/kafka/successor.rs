//! Whether somebody else is in a group under the static id of a member that was fenced.
//!
//! A broker that takes a static member in again gives it another member id; when it dies before its answer arrives, the group knows the new id and
//! the member only the old one: it is fenced, and nobody did it. Nobody speaks for the new id either, and it goes when its session times out.
//! Another process with the same static id stays.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::context::Ear;

/// How long a question to the brokers may take. All together must stay below what the watchdog bears.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The group is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks beyond the session: brokers that have just come back begin to count then.
const LOOKS_MORE: u64 = 3;

/// The most looks, whatever the session.
const LOOKS_MAX: u64 = 13;

/// What a broker puts behind the static id: a hyphen and a UUID.
const SUFFIX_LENGTH: usize = 37;

/// Looks as long as a member that nobody speaks for may be there.
pub(super) fn is_there(consumer: &BaseConsumer<Ear>, group: &str, instance_id: &str, session: Duration) -> bool {
    let mut seen = false;
    for look in 0..(session.as_secs() + LOOKS_MORE).min(LOOKS_MAX) {
        if look > 0 {
            std::thread::park_timeout(LOOK_AGAIN);
        }
        match consumer.fetch_group_list(Some(group), TIMEOUT) {
            Ok(list) => {
                let Some(found) = list.groups().iter().find(|found| found.name() == group) else { continue };
                seen = found.members().iter().any(|member| is_of(member.id(), instance_id));
                if !seen {
                    return false;
                }
            }
            Err(cause) => tracing::debug!(target: "librdkafka", error = %cause, "who is in the group is not known"),
        }
    }
    seen
}

/// Whether a broker gave this member id to a member with this static id.
fn is_of(member_id: &str, instance_id: &str) -> bool {
    member_id.strip_prefix(instance_id).is_some_and(|rest| rest.starts_with('-') && rest.len() == SUFFIX_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_tells_the_static_id() {
        let uuid = "0c5b4c46-5a3e-4a58-8b1f-6b6a0a1c2d3e";
        assert!(is_of(&format!("a-0-{uuid}"), "a-0"));
        assert!(!is_of(&format!("a-0-1-{uuid}"), "a-0"), "another's, which begins in the same way");
        assert!(!is_of(&format!("a-01-{uuid}"), "a-0"));
        assert!(!is_of("a-0", "a-0"));
    }
}
