//! What is mounted on the host.

use crate::host::{self, Host, HostError};

/// Where something is mounted, in the order of the mounts.
pub(crate) fn points(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mounts = host::read_text(host, "/proc/self/mounts")?.unwrap_or_default();
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(unescape).collect())
}

/// `/proc/self/mounts` writes space, tab, newline and backslash in octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
