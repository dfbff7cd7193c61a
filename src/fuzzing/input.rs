//! Takes an input apart where it stands for several things.

/// Takes a part off an input: up to a zero byte, or all.
pub(crate) fn part<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let end = input.iter().position(|&byte| byte == 0).unwrap_or(input.len());
    let (part, rest) = input.split_at(end);
    *input = rest.get(1..).unwrap_or_default();
    part
}

/// Takes a part off an input whose length stands before it in two bytes, or all that is left.
pub(crate) fn run<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    *input = rest;
    Some(part)
}
