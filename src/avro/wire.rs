//! The Confluent wire format: which schema the bytes of a record were written with.
//!
//! In the value: magic byte 0, the schema id as big-endian u32, the Avro body. In a header (Confluent Platform 8): `__value_schema_id` holds either
//! the same five bytes or magic byte 1 and a 16-byte GUID, and the value is the bare body.

use std::fmt;
use std::str::FromStr;

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

/// The GUID of a schema: the same in every registry that holds the same schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID that the embedded registry gives a schema: a hash of its normal text, so that no table is needed. It must never change.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut bytes = xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_be_bytes();
        // Version 8 (made in a way of one's own) and the variant of RFC 9562.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

/// 32 hexadecimal digits in five groups.
impl fmt::Display for Guid {
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

/// Not the text of a GUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID such as 00010203-0405-0607-0809-0a0b0c0d0e0f")]
pub struct NotAGuid;

impl FromStr for Guid {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        let digits = text.replace('-', "");
        // A sign would be taken for a digit below.
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotAGuid);
        }
        u128::from_str_radix(&digits, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NotAGuid)
    }
}

/// How a record names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaKey {
    /// By its id in the registry.
    Id(SchemaId),
    /// By its GUID.
    Guid(Guid),
}

impl SchemaKey {
    /// The id, where it is one.
    pub fn id(self) -> Option<SchemaId> {
        match self {
            Self::Id(id) => Some(id),
            Self::Guid(_) => None,
        }
    }
}

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Guid(guid) => guid.fmt(f),
        }
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
    /// The header is there, but is neither an id nor a GUID.
    #[error("the header {VALUE_SCHEMA_ID} is malformed")]
    Header,
}

/// What names the schema of a record's value, and the Avro body.
pub fn split<'a>(value: &'a [u8], headers: Headers<'_>) -> Result<(SchemaKey, &'a [u8]), Error> {
    if !headers.is_empty()
        && let Some(header) = headers.last(VALUE_SCHEMA_ID)
    {
        return Ok((header_key(header)?, value));
    }
    let Some((prefix, body)) = value.split_first_chunk::<PREFIX_LENGTH>() else { return Err(Error::Short(value.len())) };
    let [magic, id @ ..] = *prefix;
    if magic != 0 {
        return Err(Error::Magic(magic));
    }
    Ok((SchemaKey::Id(SchemaId(u32::from_be_bytes(id))), body))
}

fn header_key(header: &[u8]) -> Result<SchemaKey, Error> {
    match header {
        [0, id @ ..] => id.try_into().map(|id| SchemaKey::Id(SchemaId(u32::from_be_bytes(id)))).map_err(|_| Error::Header),
        [1, guid @ ..] => guid.try_into().map(|guid| SchemaKey::Guid(Guid(guid))).map_err(|_| Error::Header),
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
        assert_eq!(split(&bytes, Headers::EMPTY), Ok((SchemaKey::Id(SchemaId(0x0102_0304)), &[9][..])));
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
        assert_eq!(split(&[9], headers.as_headers()), Ok((SchemaKey::Id(SchemaId(7)), &[9][..])));
        headers.clear();
        headers.push(VALUE_SCHEMA_ID, Some(&[1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
        let (key, body) = split(&[9], headers.as_headers()).unwrap();
        assert_eq!((key.to_string().as_str(), body), ("00010203-0405-0607-0809-0a0b0c0d0e0f", &[9][..]));
        headers.clear();
        headers.push(VALUE_SCHEMA_ID, None);
        headers.push(VALUE_SCHEMA_ID, Some(&[1, 2]));
        assert_eq!(split(&[9], headers.as_headers()), Err(Error::Header));
    }

    #[test]
    fn a_guid_has_one_text() {
        let guid = Guid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(guid.to_string().parse(), Ok(guid));
        for wrong in
            ["", "00010203-0405-0607-0809-0a0b0c0d0e0", "+0010203-0405-0607-0809-0a0b0c0d0e0f", "g0010203-0405-0607-0809-0a0b0c0d0e0f"]
        {
            assert_eq!(wrong.parse::<Guid>(), Err(NotAGuid), "{wrong}");
        }
    }

    #[test]
    fn the_guid_of_a_schema_never_changes() {
        assert_eq!(Guid::of_text("\"long\"").to_string(), "9feffb72-ea42-8cf1-b89a-cc81b5fc85fe");
    }
}
