//! The clock, read once per command.

use jiff::Timestamp;

#[cfg(feature = "outside")]
use crate::environment;
#[cfg(feature = "outside")]
use crate::error::{CommandError, Result};

/// Now, to the second: finer times would only make documents differ.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The issue time of what is made: `SOURCE_DATE_EPOCH` where it is set, else now.
///
/// # Errors
/// A `SOURCE_DATE_EPOCH` that is not a count of seconds.
#[cfg(feature = "outside")]
pub fn issued() -> Result<Timestamp> {
    let Some(text) = environment::read_text(&environment::SOURCE_DATE_EPOCH) else {
        return Ok(now());
    };
    let seconds = text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.ok_or_else(|| {
        CommandError::usage(format!("SOURCE_DATE_EPOCH is `{text}`, which is not a count of seconds since 1970"))
    })
}
