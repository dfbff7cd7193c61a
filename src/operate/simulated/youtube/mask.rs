//! The `fields` mask of Google's APIs: which members of a document are wanted.

use serde_json::{Map, Value};

/// Members of masks in one another; what people write has three.
const DEPTH_MAX: usize = 16;

/// What is wanted of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mask {
    /// All of it.
    #[default]
    All,
    /// These members, and of each this much.
    Members(Vec<(String, Mask)>),
}

impl Mask {
    /// Reads a mask such as `nextPageToken,items(contentDetails/videoId)`. None where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mask = list(&mut rest, DEPTH_MAX)?;
        rest.is_empty().then_some(mask)
    }

    /// Leaves of a document what is wanted.
    pub(super) fn apply(&self, document: &mut Value) {
        let Self::Members(members) = self else { return };
        match document {
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.apply(element)),
            Value::Object(object) => {
                let mut kept = Map::new();
                for (name, mask) in members {
                    if let Some(mut value) = object.remove(name) {
                        mask.apply(&mut value);
                        kept.insert(name.clone(), value);
                    }
                }
                *object = kept;
            }
            _ => {}
        }
    }
}

/// `member,member,…`
fn list(rest: &mut &str, depth: usize) -> Option<Mask> {
    let mut members = Vec::new();
    loop {
        match member(rest, depth.checked_sub(1)?)? {
            (name, _) if name == "*" => members.push(None),
            member => members.push(Some(member)),
        }
        match rest.strip_prefix(',') {
            Some(more) => *rest = more,
            None => break,
        }
    }
    // With everything, nothing more is wanted.
    Some(members.into_iter().collect::<Option<_>>().map_or(Mask::All, Mask::Members))
}

/// `name`, `name/member` or `name(list)`
fn member(rest: &mut &str, depth: usize) -> Option<(String, Mask)> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '*' && c != '_').unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    *rest = after;
    let mask = if let Some(more) = rest.strip_prefix('/') {
        *rest = more;
        match member(rest, depth.checked_sub(1)?)? {
            (name, _) if name == "*" => Mask::All,
            member => Mask::Members(vec![member]),
        }
    } else if let Some(more) = rest.strip_prefix('(') {
        *rest = more;
        let mask = list(rest, depth)?;
        *rest = rest.strip_prefix(')')?;
        mask
    } else {
        Mask::All
    };
    Some((name.to_owned(), mask))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mask_leaves_what_is_wanted() {
        let document = json!({"kind": "k", "nextPageToken": "n", "items": [
            {"id": "i", "contentDetails": {"videoId": "v", "note": "x"}, "status": {"privacyStatus": "public"}},
            {"id": "j"},
        ]});
        let cases = [
            ("*", document.clone()),
            (
                "nextPageToken,items(contentDetails/videoId)",
                json!({"nextPageToken": "n", "items": [{"contentDetails": {"videoId": "v"}}, {}]}),
            ),
            ("items/id", json!({"items": [{"id": "i"}, {"id": "j"}]})),
            ("items(id,status/*),kind", json!({"kind": "k", "items": [{"id": "i", "status": {"privacyStatus": "public"}}, {"id": "j"}]})),
            ("pageInfo", json!({})),
        ];
        for (text, expected) in cases {
            let mut masked = document.clone();
            Mask::parse(text).unwrap().apply(&mut masked);
            assert_eq!(masked, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_mask_is_none() {
        let deep = "a(".repeat(1_000);
        for text in ["", ",", "a,", "a(b", "a(b))", "a/", "a b", "items[0]", &deep] {
            assert_eq!(Mask::parse(text), None, "{text}");
        }
    }
}
