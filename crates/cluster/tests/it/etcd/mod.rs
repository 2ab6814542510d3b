//! etcd, the real one: three members on loopback, killed, replaced, cut off and restored.

mod ambiguous;
mod external;
mod members;
mod plans;
mod snapshots;
mod upkeep;

use std::time::Duration;

use sealock_cluster::etcd::{Credentials, Endpoints, Etcd, Survey};
use sealock_testkit::etcd::EtcdCluster;

/// Two cores are shared with everything else that is tested.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A client that knows the members `known`.
pub(crate) fn client(cluster: &EtcdCluster, known: &[usize]) -> Etcd {
    let seeds = known.iter().map(|&n| cluster.member(n).client_url().parse().unwrap()).collect();
    Etcd::new(&Endpoints { seeds, credentials: credentials(cluster) }).unwrap()
}

pub(crate) fn credentials(cluster: &EtcdCluster) -> Option<Credentials> {
    let (certificate, key) = cluster.client()?;
    Some(Credentials { ca: cluster.ca(), certificate, key: key.into() })
}

/// Waits until all members but `down` serve, and answers what is seen then.
pub(crate) async fn serving(etcd: &Etcd, members: usize, down: usize) -> Survey {
    let enough = |survey: &Survey| {
        let problems: Vec<_> = survey.states.iter().filter_map(|state| state.problem.clone()).collect();
        let as_wanted = survey.agreed && survey.states.len() == members && problems.len() == down;
        (!as_wanted).then(|| format!("{} members, {problems:?}", survey.states.len()))
    };
    etcd.await_survey("the cluster does not serve", PATIENCE, enough).await.unwrap()
}

/// The number of the member that leads.
pub(crate) fn leader(cluster: &EtcdCluster, survey: &Survey) -> usize {
    let name = &survey.membership.find(survey.leader.unwrap()).unwrap().name;
    (0..survey.states.len()).find(|&n| cluster.member(n).name == *name).unwrap()
}
