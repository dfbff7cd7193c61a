//! What can be wrong with a JSON value.

use std::fmt;
use std::sync::Arc;

/// Why a value cannot be read. Paths are those of the topic's own names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is not JSON.
    #[error("the value is not JSON")]
    Syntax(#[source] serde_json::Error),
    /// It is JSON, but no object.
    #[error("the value is {found}, not a JSON object")]
    NotAnObject {
        /// What it is.
        found: Found,
    },
    /// A field is not there.
    #[error("field {path} is missing, and the schema has no default for it")]
    Missing {
        /// Its path.
        path: Arc<str>,
    },
    /// A null where the schema has none.
    #[error("field {path} is null, where the schema allows none")]
    Null {
        /// Its path.
        path: Arc<str>,
    },
    /// A value of another type.
    #[error("field {path} is {found}, where the schema says {wanted}")]
    Type {
        /// Its path.
        path: Arc<str>,
        /// What it is.
        found: Found,
        /// What the schema says.
        wanted: Arc<str>,
    },
    /// A number that its type cannot hold.
    #[error("field {path} is {found}, out of range for {wanted}")]
    Range {
        /// Its path.
        path: Arc<str>,
        /// The number.
        found: Found,
        /// What the schema says.
        wanted: Arc<str>,
    },
    /// A text that is no symbol of the enum.
    #[error("field {path} is a text that is no symbol of {wanted}")]
    Symbol {
        /// Its path.
        path: Arc<str>,
        /// The enum.
        wanted: Arc<str>,
    },
}

/// A JSON value in a few words: numbers as they are, of anything else the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// null
    Null,
    /// true or false
    Boolean,
    /// A whole number.
    Signed(i64),
    /// A whole number beyond 63 bits.
    Unsigned(u64),
    /// Any other number.
    Double(f64),
    /// Text.
    String,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean => f.write_str("true or false"),
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            // As JSON has it, with an exponent where it is long.
            Self::Double(number) => write!(f, "{number:?}"),
            Self::String => f.write_str("a string"),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}
