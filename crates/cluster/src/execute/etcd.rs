//! etcd's members, asked on a control plane host with kubeadm's own certificates: etcd is reached by its own machines only.

use serde::Deserialize;

use super::{Connection, ExecuteError};

/// `$1` is Sealock there, the rest are words of `sealock etcd`. Exit code 1 of `status` says that not all is well, which is why
/// somebody is being removed.
const ASK: &str = r#"cd /etc/kubernetes/pki/etcd
program="$1"
shift
"$program" etcd "$@" --endpoint 127.0.0.1:2379 --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key
code=$?
if [ "$1" = status ] && [ "$code" = 1 ]; then exit 0; fi
exit "$code""#;
/// The exit code of a refusal (DESIGN §4).
const REFUSED: i32 = 3;

/// The members of an etcd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct EtcdMembers {
    /// Whether a majority says so, and not one member alone as it remembers.
    pub(crate) agreed: bool,
    members: Vec<EtcdMember>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct EtcdMember {
    name: String,
}

impl EtcdMembers {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }
}

impl Connection {
    /// Who is a member of the etcd of this control plane host.
    ///
    /// # Errors
    /// As every command.
    pub(crate) async fn etcd_members(&self, program: &str) -> Result<EtcdMembers, ExecuteError> {
        let said = self.script(ASK, &[program, "status", "-o", "json"], b"").await?;
        serde_json::from_slice(&said).map_err(|source| self.not_understood("sealock etcd status", source))
    }

    /// Takes the member called `name` out of the etcd of this control plane host, or looks whether it may be.
    ///
    /// # Errors
    /// [`ExecuteError::Etcd`], where etcd would lose its majority; as every command.
    pub(crate) async fn etcd_remove(&self, program: &str, name: &str, dry_run: bool) -> Result<(), ExecuteError> {
        let how = if dry_run { "--dry-run" } else { "--yes" };
        match self.script(ASK, &[program, "remove", name, how], b"").await {
            Err(ExecuteError::Command { host, code: Some(REFUSED), said, .. }) => {
                Err(ExecuteError::Etcd { host, said })
            }
            outcome => outcome.map(drop),
        }
    }
}
