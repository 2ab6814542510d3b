//! Spans of whole days, as validity is counted in.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const MAX_DAYS: u32 = 36_500;

/// A span of whole days of 24 hours, written `90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Days(u32);

impl Days {
    /// `days` days; more than a hundred years are cut to that.
    pub const fn new(days: u32) -> Self {
        Self(if days < MAX_DAYS { days } else { MAX_DAYS })
    }

    /// The number of days.
    pub const fn count(self) -> u32 {
        self.0
    }

    /// The instant this many days after `start`, or the last one there is.
    pub fn after(self, start: jiff::Timestamp) -> jiff::Timestamp {
        let span = jiff::SignedDuration::from_hours(i64::from(self.0) * 24);
        start.saturating_add(span).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// A text is not a span of days.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of days, written like 90d, from 1d to {MAX_DAYS}d")]
pub struct ParseDaysError(String);

impl FromStr for Days {
    type Err = ParseDaysError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDaysError(text.chars().take(40).collect());
        let digits = text.strip_suffix('d').ok_or_else(error)?;
        let days = digits.parse().map_err(|_| error())?;
        if digits.starts_with('+') || !(1..=MAX_DAYS).contains(&days) {
            return Err(error());
        }
        Ok(Self(days))
    }
}

impl TryFrom<String> for Days {
    type Error = ParseDaysError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Days> for String {
    fn from(days: Days) -> Self {
        days.to_string()
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_with_a_d() {
        assert_eq!("90d".parse(), Ok(Days::new(90)));
        for text in ["", "d", "90", "90h", "-1d", "+1d", "0d", "36501d", "1.5d", "99999999999d"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_counted_from_an_instant() {
        let start: jiff::Timestamp = "2026-02-27T12:00:00Z".parse().unwrap();
        assert_eq!(Days::new(2).after(start).to_string(), "2026-03-01T12:00:00Z");
        assert_eq!(Days::new(1).after(jiff::Timestamp::MAX), jiff::Timestamp::MAX);
    }
}
