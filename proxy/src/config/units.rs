//! Sizes and durations as people write them: `64KiB`, `3m`, `1.5s`.

use std::{fmt, time::Duration};

/// Bytes. Written as a whole number, or with a unit: `b`, `k`, `m`, `g` as in mitmproxy or `KiB`, `MiB`, `GiB`, all binary
/// and in any case. A fraction is fine where it makes whole bytes: `1.5KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

/// A time span. Written with a unit: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`; fractions down to a nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Count(pub(crate) u64);

/// A kind of number: how it is read and shown.
pub(crate) trait Unit: Copy + PartialOrd + fmt::Display {
    /// What it is called where one is wrong.
    const NAME: &'static str;
    /// Reads text.
    fn from_text(text: &str) -> Option<Self>;
    /// Reads a plain number; none if it needs a unit.
    fn from_number(number: u64) -> Option<Self>;
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

const SPANS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Unit for Size {
    const NAME: &'static str = "a size (bytes, or with a unit like 64KiB or 3m)";

    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = split(text);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            _ => return None,
        };
        scaled(number, factor).map(Self)
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Unit for Span {
    const NAME: &'static str = "a duration (with its unit, like 50ms, 1.5s, 2m or 7d)";

    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = split(text);
        let (_, factor) = SPANS.iter().find(|(name, _)| *name == unit)?;
        scaled(number, *factor).map(|nanos| Self(Duration::from_nanos(nanos)))
    }

    fn from_number(_: u64) -> Option<Self> {
        None
    }
}

impl Unit for Count {
    const NAME: &'static str = "a whole number";

    fn from_text(_: &str) -> Option<Self> {
        None
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Number times factor, if that is whole and fits.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine places make a nanosecond of a second.
    if whole.len() > 20 || fraction.len() > 9 {
        return None;
    }
    let tens = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = fraction.parse::<u128>().ok()? * u128::from(factor);
    if !parts.is_multiple_of(tens) {
        return None;
    }
    let total = whole.parse::<u128>().ok()?.checked_mul(u128::from(factor))?.checked_add(parts / tens)?;
    u64::try_from(total).ok()
}

/// The value in the largest unit that leaves it whole.
fn show(value: u64, units: &[(&str, u64)], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(out, "{}{unit}", value / factor),
        None => out.write_str("0"),
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &SIZES, out)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX), &SPANS, out)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_in_any_case() {
        for (text, bytes) in [
            ("0", 0),
            ("7", 7),
            ("7b", 7),
            ("3m", 3 << 20),
            ("3M", 3 << 20),
            ("2k", 2 << 10),
            ("1g", 1 << 30),
            ("64KiB", 64 << 10),
            ("64 kib", 64 << 10),
            ("1.5KiB", 1536),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(Size::from_text(text), Some(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "k",
            ".5k",
            "1.k",
            "1.2.3k",
            "-1",
            "+1",
            "1 0",
            "0.1",
            "0.3k",
            "1KB",
            "1tb",
            " 1",
            "1k ",
            "18446744073709551616",
            "20000000000g",
        ] {
            assert_eq!(Size::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        for (text, span) in [
            ("50ms", Duration::from_millis(50)),
            ("1.5s", Duration::from_millis(1500)),
            ("2m", Duration::from_mins(2)),
            ("1h", Duration::from_hours(1)),
            ("7d", Duration::from_hours(168)),
            ("0s", Duration::ZERO),
            ("0.000000001s", Duration::from_nanos(1)),
        ] {
            assert_eq!(Span::from_text(text), Some(Span(span)), "{text}");
        }
        for text in ["", "5", "s", "1.5", "-1s", "1S", "1 week", "0.1ns", "1e3s", "300000d"] {
            assert_eq!(Span::from_text(text), None, "{text:?}");
        }
        assert_eq!(Span::from_number(5), None);
    }

    #[test]
    fn values_show_as_they_are_written() {
        for text in ["64KiB", "3MiB", "1GiB", "1536", "0"] {
            assert_eq!(Size::from_text(text).map(|size| size.to_string()).as_deref(), Some(text));
        }
        for text in ["50ms", "1500ms", "2m", "7d", "25h"] {
            assert_eq!(Span::from_text(text).map(|span| span.to_string()).as_deref(), Some(text));
        }
    }
}
