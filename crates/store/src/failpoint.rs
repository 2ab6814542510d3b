//! Places where a test can cut off, or break, a durable step.
//!
//! Every durable step of this crate, and of those above it that write volumes, calls [`hit`] first. In a build without the feature `failpoints` that is nothing at all.

use std::io;

/// Names the durable step that comes next, and gives a test the chance to fail it or to end the process.
///
/// # Errors
/// What a test wants to happen; never without one.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_step: &'static str) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "failpoints")]
pub use hooked::{hit, set};

#[cfg(feature = "failpoints")]
mod hooked {
    use std::cell::RefCell;

    use super::io;

    /// Called with the name of each durable step before it is done; an error fails the step.
    type Hook = Box<dyn FnMut(&'static str) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Installs `hook` for the durable steps of this thread.
    pub fn set(hook: impl FnMut(&'static str) -> io::Result<()> + 'static) {
        HOOK.set(Some(Box::new(hook)));
    }

    /// Names the durable step that comes next, and gives a test the chance to fail it or to end the process.
    ///
    /// # Errors
    /// What the hook wants to happen.
    pub fn hit(step: &'static str) -> io::Result<()> {
        HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(step)))
    }
}
