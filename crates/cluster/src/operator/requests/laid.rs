//! What is laid down of what was signed, and which hosts are left out of a plan until they have it.

use std::borrow::Cow;

use super::super::{Looked, OperatorError};
use super::{Outside, PassedOver};
use crate::inventory::Observation;
use crate::plan::Signed;
use crate::spec::Cluster;

/// Which hosts have to have all that they show, beside a cluster that begins.
#[derive(Clone, Copy, Debug)]
pub(in crate::operator) enum Required<'a> {
    /// Those that are nodes.
    Nodes,
    /// Those, and the ones that are named.
    And(&'a [String]),
    /// None: it is only looked at.
    Nobody,
}

/// What a plan is made for.
pub(in crate::operator) struct Laid<'a> {
    /// The cluster without hosts that wait, and are no nodes.
    pub(in crate::operator) cluster: Cow<'a, Cluster>,
    /// What was signed for the others; nothing where nobody elsewhere signs.
    pub(in crate::operator) signed: Option<Signed>,
    /// Who waits.
    pub(in crate::operator) passed_over: Vec<PassedOver>,
    /// The others.
    pub(in crate::operator) looked: Looked,
}

/// What of `outside` is laid down on the hosts that were `looked` at. A cluster begins as a whole. Of one that runs, a host that is no node yet
/// is passed over while it waits: its neighbours need not.
///
/// # Errors
/// A host that is `required` to have all lacks something.
pub(in crate::operator) fn laid<'a>(
    cluster: &'a Cluster,
    outside: Option<&Outside<'_>>,
    looked: Looked,
    required: Required<'_>,
) -> Result<Laid<'a>, OperatorError> {
    let (mut connections, mut inventory) = looked;
    let Some(outside) = outside else {
        let (cluster, looked) = (Cow::Borrowed(cluster), (connections, inventory));
        return Ok(Laid { cluster, signed: None, passed_over: Vec::new(), looked });
    };
    let found = outside.missing(&inventory)?;
    let runs = inventory.hosts.values().any(Observation::is_plane);
    let is_node = |host: &str| inventory.hosts.get(host).is_some_and(Observation::has_joined);
    let may_wait = |host: &str| {
        runs && match required {
            Required::Nodes => !is_node(host),
            Required::And(hosts) => !is_node(host) && !hosts.iter().any(|name| name == host),
            Required::Nobody => true,
        }
    };
    let shown = found.as_it_is().certificates.clone();
    let (mut signed, passed_over) = found.without(may_wait).map_err(crate::plan::PlanError::from)?;
    // A node that is only looked at goes on to show what it has.
    for (host, certificates) in shown.into_iter().filter(|(host, _)| is_node(host)) {
        signed.certificates.entry(host).or_insert(certificates);
    }
    let left_out: Vec<String> = passed_over.iter().map(|one| one.host.clone()).filter(|host| !is_node(host)).collect();
    if left_out.is_empty() {
        let (cluster, looked) = (Cow::Borrowed(cluster), (connections, inventory));
        return Ok(Laid { cluster, signed: Some(signed), passed_over, looked });
    }
    connections.retain(|connection| left_out.iter().all(|host| host != connection.host()));
    inventory.hosts.retain(|host, _| !left_out.contains(host));
    let (cluster, looked) = (Cow::Owned(cluster.without_all(&left_out)), (connections, inventory));
    Ok(Laid { cluster, signed: Some(signed), passed_over, looked })
}
