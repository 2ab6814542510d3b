//! A request to a vendor: what it shows, and that nothing else is signed.

use std::collections::BTreeMap;

use super::{Parsed, RequestError, Subject, Wire, files, unsigned};
use crate::digest::Algorithm;
use crate::json;
use crate::tuf::{Delegations, Signed, TargetFile, Targets, TrustError, role_file};

/// What the vendor is asked to vouch for. It is about artifacts alone: neither a root nor a manifest stands beside it.
pub(super) fn subject(wire: &Wire) -> Result<Parsed, RequestError> {
    if wire.manifest.is_some() || wire.root.is_some() {
        return Err(RequestError::Fields);
    }
    let delegations = delegation(wire)?;
    let [role] = delegations.roles.as_slice() else { return Err(RequestError::Fields) };
    let file = role_file(&role.name);
    delegations.check(&file)?;
    let [content] = files(wire, [file.as_str()])?;
    let targets: Signed<Targets> = unsigned(&file, content)?;
    // Nobody signs what is not shown: a field that is unknown here would be, and so would be a delegation.
    if Signed::unsigned(targets.signed.clone())?.canonical() != targets.canonical() {
        return Err(RequestError::Fields);
    }
    if targets.signed.delegations.is_some() {
        return Err(TrustError::DelegatesOn { file }.into());
    }
    role.check_scope(&file, &targets.signed)?;
    if !targets.signed.targets.values().all(is_shown) {
        return Err(RequestError::Fields);
    }
    let contents = BTreeMap::from([(file, targets.canonical().to_vec())]);
    let keys = role.key_set(&delegations.keys)?;
    Ok((Subject::Vendor { delegation: role.clone(), keys, targets: targets.signed }, contents))
}

fn delegation(wire: &Wire) -> Result<Delegations, RequestError> {
    let value = wire.delegation.as_ref().ok_or(RequestError::Fields)?;
    let delegations: Delegations = serde_json::from_value(value.clone()).map_err(json::Error::Schema)?;
    // The request's own digest covers the fields that are unknown here; a person would not see them.
    let is_whole = serde_json::to_value(&delegations).is_ok_and(|shown| shown == *value);
    if is_whole { Ok(delegations) } else { Err(RequestError::Fields) }
}

/// One digest of a kind that is known, and nothing more.
fn is_shown(target: &TargetFile) -> bool {
    let known = [Algorithm::Sha256, Algorithm::Sha512].map(Algorithm::as_str);
    target.custom.is_none()
        && target.hashes.len() == 1
        && target.hashes.keys().all(|name| known.contains(&name.as_str()))
}
