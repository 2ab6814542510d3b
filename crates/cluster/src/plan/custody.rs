//! Authorities that somebody else has made: whether a cluster may begin with them, or has them.

use std::collections::BTreeMap;

use sealock_node::certificates::Facts;
use sealock_node::kubernetes_certificates::{AUTHORITIES, SERVICE_ACCOUNTS};
use sealock_node::step::AuthoritiesSupplied;
use sealock_node::suitable::{Unsuitable, public_key_digest};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::inventory::Inventory;
use crate::spec::Cluster;

/// Why a cluster does not begin, or go on, with the authorities of its spec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// A file of the spec is not what it is to be.
    #[error("{field}: {path}: {problem}")]
    File {
        /// The field of the spec.
        field: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: Unsuitable,
    },
    /// A file of the spec that is needed is not there.
    #[error("{field}: {path} is not there, and no control plane has that key yet")]
    NoKey {
        /// The field of the spec.
        field: &'static str,
        /// The file.
        path: String,
    },
    /// Two authorities are one.
    #[error("{first} and {second} have the same key: each authority needs one of its own")]
    OneForTwo {
        /// A field of the spec.
        first: &'static str,
        /// Another one.
        second: &'static str,
    },
    /// The cluster has another authority.
    #[error("{path} on host {host} holds {}, and the spec says {wanted}: a cluster keeps its authorities until they are replaced", found.join(" and "))]
    Other {
        /// The host.
        host: String,
        /// The file.
        path: String,
        /// What it holds: names and the beginning of digests.
        found: Vec<String>,
        /// The spec's: name and the beginning of its digest.
        wanted: String,
        /// Whether the keys of the spec's stay with somebody else.
        outside: bool,
    },
    /// The backup is of a cluster with another authority.
    #[error(
        "{field}: {path} holds {wanted}, and the backup has another authority in {kept}: what is restored goes on with the authorities of the backup"
    )]
    OtherInBackup {
        /// The field of the spec.
        field: &'static str,
        /// The file.
        path: String,
        /// What it holds: name and the beginning of its digest.
        wanted: String,
        /// Where kubeadm keeps it.
        kept: String,
    },
    /// The cluster has another key of service accounts.
    #[error(
        "{path} on host {host} is not the public half of spec.pki.supplied.serviceAccounts.keyFile: a cluster keeps the key of its service accounts, and nothing replaces it"
    )]
    OtherServiceAccounts {
        /// The host.
        host: String,
        /// The file.
        path: &'static str,
    },
    /// Nobody asks elsewhere for the certificates of this cluster.
    #[error(
        "the spec of cluster {cluster} names no authorities whose keys stay with somebody else: its control planes issue"
    )]
    NotOutside {
        /// The cluster.
        cluster: String,
    },
    /// Nothing was asked for.
    #[error("no host of cluster {cluster} waits for a certificate{}", but(.away))]
    NothingRequested {
        /// The cluster.
        cluster: String,
        /// Hosts that were not asked, as they do not answer.
        away: Vec<String>,
    },
    /// Hosts lack certificates, and have no keys and requests for them.
    #[error("{} not asked for yet:{}", are(.files), lines(.files))]
    NotRequested {
        /// Each as `file on host`.
        files: Vec<String>,
    },
    /// Requests were not answered.
    #[error("{} not signed yet:{}", are(.files), lines(.files))]
    NotSigned {
        /// Where each is expected at the station.
        files: Vec<String>,
    },
    /// What was signed is not what was asked for.
    #[error("{path}: {problem}")]
    Unfit {
        /// The file at the station.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A host asks for what it may not have.
    #[error("host {host} asks for a certificate at {path} that is not to be signed: {problem}")]
    Refused {
        /// The host.
        host: String,
        /// What was to show it.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The spec does not name who would issue something.
    #[error("spec.pki.external names no authority for {path}")]
    NoAuthority {
        /// The file on the host.
        path: String,
    },
    /// The keys of authorities are not here.
    #[error(
        "the keys of the authorities of cluster {cluster} stay with your PKI: Sealock cannot replace what it cannot issue with"
    )]
    KeptOutside {
        /// The cluster.
        cluster: String,
    },
}

pub(crate) fn are(files: &[String]) -> String {
    if files.len() == 1 { "1 certificate is".to_owned() } else { format!("{} certificates are", files.len()) }
}

fn but(away: &[String]) -> String {
    match away {
        [] => String::new(),
        [one] => format!("; {one} does not answer"),
        all => format!("; {} do not answer", all.join(", ")),
    }
}

fn lines(files: &[String]) -> String {
    files.iter().map(|file| format!("\n  {file}")).collect()
}

