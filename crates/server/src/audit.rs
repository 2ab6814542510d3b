//! Logins and refusals, for the log of pushed content (docs/formats/pushed-log.md); pushes and deletes stand there anyway.
//!
//! Whoever has no name can send as many requests as they like. So there is a bound on how many records a second brings; what is
//! beyond it is counted, and the next record tells how much that was. The access log has them all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{Method, Uri};
use sealock_store::gc::protocol::Tick;

use crate::access::Peer;
use crate::clock::ticks;
use crate::state::State;

/// Records of one second.
const MOST_A_SECOND: u32 = 20;

/// Text of a client that goes into a record, in characters.
const LONGEST_TEXT: usize = 256;

/// How much was recorded of this second, and left out since the last record.
#[derive(Debug, Default)]
pub(crate) struct Audit(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    second: Tick,
    recorded: u32,
    left_out: u64,
}

/// A request, as far as records tell of it.
#[derive(Debug)]
pub(crate) struct Seen {
    address: IpAddr,
    method: Method,
    uri: Uri,
}

impl Seen {
    /// Cheap: what is cloned is counted, and not copied.
    pub(crate) fn of(head: &Parts) -> Self {
        Self { address: Peer::of(head).address, method: head.method.clone(), uri: head.uri.clone() }
    }
}

impl Audit {
    /// Whether one more is recorded in this second; with how many were left out before it.
    fn admit(&self, second: Tick) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != second {
            window.second = second;
            window.recorded = 0;
        }
        if window.recorded >= MOST_A_SECOND {
            window.left_out += 1;
            return None;
        }
        window.recorded += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

/// `who` was given a token. Recorded when it returns.
pub(crate) async fn login(state: &Arc<State>, who: &str, request: &Seen) {
    if let Some(writing) = record(state, ("login", Some(who)), request, BTreeMap::new()) {
        let _ = writing.await;
    }
}

/// A request was refused, by `why` in a word and `detail` in a sentence. Nobody waits for the record.
pub(crate) fn refused(state: &Arc<State>, who: Option<&str>, request: &Seen, (why, detail): (&str, &str)) {
    let facts = [("why", why), ("detail", detail)];
    record(state, ("refused", who), request, facts.map(|(name, fact)| (name.to_owned(), bounded(fact))).into());
}

fn record(
    state: &Arc<State>,
    (event, who): (&'static str, Option<&str>),
    request: &Seen,
    mut facts: BTreeMap<String, String>,
) -> Option<tokio::task::JoinHandle<()>> {
    let pushed = state.pushed()?.clone();
    let left_out = state.audit().admit(ticks())?;
    facts.insert("address".into(), request.address.to_string());
    facts.insert("method".into(), bounded(request.method.as_str()));
    facts.insert("path".into(), bounded(request.uri.path()));
    if left_out > 0 {
        facts.insert("left-out-before".into(), left_out.to_string());
    }
    let (who, clock) = (who.map(str::to_owned), state.clock().clone());
    Some(tokio::task::spawn_blocking(move || {
        if let Err(error) = pushed.audit(who.as_deref(), event, (None, facts), clock.moment()) {
            tracing::error!(%error, event, "cannot be written into the log");
        }
    }))
}

/// Without what could not be read: no control characters.
fn bounded(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_told_with_the_next() {
        let audit = Audit::default();
        for _ in 0..MOST_A_SECOND {
            assert_eq!(audit.admit(7), Some(0));
        }
        assert_eq!((audit.admit(7), audit.admit(7)), (None, None));
        assert_eq!((audit.admit(8), audit.admit(8)), (Some(2), Some(0)));
    }

    #[test]
    fn no_text_of_a_client_is_long_or_moves_a_cursor() {
        assert_eq!(bounded("a\u{1b}[2Jb\n"), "a[2Jb");
        assert_eq!(bounded(&"é".repeat(1000)).chars().count(), LONGEST_TEXT);
    }
}
