//! Reads the encodings that Avro is made of from a slice, and writes them. Bounded by the slice: nothing here allocates for a length that it was told.

use super::decoder::Reason;

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Bytes left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// A zigzag varint of at most 64 bits.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Reason> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Ok(zigzag(u64::from(first)))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Ok(zigzag(u64::from(first & 0x7f) | u64::from(second) << 7))
            }
            _ => self.long_varint(),
        }
    }

    /// Three bytes and more: eight at once where they are there.
    fn long_varint(&mut self) -> Result<i64, Reason> {
        if let Some(word) = self.rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let bits = ends.trailing_zeros();
                self.rest = self.rest.get(bits as usize / 8 + 1..).unwrap_or_default();
                return Ok(zigzag(squeeze(word & (u64::MAX >> (63 - bits)))));
            }
        }
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && byte > 1 {
                return Err(Reason::Varint);
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(zigzag(value));
            }
        }
        Err(if self.rest.len() < 10 { Reason::End } else { Reason::Varint })
    }

    /// A zigzag varint of at most 32 bits.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Reason> {
        let start = *self;
        i32::try_from(self.long()?).map_err(|_| {
            *self = start;
            Reason::Int
        })
    }

    /// A varint that nobody wants.
    #[inline]
    pub(crate) fn skip_varint(&mut self) -> Result<(), Reason> {
        self.long().map(|_| ())
    }

    #[inline]
    pub(crate) fn boolean(&mut self) -> Result<bool, Reason> {
        match self.rest {
            [value @ (0 | 1), rest @ ..] => {
                self.rest = rest;
                Ok(*value == 1)
            }
            [value, ..] => Err(Reason::Boolean(*value)),
            [] => Err(Reason::End),
        }
    }

    pub(crate) fn float(&mut self) -> Result<f32, Reason> {
        self.array().map(f32::from_le_bytes)
    }

    pub(crate) fn double(&mut self) -> Result<f64, Reason> {
        self.array().map(f64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (value, rest) = self.rest.split_first_chunk::<N>().ok_or(Reason::End)?;
        self.rest = rest;
        Ok(*value)
    }

    /// Bytes of a length known from the schema.
    #[inline]
    pub(crate) fn fixed(&mut self, size: usize) -> Result<&'a [u8], Reason> {
        let (value, rest) = self.rest.split_at_checked(size).ok_or(Reason::End)?;
        self.rest = rest;
        Ok(value)
    }

    /// Bytes or a string, with their length before them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Reason> {
        let start = *self;
        let length = self.long()?;
        let found = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let Some((value, rest)) = found else {
            let left = self.rest.len();
            *self = start;
            return Err(Reason::Length { length, left });
        };
        self.rest = rest;
        Ok(value)
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Reason> {
        let start = *self;
        std::str::from_utf8(self.bytes()?).map_err(|_| {
            *self = start;
            Reason::Utf8
        })
    }

    /// The number of a union's branch or an enum's symbol, below `count`.
    #[inline]
    pub(crate) fn index(&mut self, count: usize) -> Result<usize, Reason> {
        let start = *self;
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(found) if found < count => Ok(found),
            _ => {
                *self = start;
                Err(Reason::Index { index, count })
            }
        }
    }

    /// Whether a union of null and one other type holds the null, which is its first branch or (`null_last`) its second.
    #[inline]
    pub(crate) fn is_null(&mut self, null_last: bool) -> Result<bool, Reason> {
        match self.rest {
            [0, rest @ ..] => {
                self.rest = rest;
                Ok(!null_last)
            }
            [2, rest @ ..] => {
                self.rest = rest;
                Ok(null_last)
            }
            _ => self.index(2).map(|index| (index == 1) == null_last),
        }
    }

    /// Passes over so many bytes where all of them are 0.
    #[inline]
    pub(crate) fn zeros(&mut self, count: usize) -> bool {
        match self.rest.split_at_checked(count) {
            Some((zeros, rest)) if zeros.iter().all(|&byte| byte == 0) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The head of a block of an array or a map: number of items (0 ends it) and, where the writer gave it, its size in bytes.
    pub(crate) fn block(&mut self) -> Result<(u64, Option<u64>), Reason> {
        let start = *self;
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        let size = self.long()?;
        let Ok(size) = u64::try_from(size) else {
            let left = self.rest.len();
            *self = start;
            return Err(Reason::Length { length: size, left });
        };
        Ok((count.unsigned_abs(), Some(size)))
    }
}

/// Takes the top bit out of each byte.
#[inline]
const fn squeeze(word: u64) -> u64 {
    let pairs = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4)
}

#[inline]
const fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends a zigzag varint.
#[inline]
pub(crate) fn put_long(value: i64, into: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    if rest < 0x80 {
        into.push(rest.to_le_bytes()[0]);
        return;
    }
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        *byte = rest.to_le_bytes()[0] | 0x80;
        rest >>= 7;
        if rest == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    into.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Appends bytes with their length before them.
#[inline]
pub(crate) fn put_bytes(value: &[u8], into: &mut Vec<u8>) {
    put_long(i64::try_from(value.len()).unwrap_or(i64::MAX), into);
    into.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_of_every_length_come_back() {
        let mut values: Vec<i64> = (0..63).flat_map(|bit| [1_i64 << bit, (1_i64 << bit) - 1, -(1_i64 << bit)]).collect();
        values.extend([0, i64::MIN, i64::MAX]);
        for value in values {
            let mut bytes = Vec::new();
            put_long(value, &mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.long(), Ok(value));
            assert_eq!(cursor.left(), 0);
            assert_eq!(Cursor::new(&bytes[..bytes.len() - 1]).long(), Err(Reason::End));
        }
    }

    #[test]
    fn a_varint_beyond_64_bits_is_refused() {
        assert_eq!(Cursor::new(&[0x80; 10]).long(), Err(Reason::Varint));
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).long(), Err(Reason::Varint));
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).long(), Ok(i64::MIN));
    }

    #[test]
    fn lengths_are_held_against_what_is_left() {
        assert_eq!(Cursor::new(&[6, 1, 2]).bytes(), Err(Reason::Length { length: 3, left: 2 }));
        assert_eq!(Cursor::new(&[1, 1, 2]).bytes(), Err(Reason::Length { length: -1, left: 2 }));
    }
}
