//! Times and spans of time as they are written in conditions.

/// Milliseconds since the Unix epoch of an RFC 3339 time; what is finer than a millisecond is refused.
pub(super) fn timestamp_ms(text: &str) -> Result<i64, &'static str> {
    let time: jiff::Timestamp = text.parse().map_err(|_| "is not a time as in RFC 3339")?;
    if time.subsec_nanosecond() % 1_000_000 == 0 { Ok(time.as_millisecond()) } else { Err("is finer than a millisecond") }
}

/// Milliseconds of a duration as CEL writes it: numbers with the units h, m, s, ms, us, ns, and a sign before all.
pub(super) fn duration_ms(text: &str) -> Result<i64, &'static str> {
    const BAD: &str = "is not a duration";
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(BAD);
    }
    let mut total_ns = 0_i128;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(BAD)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_ns: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return Err(BAD),
        };
        total_ns += decimal(number, unit_ns).ok_or(BAD)?;
        rest = tail;
    }
    if total_ns % 1_000_000 != 0 {
        return Err("is finer than a millisecond");
    }
    let length_ms = i64::try_from(total_ns / 1_000_000).map_err(|_| "is too long")?;
    Ok(if negative { -length_ms } else { length_ms })
}

/// A decimal number of units, in nanoseconds; digits finer than that are dropped.
fn decimal(number: &str, unit_ns: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 15 || fraction.contains('.') {
        return None;
    }
    let mut total = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()?.checked_mul(unit_ns)? };
    let mut unit = unit_ns;
    for digit in fraction.chars() {
        // Each digit counts a tenth of the one before; rounding down below a nanosecond is checked by the caller's units.
        let digit = i128::from(digit.to_digit(10)?);
        total += digit * unit / 10;
        unit /= 10;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, expected) in [
            ("1h", Ok(3_600_000)),
            ("1h30m", Ok(5_400_000)),
            ("1.5h", Ok(5_400_000)),
            ("-250ms", Ok(-250)),
            ("0", Ok(0)),
            (".5s", Ok(500)),
            ("1us", Err("is finer than a millisecond")),
            ("1d", Err("is not a duration")),
            ("", Err("is not a duration")),
            ("5", Err("is not a duration")),
            ("h", Err("is not a duration")),
            ("999999999999999h", Err("is too long")),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_times() {
        assert_eq!(timestamp_ms("1970-01-01T00:00:01.5Z"), Ok(1500));
        assert_eq!(timestamp_ms("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(timestamp_ms("yesterday").is_err());
        assert!(timestamp_ms("1970-01-01T00:00:00.0001Z").is_err());
    }
}
