//! The plan that brings a cluster back whose certificates have ended: it was powered off for long, or nobody looked.
//!
//! No API server takes anybody's word then, and none is asked: authorities and their keys lie on the control planes.

use std::collections::{BTreeMap, BTreeSet};

use sealock_node::facts::{CertificateFact, HostFacts};
use sealock_node::kubernetes_certificates::{BROUGHT, KUBELET_CLIENT};
use sealock_node::request::Registry;
use sealock_node::step::{CertificatesSigned, EtcdClient, Renewal};
use sealock_node::{Step, StepKind};
use sealock_store::release::Published;

use super::apply::{Context, ready};
use super::gate::check_fit;
use super::places::Places;
use super::renew::{kubelet, renewable};
use super::{ExternalEtcdError, Intent, Plan, PlanError, Purpose, SecretKind, Signed, Task};
use crate::inventory::Inventory;
use crate::render::kubeadm;
use crate::spec::{Cluster, Host};

/// A control plane whose images are there starts within a minute or two.
const READY_SECONDS: u32 = 600;

/// What a rescue takes besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rescue<'a> {
    /// An earlier one that was begun.
    pub begun: Option<&'a Plan>,
    /// What the API servers show to an external etcd.
    pub client: Option<&'a EtcdClient>,
    /// What authorities elsewhere have signed for what has ended, where their keys stay there.
    pub signed: Option<&'a Signed>,
}

/// The plan that makes anew whatever has ended in `cluster`, and brings it up with that.
///
/// All control planes get their certificates before any of them is waited for: etcd serves when a majority is back.
///
/// Which version a host has does not matter: an upgrade may have been cut off. What an earlier rescue has `begun` on a control plane,
/// this one ends, too. What an API server shows to an external etcd comes from its owner: `client`.
///
/// # Errors
/// A host that is another's; a clock that is off; an authority that has ended; nothing has.
pub fn plan_rescue(
    cluster: &Cluster,
    (release, registry): (&Published, &Registry),
    inventory: &Inventory,
    rescue: Rescue<'_>,
) -> Result<Plan, PlanError> {
    let Rescue { begun, client, signed } = rescue;
    check_fit(cluster, inventory)?;
    if cluster.control_planes().next().is_none() {
        return Err(PlanError::NoCertificates { cluster: cluster.name().to_string() });
    }
    let facts = |host: &Host| inventory.hosts.get(host.name.as_str()).map(|one| &one.facts);
    let mut tasks: Vec<Task> = Vec::new();
    for host in cluster.hosts() {
        let Some(facts) = facts(host) else { continue };
        check_authorities(host, facts)?;
        tasks.extend(made_anew(cluster, host, (facts, rescue))?);
    }
    // A worker that is in a bad way keeps no control plane from coming back.
    let of_planes = |task: &&Task| cluster.control_planes().any(|host| host.name.as_str() == task.host);
    let made: Vec<String> = tasks.iter().filter(of_planes).map(|task| task.id.clone()).collect();
    for host in cluster.control_planes() {
        let lays_down = laid_down(signed, host).is_some();
        let ended = facts(host).filter(|facts| lays_down || control_plane_has_ended(facts)).map(renewable);
        if let Some(serials) = ended.or_else(|| begun.and_then(|begun| serials_in(begun, host))) {
            tasks.push(serves(cluster, host, (serials, signed), &made)?);
        }
    }
    if tasks.is_empty() {
        check_client(cluster, inventory)?;
        return Err(PlanError::NothingEnded { cluster: cluster.name().to_string() });
    }
    let intent = Intent {
        cluster,
        release,
        registry,
        kubernetes_images: &[],
        earlier_pod_ranges: &BTreeMap::new(),
        earlier_speaker: "",
        program: "",
        etcd_client: client,
        supplied: None,
        signed: None,
    };
    let places = Places::of(cluster, inventory, "");
    let all = tasks.iter().map(|task| task.id.clone()).collect();
    tasks.push(ready(cluster, &places.speaker, all, (true, READY_SECONDS)));
    Context::new(&intent, inventory, BTreeMap::new(), places).plan(Purpose::Rescue, tasks)
}

/// Authorities cannot be made anew from what is there. Of those in one file the first one issues.
fn check_authorities(host: &Host, facts: &HostFacts) -> Result<(), PlanError> {
    let mut seen = BTreeSet::new();
    let ours = facts.certificates.iter().filter(|one| !is_brought(one));
    let mut issuing = ours.filter(|one| one.authority && seen.insert(&one.path));
    match issuing.find(|one| has_ended(one, facts)) {
        Some(ended) => Err(PlanError::AuthorityEnded { host: host.name.to_string(), path: ended.path.clone() }),
        None => Ok(()),
    }
}

