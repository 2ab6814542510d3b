//! Comparing passwords with bcrypt hashes: dear by design, so bounded, and remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::Semaphore;

use super::bounded::Bounded;
use super::htpasswd::LONGEST_PASSWORD;

/// For how long a password that fitted is not computed again.
const RIGHT_FOR: Duration = Duration::from_secs(300);

/// For how long one that did not fit is not.
const WRONG_FOR: Duration = Duration::from_secs(60);

/// Entries of each kind that are remembered.
const REMEMBERED: usize = 4096;

/// Computations at a time: one core at most is kept busy, whoever asks.
const AT_A_TIME: usize = 1;

/// Requests that may wait for one.
const WAITING: usize = 512;

/// What comparing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The password fits.
    Right,
    /// It does not.
    Wrong,
    /// Too many passwords are being compared: ask again later.
    Busy,
}

/// Compares passwords.
pub(crate) struct Passwords {
    /// Right and wrong ones apart: guessing does not push out what is right.
    right: Bounded<[u8; 32], Instant>,
    wrong: Bounded<[u8; 32], Instant>,
    /// Of this process alone, so that what is remembered says nothing about a password.
    secret: hmac::Key,
    workers: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Passwords {
    /// # Errors
    /// Where the system has no random numbers.
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| std::io::Error::other("the system has no random numbers"))?;
        Ok(Self {
            right: Bounded::new(REMEMBERED),
            wrong: Bounded::new(REMEMBERED),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            workers: Arc::new(Semaphore::new(AT_A_TIME)),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Whether `password` is the one of which `hash` was made. `may_compute` is asked before that takes time.
    pub(crate) async fn compare(&self, hash: &str, password: &str, may_compute: impl FnOnce() -> bool) -> Outcome {
        if password.len() > LONGEST_PASSWORD {
            return Outcome::Wrong;
        }
        let key = self.remembered_as(hash, password);
        if let Some(outcome) = self.remembered(&key) {
            return outcome;
        }
        let Some(_waiting) = Waiting::one_more(&self.waiting) else { return Outcome::Busy };
        let Ok(permit) = self.workers.clone().acquire_owned().await else { return Outcome::Busy };
        // Whoever waited for the same password has its outcome now.
        if let Some(outcome) = self.remembered(&key) {
            return outcome;
        }
        if !may_compute() {
            return Outcome::Busy;
        }
        let (hash, password) = (hash.to_owned(), password.to_owned());
        let fits = tokio::task::spawn_blocking(move || {
            let fits = bcrypt::verify(&password, &hash).unwrap_or(false);
            // Held until the work is done, also where the client has gone.
            drop(permit);
            fits
        });
        let fits = fits.await.unwrap_or(false);
        let (memory, time) = if fits { (&self.right, RIGHT_FOR) } else { (&self.wrong, WRONG_FOR) };
        memory.insert(key, Instant::now() + time);
        if fits { Outcome::Right } else { Outcome::Wrong }
    }

    fn remembered_as(&self, hash: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(hash.as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Outcome> {
        let holds = |memory: &Bounded<_, Instant>| memory.get(key).is_some_and(|until| until > Instant::now());
        if holds(&self.right) {
            return Some(Outcome::Right);
        }
        holds(&self.wrong).then_some(Outcome::Wrong)
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

/// One of those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_password_is_computed_once_and_then_remembered() {
        let passwords = Passwords::new().unwrap();
        let hash = bcrypt::hash("secret", 4).unwrap();
        let computed = Cell::new(0);
        let count = || {
            computed.set(computed.get() + 1);
            true
        };
        for _ in 0..3 {
            assert_eq!(passwords.compare(&hash, "secret", count).await, Outcome::Right);
            assert_eq!(passwords.compare(&hash, "other", count).await, Outcome::Wrong);
        }
        assert_eq!(computed.get(), 2);
        let other = bcrypt::hash("changed", 4).unwrap();
        assert_eq!(passwords.compare(&other, "secret", count).await, Outcome::Wrong);
    }

    #[tokio::test]
    async fn a_stranger_who_may_not_compute_learns_nothing() {
        let passwords = Passwords::new().unwrap();
        let hash = bcrypt::hash("secret", 4).unwrap();
        assert_eq!(passwords.compare(&hash, "secret", || false).await, Outcome::Busy);
        assert_eq!(passwords.compare(&hash, "secret", || true).await, Outcome::Right);
        assert_eq!(passwords.compare(&hash, "secret", || false).await, Outcome::Right);
    }

    #[tokio::test]
    async fn a_password_of_which_bcrypt_would_see_the_beginning_only_is_wrong() {
        let passwords = Passwords::new().unwrap();
        let hash = bcrypt::hash("a".repeat(72), 4).unwrap();
        assert_eq!(passwords.compare(&hash, &"a".repeat(72), || true).await, Outcome::Right);
        assert_eq!(passwords.compare(&hash, &"a".repeat(73), || true).await, Outcome::Wrong);
    }

    #[test]
    fn no_more_wait_than_may() {
        let count = AtomicUsize::new(WAITING - 1);
        let last = Waiting::one_more(&count);
        assert!(last.is_some());
        assert!(Waiting::one_more(&count).is_none());
        drop(last);
        assert_eq!(count.load(Ordering::Relaxed), WAITING - 1);
    }
}
