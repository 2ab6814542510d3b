//! The people of a site who sign together what one person alone must not decide.

use sealock_trust::site::SiteRoot;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{Key, KeyName, Passphrases};

/// The private keys called `names`, each of an approver of `site`, or of a keyholder of its root where it has none.
///
/// # Errors
/// A key cannot be read, or is another one.
pub fn load(names: &[KeyName], site: &SiteRoot, passphrases: &Passphrases<'_>) -> Result<Vec<Key>> {
    let role = site.approver_keys().unwrap_or_else(|| site.root_keys());
    let load = |name: &KeyName| {
        let key = passphrases.load(name)?;
        if role.keys().contains_key(key.public_key().id()) {
            return Ok(key);
        }
        let problem = format!("{name} is no key of the site's approvers, nor of its root");
        Err(CommandError::usage(problem).hint("`sealock site show` lists the keys of the site."))
    };
    names.iter().map(load).collect()
}

/// Says so where `site` has not enough people for what takes two of them.
pub fn warn_if_too_few(site: &SiteRoot, context: &Context) {
    let role = site.approver_keys().unwrap_or_else(|| site.root_keys());
    if role.keys().len() < 2 {
        context.ui.warn(
            "the site has fewer than two approvers: nobody can break a glass or settle an older trust state. \
             `approvers` in the site spec names them",
        );
    }
}
