//! What a backup brings back: files of the control plane, etcd's data, and a list of nodes without those that are no more.
//!
//! The backup lies unpacked in a folder of its own meanwhile ([`FOLDER`]), and goes when etcd has its data.

mod etcd;
mod files;
mod kubelet;
mod nodes;

pub use etcd::EtcdFromBackup;
pub use files::{BackupFile, BackupFiles};
pub use kubelet::KubeletRegistered;
pub(crate) use kubelet::mark as kubelet_mark;
pub use nodes::StaleNodes;

use crate::error::StepError;

/// Where backups are unpacked, each in a folder that bears the hexadecimal digits of its digest.
pub const FOLDER: &str = "/var/lib/sealock/node/restore";

/// A path below `parent` that leads nowhere else.
fn check_below(parent: &str, path: &str) -> Result<(), StepError> {
    let rest = path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    match rest {
        Some(rest) if rest.split('/').all(is_plain) => Ok(()),
        _ => Err(StepError::Invalid { problem: format!("{path:?} is not a path below {parent}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_nowhere_else() {
        for path in ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/a..b"] {
            check_below("/etc/kubernetes", path).unwrap();
        }
        for path in [
            "/etc/kubernetes",
            "/etc/kubernetes/",
            "/etc/kubernetes/../passwd",
            "/etc/kubernetes/pki/./ca.crt",
            "/etc/kubernetes//ca.crt",
            "/etc/kubernetes2/ca.crt",
            "pki/ca.crt",
            "/etc/kubernetes/a\nb",
        ] {
            check_below("/etc/kubernetes", path).unwrap_err();
        }
    }
}
