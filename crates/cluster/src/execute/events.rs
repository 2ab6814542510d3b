//! The events of a run, line by line as a host writes them.

use std::io;

use sealock_node::Event;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// No event is longer, in bytes: a host cannot fill the station's memory.
pub(super) const LINE_LIMIT: usize = 1 << 20;

/// What comes next from a host.
#[derive(Debug)]
pub(super) enum Next {
    /// An event, and how many bytes its line has.
    Event(Box<Event>, usize),
    /// A line that is no event.
    Garbage(serde_json::Error),
    /// Nothing more, or a line that was cut off: it is read again from its beginning.
    End,
}

/// Reads one line.
///
/// # Errors
/// The connection cannot be read.
pub(super) async fn next(lines: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Next> {
    let mut line = Vec::new();
    // A longer line is cut where the limit is, and then is no JSON.
    let length = lines.take(LINE_LIMIT as u64).read_until(b'\n', &mut line).await?;
    if !line.ends_with(b"\n") && length < LINE_LIMIT {
        return Ok(Next::End);
    }
    Ok(match serde_json::from_slice(&line) {
        Ok(event) => Next::Event(Box::new(event), length),
        Err(error) => Next::Garbage(error),
    })
}

#[cfg(test)]
mod tests {
    use sealock_node::EventKind;

    use super::*;

    const LINE: &str = "{\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"step-started\",\"step\":\"images\"}\n";

    async fn of(mut bytes: &[u8]) -> Next {
        next(&mut bytes).await.unwrap()
    }

    #[tokio::test]
    async fn whole_lines_are_events_and_a_torn_one_waits() {
        let text = format!("{LINE}{LINE}{}", &LINE[..20]);
        let mut bytes = text.as_bytes();
        for _ in 0..2 {
            let Next::Event(event, length) = next(&mut bytes).await.unwrap() else { panic!("an event was written") };
            assert_eq!(event.what, EventKind::StepStarted { step: "images".into() });
            assert_eq!(length, LINE.len());
        }
        assert!(matches!(next(&mut bytes).await.unwrap(), Next::End));
    }

    #[tokio::test]
    async fn what_is_no_event_is_garbage() {
        let deep = "[".repeat(100_000) + "\n";
        let unknown = LINE.replace("step-started", "step-baked");
        for line in ["\n", "{}\n", "\u{0}\n", "null\n", &deep, &unknown] {
            assert!(matches!(of(line.as_bytes()).await, Next::Garbage(_)), "{line:.40}");
        }
        assert!(matches!(of(b"\xff\xfe\n").await, Next::Garbage(_)));
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_read_to_its_end() {
        let endless = vec![b'a'; LINE_LIMIT * 2];
        let mut bytes = endless.as_slice();
        assert!(matches!(next(&mut bytes).await.unwrap(), Next::Garbage(_)));
        assert_eq!(bytes.len(), LINE_LIMIT);
    }
}
