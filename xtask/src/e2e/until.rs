//! Waiting for what is not so at once.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A cluster of the lab does anything in less.
const LIMIT: Duration = Duration::from_secs(300);

/// Asks until it is so. While things go away and come back a question may fail: what counts is that an answer comes.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match is_so() {
            Ok(true) => return Ok(()),
            Ok(false) | Err(_) if Instant::now() < deadline => std::thread::park_timeout(Duration::from_millis(300)),
            Ok(false) => bail!("after {} s it is not so: {what}", LIMIT.as_secs()),
            Err(error) => return Err(error.context(format!("after {} s it is not so: {what}", LIMIT.as_secs()))),
        }
    }
}
