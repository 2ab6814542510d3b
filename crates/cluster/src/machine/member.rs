//! The etcd member of a control plane on this machine, as kubeadm set it up: who else counts on it, and its leaving.

use std::fmt;

use sealock_node::host::{self, Host};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::MachineError;
use crate::etcd::quorum::{self, Refusal};
use crate::etcd::{Credentials, Endpoint, Endpoints, Etcd, EtcdError, MemberId, Survey};

const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
const PKI: &str = "/etc/kubernetes/pki/etcd";
const OWN: &str = "https://127.0.0.1:2379";
const PEER_URL: &str = "--initial-advertise-peer-urls=";

/// A member that others count on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Which.
    pub id: MemberId,
    /// Where its peers reach it.
    pub peer_url: String,
    /// Where the others answer.
    pub others: Vec<String>,
}

impl fmt::Display for EtcdMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} at {}", self.id, self.peer_url)
    }
}

/// The etcd member on this machine, where its cluster has others; refused where they would lose their majority without it.
///
/// # Errors
/// etcd does not answer, or its quorum would be lost.
pub async fn etcd_member(host: &dyn Host) -> Result<Option<EtcdMember>, MachineError> {
    let Some(manifest) = host::read_text(host, MANIFEST)? else { return Ok(None) };
    let peer_url = peer_url_in(&manifest)?;
    let unknown = |error| MachineError::MemberUnknown(Box::new(error));
    let own = OWN.parse::<Endpoint>().map_err(unknown)?;
    let survey = etcd(host, vec![own])?.survey().await.map_err(unknown)?;
    let not_listed = || MachineError::MemberNotFound(format!("its cluster lists no member at {peer_url}"));
    let member = survey.membership.at(&peer_url).ok_or_else(not_listed)?;
    match quorum::may_remove(&survey, member.id) {
        Err(Refusal::LastVoter(_)) => Ok(None),
        allowed => {
            allowed?;
            Ok(Some(EtcdMember { id: member.id, others: others(&survey, member.id), peer_url }))
        }
    }
}

/// Where kubeadm told the member's peers to reach it.
fn peer_url_in(manifest: &str) -> Result<String, MachineError> {
    let found = manifest.lines().find_map(|line| Some(line.split_once(PEER_URL)?.1.trim().to_owned()));
    found.ok_or_else(|| MachineError::MemberNotFound(format!("{MANIFEST} names no peer URL")))
}

impl EtcdMember {
    /// Has the member leave: another one leads, it is removed, and another one confirms it.
    ///
    /// # Errors
    /// The others refuse, or do not answer.
    pub async fn leave(&self, host: &dyn Host) -> Result<(), MachineError> {
        let parse = |url: &String| url.parse::<Endpoint>();
        let seeds: Vec<Endpoint> = self.others.iter().map(parse).collect::<Result<_, _>>()?;
        let etcd = etcd(host, seeds)?;
        let survey = etcd.survey().await?;
        if survey.membership.find(self.id).is_none() {
            return Ok(());
        }
        if survey.leader == Some(self.id) {
            etcd.move_leader(None).await?;
        }
        match etcd.remove(self.id).await?.find(self.id) {
            Some(still) => Err(EtcdError::Stale(format!("{still} is listed again")).into()),
            None => Ok(()),
        }
    }
}

fn others(survey: &Survey, own: MemberId) -> Vec<String> {
    let others = survey.states.iter().filter(|state| state.member != own);
    others.filter_map(|state| Some(state.endpoint.as_ref()?.to_string())).collect()
}

fn etcd(host: &dyn Host, seeds: Vec<Endpoint>) -> Result<Etcd, MachineError> {
    let read = |name: &str| {
        let text = host::read_text(host, &format!("{PKI}/{name}"))?;
        Ok::<_, MachineError>(text.unwrap_or_default())
    };
    let credentials = Credentials {
        ca: read("ca.crt")?,
        certificate: read("healthcheck-client.crt")?,
        key: Zeroizing::new(read("healthcheck-client.key")?),
    };
    Ok(Etcd::new(&Endpoints { seeds, credentials: Some(credentials) })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member that is not found is not taken for one on which nobody counts.
    #[test]
    fn a_manifest_without_a_peer_url_is_told() {
        let url = "    - --initial-advertise-peer-urls=https://10.77.0.11:2380\n    - --name=cp1\n";
        assert_eq!(peer_url_in(url).unwrap(), "https://10.77.0.11:2380");
        let error = peer_url_in("    - --name=cp1\n").unwrap_err();
        assert!(error.to_string().contains(MANIFEST) && error.hint().is_some(), "{error}");
    }
}
