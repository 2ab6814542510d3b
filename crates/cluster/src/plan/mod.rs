//! The plan: which steps, on which hosts, in which order (`docs/formats/plan.md`).
//!
//! Planning does no I/O and reads no clock: spec, inventory and release go in, and the same three give the same plan.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use sealock_node::kubernetes_certificates::{SERVICE_ACCOUNTS_SECRET, SUPPLIED_SECRET};
use sealock_node::request::Registry;
use sealock_node::step::{AuthoritiesSupplied, EtcdClient};
use sealock_node::{Step, external_etcd};
use sealock_store::release::Published;
use sealock_trust::Digest;
use sealock_trust::format;
use sealock_trust::json::{self, jcs};
use serde::{Deserialize, Serialize};

mod addition;
mod adopt;
mod apply;
mod authorities;
mod components;
mod custody;
mod error;
mod external;
pub(crate) mod gate;
mod health;
mod member;
mod needs;
mod neighbours;
mod os_packages;
mod phase;
mod places;
pub(crate) mod prepare;
mod print;
mod remarks;
mod renew;
mod requests;
mod rescue;
mod reset;
mod restore;
mod revoked;
mod rollback;
mod upgrade;
mod versions;
pub(crate) mod waves;

pub(crate) use addition::beyond;
pub(crate) use adopt::check_adoptable;
pub use adopt::{Taken, plan_adoption};
pub use apply::plan;
pub(crate) use apply::steps_of;
pub use authorities::{AuthoritiesError, Order, Workloads, plan_authorities, plane_under_way};
pub(crate) use authorities::{brought_by, check_alone, is_issuing, stage_of};
pub use components::{Behind, behind, check_nodes, plan_components};
pub(crate) use components::{changes, is_change};
pub use custody::CustodyError;
pub(crate) use custody::{are, has_authorities, named};
pub use error::{MemberError, PlanError};
pub use external::ExternalEtcdError;
pub(crate) use external::{Holds, Wellness, check_external, check_not_old};
pub use gate::{Gate, GateFailure, Strictness, check_gates};
pub use health::{Health, check_health};
pub(crate) use member::member_of;
pub use member::{LostMember, plan_member};
pub use needs::{go_on_with, lacking, with_needs};
pub use neighbours::plan_neighbours;
pub(crate) use os_packages::patches;
pub use os_packages::{HostPackages, plan_os_packages, sets_of, system_of};
pub use phase::Phase;
pub(crate) use prepare::TIME;
pub use print::{Assessment, Brief, Printed, Tally};
pub use remarks::remarks;
pub use renew::plan_renewal;
pub use requests::{Signed, plan_requests};
pub(crate) use requests::{in_use, is_missing, kept_files, makes_requests, shown};
pub(crate) use rescue::covers;
pub(crate) use rescue::ended;
pub use rescue::{Rescue, plan_rescue};
pub use reset::{plan_giving_back, plan_reset};
pub use restore::{Seed, plan_restore};
pub(crate) use restore::{check_seed, restores, takes_from_backup};
pub use rollback::{Extent, plan_rollback};
pub(crate) use rollback::{etcd_minor, kept_under, looks, shows_older};
pub use upgrade::plan_upgrade;
pub use versions::{Way, oldest};
pub use waves::Draining;
pub(crate) use waves::{changed_by, changes_node};

use crate::inventory::{Binding, Inventory};
use crate::spec::{Cluster, Deviation, Role};

/// The format of [`Plan`].
pub const PLAN_FORMAT: &str = format::PLAN.current;

