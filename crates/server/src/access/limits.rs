//! How much one client may ask for: requests in a second, and at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Clients that are told apart; all further ones share one account, so that nobody fills the memory with names.
const MOST_CLIENTS: usize = 8192;

/// What one client may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Requests in a second and at once after a pause; any number where there is none.
    pub(crate) rate: Option<Rate>,
    /// Requests that are under way; any number where there is none.
    pub(crate) at_a_time: Option<u32>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// Who asked for how much.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    clients: Mutex<HashMap<Box<str>, Client>>,
    most: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Client {
    /// When the bucket is full again (the "theoretical arrival time" of the generic cell rate algorithm), from the start of the
    /// process.
    full_at: Duration,
    under_way: Arc<AtomicU32>,
}

/// A request that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicU32>);

/// Too much at once; what to wait before asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) retry_after: Duration,
}

impl Limiter {
    /// One request of `client`, at `now` from the start of the process.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub(crate) fn admit(&self, client: &str, allowance: &Allowance, now: Duration) -> Result<Permit, TooMuch> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.most.unwrap_or(MOST_CLIENTS);
        if clients.len() >= most && !clients.contains_key(client) {
            clients.retain(|_, client| client.full_at > now || client.under_way.load(Ordering::Relaxed) > 0);
        }
        let name = if clients.len() >= most && !clients.contains_key(client) { "" } else { client };
        let client = clients.entry(name.into()).or_default();
        if let Some(most) = allowance.at_a_time
            && client.under_way.load(Ordering::Relaxed) >= most
        {
            return Err(TooMuch { retry_after: Duration::from_secs(1) });
        }
        if let Some(rate) = allowance.rate {
            client.full_at = rate.take(client.full_at, now)?;
        }
        client.under_way.fetch_add(1, Ordering::Relaxed);
        Ok(Permit(client.under_way.clone()))
    }
}

impl Rate {
    /// When the bucket is full again after one more request.
    fn take(self, full_at: Duration, now: Duration) -> Result<Duration, TooMuch> {
        let one = Duration::from_secs(1) / self.per_second.max(1);
        let after = full_at.max(now) + one;
        let room = now + one * self.burst.max(1);
        if after > room { Err(TooMuch { retry_after: after - room }) } else { Ok(after) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(per_second: u32, burst: u32) -> Allowance {
        Allowance { rate: Some(Rate { per_second, burst }), at_a_time: None }
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let (limiter, allowance) = (Limiter::default(), rate(10, 3));
        let admit = |now| limiter.admit("a", &allowance, now);
        for _ in 0..3 {
            admit(SECOND).unwrap();
        }
        let wait = admit(SECOND).unwrap_err().retry_after;
        assert_eq!(wait, SECOND / 10);
        admit(SECOND + wait).unwrap();
        admit(SECOND + wait).unwrap_err();
        limiter.admit("b", &allowance, SECOND).unwrap();
    }

    #[test]
    fn a_request_counts_until_it_has_ended() {
        let limiter = Limiter::default();
        let allowance = Allowance { rate: None, at_a_time: Some(2) };
        let first = limiter.admit("a", &allowance, SECOND).unwrap();
        let _second = limiter.admit("a", &allowance, SECOND).unwrap();
        limiter.admit("a", &allowance, SECOND).unwrap_err();
        drop(first);
        limiter.admit("a", &allowance, SECOND).unwrap();
    }

    #[test]
    fn names_beyond_the_table_share_one_account_and_idle_ones_make_room() {
        let limiter = Limiter { most: Some(2), ..Limiter::default() };
        let allowance = rate(1, 1);
        for name in ["a", "b", "c"] {
            limiter.admit(name, &allowance, SECOND).unwrap();
        }
        limiter.admit("d", &allowance, SECOND).unwrap_err();
        assert!(limiter.clients.lock().unwrap().len() <= 3);
        limiter.admit("e", &allowance, SECOND * 10).unwrap();
        assert_eq!(limiter.clients.lock().unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn in_no_span_is_more_let_through_than_burst_and_rate(gaps in prop::collection::vec(0_u64..400, 1..60), burst in 1_u32..5) {
            let (limiter, allowance) = (Limiter::default(), rate(10, burst));
            let (mut now, mut admitted) = (SECOND, 0);
            for gap in gaps {
                now += Duration::from_millis(gap);
                admitted += u32::from(limiter.admit("a", &allowance, now).is_ok());
            }
            let most = burst + ((now - SECOND).as_millis() / 100) as u32;
            prop_assert!(admitted <= most, "{} of {}", admitted, most);
        }
    }
}
