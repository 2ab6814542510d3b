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
pub use hooked::{hit, set, set_shared};
#[cfg(feature = "failpoints")]
pub(crate) use hooked::{inherit, shared};

/// What a thread passes on to those that it starts: nothing, in a build without failpoints.
#[cfg(not(feature = "failpoints"))]
pub(crate) struct Nothing;

/// What a thread passes on to those that it starts.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn shared() -> Nothing {
    Nothing
}

/// Takes over what the starting thread passed on.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn inherit(_: Nothing) {}

#[cfg(feature = "failpoints")]
mod hooked {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::io;

    /// A hook for several threads.
    pub(crate) type Shared = Arc<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>;

    /// Called with the name of each durable step before it is done; an error fails the step.
    type Hook = Box<dyn FnMut(&'static str) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
        static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
    }

    /// Installs `hook` for the durable steps of this thread.
    pub fn set(hook: impl FnMut(&'static str) -> io::Result<()> + 'static) {
        HOOK.set(Some(Box::new(hook)));
    }

    /// Installs `hook` for the durable steps of this thread, and of those that the store starts from it.
    pub fn set_shared(hook: Arc<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>) {
        inherit(Some(hook));
    }

    /// What a thread passes on to those that it starts.
    pub(crate) fn shared() -> Option<Shared> {
        SHARED.with_borrow(Clone::clone)
    }

    /// Takes over what the starting thread passed on.
    pub(crate) fn inherit(passed_on: Option<Shared>) {
        let Some(hook) = passed_on else { return };
        let mine = hook.clone();
        set(move |step| mine(step));
        SHARED.set(Some(hook));
    }

    /// Names the durable step that comes next, and gives a test the chance to fail it or to end the process.
    ///
    /// # Errors
    /// What the hook wants to happen.
    pub fn hit(step: &'static str) -> io::Result<()> {
        HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(step)))
    }
}