/// What a plan is made from, besides the inventory.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// What the cluster is to be.
    pub cluster: &'a Cluster,
    /// What the site serves.
    pub release: &'a Published,
    /// Where the site serves it.
    pub registry: &'a Registry,
    /// The images that this Kubernetes version's kubeadm asks for, by full name.
    pub kubernetes_images: &'a [String],
    /// The parts of the pod network that the hosts had in an earlier plan.
    pub earlier_pod_ranges: &'a BTreeMap<String, Ipv4Net>,
    /// Who spoke for the cluster in a plan that is still open; empty where there is none.
    pub earlier_speaker: &'a str,
    /// Where Sealock itself is on every host.
    pub program: &'a str,
    /// What the API servers show to an etcd that somebody else runs, where the cluster keeps its state there.
    pub etcd_client: Option<&'a EtcdClient>,
    /// Authorities that somebody else has made, where the cluster does not make its own.
    pub supplied: Option<&'a AuthoritiesSupplied>,
    /// What authorities elsewhere have signed, where their keys stay there.
    pub signed: Option<&'a Signed>,
}

/// Which steps, on which hosts, in which order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: String,
    /// The cluster.
    pub cluster: String,
    /// The site.
    pub site: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The Kubernetes version.
    pub kubernetes: String,
    /// The digest of name and spec.
    pub spec: Digest,
    /// What the site served when the plan was made.
    pub release: ReleaseId,
    /// `host:port` where each host reaches the API servers through its own proxy; nothing where the endpoint is one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_endpoint: Option<String>,
    /// Where the nodes fetch from.
    pub registry: Registry,
    /// The control plane host that speaks for the cluster: tokens are minted there, and nodes looked at. Empty where hosts are given
    /// back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub speaker: String,
    /// The hosts, in the order of the spec.
    pub hosts: Vec<PlannedHost>,
    /// What is done differently from what Sealock would do.
    pub deviations: Vec<Deviation>,
    /// What is done, each task after those it names.
    pub tasks: Vec<Task>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To make the cluster what the spec says.
    Apply,
    /// To bring to hosts what another plan will need, and nothing else.
    Prepare,
    /// To take over a cluster that others made.
    Adopt,
    /// To give the hosts back.
    Reset,
    /// To take one host out of a cluster that goes on.
    Remove,
    /// To make certificates anew.
    Renew,
    /// To bring the cluster to another version of Kubernetes.
    Upgrade,
    /// To bring the components below Kubernetes to what the release has.
    Components,
    /// To bring OS packages of the release to nodes.
    OsPackages,
    /// To make nodes again what they were before an upgrade.
    Rollback,
    /// To bring one member of etcd back that is lost.
    Member,
    /// To tell the hosts that stay who is still there.
    Neighbours,
    /// To bring a cluster back whose certificates have ended.
    Rescue,
    /// To make a cluster again that a backup holds.
    Restore,
    /// To replace authorities by others, as far as one stage.
    Authorities,
    /// To have hosts make keys, and requests for certificates that are signed elsewhere.
    Requests,
}

impl Purpose {
    /// As it stands in the names of units and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Prepare => "prepare",
            Self::Adopt => "adopt",
            Self::Reset => "reset",
            Self::Remove => "remove",
            Self::Renew => "renew",
            Self::Upgrade => "upgrade",
            Self::Components => "components",
            Self::OsPackages => "os-packages",
            Self::Rollback => "rollback",
            Self::Member => "member",
            Self::Neighbours => "neighbours",
            Self::Rescue => "rescue",
            Self::Restore => "restore",
            Self::Authorities => "authorities",
            Self::Requests => "requests",
        }
    }

    /// Whether nodes become something else one after the other, so that a plan that was begun is to be finished before anything else is.
    pub fn goes_by_waves(self) -> bool {
        matches!(self, Self::Upgrade | Self::Components | Self::OsPackages)
    }

    /// Whether a plan that was begun stays open while a host leaves, or certificates are made anew that have ended.
    pub fn stays_open(self) -> bool {
        self.goes_by_waves() || matches!(self, Self::Authorities | Self::Member)
    }
}

/// A release by number and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReleaseId {
    /// Its number.
    pub number: u64,
    /// The digest of its file.
    pub digest: Digest,
}

