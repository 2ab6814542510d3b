//! The environment variables that the tasks read: where caches are, and who called.

use std::path::Path;

use anyhow::{Context, Result};

/// The value of a variable, where it is set, not empty, and text.
#[expect(clippy::disallowed_methods, reason = "xtask is a command line of its own")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Behind sudo, makes a file or folder the property of the person who called, who could not remove it otherwise.
pub fn give_to_caller(path: &Path) -> Result<()> {
    let (Some(user), Some(group)) = (variable("SUDO_UID"), variable("SUDO_GID")) else { return Ok(()) };
    let (user, group) =
        (user.parse().context("SUDO_UID is no number")?, group.parse().context("SUDO_GID is no number")?);
    std::os::unix::fs::chown(path, Some(user), Some(group))
        .with_context(|| format!("cannot give {} to user {user}", path.display()))
}
