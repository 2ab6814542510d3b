//! Certificates: when they end, and the plan that makes them anew.

use sealock_node::facts::{CertificateFact, HostFacts};

use super::external::ClientFiles;
use super::requests::Outside;
use super::{Operator, OperatorError, Planned};
use crate::execute::{self, ExecuteError};
use crate::plan::{self, Purpose, Rescue};
use crate::spec::Cluster;

impl Operator<'_> {
    /// The plan that makes the certificates of `cluster` anew, or the one for it that was begun and not finished.
    ///
    /// # Errors
    /// A host is another's, or cannot be asked; there are no certificates yet.
    pub async fn plan_renewal(&self, cluster: &Cluster) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        self.check_nothing_open()?;
        let outside = Outside::read(cluster)?;
        // Where nobody in the cluster signs, no kubelet renews its own.
        let planes = if outside.is_some() { cluster.clone() } else { cluster.planes_only() };
        let (connections, inventory) = self.look(&planes).await?;
        let begun = self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Renew);
        let (plan, resumed) = match begun {
            Some(open) if open.spec == planes.digest() => {
                open.check_resumable(&inventory)?;
                (open, true)
            }
            _ => {
                let site = (self.release, &self.registry());
                let signed = outside.map(|outside| outside.replacing(&inventory, waiting)).transpose()?;
                let program = self.binary.path_there();
                let plan = plan::plan_renewal(&planes, site, &inventory, (&program, signed.as_ref()))?;
                self.check_etcd(&planes.planes_only(), &plan, &connections).await?;
                (plan, false)
            }
        };
        self.assess(plan, inventory, resumed, connections).await
    }

    /// The plan that brings `cluster` back after certificates of it have ended, or the one for it that was begun and not finished. No
    /// API server is asked.
    ///
    /// # Errors
    /// A host is another's, or cannot be asked; nothing has ended.
    pub async fn plan_rescue(&self, cluster: &Cluster) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_restore()?;
        self.check_no_adoption()?;
        let (connections, inventory) = self.look(cluster).await?;
        let files = ClientFiles::read(cluster)?;
        let outside = Outside::read(cluster)?;
        let begun = self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Rescue);
        let (plan, resumed) = match begun {
            Some(open) if open.spec == cluster.digest() && plan::covers(&open, cluster, &inventory) => {
                open.check_resumable(&inventory)?;
                (open, true)
            }
            begun => {
                let site = (self.release, &self.registry());
                let client = files.as_ref().map(|files| &files.client);
                let signed = outside.map(|outside| outside.replacing(&inventory, plan::ended)).transpose()?;
                let rescue = Rescue { begun: begun.as_ref(), client, signed: signed.as_ref() };
                (plan::plan_rescue(cluster, site, &inventory, rescue)?, false)
            }
        };
        let held = files.map(|files| files.secrets()).unwrap_or_default();
        Ok(Planned { held, ..self.assess(plan, inventory, resumed, connections).await? })
    }

    /// When the certificates of each host of `cluster` end, or why it cannot be asked.
    pub async fn certificates(&self, cluster: &Cluster) -> Vec<(String, Result<Vec<CertificateFact>, ExecuteError>)> {
        let asked = cluster.hosts().iter().map(async |host| {
            let facts = self.ask(host).await.map(|(_, facts)| facts.certificates);
            (host.name.to_string(), facts)
        });
        execute::of_each(asked).await
    }
}

/// What a host shows, and waits for another one of.
fn waiting(facts: &HostFacts) -> Vec<String> {
    plan::in_use(facts).into_keys().filter(|path| facts.requests.contains_key(path)).collect()
}
