//! Ends what is under way early, so that it clears up behind itself.

use std::io::{self, Read};

use tokio::sync::watch;

use super::BackupError;

/// Whether what is under way is to end.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<bool>);

/// Says that it is to end.
#[derive(Debug)]
pub struct Interrupter(watch::Sender<bool>);

impl Interrupter {
    /// From now on.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }
}

impl Interrupt {
    /// One, and what raises it.
    pub fn new() -> (Interrupter, Self) {
        let (sender, receiver) = watch::channel(false);
        (Interrupter(sender), Self(receiver))
    }

    /// Goes on as long as nobody has said otherwise.
    ///
    /// # Errors
    /// [`BackupError::Interrupted`]
    pub(super) fn check(&self) -> Result<(), BackupError> {
        if *self.0.borrow() { Err(BackupError::Interrupted) } else { Ok(()) }
    }

    /// Comes back when it is raised; never, where nobody can raise it any more.
    pub(super) async fn raised(&self) {
        if self.0.clone().wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Reads until it is interrupted.
pub(super) struct Watched<R> {
    pub(super) inner: R,
    pub(super) interrupt: Option<Interrupt>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(interrupt) = &self.interrupt {
            // Not `Interrupted`: after that one everybody reads on.
            interrupt.check().map_err(io::Error::other)?;
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_ends_when_it_is_interrupted() {
        let (interrupter, interrupt) = Interrupt::new();
        let mut watched = Watched { inner: io::repeat(7), interrupt: Some(interrupt.clone()) };
        let mut buffer = [0; 8];
        assert_eq!(watched.read(&mut buffer).unwrap(), 8);
        interrupt.check().unwrap();
        interrupter.raise();
        assert!(watched.read_to_end(&mut Vec::new()).is_err());
        assert!(matches!(interrupt.check(), Err(BackupError::Interrupted)));
        interrupt.raised().await;
    }
}
