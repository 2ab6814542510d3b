//! The environment variables that the tasks read: where caches are, and who called.

/// The value of a variable, where it is set, not empty, and text.
#[expect(clippy::disallowed_methods, reason = "xtask is a command line of its own")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
