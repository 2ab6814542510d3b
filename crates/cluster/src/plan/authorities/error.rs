//! Why authorities cannot be replaced, or something else not be done while they are.

use sealock_node::step::Stage;
use sealock_trust::reason::Code;

/// Why authorities cannot be replaced, or something else not be done while they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// An authority is not kept where kubeadm keeps it.
    #[error("{path} on host {host} holds no authority: whoever keeps it has to replace it")]
    Elsewhere {
        /// The host.
        host: String,
        /// The file.
        path: String,
    },
    /// Whoever runs etcd has one of the authorities.
    #[error("the etcd of cluster {cluster} is external: Sealock replaces authorities only where it keeps all of them")]
    ExternalEtcd {
        /// The cluster.
        cluster: String,
    },
    /// The new ones issue already.
    #[error("on host {host} the new authority issues already")]
    Issues {
        /// The host.
        host: String,
    },
    /// The new ones are not believed everywhere.
    #[error("host {host} does not believe the new authorities")]
    NotTrusted {
        /// The host.
        host: String,
    },
    /// Something is still the old authority's.
    #[error("{path} on host {host} is still issued by the old authority")]
    NotIssued {
        /// The host.
        host: String,
        /// The file.
        path: String,
    },
    /// There is one authority of each kind.
    #[error("cluster {cluster} has no old authorities to drop")]
    NothingToDrop {
        /// The cluster.
        cluster: String,
    },
    /// The files of the spec still hold what is to be replaced.
    #[error("the spec still names the authority that {path} holds, and that is to be replaced")]
    Supplied {
        /// The file on control planes.
        path: String,
    },
    /// Others than those of the spec come next.
    #[error("on host {host} an authority comes to take the place of the one in {path} that is not the spec's")]
    OtherSupplied {
        /// The host.
        host: String,
        /// The file.
        path: String,
    },
    /// kubelets serve with certificates of the cluster's authority, which a person approves.
    #[error(
        "the spec has kubelets ask the cluster for serving certificates (`serverTLSBootstrap`), which nobody here approves"
    )]
    ServingKubelets,
    /// A stage was begun and not finished.
    #[error("a change of authorities was begun and not finished: {stage}")]
    Open {
        /// The stage.
        stage: Stage,
    },
    /// Two authorities are believed.
    #[error(
        "the authorities of cluster {cluster} are being replaced, and kubeadm upgrades no control plane that believes two"
    )]
    Overlap {
        /// The cluster.
        cluster: String,
    },
    /// Pods that have not read the new authorities since they are published.
    #[error("{} have not been started since the new authorities are published:{}", count(.pods.len()), lines(.pods))]
    OldReaders {
        /// The pods, as `namespace/name`, with what keeps their workload from starting them anew.
        pods: Vec<String>,
    },
    /// A server does not show what it should.
    #[error(
        "{server} of host {host}, seen from here, does not show a certificate of the authority that issues: {problem}"
    )]
    Unseen {
        /// Which server.
        server: &'static str,
        /// The host.
        host: String,
        /// What it shows, or why it does not.
        problem: String,
    },
}

fn count(pods: usize) -> String {
    if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") }
}

fn lines(pods: &[String]) -> String {
    pods.iter().map(|pod| format!("\n  {pod}")).collect()
}

impl AuthoritiesError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::ServingKubelets | Self::ExternalEtcd { .. } | Self::Supplied { .. } | Self::OtherSupplied { .. } => {
                Some(Code::Spec)
            }
            Self::OldReaders { .. } => Some(Code::Preflight),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Elsewhere { .. } => "an external etcd or an external authority is rotated by its own means".into(),
            Self::ExternalEtcd { .. } => {
                "certificates are made anew by `sealock cluster renew`, and etcd's come from its owner. For new authorities take a backup of what runs there, and make a cluster anew beside this one".into()
            }
            Self::Issues { .. } => {
                "go on: `sealock cluster renew --authorities issue`, and then `--authorities drop`".into()
            }
            Self::NotTrusted { .. } => "run `sealock cluster renew --authorities trust` first".into(),
            Self::NotIssued { .. } => "run `sealock cluster renew --authorities issue` first".into(),
            Self::NothingToDrop { .. } => "`sealock cluster renew --authorities trust` begins to replace them".into(),
            Self::Supplied { .. } => "have new authorities made, all of them, put their files where `spec.pki.supplied` says, and run the same again. Without `spec.pki` the cluster makes them itself".into(),
            Self::OtherSupplied { .. } => "put back the files of the authorities that come next, and finish: `trust`, `issue`, and `drop`. Then they can be replaced again".into(),
            Self::ServingKubelets => "take it out of `overrides.kubelet`, apply, and begin again".into(),
            Self::Open { stage } => format!(
                "finish it: `sealock cluster renew --authorities {stage}`. A host that was lost meanwhile is taken out first: `sealock cluster remove HOST --lost`"
            ),
            Self::Overlap { .. } => {
                "finish that first: `sealock cluster renew --authorities issue`, and then `--authorities drop`".into()
            }
            Self::OldReaders { .. } => "whatever reads the authority at its start alone does not believe the API server afterwards: `--restart-workloads` starts those anew first that a workload brings back, and where one is held back you delete its pods; `--leave-workloads` goes on without, where they do not ask the API server".into(),
            Self::Unseen { .. } => "look at the host (`sealock cluster status`), and run the same again".into(),
        }
    }
}
