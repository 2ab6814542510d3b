//! An etcd that somebody else runs: whether a cluster may be kept in it, by what control plane hosts see of it. Sealock changes nothing of it.

use sealock_node::external_etcd::is_elsewhere;
use sealock_trust::reason::Code;

use super::PlanError;
use super::places::node;
use crate::etcd::external::{Look, Mark};
use crate::inventory::Inventory;
use crate::release::compare_versions;
use crate::spec::{Cluster, KubernetesVersion};

/// Below this etcd may bring removed members back on the way to 3.6. kubeadm 1.35 to 1.37 demands 3.5.24.
const OLDEST: &str = "3.5.26";

/// Why an etcd that somebody else runs does not keep this cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalEtcdError {
    /// A file of the spec is not what it is to be.
    #[error("spec.etcd.external.{field}: {path}: {problem}")]
    File {
        /// The field of the spec.
        field: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A host gets no answer.
    #[error("host {host} does not reach the external etcd: {said}")]
    Unreached {
        /// The host.
        host: String,
        /// What was said.
        said: String,
    },
    /// Members or endpoints are not well.
    #[error("the external etcd is not well, seen from host {host}:{}", lines(.found))]
    Unwell {
        /// The host.
        host: String,
        /// What is wrong.
        found: Vec<String>,
    },
    /// A member is too old.
    #[error("Kubernetes {kubernetes} needs etcd {OLDEST} or newer, and of the external etcd{}", lines(.found))]
    TooOld {
        /// What would be kept in it.
        kubernetes: String,
        /// Members, with their versions.
        found: Vec<String>,
    },
    /// Hosts reach different ones.
    #[error("hosts {first} and {second} reach two different etcds by the same endpoints")]
    Two {
        /// A host.
        first: String,
        /// Another one.
        second: String,
    },
    /// Something is in it that no cluster of Sealock's has claimed.
    #[error("the external etcd holds {keys} keys below /registry/, of a cluster that is not this one")]
    Occupied {
        /// How many.
        keys: i64,
    },
    /// It is another cluster's.
    #[error("the external etcd keeps cluster {found}, with the authority {ca_hash}, and that is not this one")]
    OtherCluster {
        /// Its name.
        found: String,
        /// What tells it from others of that name.
        ca_hash: String,
    },
    /// What the cluster had written is not there.
    #[error("the external etcd holds nothing of cluster {cluster}: it was emptied, or is another one")]
    Forgotten {
        /// The cluster.
        cluster: String,
    },
    /// The spec names another place than the API servers.
    #[error(
        "the API server of host {host} keeps the cluster's state {found}, and the spec says {wanted}: where it is kept does not change while a cluster lives"
    )]
    Moved {
        /// The host.
        host: String,
        /// In words.
        found: String,
        /// In words.
        wanted: String,
    },
    /// What the API servers show to it has ended, and nothing else has.
    #[error("{path} on host {host} has ended: the API server is not served by the external etcd any more")]
    Ended {
        /// The host.
        host: String,
        /// The file.
        path: String,
    },
}

fn lines(found: &[String]) -> String {
    found.iter().map(|one| format!("\n  {one}")).collect()
}

impl ExternalEtcdError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::File { .. } | Self::Moved { .. } => Some(Code::Spec),
            Self::Unwell { .. } => Some(Code::Quorum),
            Self::TooOld { .. } => Some(Code::Preflight),
            Self::Two { .. } | Self::Occupied { .. } | Self::OtherCluster { .. } | Self::Forgotten { .. } => {
                Some(Code::Foreign)
            }
            Self::Unreached { .. } | Self::Ended { .. } => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::File { .. } => "put the file of etcd's owner there: the authority's certificate, a client certificate that has not ended, and its key".into(),
            Self::Unreached { .. } => {
                "from that host look with `sealock etcd status --endpoint …`; every control plane has to reach every endpoint".into()
            }
            Self::Unwell { .. } => "on etcd's own machines `sealock etcd status` says more; bring back what is down, and run the same again".into(),
            Self::TooOld { .. } => format!(
                "bring every member to {OLDEST} or newer by etcd's own means first, one after the other; Sealock changes nothing of an external etcd"
            ),
            Self::Two { .. } => "name the members by addresses that mean the same on every host".into(),
            Self::Occupied { .. } | Self::OtherCluster { .. } => {
                "take another etcd, one for each cluster. Where that cluster is no more and nobody needs its data, empty it: `etcdctl del --prefix /registry/`".into()
            }
            Self::Forgotten { .. } => {
                "restore it from a snapshot by `sealock etcd restore`, and run the same again; a backup of the cluster holds one".into()
            }
            Self::Moved { .. } => {
                "write into the spec what is. To move, take a backup, `sealock cluster reset`, and make the cluster anew; a member of an external etcd is replaced under its own address".into()
            }
            Self::Ended { .. } => "put the files of a certificate that has not ended where the spec says, and run `sealock cluster apply`".into(),
        }
    }
}