/// A host of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PlannedHost {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// What it does.
    pub roles: Vec<Role>,
    /// Its part of the pod network.
    pub pods: String,
    /// What the plan takes for granted about it.
    pub binding: Binding,
}

/// Steps that run on one host, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// Like `cp1/init`.
    pub id: String,
    /// The host's name.
    pub host: String,
    /// The tasks that have to be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// The values it needs on standard input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretKind>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A value that stands in no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// What a joining node shows; minted on the control plane host that speaks for the cluster, when the task starts.
    BootstrapToken,
    /// The hash of the cluster CA's public key: no secret, but unknown before the cluster exists.
    CaHash,
    /// The key under which the control planes share their CAs; minted in the same place when the task starts.
    CertificateKey,
    /// What a kubelet shows whose own certificate has ended, or is another authority's: certificate and key, issued there by the cluster's
    /// authority.
    KubeletCertificate,
    /// The authorities that come next, certificates and keys, for a control plane.
    Authorities,
    /// The certificate of Kubernetes' authority that comes next: no secret, but unknown before it is made.
    NextAuthority,
    /// The private key to what the API servers show to an etcd that somebody else runs; the station holds it.
    EtcdClientKey,
    /// The private keys of authorities that somebody else has made; the station holds them.
    SuppliedAuthorities,
    /// The private key that signs the tokens of service accounts, from the control plane host that speaks for the cluster: where the keys of
    /// authorities are on no host, control planes share nothing else.
    ServiceAccounts,
}

impl SecretKind {
    /// The name by which a configuration refers to it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BootstrapToken => crate::render::kubeadm::TOKEN,
            Self::CaHash => crate::render::kubeadm::CA_HASH,
            Self::CertificateKey => crate::render::kubeadm::CERTIFICATE_KEY,
            Self::KubeletCertificate => "kubelet-certificate",
            Self::Authorities | Self::NextAuthority => "authorities",
            Self::EtcdClientKey => external_etcd::KEY_SECRET,
            Self::SuppliedAuthorities => SUPPLIED_SECRET,
            Self::ServiceAccounts => SERVICE_ACCOUNTS_SECRET,
        }
    }
}

