//! The Confluent wire format: which schema the bytes of a record were written with.
//!
//! In the value: magic byte 0, the schema id as big-endian u32, the Avro body. In a header (Confluent Platform 8): `__value_schema_id` holds either
//! the same five bytes or magic byte 1 and a 16-byte GUID, and the value is the bare body. A GUID is recognised, but no registry here resolves it yet.

use std::fmt;

use crate::streams::log::Headers;

/// The header that names the schema of a value.
pub const VALUE_SCHEMA_ID: &str = "__value_schema_id";

/// Bytes before the body.
pub const PREFIX_LENGTH: usize = 5;

/// The id of a schema in a registry: global, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why no schema id can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shorter than the five bytes before the body.
    #[error("the value has {0} bytes, too few for a schema id")]
    Short(usize),
    /// Not Confluent's format.
    #[error("the value begins with byte {0:#04x}, not with the magic byte 0")]
    Magic(u8),
    /// The header names the schema by GUID.
    #[error("the header {VALUE_SCHEMA_ID} names the schema by GUID {}, which cannot be resolved here yet", Hex(.0))]
    Guid([u8; 16]),
    /// The header is there, but is neither an id nor a GUID.
    #[error("the header {VALUE_SCHEMA_ID} is malformed")]
    Header,
}

/// A GUID as its 32 hex digits in five groups.
struct Hex<'a>(&'a [u8; 16]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The schema id and the Avro body of a record's value.
pub fn split<'a>(value: &'a [u8], headers: Headers<'_>) -> Result<(SchemaId, &'a [u8]), Error> {
    if !headers.is_empty()
        && let Some(header) = headers.last(VALUE_SCHEMA_ID)
    {
        return Ok((header_id(header)?, value));
    }
    let Some((prefix, body)) = value.split_first_chunk::<PREFIX_LENGTH>() else { return Err(Error::Short(value.len())) };
    let [magic, id @ ..] = *prefix;
    if magic != 0 {
        return Err(Error::Magic(magic));
    }
    Ok((SchemaId(u32::from_be_bytes(id)), body))
}

fn header_id(header: &[u8]) -> Result<SchemaId, Error> {
    match header {
        [0, id @ ..] => id.try_into().map(|id| SchemaId(u32::from_be_bytes(id))).map_err(|_| Error::Header),
        [1, guid @ ..] => Err(guid.try_into().map_or(Error::Header, Error::Guid)),
        _ => Err(Error::Header),
    }
}

/// Appends the bytes that come before the body.
pub fn prefix(id: SchemaId, into: &mut Vec<u8>) {
    into.push(0);
    into.extend_from_slice(&id.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::log::HeadersBuf;

    #[test]
    fn prefix_and_split_are_inverse() {
        let mut bytes = Vec::new();
        prefix(SchemaId(0x0102_0304), &mut bytes);
        bytes.push(9);
        assert_eq!(bytes, [0, 1, 2, 3, 4, 9]);
        assert_eq!(split(&bytes, Headers::EMPTY), Ok((SchemaId(0x0102_0304), &[9][..])));
    }

    #[test]
    fn other_formats_are_told_apart() {
        assert_eq!(split(&[0, 1], Headers::EMPTY).unwrap_err().to_string(), "the value has 2 bytes, too few for a schema id");
        assert_eq!(
            split(b"{\"a\":1}", Headers::EMPTY).unwrap_err().to_string(),
            "the value begins with byte 0x7b, not with the magic byte 0"
        );
    }

    #[test]
    fn a_header_may_name_the_schema() {
        let mut headers = HeadersBuf::default();
        headers.push(VALUE_SCHEMA_ID, Some(&[0, 0, 0, 0, 7]));
        assert_eq!(split(&[9], headers.as_headers()), Ok((SchemaId(7), &[9][..])));
        headers.clear();
        headers.push(VALUE_SCHEMA_ID, Some(&[1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
        assert_eq!(
            split(&[9], headers.as_headers()).unwrap_err().to_string(),
            "the header __value_schema_id names the schema by GUID 00010203-0405-0607-0809-0a0b0c0d0e0f, which cannot be resolved here yet"
        );
        headers.clear();
        headers.push(VALUE_SCHEMA_ID, None);
        headers.push(VALUE_SCHEMA_ID, Some(&[1, 2]));
        assert_eq!(split(&[9], headers.as_headers()), Err(Error::Header));
    }
}