/// How well an etcd has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wellness {
    /// A majority answers.
    Serves,
    /// Every member and every endpoint does, and none is too old: something begins, or changes.
    Whole,
}

/// What an etcd is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds<'a> {
    /// Nothing yet, or what this cluster has begun to write; its authority, where it has one.
    NothingElse(Option<&'a str>),
    /// What the cluster with this authority has written.
    Its(&'a str),
}

/// Whether `look`, what `host` sees, is an etcd that keeps `cluster`, or may.
pub(crate) fn check_external(
    cluster: &Cluster,
    (host, look): (&str, &Look),
    wellness: Wellness,
    holds: Holds<'_>,
) -> Result<(), ExternalEtcdError> {
    check_wellness(host, look, wellness)?;
    if wellness == Wellness::Whole {
        let versions =
            look.members.iter().filter_map(|member| Some((member.name.as_str(), member.version.as_deref()?)));
        check_not_old(cluster.spec().kubernetes.version, versions)?;
    }
    let Some(content) = &look.content else { return Ok(()) };
    let name = cluster.name().as_str();
    let (authority, may_be_empty) = match holds {
        Holds::NothingElse(authority) => (authority, true),
        Holds::Its(authority) => (Some(authority), false),
    };
    let is_ours = |mark: &Mark| mark.cluster == name && Some(mark.ca_hash.as_str()) == authority;
    match &content.mark {
        Some(mark) if is_ours(mark) => Ok(()),
        Some(mark) => {
            Err(ExternalEtcdError::OtherCluster { found: mark.cluster.clone(), ca_hash: mark.ca_hash.clone() })
        }
        None if content.keys > 0 => Err(ExternalEtcdError::Occupied { keys: content.keys }),
        None if may_be_empty => Ok(()),
        None => Err(ExternalEtcdError::Forgotten { cluster: name.to_owned() }),
    }
}

fn check_wellness(host: &str, look: &Look, wellness: Wellness) -> Result<(), ExternalEtcdError> {
    let mut found: Vec<String> = Vec::new();
    if !look.agreed {
        found.push("no majority of the members answers".to_owned());
    }
    if wellness == Wellness::Whole || !look.agreed {
        let unwell =
            look.members.iter().filter_map(|one| Some(format!("member {}: {}", one.name, one.problem.as_ref()?)));
        found.extend(unwell);
        found.extend(look.silent.iter().cloned());
    }
    let host = host.to_owned();
    if found.is_empty() { Ok(()) } else { Err(ExternalEtcdError::Unwell { host, found }) }
}

/// No member is older than what Kubernetes in that version takes.
pub(crate) fn check_not_old<'a>(
    kubernetes: KubernetesVersion,
    members: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), ExternalEtcdError> {
    let old = members.filter(|(_, version)| compare_versions(version, OLDEST).is_lt());
    let found: Vec<String> = old.map(|(name, version)| format!("member {name} runs {version}")).collect();
    let kubernetes = kubernetes.to_string();
    if found.is_empty() { Ok(()) } else { Err(ExternalEtcdError::TooOld { kubernetes, found }) }
}

