//! A cluster that is made again from a backup: by the same authorities, and with what was signed since it was begun.

use sealock_node::StepKind;
use sealock_node::certificates::Facts;
use sealock_node::facts::HostFacts;
use sealock_node::requests::{Request, expected_at};
use sealock_trust::Digest;

use super::super::OperatorError;
use super::super::files::{LARGEST, read_at_most};
use super::lacking::Lacking;
use super::{Outside, is_for, is_in_use};
use crate::backup::{KUBERNETES as IN_BACKUP, Manifest};
use crate::inventory::Inventory;
use crate::plan::{CustodyError, Plan, PlanError, named};

impl Outside<'_> {
    /// Whether the backup is of a cluster with these authorities, by the files that it holds. Nobody has seen their keys, so nothing that
    /// others issue would be believed.
    ///
    /// # Errors
    /// [`CustodyError::OtherInBackup`]; a file of the spec.
    pub(in crate::operator) fn check_backup(&self, manifest: &Manifest) -> Result<(), OperatorError> {
        for (field, kept, certificate, _) in super::named(self.spec) {
            let below = kept.trim_start_matches("/etc/kubernetes/");
            let (Some(content), Some((_, facts))) =
                (manifest.content(&format!("{IN_BACKUP}{below}")), self.authorities.get(kept))
            else {
                continue;
            };
            // As Sealock writes it, or as it stands in the file: somebody may have laid that down.
            let path = self.cluster.file(&certificate.cert_file);
            let as_it_is = read_at_most(&path, LARGEST)?.unwrap_or_default();
            let known = [Digest::sha256(facts.pem().as_bytes()), Digest::sha256(&as_it_is)];
            if !known.contains(&content.digest) {
                let wanted = named(&facts.name, Some(&facts.digest()));
                let (path, kept) = (path.display().to_string(), kept.to_owned());
                return Err(PlanError::from(CustodyError::OtherInBackup { field, path, wanted, kept }).into());
            }
        }
        Ok(())
    }

    /// `plan`, which was begun, with what was signed since for hosts on which what it lays down has no key any more.
    ///
    /// # Errors
    /// Something was not asked for yet, or not signed, or is not what was asked for.
    pub(in crate::operator) fn signed_since(&self, plan: &Plan, inventory: &Inventory) -> Result<Plan, OperatorError> {
        let (mut plan, mut lacking) = (plan.clone(), Lacking::default());
        for task in &mut plan.tasks {
            let observation = inventory.hosts.get(&task.host);
            let (Some(host), Some(observation)) = (self.cluster.host(&task.host), observation) else { continue };
            for step in &mut task.steps {
                let StepKind::CertificatesSigned(step) = &mut step.action else { continue };
                for (path, pem) in &mut step.certificates {
                    let Some(one) = expected_at(path).filter(|_| !has_key(&observation.facts, path, pem)) else {
                        continue;
                    };
                    if let Some(signed) = self.signed(host, (&one, &observation.facts), &mut lacking)? {
                        *pem = signed;
                    }
                }
            }
        }
        lacking.check().map_err(PlanError::from)?;
        Ok(plan)
    }
}

/// Whether a certificate is in its place on a host, or its key waits there.
fn has_key(facts: &HostFacts, path: &str, pem: &str) -> bool {
    let Ok(certificate) = Facts::of(pem) else { return false };
    let request = facts.requests.get(path).and_then(|text| Request::of(text).ok());
    is_in_use(facts, path, &certificate) || request.is_some_and(|request| is_for(&certificate, &request))
}
