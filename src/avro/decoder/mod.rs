//! The compiled decoder.

use std::sync::Arc;

use super::{Row, Schema, Shape};

/// Where a wanted field is found in the writer's schema when it has another name there: wanted path to writer's path.
pub type Aliases = std::collections::BTreeMap<String, String>;

/// Why a writer's schema cannot be read with the reader's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The writer's schema is not a record.
    #[error("the writer's schema is not a record")]
    NotARecord,
}

/// Why a body is malformed, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {path} at byte {at}: {reason}")]
pub struct DecodeError {
    /// The path of the writer's field; empty for what is after the last one.
    pub path: Arc<str>,
    /// The byte of the body at which the fault lies.
    pub at: usize,
    /// The fault.
    pub reason: Reason,
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It is cut off.
    #[error("the body ends too early")]
    End,
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
    /// A branch or symbol is out of range.
    #[error("a branch or symbol is number {index} of {count}")]
    Index {
        /// As read.
        index: i64,
        /// How many there are.
        count: usize,
    },
}

/// Decodes bodies of one writer's schema.
#[derive(Clone, Debug)]
pub struct Decoder {}

impl Decoder {
    /// Compiles a decoder of the `wanted` fields, whose paths and types are those of the reader's schema.
    pub fn compile(writer: &Schema, reader: &Schema, wanted: &Shape) -> Result<Self, CompileError> {
        Self::compile_with(writer, reader, wanted, &Aliases::new())
    }

    /// As [`compile`](Self::compile), for a writer that has other names for some fields.
    pub fn compile_with(writer: &Schema, reader: &Schema, wanted: &Shape, aliases: &Aliases) -> Result<Self, CompileError> {
        let _ = (writer, reader, wanted, aliases);
        Err(CompileError::NotARecord)
    }

    /// Fills `into` with the wanted fields of a body.
    pub fn decode(&self, body: &[u8], into: &mut Row) -> Result<(), DecodeError> {
        let _ = (body, into);
        Ok(())
    }
}
