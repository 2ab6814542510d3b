//! What goes wrong between station and hosts.

use std::io;
use std::path::PathBuf;

use sealock_node::request::Failure;
use sealock_trust::format::UnknownFormat;
use sealock_trust::reason::Code;

use crate::plan::PlanError;

/// Why a host could not be reached, looked at or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The machine at the address is not the one that the spec pins.
    #[error("host {host} ({address}) shows another key than the spec pins: it shows {found}, pinned is {pinned}")]
    HostKey {
        /// The host.
        host: String,
        /// Its address.
        address: String,
        /// The pinned key's fingerprint.
        pinned: String,
        /// The fingerprints of the keys it shows.
        found: String,
    },
    /// Nothing answers.
    #[error("host {host} ({address}, port {port}) cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// Its address.
        address: String,
        /// The SSH port.
        port: u16,
        /// What was tried last.
        source: io::Error,
    },
    /// The host answers, but does not let us in.
    #[error("host {host} does not let {user} in")]
    Login {
        /// The host.
        host: String,
        /// The account.
        user: String,
        /// What ssh says.
        source: Box<openssh::Error>,
    },
    /// The connection was lost.
    #[error("the connection to host {host} was lost")]
    Lost {
        /// The host.
        host: String,
        /// What ssh says.
        source: Box<openssh::Error>,
    },
    /// A host answers without end.
    #[error("host {host} answers with more than {limit} bytes")]
    Flood {
        /// The host.
        host: String,
        /// What is borne.
        limit: u64,
    },
    /// A command did not end in time.
    #[error("host {host}: `{command}` did not end within {seconds} s")]
    Late {
        /// The host.
        host: String,
        /// The command.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// The account may not become root.
    #[error("{user} may not become root on host {host}: {said}")]
    Sudo {
        /// The host.
        host: String,
        /// The account.
        user: String,
        /// What sudo says.
        said: String,
    },
    /// A command failed.
    #[error("host {host}: `{command}` failed{}", status(.code, .said))]
    Command {
        /// The host.
        host: String,
        /// The command.
        command: String,
        /// Its exit code, if it has one.
        code: Option<i32>,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// The host answered something that is no answer.
    #[error("host {host}: `{command}` answered something that is not understood")]
    Answer {
        /// The host.
        host: String,
        /// The command.
        command: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The host answered in another version.
    #[error("host {host}: `{command}` answered in a version that is not read here")]
    Version {
        /// The host.
        host: String,
        /// The command.
        command: String,
        /// What it says, and what is read.
        source: UnknownFormat,
    },
    /// The binary was damaged on its way.
    #[error("host {host}: {path} does not have the digest of the station's binary")]
    Delivery {
        /// The host.
        host: String,
        /// The path there.
        path: String,
    },
    /// The host has another processor than the station.
    #[error("host {host} is a {found} machine, and the station's binary is for {wanted}")]
    Machine {
        /// The host.
        host: String,
        /// What `uname -m` says there.
        found: String,
        /// What this binary is for.
        wanted: &'static str,
    },
    /// A step failed on a host.
    #[error("host {host}: step {step} failed: {}", said(.failure))]
    Step {
        /// The host.
        host: String,
        /// The step, or the task where no step is to blame.
        step: String,
        /// What the host says.
        failure: Box<Failure>,
    },
    /// What runs the steps on a host ended without saying how.
    #[error("host {host}: {unit} ended without a result: {said}")]
    Silent {
        /// The host.
        host: String,
        /// The systemd unit.
        unit: String,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// etcd does not let a member go.
    #[error("host {host}: the member stays in etcd: {said}")]
    Etcd {
        /// The host that was asked.
        host: String,
        /// Why.
        said: String,
    },
    /// A control plane is not changed while another one's member of etcd is away.
    #[error("host {host} stays as it is: another member of etcd is not well, and none may be away beside its own")]
    Unspared {
        /// The host.
        host: String,
    },
    /// Something stands in the way that Sealock did not make.
    #[error("host {host}: {found} stands in the way of step {step}")]
    Obstacle {
        /// The host.
        host: String,
        /// The step.
        step: String,
        /// What was found.
        found: String,
    },
    /// The plan must not be carried out.
    #[error("the plan is not carried out")]
    Plan(#[from] PlanError),
    /// The plan contradicts itself.
    #[error("the plan is not valid: {problem}")]
    InvalidPlan {
        /// What is wrong.
        problem: String,
    },
    /// A file of the station.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operator's journal.
    #[error("the journal of the plan cannot be kept")]
    Journal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn status(code: &Option<i32>, said: &str) -> String {
    let code = code.map_or_else(String::new, |code| format!(" with exit code {code}"));
    if said.is_empty() { code } else { format!("{code}: {said}") }
}

fn said(failure: &Failure) -> String {
    let mut text = failure.message.clone();
    for cause in &failure.causes {
        text.push_str(": ");
        text.push_str(cause);
    }
    text
}

impl ExecuteError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::HostKey { .. } => Some(Code::HostKey),
            Self::Obstacle { .. } => Some(Code::Foreign),
            Self::Etcd { .. } => Some(Code::Quorum),
            Self::Delivery { .. } => Some(Code::Digest),
            Self::Step { failure, .. } => failure.code.as_deref().and_then(sealock_trust::reason::find),
            Self::Plan(error) => error.code(),
            Self::Version { source, .. } => Some(source.code()),
            _ => None,
        }
    }

    /// Whether trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Late { .. } | Self::Silent { .. } => true,
            Self::Login { .. } | Self::Sudo { .. } | Self::Unspared { .. } => true,
            Self::Step { failure, .. } => failure.retryable,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::HostKey { .. } => {
                "if the machine was really installed anew, read its fingerprint at its console \
                 (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) and put it into the spec; else someone is in between"
                    .into()
            }
            Self::Unreachable { .. } => "check address, port and cabling, and that sshd runs there".into(),
            Self::Login { user, .. } => {
                format!("put the station's public key into {user}'s authorized_keys there, or name the private key as `ssh.identityFile`")
            }
            Self::Sudo { user, .. } => format!("give {user} sudo without a password there: `{user} ALL=(ALL) NOPASSWD: ALL`"),
            Self::Lost { .. } => "run the same command again: the host has gone on, and what is done stays done".into(),
            Self::Silent { .. } => "run the same command again: the host's journal knows how far it came".into(),
            Self::Unspared { .. } => {
                "bring the member back, or take out what is lost: `sealock cluster remove HOST --lost`; then the same command goes on".into()
            }
            Self::Step { failure, .. } => failure.hint.clone()?,
            Self::Plan(error) => error.hint()?,
            Self::Flood { .. } => "look at that machine at its console before anything else is done with it".into(),
            Self::Obstacle { .. } => {
                "Sealock overwrites nothing that it did not write: move it away, or clean the host with the tool that made it. \
                 Version, networks, endpoint, labels and taints of a node that is up stay what they are"
                    .into()
            }
            _ => return None,
        })
    }
}
