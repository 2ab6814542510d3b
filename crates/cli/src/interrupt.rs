//! Ctrl-C, and being told to end, for commands that have something to clear up first.

use sealock_cluster::backup::Interrupt;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Result;

/// Raised by the first signal of those that end a command. Until `runtime` is dropped they do nothing else.
///
/// # Errors
/// The system does not let them be waited for.
pub fn watched(runtime: &Runtime) -> Result<Interrupt> {
    let _within = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A terminal that is closed.
    let mut hangup = signal(SignalKind::hangup())?;
    let (interrupter, watched) = Interrupt::new();
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        interrupter.raise();
        // What was asked for once stays so.
        std::future::pending::<()>().await;
    });
    Ok(watched)
}