impl Plan {
    /// A plan for `cluster` that says where it belongs, and nothing yet of hosts and tasks.
    fn of(cluster: &Cluster, release: &Published, registry: &Registry, purpose: Purpose) -> Self {
        Self {
            format: PLAN_FORMAT.into(),
            cluster: cluster.name().to_string(),
            site: cluster.spec().site.clone(),
            purpose,
            kubernetes: cluster.spec().kubernetes.version.to_string(),
            spec: cluster.digest(),
            release: ReleaseId { number: release.release.number, digest: release.digest.clone() },
            local_endpoint: None,
            registry: registry.clone(),
            speaker: String::new(),
            hosts: Vec::new(),
            deviations: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// The plan's canonical form (RFC 8785).
    ///
    /// # Errors
    /// Never for a plan made here; a plan read from a file may hold what canonical JSON cannot.
    pub fn to_json(&self) -> Result<Vec<u8>, json::Error> {
        jcs::to_vec(self)
    }

    /// The plan in `bytes`, which must be canonical.
    ///
    /// # Errors
    /// The bytes are no plan, or no plan that this version knows.
    pub fn from_json(bytes: &[u8]) -> Result<Self, PlanError> {
        // Every host is told of every other: the plan for a thousand of them has 59 MB, and three million entries.
        let limits = json::Limits { bytes: 256 << 20, depth: 16, entries: 1 << 24 };
        let plan = format::read(bytes, &limits, format::PLAN, |plan: &Self| &plan.format);
        plan.map_err(|error| error.either(PlanError::Unreadable, PlanError::Format))
    }

    /// The plan's digest: what an approval and a journal name.
    ///
    /// # Errors
    /// As [`Plan::to_json`].
    pub fn digest(&self) -> Result<Digest, json::Error> {
        Ok(Digest::sha256(&self.to_json()?))
    }

    /// The task called `id`.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Option<&PlannedHost> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// The control plane host that speaks for the cluster.
    pub fn speaker(&self) -> Option<&PlannedHost> {
        self.host(&self.speaker).or_else(|| self.hosts.iter().find(|host| host.roles.contains(&Role::ControlPlane)))
    }

    /// All control plane hosts.
    pub(crate) fn control_planes(&self) -> impl Iterator<Item = &PlannedHost> {
        self.hosts.iter().filter(|host| host.roles.contains(&Role::ControlPlane))
    }

    /// The parts of the pod network, for the next plan.
    pub fn pod_ranges(&self) -> BTreeMap<String, Ipv4Net> {
        let parse = |host: &PlannedHost| Some((host.name.clone(), host.pods.parse().ok()?));
        self.hosts.iter().filter_map(parse).collect()
    }

    /// Whether this plan, which was begun and is not finished, stays so while `other` is carried out: what goes from host to host does, and the way
    /// back of a member, while a host leaves, certificates are made anew that have ended, or nodes are put back as they were. While certificates
    /// are asked for, what lays them down stays so, too. Where it is the host of that member that has left, nothing waits for it any more.
    pub(crate) fn stays_open_beside(&self, other: &Plan) -> bool {
        let lays_down = matches!(self.purpose, Purpose::Renew | Purpose::Rescue | Purpose::Restore);
        let goes_on = match other.purpose {
            Purpose::Requests => self.purpose.stays_open() || lays_down,
            Purpose::Remove | Purpose::Neighbours | Purpose::Rescue | Purpose::Rollback => self.purpose.stays_open(),
            _ => false,
        };
        let has_left = other.purpose == Purpose::Neighbours
            && member_of(self).is_some_and(|member| other.host(member.host).is_none());
        goes_on && !has_left
    }

    /// Whether the hosts still are what the plan takes for granted.
    ///
    /// # Errors
    /// [`PlanError::Stale`], naming the host and what has changed.
    pub fn check_fresh(&self, now: &Inventory) -> Result<(), PlanError> {
        self.compare(now, Binding::differences)
    }

    /// Whether the hosts are what they can be while this plan is under way.
    ///
    /// # Errors
    /// [`PlanError::Stale`], naming the host and what no step of the plan explains.
    pub fn check_resumable(&self, now: &Inventory) -> Result<(), PlanError> {
        self.compare(now, |planned, current| planned.differences_beyond_steps(current, &self.cluster))
    }

    fn compare(
        &self,
        now: &Inventory,
        differences: impl Fn(&Binding, &Binding) -> Vec<String>,
    ) -> Result<(), PlanError> {
        for host in &self.hosts {
            let Some(observation) = now.hosts.get(&host.name) else {
                return Err(PlanError::NotObserved { host: host.name.clone() });
            };
            let changes = differences(&host.binding, &Binding::of(&observation.facts));
            if !changes.is_empty() {
                return Err(PlanError::Stale { host: host.name.clone(), changes });
            }
        }
        Ok(())
    }
}

/// A plan without hosts or tasks, for tests to fill.
#[cfg(test)]
pub(crate) fn example() -> Plan {
    Plan {
        format: PLAN_FORMAT.into(),
        cluster: "plant-7".into(),
        site: "plant-7".into(),
        purpose: Purpose::Apply,
        kubernetes: "v1.36.3".into(),
        spec: Digest::sha256(b"spec"),
        release: ReleaseId { number: 1, digest: Digest::sha256(b"release 1") },
        local_endpoint: None,
        registry: Registry { name: "registry".into(), address: "10.77.0.2".into(), ca: String::new() },
        speaker: String::new(),
        hosts: Vec::new(),
        deviations: Vec::new(),
        tasks: Vec::new(),
    }
}
