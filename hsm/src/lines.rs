//! Requests, one on a line, each of bounded length.

use std::io::{BufRead, Read as _};

use zeroize::Zeroizing;

use crate::failure::{Code, Failure};
use crate::protocol::Request;

/// No request is longer; in bytes. What is signed may have 16 MiB, and base64 makes a third more of it.
const MAX_LINE: u64 = 24 << 20;

/// Requests as they come in.
pub struct Lines<R> {
    input: R,
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R) -> Self {
        Self { input }
    }

    /// The next request; `None` where there is none any more.
    pub fn next(&mut self) -> Result<Option<Request>, Failure> {
        // It may hold a PIN. Room for the longest, so that no copy stays behind where the buffer grows.
        let mut line = Zeroizing::new(Vec::with_capacity(8 << 10));
        let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::new(Code::Protocol, error.to_string()))?;
        if read == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(Failure::new(Code::Protocol, "a request was cut off, or is too long"));
        }
        // What serde says may quote the line, and the line may hold a PIN.
        serde_json::from_slice(&line).map(Some).map_err(|error| {
            Failure::new(Code::Protocol, format!("a request is not understood, at column {}", error.column()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Request>, Failure> {
        Lines::new(text.as_bytes()).next()
    }

    #[test]
    fn requests_are_read_strictly() {
        assert!(matches!(read("{\"login\":{\"pin\":\"1234\"}}\n"), Ok(Some(Request::Login(_)))));
        assert!(matches!(read(""), Ok(None)));
        for text in [
            "{\"login\":{\"pin\":\"1234\"}}",
            "{\"login\":{\"pin\":1234}}\n",
            "{\"login\":{\"pin\":\"1234\",\"so\":true}}\n",
            "{\"logout\":{}}\n",
            "{\"sign\":{\"mechanism\":\"rsa\",\"data\":\"\"}}\n",
            "{\"sign\":{\"mechanism\":\"ecdsa\",\"data\":\"@\"}}\n",
            "\n",
        ] {
            assert_eq!(read(text).expect_err(text).code, Code::Protocol);
        }
    }

    #[test]
    fn no_failure_quotes_a_pin() {
        let failure = read("{\"login\":{\"pin\":\"sesame\",\"sesame\":1}}\n").expect_err("an unknown field");
        assert!(!format!("{failure:?}").contains("sesame"));
    }
}
