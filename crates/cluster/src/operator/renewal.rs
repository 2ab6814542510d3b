//! Certificates: when they end, and the plan that makes them anew.

use sealock_node::facts::{CertificateFact, HostFacts};

use super::external::ClientFiles;
use super::requests::{Found, Outside};
use super::{Operator, OperatorError, PassedOver, Planned};
use crate::execute::{self, ExecuteError};
use crate::inventory::Observation;
use crate::plan::{self, CustodyError, PlanError, Purpose, Rescue};
use crate::spec::{Cluster, Host};

impl Operator<'_> {
    /// The plan that makes the certificates of `cluster` anew, or the one for it that was begun and not finished. Where somebody elsewhere
    /// signs, a worker that does not answer is passed over, and so is every host for which not all is signed.
    ///
    /// # Errors
    /// A host is another's, or cannot be asked; there are no certificates yet.
    pub async fn plan_renewal(&self, cluster: &Cluster) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        self.check_nothing_open()?;
        if let Some(outside) = Outside::read(cluster)? {
            return self.plan_signed_renewal(cluster, &outside).await;
        }
        let planes = cluster.planes_only();
        let (connections, inventory) = self.look(&planes).await?;
        let begun = self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Renew);
        let (plan, resumed) = match begun {
            Some(open) if open.spec == planes.digest() => {
                open.check_resumable(&inventory)?;
                (open, true)
            }
            _ => {
                let site = (self.release, &self.registry());
                let program = self.binary.path_there();
                let plan = plan::plan_renewal(&planes, site, &inventory, (&program, None))?;
                self.check_etcd(&planes, &plan, &connections).await?;
                (plan, false)
            }
        };
        self.assess(plan, inventory, resumed, connections).await
    }

    /// The same where nobody in the cluster signs: no kubelet renews its own, and workers are asked, too. What was begun is seen on the hosts.
    async fn plan_signed_renewal(&self, cluster: &Cluster, outside: &Outside<'_>) -> Result<Planned, OperatorError> {
        let there = self.look_at_those_there(cluster).await?;
        let again = |_: &str| "`sealock cluster renew` once it answers".to_owned();
        let (cluster, (mut connections, mut inventory), mut passed_over) =
            there.without_away(cluster, Host::is_control_plane, again)?;
        // A worker that is no node yet has nothing that could be renewed.
        let shows = |host: &Host| {
            let observation = inventory.hosts.get(host.name.as_str());
            host.is_control_plane() || observation.is_some_and(Observation::is_complete)
        };
        let others: Vec<String> =
            cluster.hosts().iter().filter(|host| !shows(host)).map(|host| host.name.to_string()).collect();
        let cluster = cluster.without_all(&others);
        connections.retain(|connection| cluster.host(connection.host()).is_some());
        inventory.hosts.retain(|host, _| cluster.host(host).is_some());
        let found = outside.replacing(&inventory, waiting)?.or_pass_over();
        let (signed, waiting) = found.map_err(PlanError::from)?;
        passed_over.extend(waiting);
        let (site, program) = ((self.release, &self.registry()), self.binary.path_there());
        let fresh = plan::plan_renewal(&cluster, site, &inventory, (&program, Some(&signed)));
        let fresh = fresh.map_err(|error| among(error, &passed_over))?;
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        let planes = cluster.planes_only();
        match planes.hosts().iter().find(|host| signed.unfinished.contains(host.name.as_str())) {
            // It may be away for what is to be finished there.
            Some(host) => self.check_etcd_but(&planes, Some(host.name.as_str()), &connections).await?,
            None => self.check_etcd(&planes, &plan, &connections).await?,
        }
        let remarks = outside.ends_sooner(&signed, &inventory);
        Ok(Planned { passed_over, remarks, ..self.assess(plan, inventory, resumed, connections).await? })
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
            // Where somebody elsewhere signs, others may have been signed since: what was begun is seen on the hosts.
            Some(open)
                if outside.is_none() && open.spec == cluster.digest() && plan::covers(&open, cluster, &inventory) =>
            {
                open.check_resumable(&inventory)?;
                (open, true)
            }
            begun => {
                let site = (self.release, &self.registry());
                let client = files.as_ref().map(|files| &files.client);
                let found = outside.as_ref().map(|outside| outside.replacing(&inventory, plan::ended)).transpose()?;
                let signed = found.map(Found::whole).transpose()?;
                let rescue = Rescue { begun: begun.as_ref(), client, signed: signed.as_ref() };
                let fresh = plan::plan_rescue(cluster, site, &inventory, rescue)?;
                self.taken_up(fresh, &inventory)?
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

/// That nobody waits is known of those alone that were asked.
fn among(error: PlanError, passed_over: &[PassedOver]) -> PlanError {
    match error {
        PlanError::Custody(CustodyError::NothingRequested { cluster, .. }) => {
            let away = passed_over.iter().map(|one| one.host.clone()).collect();
            CustodyError::NothingRequested { cluster, away }.into()
        }
        error => error,
    }
}
