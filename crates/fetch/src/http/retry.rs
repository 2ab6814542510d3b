//! Waiting between tries.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::progress::{Event, Progress};
use crate::settings::Retry;
use crate::upstream::{Failure, UpstreamError};

/// Bytes that count as a step.
const STEP: u64 = 1 << 20;

/// Counts the tries of one fetch.
pub(super) struct Tries<'a> {
    policy: Retry,
    progress: &'a Progress,
    failed: u32,
    farthest: u64,
}

impl<'a> Tries<'a> {
    pub(super) fn new(policy: Retry, progress: &'a Progress) -> Self {
        Self { policy, progress, failed: 0, farthest: 0 }
    }

    /// The download stands at `received` bytes. Where that is a real step farther than ever before, patience begins anew;
    /// an upstream that hands out single bytes, or the same ones again and again, gains nothing.
    pub(super) fn reached(&mut self, received: u64) {
        if received >= self.farthest + STEP {
            self.farthest = received;
            self.failed = 0;
        }
    }

    /// Waits for the next try, or gives `error` back when there is none.
    pub(super) async fn after(&mut self, error: UpstreamError) -> Result<(), UpstreamError> {
        self.failed += 1;
        if self.failed >= self.policy.tries || !error.failure.worth_another_try() {
            return Err(error);
        }
        let wait = self.wait(&error.failure);
        self.progress.report(&Event::Retrying { name: &error.wanted, failure: &error.failure, wait });
        pause(wait).await;
        Ok(())
    }

    fn wait(&self, failure: &Failure) -> Duration {
        let asked = match failure {
            Failure::RateLimited { retry_after } | Failure::ServerError { retry_after, .. } => *retry_after,
            _ => None,
        };
        let doubled = self.policy.first_wait.saturating_mul(1 << (self.failed - 1).min(16));
        asked.unwrap_or_else(|| jittered(doubled)).min(self.policy.longest_wait)
    }
}

/// Between half and the whole of `wait`, so that many clients do not come back at the same moment.
fn jittered(wait: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    wait / 2 + (wait / 2).mul_f64((random % 1000) as f64 / 1000.0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the wait between tries is the purpose, not a hope that something is ready"
)]
async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}
