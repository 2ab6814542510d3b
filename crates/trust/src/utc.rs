//! Times in signed documents: UTC, whole seconds, `2026-11-23T12:00:00Z` and no other spelling
//! (TUF specification 1.0.34, section 4.3: `expires`).

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// `time` in the one spelling. A fraction of a second is cut off.
pub(crate) fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*time))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: Option<Timestamp> = text.parse().ok();
    time.filter(|time| format(*time) == text)
        .ok_or_else(|| D::Error::custom("a time is written in UTC and whole seconds, like 2026-11-23T12:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample(#[serde(with = "super")] Timestamp);

    #[test]
    fn one_instant_has_one_spelling() {
        let read = |text: &str| serde_json::from_value::<Sample>(text.into());
        let time = read("2026-11-23T12:00:00Z").unwrap().0;
        assert_eq!(format(time), "2026-11-23T12:00:00Z");
        for text in [
            "2026-11-23T12:00:00.5Z",
            "2026-11-23T13:00:00+01:00",
            "2026-11-23 12:00:00Z",
            "2026-11-23",
            "",
            "+002026-11-23T12:00:00Z",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
