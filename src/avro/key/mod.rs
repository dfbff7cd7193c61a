//! The formats of keys: the bytes that Java's, ksqlDB's and Confluent's serializers make of a text or a number.
//!
//! State is kept under the bytes as they are. What people and schemas see of a key is what [`KeyFormat::read`] makes of them; that needs no
//! registry, since [`KeyChecker`] has looked at every key before.

use super::cursor::Cursor;
use super::decoder::describe;
use super::schema::Kind;
use super::wire::PREFIX_LENGTH;
use super::{Reason, Schema, Type, Value};

mod checker;
mod keyed;
#[cfg(test)]
mod tests;

pub use checker::KeyChecker;
pub use keyed::KeyedDeserializer;

/// How the keys of a topic are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// UTF-8 (Java's `StringSerializer`, ksqlDB's KAFKA format of a VARCHAR).
    #[default]
    String,
    /// Bytes that mean nothing here.
    Bytes,
    /// Eight bytes, big-endian (`LongSerializer`, a BIGINT).
    Long,
    /// Four bytes, big-endian (`IntegerSerializer`, an INTEGER).
    Int,
    /// A single value in the Confluent wire format.
    Avro(AvroKey),
}

/// The schemas that an Avro key may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvroKey {
    /// `"string"`
    String,
    /// `"int"`
    Int,
    /// `"long"`
    Long,
}

/// A key, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Long(i64),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl Key<'_> {
    /// Makes `into` this key, reusing its buffer.
    pub fn copy_to(self, into: &mut Value) {
        match self {
            Self::Text(text) => into.set_str(text),
            Self::Long(number) => *into = Value::Long(number),
            Self::Bytes(bytes) => into.set_bytes(bytes),
        }
    }
}

/// Why bytes are no key of their format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not text.
    #[error("the key is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// A number of another size.
    #[error("the key has {found} bytes; {format} has {wanted}")]
    Length {
        /// What was expected.
        format: &'static str,
        /// Its size.
        wanted: usize,
        /// The size of the key.
        found: usize,
    },
    /// Too short for the Confluent wire format.
    #[error("the key has {0} bytes, too few for a schema id")]
    Short(usize),
    /// Not the Confluent wire format.
    #[error("the key begins with byte {0:#04x}, not with the magic byte 0")]
    Magic(u8),
    /// The body behind the schema id is malformed.
    #[error("the key is no Avro {format}")]
    Body {
        /// What was expected.
        format: &'static str,
        /// What is wrong.
        #[source]
        source: Reason,
    },
}

/// A schema that no key here can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema is {found}; a key is a string, an int or a long")]
pub struct NotAKey {
    /// What it is.
    pub found: String,
}

impl AvroKey {
    /// What keys of this schema are.
    pub fn of(schema: &Schema) -> Result<Self, NotAKey> {
        match schema.kind(schema.root()) {
            Kind::String => Ok(Self::String),
            Kind::Int => Ok(Self::Int),
            Kind::Long => Ok(Self::Long),
            _ => Err(NotAKey { found: describe(schema, schema.root()) }),
        }
    }

    /// Avro's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Long => "long",
        }
    }

    fn read(self, body: &[u8]) -> Result<Key<'_>, Reason> {
        let mut cursor = Cursor::new(body);
        let key = match self {
            Self::String => Key::Text(cursor.text()?),
            Self::Int => Key::Long(cursor.int()?.into()),
            Self::Long => Key::Long(cursor.long()?),
        };
        match cursor.left() {
            0 => Ok(key),
            left => Err(Reason::Trailing(left)),
        }
    }
}

impl KeyFormat {
    /// The type of a field that holds such a key.
    pub fn ty(self) -> Type {
        match self {
            Self::String | Self::Avro(AvroKey::String) => Type::String,
            Self::Bytes => Type::Bytes,
            Self::Long | Self::Int | Self::Avro(AvroKey::Int | AvroKey::Long) => Type::Long,
        }
    }

    /// What the bytes of a key mean. The schema that an Avro key names is not looked at: see [`KeyChecker`].
    #[inline]
    pub fn read(self, key: &[u8]) -> Result<Key<'_>, KeyError> {
        match self {
            Self::String => std::str::from_utf8(key).map(Key::Text).map_err(KeyError::Utf8),
            Self::Bytes => Ok(Key::Bytes(key)),
            Self::Long => number(key, "a long").map(|key| Key::Long(i64::from_be_bytes(key))),
            Self::Int => number(key, "an int").map(|key| Key::Long(i32::from_be_bytes(key).into())),
            Self::Avro(schema) => {
                let (_, body) = split(key)?;
                schema.read(body).map_err(|source| KeyError::Body { format: schema.name(), source })
            }
        }
    }
}

fn number<const N: usize>(key: &[u8], format: &'static str) -> Result<[u8; N], KeyError> {
    key.try_into().map_err(|_| KeyError::Length { format, wanted: N, found: key.len() })
}

/// The schema id and the body of an Avro key.
fn split(key: &[u8]) -> Result<(u32, &[u8]), KeyError> {
    let Some((prefix, body)) = key.split_first_chunk::<PREFIX_LENGTH>() else { return Err(KeyError::Short(key.len())) };
    let [magic, id @ ..] = *prefix;
    if magic == 0 { Ok((u32::from_be_bytes(id), body)) } else { Err(KeyError::Magic(magic)) }
}
