//! What Telegram makes of a message: its parameters as text, what it refuses, and what is left of the text when its entities are parsed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::operate::simulated::server::{Asked, pairs};

/// Characters of a text, its entities parsed.
const CHARS_MAX: usize = 4096;

/// Bytes of a text as it comes.
const BYTES_MAX: usize = 32_768;

/// The parameters that are documents of their own.
const OBJECTS: [(&str, &str); 3] =
    [("link_preview_options", "link preview options"), ("reply_parameters", "reply parameters"), ("reply_markup", "reply markup")];

/// The tags of an HTML text.
const TAGS: [&str; 17] = [
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "span",
    "tg-spoiler",
    "a",
    "code",
    "pre",
    "blockquote",
    "tg-emoji",
    "tg-time",
];

/// Names and values; all values as text.
pub(super) type Parameters = BTreeMap<String, String>;

/// The parameters of a request, from its query and its body; or why there are none.
///
/// Telegram reads each parameter of a JSON body as text: a string as it is, anything else as it is written. So null is the text `null`, which is
/// no chat and no parse mode, and where an object is wanted it is none.
pub(super) fn parameters(asked: &Asked) -> Result<Parameters, String> {
    let mut parameters: Parameters = asked.query.iter().cloned().collect();
    let kind = asked.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("application/x-www-form-urlencoded") {
        parameters.extend(pairs(&String::from_utf8_lossy(&asked.body)));
    } else if kind.starts_with("application/json") {
        let Ok(Value::Object(fields)) = serde_json::from_slice(&asked.body) else {
            return Err("can't parse JSON object".to_owned());
        };
        let text = |value: Value| if let Value::String(text) = value { text } else { value.to_string() };
        parameters.extend(fields.into_iter().map(|(name, value)| (name, text(value))));
    }
    Ok(parameters)
}

/// A parameter; empty where it is absent.
pub(super) fn given<'a>(parameters: &'a Parameters, name: &str) -> &'a str {
    parameters.get(name).map_or("", String::as_str)
}

/// What people will read, and which chat is meant; or why Telegram refuses the message. It parses the text before it looks for the chat.
pub(super) fn check(parameters: &Parameters, any_chat: bool) -> Result<(String, String), String> {
    let raw = given(parameters, "text");
    if raw.len() > BYTES_MAX {
        return Err("text is too long".to_owned());
    }
    let text = match given(parameters, "parse_mode").to_ascii_lowercase().as_str() {
        "html" => html(raw).map_err(|fault| format!("can't parse entities: {fault}"))?,
        "" | "none" | "markdown" | "markdownv2" => raw.to_owned(),
        _ => return Err("unsupported parse_mode".to_owned()),
    };
    for (name, words) in OBJECTS {
        let value = given(parameters, name);
        if !value.is_empty() && !serde_json::from_str::<Value>(value).is_ok_and(|value| value.is_object()) {
            return Err(format!("object expected as {words}"));
        }
    }
    if text.trim().is_empty() {
        return Err("message text is empty".to_owned());
    }
    if text.chars().count() > CHARS_MAX {
        return Err("message is too long".to_owned());
    }
    match given(parameters, "chat_id") {
        "" => Err("chat_id is empty".to_owned()),
        chat if !any_chat && !chat.starts_with('@') && chat.parse::<i64>().is_err() => Err("chat not found".to_owned()),
        chat => Ok((text, chat.to_owned())),
    }
}

/// The text of an HTML text, or why it is none.
fn html(raw: &str) -> Result<String, String> {
    let mut text = String::with_capacity(raw.len());
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut rest = raw;
    while let Some(place) = rest.find(['<', '&']) {
        let (before, marked) = rest.split_at(place);
        text.push_str(before);
        let at = raw.len() - marked.len();
        if let Some(entity) = marked.strip_prefix('&') {
            (text, rest) = decoded(text, entity);
            continue;
        }
        let end = marked.find('>').ok_or_else(|| format!("Unclosed start tag at byte offset {at}"))?;
        let (tag, after) = marked.split_at(end);
        rest = after.strip_prefix('>').unwrap_or_default();
        let tag = tag.strip_prefix('<').unwrap_or_default();
        if let Some(name) = tag.strip_prefix('/') {
            match open.pop() {
                Some((expected, _)) if name.trim() == expected => {}
                Some((expected, _)) => {
                    return Err(format!("Unmatched end tag at byte offset {at}, expected \"</{expected}>\", found \"</{name}>\""));
                }
                None => return Err(format!("Unexpected end tag at byte offset {at}")),
            }
        } else {
            let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
            if !TAGS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("Unsupported start tag \"{name}\" at byte offset {at}"));
            }
            open.push((name, at));
        }
    }
    text.push_str(rest);
    match open.pop() {
        Some((name, at)) => Err(format!("Can't find end tag corresponding to start tag \"{name}\" at byte offset {at}")),
        None => Ok(text),
    }
}

/// The text with the entity that `after` begins with, and what follows it. What is no entity stays as it is.
fn decoded(mut text: String, after: &str) -> (String, &str) {
    let known = after.split_once(';').and_then(|(name, rest)| {
        let decoded = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            _ => {
                let number = name.strip_prefix('#')?;
                let code = number.strip_prefix('x').map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())?;
                char::from_u32(code)?
            }
        };
        Some((decoded, rest))
    });
    let (decoded, rest) = known.unwrap_or(('&', after));
    text.push(decoded);
    (text, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_what_people_read() {
        let cases = [
            ("<b>Likes</b> 1 &lt; 2 &amp; &#39;so&#x27; &nbsp; on", "Likes 1 < 2 & 'so' &nbsp; on"),
            ("<a href=\"https://youtu.be/x\">T &quot;1&quot;</a>", "T \"1\""),
            ("a & b &", "a & b &"),
        ];
        for (raw, text) in cases {
            assert_eq!(html(raw).as_deref(), Ok(text), "{raw}");
        }
        let faults = [
            ("5 < 6", "Unclosed start tag at byte offset 2"),
            ("é <5> 6", "Unsupported start tag \"5\" at byte offset 3"),
            ("<b>x", "Can't find end tag corresponding to start tag \"b\" at byte offset 0"),
            ("<b>x</i>", "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
            ("x</i>", "Unexpected end tag at byte offset 1"),
        ];
        for (raw, fault) in faults {
            assert_eq!(html(raw).unwrap_err(), fault, "{raw}");
        }
    }
}
