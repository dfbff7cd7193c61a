//! "Did you mean": hints that name the known name that is closest to one that is not known.

use crate::processors::did_you_mean;

/// A hint that names the one that was probably meant.
pub(super) fn meant(seen: &str, known: &[&str]) -> Option<String> {
    did_you_mean(seen, known.iter().copied()).map(|name| format!("did you mean `{name}`?"))
}

/// A hint that names the one that was probably meant, or else all of them.
pub(super) fn hint(seen: &str, known: &[&str]) -> String {
    meant(seen, known).unwrap_or_else(|| match known {
        [] => "there is none".to_owned(),
        _ => format!("known: {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    })
}
