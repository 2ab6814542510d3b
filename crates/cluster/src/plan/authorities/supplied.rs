//! Authorities that somebody else has made, and that are to take the place of others.

use std::collections::BTreeMap;

use sealock_node::StepKind;
use sealock_node::certificates::Facts;
use sealock_node::step::AuthoritiesSupplied;
use sealock_trust::Digest;

use super::{AuthoritiesError, ByFile, Standing, files_of, held};
use crate::plan::Plan;

/// The certificates that somebody else has made and `plan` brings to come next, by file.
pub(crate) fn brought_by(plan: &Plan) -> Option<&BTreeMap<String, String>> {
    let steps = plan.tasks.iter().flat_map(|task| &task.steps);
    let mut brought = steps.filter_map(|step| match &step.action {
        StepKind::AuthoritiesMade(made) => Some(&made.supplied),
        _ => None,
    });
    brought.next()
}

/// The digests of authorities that somebody else has made, by file.
pub(super) fn digests_of(supplied: &AuthoritiesSupplied) -> ByFile {
    let digest = |(path, text): (&String, &String)| Some((path.clone(), Facts::of(text).ok()?.digest()));
    supplied.certificates.iter().filter_map(digest).collect()
}

impl Standing<'_> {
    /// Where the spec says which authorities come next, no others do, and none of them is one that is replaced.
    pub(super) fn check_supplied(&self, old: &ByFile, next: &ByFile) -> Result<(), AuthoritiesError> {
        for (path, next) in next {
            if old.get(path) == Some(next) {
                return Err(AuthoritiesError::Supplied { path: path.clone() });
            }
        }
        for (host, facts) in &self.hosts {
            for files in files_of(host) {
                let Some(next) = next.get(files.certificate) else { continue };
                let waiting = held(facts, files.next);
                let issuing = held(facts, files.certificate).into_iter().next();
                let is_other = |one: &Digest| one != next;
                let comes = waiting.first().or(issuing.as_ref().filter(|one| old.get(files.certificate) != Some(*one)));
                if comes.is_some_and(is_other) {
                    let (host, path) = (host.name.to_string(), files.certificate.to_owned());
                    return Err(AuthoritiesError::OtherSupplied { host, path });
                }
            }
        }
        Ok(())
    }
}
