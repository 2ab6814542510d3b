//! Why an Ansible inventory does not make hosts of a cluster spec.

use sealock_trust::reason::Code;

use super::Problem;

/// How many problems are told at once.
const TOLD: usize = 20;

/// Why an Ansible inventory does not make hosts of a cluster spec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnsibleError {
    /// More than an inventory may have.
    #[error("the Ansible inventory has more than {limit} {what}")]
    TooMuch {
        /// Bytes, hosts or groups.
        what: &'static str,
        /// How many it may have.
        limit: usize,
    },
    /// Not JSON.
    #[error("this is not the JSON of `ansible-inventory --list`")]
    NotJson(#[source] serde_json::Error),
    /// JSON of something else, or not all of it.
    #[error("this is not what `ansible-inventory --list` prints: {0}")]
    NotAListing(String),
    /// No such group.
    #[error("the Ansible inventory has no group {group}; it has {}", .known.join(", "))]
    UnknownGroup {
        /// What was asked for.
        group: String,
        /// The groups that it has.
        known: Vec<String>,
    },
    /// A group without hosts.
    #[error("the group {0} of the Ansible inventory has no hosts")]
    EmptyGroup(String),
    /// What could not be carried over, all of it.
    #[error("the Ansible inventory says what a cluster spec cannot:{}", lines(.0))]
    Unmapped(Vec<Problem>),
}

impl AnsibleError {
    /// Its reason code.
    pub fn code(&self) -> Code {
        match self {
            Self::TooMuch { .. } => Code::Limit,
            Self::NotJson(_) | Self::NotAListing(_) => Code::Format,
            Self::UnknownGroup { .. } | Self::EmptyGroup(_) | Self::Unmapped(_) => Code::Spec,
        }
    }

    /// Always: an inventory does not get better by reading it again.
    pub fn is_refusal(&self) -> bool {
        true
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotJson(_) | Self::NotAListing(_) => {
                Some("`ansible-inventory -i INVENTORY --list` makes it of every kind of inventory, without `--export`")
            }
            Self::Unmapped(_) => {
                Some("`--leave-out VARIABLE` takes the hosts without it, where they are reached without it, too")
            }
            _ => None,
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let mut text: String = problems.iter().take(TOLD).map(|problem| format!("\n{problem}")).collect();
    if let Some(more) = problems.len().checked_sub(TOLD).filter(|more| *more > 0) {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}
