//! Record headers as one run of bytes, so that passing them on copies nothing.
//!
//! Each header: key length u32, key, value length u32 (`u32::MAX` for null), value; little endian.

/// Headers, borrowed. Keys may repeat; order is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers(&[]);

    /// Headers from bytes that [`Headers::as_bytes`] or a [`HeadersBuf`] gave; what is malformed ends them.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The encoded form.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Key and value of each header.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let key = std::str::from_utf8(take(&mut rest)??).ok()?;
            Some((key, take(&mut rest)?))
        })
    }

    /// The last value under `key`.
    pub fn last(self, key: &str) -> Option<&'a [u8]> {
        self.iter().filter(|(name, _)| *name == key).last()?.1
    }
}

/// Takes one length-prefixed run; the inner `None` is a null.
#[expect(clippy::option_option, reason = "the end of the run and a null are two things")]
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    if length == u32::MAX {
        *rest = tail;
        return Some(None);
    }
    let (value, tail) = tail.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = tail;
    Some(Some(value))
}

/// Headers being built; reused after [`clear`](Self::clear).
#[derive(Clone, Debug, Default)]
pub struct HeadersBuf(Vec<u8>);

impl HeadersBuf {
    /// Appends a header.
    pub fn push(&mut self, key: &str, value: Option<&[u8]>) {
        self.put(Some(key.as_bytes()));
        self.put(value);
    }

    fn put(&mut self, value: Option<&[u8]>) {
        let length = value.map_or(u32::MAX, |value| u32::try_from(value.len()).unwrap_or(u32::MAX - 1));
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(value.unwrap_or_default());
    }

    /// Appends all headers of another record.
    pub fn extend(&mut self, headers: Headers<'_>) {
        self.0.extend_from_slice(headers.0);
    }

    /// Forgets all headers, keeps the buffer.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The headers.
    pub fn as_headers(&self) -> Headers<'_> {
        Headers(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_order_nulls_and_repeated_keys() {
        let mut buffer = HeadersBuf::default();
        buffer.push("a", Some(b"1"));
        buffer.push("b", None);
        buffer.push("a", Some(b""));
        let seen: Vec<_> = buffer.as_headers().iter().collect();
        assert_eq!(seen, [("a", Some(&b"1"[..])), ("b", None), ("a", Some(&b""[..]))]);
        assert_eq!(buffer.as_headers().last("a"), Some(&b""[..]));
    }
}