/// What has ended on a host, made anew; nothing where nothing has.
fn made_anew(
    cluster: &Cluster,
    host: &Host,
    (facts, rescue): (&HostFacts, Rescue<'_>),
) -> Result<Option<Task>, PlanError> {
    let (mut steps, mut secrets) = (Vec::new(), Vec::new());
    let signed = laid_down(rescue.signed, host);
    if host.is_control_plane() && (signed.is_some() || control_plane_has_ended(facts)) {
        if let Some(client) =
            rescue.client.filter(|_| facts.certificates.iter().any(|one| is_brought(one) && has_ended(one, facts)))
        {
            steps.push(Step::new("etcd/client", EtcdClient { laid_only: true, ..client.clone() }));
            secrets.push(SecretKind::EtcdClientKey);
        }
        let config = kubeadm::init(cluster, host)?;
        steps.push(Step::new("certificates", Renewal { serials: renewable(facts), config, made_only: true, signed }));
    }
    let signed = rescue.signed.and_then(|signed| signed.kubelet(host));
    if signed.is_some() || facts.certificates.iter().any(|one| one.path == KUBELET_CLIENT && has_ended(one, facts)) {
        if signed.is_none() {
            secrets.push(SecretKind::KubeletCertificate);
        }
        steps.push(kubelet(host, signed));
    }
    let host = host.name.to_string();
    let id = format!("{host}/certificates");
    Ok((!steps.is_empty()).then_some(Task { id, host, after: Vec::new(), secrets, steps }))
}

fn serves(
    cluster: &Cluster,
    host: &Host,
    (serials, signed): (BTreeMap<String, String>, Option<&Signed>),
    after: &[String],
) -> Result<Task, PlanError> {
    let signed = laid_down(signed, host);
    let renewal = Renewal { serials, config: kubeadm::init(cluster, host)?, made_only: false, signed };
    let host = host.name.to_string();
    let id = format!("{host}/serve");
    let steps = vec![Step::new("serve", renewal)];
    Ok(Task { id, host, after: after.to_vec(), secrets: Vec::new(), steps })
}

fn laid_down(signed: Option<&Signed>, host: &Host) -> Option<CertificatesSigned> {
    signed.and_then(|signed| signed.replacing(host))
}

/// The files that a rescue makes anew on a host: all of a control plane where one of them has ended, and kubelet's own where it has.
pub(crate) fn ended(facts: &HostFacts) -> Vec<String> {
    let of_plane = renewable(facts).into_keys().filter(|_| control_plane_has_ended(facts));
    let kubelet = facts.certificates.iter().filter(|one| one.path == KUBELET_CLIENT && has_ended(one, facts));
    of_plane.chain(kubelet.map(|one| one.path.clone())).collect()
}

/// Whether `plan`, a rescue that was begun, makes anew all that has ended by now.
pub(crate) fn covers(plan: &Plan, cluster: &Cluster, inventory: &Inventory) -> bool {
    cluster.hosts().iter().all(|host| {
        let Some(facts) = inventory.hosts.get(host.name.as_str()).map(|one| &one.facts) else { return false };
        let serials = serials_in(plan, host).unwrap_or_default();
        facts.certificates.iter().filter(|one| has_ended(one, facts)).all(|one| {
            if is_brought(one) {
                steps_on(plan, host).any(|step| matches!(step.action, StepKind::EtcdClient(_)))
            } else if one.path == KUBELET_CLIENT {
                steps_on(plan, host).any(|step| matches!(step.action, StepKind::KubeletCertificate(_)))
            } else {
                !one.renewable || serials.get(&one.path) == Some(&one.serial)
            }
        })
    })
}

/// The serials that `plan` replaces on a host.
fn serials_in(plan: &Plan, host: &Host) -> Option<BTreeMap<String, String>> {
    steps_on(plan, host).find_map(|step| match &step.action {
        StepKind::Renewal(renewal) => Some(renewal.serials.clone()),
        _ => None,
    })
}

fn steps_on<'a>(plan: &'a Plan, host: &'a Host) -> impl Iterator<Item = &'a Step> {
    plan.tasks.iter().filter(|task| task.host == host.name.as_str()).flat_map(|task| &task.steps)
}

/// Whether whoever runs an external etcd makes it anew.
fn is_brought(certificate: &CertificateFact) -> bool {
    BROUGHT.contains(&certificate.path.as_str())
}

/// Nothing has ended that comes from the owner of an external etcd: an apply brings that.
fn check_client(cluster: &Cluster, inventory: &Inventory) -> Result<(), ExternalEtcdError> {
    for host in cluster.control_planes() {
        let Some(facts) = inventory.hosts.get(host.name.as_str()).map(|one| &one.facts) else { continue };
        if let Some(ended) = facts.certificates.iter().find(|one| is_brought(one) && has_ended(one, facts)) {
            return Err(ExternalEtcdError::Ended { host: host.name.to_string(), path: ended.path.clone() });
        }
    }
    Ok(())
}

fn control_plane_has_ended(facts: &HostFacts) -> bool {
    facts.certificates.iter().any(|one| one.renewable && has_ended(one, facts))
}

/// By the host's own clock, which agrees with the station's.
fn has_ended(certificate: &CertificateFact, facts: &HostFacts) -> bool {
    certificate.not_after <= facts.clock
}
