//! Which chats the bot can be found in: what people wrote to it, and where it was added, from what `getUpdates` still has (24 hours at most).

use serde_json::Value;

use super::answer::words;

/// A chat that the bot knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// What goes under `chat_id`.
    pub id: i64,
    /// `private`, `group`, `supergroup` or `channel`.
    pub kind: String,
    /// Its title, or the name of who writes.
    pub name: String,
    /// Its public name, without `@`.
    pub username: Option<String>,
    /// Whether the bot was removed from it, or blocked.
    pub left: bool,
    /// The topics of a forum in which somebody wrote: what goes under `message_thread_id`.
    pub topics: Vec<i64>,
}

/// The chats of these updates, each once, in the order in which they appear. A group that became a supergroup is only there under its new id.
pub fn chats(updates: &[Value]) -> Vec<Chat> {
    let mut found: Vec<Chat> = Vec::new();
    // Whatever the kind of an update is, it holds a message, or a change of members, with the chat in it.
    for event in updates.iter().filter_map(Value::as_object).flat_map(serde_json::Map::values) {
        let event = event.get("message").unwrap_or(event);
        let Some(chat) = event.get("chat").and_then(read) else { continue };
        match (number(event, "migrate_to_chat_id"), number(event, "migrate_from_chat_id")) {
            (Some(new), _) => {
                found.retain(|known| known.id != chat.id);
                note(&mut found, Chat { id: new, kind: "supergroup".to_owned(), ..chat }, |_| {});
                continue;
            }
            (None, Some(old)) => found.retain(|known| known.id != old),
            (None, None) => {}
        }
        let standing = event.get("new_chat_member").and_then(|member| member.get("status")).and_then(Value::as_str);
        let topic = number(event, "message_thread_id").filter(|_| event.get("is_topic_message") == Some(&Value::Bool(true)));
        note(&mut found, chat, |chat| {
            if let Some(standing) = standing {
                chat.left = matches!(standing, "left" | "kicked");
            }
            chat.topics.extend(topic.filter(|topic| !chat.topics.contains(topic)));
        });
    }
    found
}

/// Notes a chat as it is known now, with what was known of it before, and changes that.
fn note(found: &mut Vec<Chat>, mut chat: Chat, change: impl FnOnce(&mut Chat)) {
    if let Some(known) = found.iter_mut().find(|known| known.id == chat.id) {
        (chat.left, chat.topics) = (known.left, std::mem::take(&mut known.topics));
        change(&mut chat);
        *known = chat;
    } else {
        change(&mut chat);
        found.push(chat);
    }
}

fn read(chat: &Value) -> Option<Chat> {
    let text = |name: &str| chat.get(name).and_then(Value::as_str).map(words).filter(|text| !text.is_empty());
    let person = || [text("first_name"), text("last_name")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(Chat {
        id: number(chat, "id")?,
        kind: text("type").unwrap_or_default(),
        name: text("title").unwrap_or_else(person),
        username: text("username"),
        left: false,
        topics: Vec::new(),
    })
}

fn number(event: &Value, name: &str) -> Option<i64> {
    event.get(name).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture;
    use super::*;
    use serde_json::json;

    fn chat(id: i64, kind: &str, name: &str) -> Chat {
        Chat { id, kind: kind.to_owned(), name: name.to_owned(), username: None, left: false, topics: Vec::new() }
    }

    #[test]
    fn people_groups_and_groups_that_moved_are_found() {
        let updates: Value = serde_json::from_str(&fixture("updates.json")).unwrap();
        let expected = [
            Chat { username: Some("ada_demo".to_owned()), ..chat(123_456_789, "private", "Ada L") },
            chat(-1_001_234_567_890, "supergroup", "River alerts"),
            chat(-1_001_557_912_345, "supergroup", "Old group"),
        ];
        assert_eq!(chats(updates["result"].as_array().unwrap()), expected);
    }

    #[test]
    fn what_is_known_of_a_chat_is_gathered() {
        let river = json!({"id": -5, "type": "supergroup", "title": "River"});
        let topic = |id: i64| json!({"message": {"chat": river, "message_thread_id": id, "is_topic_message": true}});
        let member = |status: &str| json!({"my_chat_member": {"chat": river, "new_chat_member": {"status": status}}});
        let updates =
            [member("administrator"), topic(17), topic(17), topic(4), json!({"message": {"chat": river, "message_thread_id": 9}})];
        assert_eq!(chats(&updates), [Chat { topics: vec![17, 4], ..chat(-5, "supergroup", "River") }]);
        assert!(chats(&[topic(17), member("kicked")])[0].left);
        assert!(!chats(&[member("left"), member("member")])[0].left);
        let button = json!({"callback_query": {"id": "1", "message": {"chat": river}}});
        let post = json!({"channel_post": {"chat": {"id": -6, "type": "channel", "title": "a\nb", "username": "c"}}});
        let channel = Chat { username: Some("c".to_owned()), ..chat(-6, "channel", "a b") };
        assert_eq!(chats(&[button, post]), [chat(-5, "supergroup", "River"), channel]);
    }

    #[test]
    fn a_group_that_moved_is_not_listed_under_its_old_id() {
        let old = json!({"id": -5, "type": "group", "title": "River"});
        let new = json!({"id": -1005, "type": "supergroup", "title": "River"});
        let updates = [json!({"message": {"chat": old}}), json!({"message": {"chat": new, "migrate_from_chat_id": -5}})];
        assert_eq!(chats(&updates), [chat(-1005, "supergroup", "River")]);
        assert_eq!(chats(&[json!({}), json!(5), json!({"update_id": 1, "poll": {"id": "x"}})]), []);
    }
}
