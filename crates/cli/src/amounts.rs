//! Spans of time and numbers of bytes as people type them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time, like 90s, 10m, 1h or 7d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = |unit: &str| match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(86_400),
            _ => None,
        };
        let (count, unit) = split(text);
        let span = count.zip(seconds(unit)).and_then(|(count, unit)| count.checked_mul(unit));
        // A hundred years; beyond that clocks overflow.
        let span = span.filter(|seconds| *seconds <= 36_500 * 86_400);
        span.map(Duration::from_secs).map(Self).ok_or("a span of time is written like 90s, 10m, 1h or 7d")
    }
}

/// A number of bytes, like 512K, 8M or 1G: powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Bytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shift = |unit: &str| match unit {
            "" => Some(0),
            "K" | "KiB" => Some(10),
            "M" | "MiB" => Some(20),
            "G" | "GiB" => Some(30),
            _ => None,
        };
        let (count, unit) = split(text);
        let bytes = count.zip(shift(unit)).and_then(|(count, shift)| count.checked_mul(1 << shift));
        bytes.map(Self).ok_or("a number of bytes is written like 512K, 8M or 1G")
    }
}

fn split(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits.parse().ok(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        assert_eq!("90s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("7d".parse(), Ok(Span(Duration::from_secs(604_800))));
        assert_eq!("0s".parse(), Ok(Span(Duration::ZERO)));
        assert_eq!("8MiB".parse(), Ok(Bytes(8 << 20)));
        assert_eq!("17".parse(), Ok(Bytes(17)));
        for span in [Span(Duration::ZERO), Span(Duration::from_secs(5400))] {
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        assert_eq!(Bytes(3 << 19).to_string().parse(), Ok(Bytes(3 << 19)));
        for text in ["", "s", "1", "-1s", "1 h", "1w", "99999999999999999999s", "999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "M", "1T", "1.5G", "99999999999G"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
