//! What can go wrong when a decoder is compiled and when it decodes.

use std::fmt;
use std::sync::Arc;

use crate::avro::Type;

/// Why a writer's schema cannot be read with the reader's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The writer's schema is not a record.
    #[error("the writer's schema is not a record")]
    NotARecord,
    /// The reader's schema has no such field.
    #[error("the reader's schema has no field {path}")]
    NoSuchField {
        /// The wanted path.
        path: Arc<str>,
    },
    /// The reader's schema has another type, or one that a row cannot hold.
    #[error("field {path} is wanted as {wanted}, but is {found} in the reader's schema")]
    WrongType {
        /// The wanted path.
        path: Arc<str>,
        /// The wanted type.
        wanted: Type,
        /// What it is.
        found: &'static str,
    },
    /// The writer does not have it, and the reader has no default.
    #[error("field {path} is not in the writer's schema and has no default in the reader's")]
    NoDefault {
        /// The wanted path.
        path: Arc<str>,
    },
    /// The reader's default is not of the field's type.
    #[error("the default of field {path} is not of its type")]
    BadDefault {
        /// The wanted path.
        path: Arc<str>,
    },
    /// The writer's type cannot become the reader's.
    #[error("field {path} was written as {writer}, which cannot be read as {reader}")]
    Unreadable {
        /// The wanted path.
        path: Arc<str>,
        /// The writer's type.
        writer: String,
        /// The reader's type.
        reader: String,
    },
    /// One field of the writer's is wanted twice.
    #[error("fields {path} and {other} are read from the same field of the writer's schema")]
    Twice {
        /// A wanted path.
        path: Arc<str>,
        /// The other.
        other: Arc<str>,
    },
}

/// Why a body is malformed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The path of the writer's field; empty for what comes after the last one.
    pub path: Arc<str>,
    /// The byte of the body at which the fault lies.
    pub at: usize,
    /// The fault.
    pub reason: Reason,
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "field {}, ", self.path)?;
        }
        write!(f, "byte {}: {}", self.at, self.reason)
    }
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It is cut off.
    #[error("the body ends too early")]
    End,
    /// It goes on after the last field.
    #[error("{0} bytes are left after the last field")]
    Trailing(usize),
    /// A varint is too long.
    #[error("a number has more than 64 bits")]
    Varint,
    /// An int is too large.
    #[error("an int has more than 32 bits")]
    Int,
    /// Neither 0 nor 1.
    #[error("a boolean is {0}, neither 0 nor 1")]
    Boolean(u8),
    /// A length does not fit.
    #[error("a length is {length}, with {left} bytes left")]
    Length {
        /// As read.
        length: i64,
        /// Bytes left.
        left: usize,
    },
    /// Not text.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A branch of a union or a symbol of an enum that there is not.
    #[error("a branch or symbol is number {index} of {count}")]
    Index {
        /// As read.
        index: i64,
        /// How many there are.
        count: usize,
    },
    /// A symbol that the reader's enum does not have, and it has no default.
    #[error("the symbol {0} is not in the reader's schema")]
    Symbol(Arc<str>),
    /// A null where the reader's schema allows none.
    #[error("a null, where the reader's schema allows none")]
    Null,
    /// A branch of the writer's union that the reader's type does not take.
    #[error("a value of type {0}, which the reader's schema does not take")]
    Unfit(Arc<str>),
    /// Records within records without end.
    #[error("records are nested too deeply")]
    Depth,
    /// More values than a body of its size should have.
    #[error("too many empty values")]
    Empty,
}