/// Every API server keeps the cluster's state where the spec says.
pub(super) fn check_not_moved(cluster: &Cluster, inventory: &Inventory) -> Result<(), PlanError> {
    let mut wanted: Vec<String> = cluster
        .external_etcd()
        .map(|etcd| etcd.endpoints.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    wanted.sort_unstable();
    for host in cluster.control_planes() {
        let Some(node) = node(host, inventory).filter(|node| !node.etcd.is_empty()) else { continue };
        let mut found = if is_elsewhere(&node.etcd) { node.etcd.clone() } else { Vec::new() };
        found.sort_unstable();
        if found != wanted {
            let host = host.name.to_string();
            let (found, wanted) = (in_words(&found), in_words(&wanted));
            return Err(ExternalEtcdError::Moved { host, found, wanted }.into());
        }
    }
    Ok(())
}

fn in_words(servers: &[String]) -> String {
    match servers {
        [] => "in a member of etcd on each control plane".to_owned(),
        servers => format!("in the etcd at {}", servers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::external::{Content, Seen};

    const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
        kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"10.77.0.11:6443\"}\n  etcd:\n    external:\n      \
        endpoints: [\"https://10.77.0.31:2379\"]\n      caFile: ca.crt\n      certFile: client.crt\n      keyFile: client.key\n  \
        hosts:\n    - {name: cp1, address: 10.77.0.11, roles: [control-plane], ssh: {user: ops, \
        hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";

    fn cluster() -> Cluster {
        Cluster::load(std::path::Path::new("cluster.yaml"), SPEC).unwrap()
    }

    fn seen(name: &str, version: &str, problem: Option<&str>) -> Seen {
        Seen { name: name.into(), version: Some(version.into()), problem: problem.map(Into::into) }
    }

    fn look(members: Vec<Seen>, keys: i64, mark: Option<(&str, &str)>) -> Look {
        let mark = mark.map(|(cluster, ca_hash)| Mark { cluster: cluster.into(), ca_hash: ca_hash.into() });
        let content = Some(Content { keys, mark });
        Look { cluster: "c1".into(), agreed: true, silent: Vec::new(), members, content }
    }

    fn verdict(look: &Look, wellness: Wellness, holds: Holds<'_>) -> String {
        let outcome = check_external(&cluster(), ("cp1", look), wellness, holds);
        outcome.map_or_else(|error| format!("{}: {error}", error.code().map_or("-", Code::as_str)), |()| "fine".into())
    }

    #[test]
    fn an_etcd_is_taken_that_is_empty_or_this_clusters_own_and_no_other() {
        let well = || vec![seen("m1", "3.6.8", None)];
        let begins = Holds::NothingElse(None);
        let whole = Wellness::Whole;
        assert_eq!(verdict(&look(well(), 0, None), whole, begins), "fine");
        assert_eq!(verdict(&look(well(), 9, Some(("plant-7", "aa"))), whole, Holds::NothingElse(Some("aa"))), "fine");
        assert_eq!(verdict(&look(well(), 9, Some(("plant-7", "aa"))), whole, Holds::Its("aa")), "fine");
        insta::assert_snapshot!(verdict(&look(well(), 9, None), whole, begins),
            @"FOREIGN: the external etcd holds 9 keys below /registry/, of a cluster that is not this one");
        // The same name, and another life.
        insta::assert_snapshot!(verdict(&look(well(), 9, Some(("plant-7", "aa"))), whole, begins),
            @"FOREIGN: the external etcd keeps cluster plant-7, with the authority aa, and that is not this one");
        insta::assert_snapshot!(verdict(&look(well(), 0, None), whole, Holds::Its("aa")),
            @"FOREIGN: the external etcd holds nothing of cluster plant-7: it was emptied, or is another one");
    }

    #[test]
    fn one_member_that_is_down_keeps_nothing_from_being_mended_and_anything_from_being_begun() {
        let ours = Holds::Its("aa");
        let mut one_down = look(
            vec![seen("m1", "3.6.8", None), seen("m2", "3.6.8", Some("connection refused"))],
            9,
            Some(("plant-7", "aa")),
        );
        one_down.silent = vec!["status at https://10.77.0.32:2379: connection refused".into()];
        assert_eq!(verdict(&one_down, Wellness::Serves, ours), "fine");
        insta::assert_snapshot!(verdict(&one_down, Wellness::Whole, ours), @"
        QUORUM: the external etcd is not well, seen from host cp1:
          member m2: connection refused
          status at https://10.77.0.32:2379: connection refused
        ");
        one_down.agreed = false;
        assert!(verdict(&one_down, Wellness::Serves, ours).contains("no majority of the members answers"));
    }

    #[test]
    fn an_etcd_that_is_too_old_is_told_with_the_version_that_is_needed() {
        let old = look(vec![seen("m1", "3.6.8", None), seen("m2", "3.5.25", None)], 0, None);
        insta::assert_snapshot!(verdict(&old, Wellness::Whole, Holds::NothingElse(None)), @"
        PREFLIGHT: Kubernetes v1.36.3 needs etcd 3.5.26 or newer, and of the external etcd
          member m2 runs 3.5.25
        ");
        let young = look(vec![seen("m1", "3.5.26", None), seen("m2", "3.10.0", None)], 0, None);
        assert_eq!(verdict(&young, Wellness::Whole, Holds::NothingElse(None)), "fine");
    }
}