impl CustodyError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { .. } => Some(Code::Request),
            Self::NothingRequested { .. } => None,
            _ => Some(Code::Spec),
        }
    }

    /// Whether a host waits for what somebody elsewhere is to sign.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::NotRequested { .. } | Self::NotSigned { .. } | Self::Unfit { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::File { problem: Unsuitable::Several(_), .. } => {
                "leave the certificate of the authority whose key is given, also where it is an intermediate, and take out the others".into()
            }
            Self::File { problem: Unsuitable::NoKey, .. } => {
                "have the key without a passphrase, in a file that only you can read: `openssl pkey -in KEY -out FILE` asks for the passphrase".into()
            }
            Self::File { .. } => {
                "have the authority made anew by whoever runs your PKI: docs/guides/cluster-certificates.md says what Kubernetes needs".into()
            }
            Self::NoKey { .. } => "put the key there until the cluster stands; afterwards the station does not need it any more".into(),
            Self::OneForTwo { .. } => "what one authority has issued is let in wherever it is believed: have three made, each with a key of its own".into(),
            Self::OtherServiceAccounts { .. } => "leave `serviceAccounts` out of `spec.pki.supplied`: the cluster goes on with the key that it has".into(),
            Self::NotOutside { .. } => "`sealock cluster renew` makes certificates anew. Whose keys stay with your PKI stands in `spec.pki.external`".into(),
            Self::NothingRequested { .. } | Self::NotRequested { .. } => {
                "`sealock cluster certificates request` makes keys on the hosts, and brings the requests to the folder of `spec.pki.external.requests`".into()
            }
            Self::NotSigned { .. } => {
                "have your PKI sign the request beside each, put the certificate there, and run the same again. requests.json in that folder says by which authority, and for which use".into()
            }
            Self::Unfit { .. } => "have it signed again from the request that lies beside it".into(),
            Self::Refused { .. } => {
                "nothing was written. kubeadm does not ask for that: look who was on this host before it gets any certificate".into()
            }
            Self::NoAuthority { .. } => "name it in `spec.pki.external`".into(),
            Self::KeptOutside { .. } => {
                "for other authorities make a cluster anew beside this one, from what runs here. Certificates are made anew by `sealock cluster certificates request` and `sealock cluster renew`".into()
            }
            Self::OtherInBackup { .. } => {
                "nothing was changed on any host. Name the certificates of the authorities that the cluster had when the backup was taken, and have what the hosts ask for signed by these; the PKI that goes on with other authorities makes a cluster anew".into()
            }
            Self::Other { outside: true, .. } => {
                "name the files of the authorities that the cluster has: an authority whose key stays elsewhere is not replaced in a cluster that runs".into()
            }
            Self::Other { .. } => "name the files of the authorities that the cluster has. To replace them by those of the spec: `sealock cluster renew --authorities trust`".into(),
        }
    }
}

/// Every control plane that has authorities has those of the spec. While authorities are replaced it has two, of which the spec's is one.
pub(crate) fn check_custody(
    cluster: &Cluster,
    supplied: &AuthoritiesSupplied,
    inventory: &Inventory,
) -> Result<(), CustodyError> {
    check_service_accounts(cluster, supplied, inventory)?;
    check_same(cluster, &supplied.certificates, (inventory, false))
}

/// The same of authorities whose keys stay elsewhere: PEM, by the file in which kubeadm keeps each.
pub(crate) fn check_outside(
    cluster: &Cluster,
    authorities: &BTreeMap<String, String>,
    inventory: &Inventory,
) -> Result<(), CustodyError> {
    check_same(cluster, authorities, (inventory, true))
}

fn check_same(
    cluster: &Cluster,
    certificates: &BTreeMap<String, String>,
    (inventory, outside): (&Inventory, bool),
) -> Result<(), CustodyError> {
    for host in cluster.control_planes() {
        let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
        for (path, certificate) in certificates {
            let found: Vec<_> = observation.facts.certificates.iter().filter(|one| one.path == *path).collect();
            let Ok(wanted) = Facts::of(certificate) else { continue };
            let digest = wanted.digest();
            if found.is_empty() || found.iter().any(|one| one.digest.as_ref() == Some(&digest)) {
                continue;
            }
            return Err(CustodyError::Other {
                host: host.name.to_string(),
                path: path.clone(),
                found: found.iter().map(|one| named(&one.name, one.digest.as_ref())).collect(),
                wanted: named(&wanted.name, Some(&digest)),
                outside,
            });
        }
    }
    Ok(())
}

/// A certificate by its name and the beginning of its digest.
pub(crate) fn named(name: &str, digest: Option<&Digest>) -> String {
    let digest = digest.map(|digest| digest.hex()[..12].to_owned()).unwrap_or_default();
    format!("{} ({digest})", name.escape_debug())
}

/// Every control plane that has a key of service accounts has that of the spec, where the spec names one.
pub(crate) fn check_service_accounts(
    cluster: &Cluster,
    supplied: &AuthoritiesSupplied,
    inventory: &Inventory,
) -> Result<(), CustodyError> {
    let wanted = supplied.service_accounts.as_deref().and_then(|key| public_key_digest(key).ok());
    let Some(wanted) = wanted else { return Ok(()) };
    let is_other = |host: &str| {
        let found = inventory.hosts.get(host).and_then(|one| one.facts.service_accounts.as_ref());
        found.is_some_and(|found| *found != wanted)
    };
    match cluster.control_planes().find(|host| is_other(host.name.as_str())) {
        Some(host) => {
            let (host, path) = (host.name.to_string(), SERVICE_ACCOUNTS.public);
            Err(CustodyError::OtherServiceAccounts { host, path })
        }
        None => Ok(()),
    }
}

/// Whether a control plane has authorities, whoever has made them.
pub(crate) fn has_authorities(cluster: &Cluster, inventory: &Inventory) -> bool {
    let [kubernetes, ..] = AUTHORITIES;
    cluster.control_planes().any(|host| {
        let facts = inventory.hosts.get(host.name.as_str()).map(|one| &one.facts);
        facts.is_some_and(|facts| facts.certificates.iter().any(|one| one.path == kubernetes.certificate))
    })
}
