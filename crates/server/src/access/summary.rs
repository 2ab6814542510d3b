//! What a file of the kind `Registry` comes to, for a person who checks it.

use std::path::Path;

use serde::Serialize;

use super::document::Anonymous;
use super::error::AccessError;
use super::policy::Policy;

/// What the file comes to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// The service that tokens are for.
    pub service: String,
    /// What needs no login.
    pub anonymous: Anonymous,
    /// Names in the htpasswd file.
    pub users: usize,
    /// Robots, with when they expire.
    pub robots: Vec<(String, jiff::Timestamp)>,
    /// Issuers of tokens that are believed.
    pub issuers: Vec<String>,
    /// Whether client certificates are asked for.
    pub client_certificates: bool,
    /// Grants, those of robots among them.
    pub grants: usize,
    /// Rules for what is pushed.
    pub rules: usize,
    /// What the verdicts under these rules are stored with.
    pub epoch: String,
}

/// Reads the file `path` and all that it names.
///
/// # Errors
/// [`AccessError`].
pub fn summary(path: &Path) -> Result<Summary, AccessError> {
    let policy = Policy::load(path)?;
    Ok(Summary {
        service: policy.service.to_string(),
        anonymous: policy.anonymous.clone(),
        users: policy.users.len(),
        robots: policy.robots.iter().map(|(name, robot)| (name.to_string(), robot.expires)).collect(),
        issuers: policy.issuers.iter().map(|issuer| issuer.issuer.to_string()).collect(),
        client_certificates: policy.authorities.is_some(),
        grants: policy.grants.len(),
        rules: policy.rules.count(),
        epoch: policy.rules.epoch().to_string(),
    })
}
