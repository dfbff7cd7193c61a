//! Whole numbers in stored rows: zig-zag, then seven bits a byte, the lowest first.

/// Appends a number.
#[inline]
pub(crate) fn put(into: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    // Into an array first, so that the buffer is asked for room once.
    let mut bytes = [0_u8; 10];
    let mut length = 0;
    for byte in &mut bytes {
        *byte = rest.to_le_bytes()[0] | 0x80;
        length += 1;
        rest >>= 7;
        if rest == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    into.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Appends a length.
pub(crate) fn put_length(into: &mut Vec<u8>, length: usize) {
    put(into, i64::try_from(length).unwrap_or(i64::MAX));
}

/// How many bytes [`put_length`] takes.
pub(crate) fn length_of(length: usize) -> usize {
    // One bit is the sign's.
    let bits = usize::try_from(usize::BITS - length.leading_zeros()).unwrap_or(usize::MAX) + 1;
    bits.div_ceil(7)
}

/// Takes a number off the front; none where the bytes end early or go on too long.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Option<i64> {
    if let [low @ 0..=0x7f, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(i64::from(low >> 1) ^ -i64::from(low & 1));
    }
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    None
}

/// Takes a length and that many bytes off the front.
pub(crate) fn take_run<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (run, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(run)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: i64) {
            let mut bytes = Vec::new();
            super::put(&mut bytes, number);
            prop_assert!(bytes.len() <= 10);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(super::take(&mut rest), Some(number));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(super::length_of(usize::try_from(number.unsigned_abs() >> 1).unwrap()), {
                let mut length = Vec::new();
                super::put_length(&mut length, usize::try_from(number.unsigned_abs() >> 1).unwrap());
                length.len()
            });
            for cut in 0..bytes.len() {
                prop_assert_eq!(super::take(&mut &bytes[..cut]), None);
            }
        }
    }
}
