//! The publisher's newest revocation list, which travels in each bundle.

use std::collections::BTreeSet;
use std::path::Path;

use sealock_bundle::{Archive, Manifest};
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use sealock_trust::revocation::RevocationList;
use sealock_trust::tuf::open_root;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::{files, time};

/// Where `trust revoke` keeps the list, beside the lock.
const USUAL: &str = "trust/revocations.json";

/// A list that may travel: enough have signed it, and it has not expired.
pub struct Carried {
    pub bytes: Vec<u8>,
    list: RevocationList,
}

/// The list in the file `given`, or in the usual one where there is one.
///
/// # Errors
/// It lacks signatures, has expired, or is of another publisher than that of `roots`.
pub fn find(given: Option<&Path>, folder: &Path, roots: &[Vec<u8>]) -> Result<Option<Carried>> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => folder.join(USUAL),
    };
    if given.is_none() && !path.exists() {
        return Ok(None);
    }
    read(&path, roots).map(Some)
}

fn read(path: &Path, roots: &[Vec<u8>]) -> Result<Carried> {
    let shown = path.display().to_string();
    let bytes = files::read(path, 4 << 20)?;
    let list = RevocationList::read(&bytes).map_err(|error| CommandError::from(error).context(shown.clone()))?;
    if !roots.iter().any(|root| Digest::sha256(root) == *list.root()) {
        let problem = format!("{shown} is the revocation list of another publisher: no root here is {}", list.root());
        return Err(CommandError::usage(problem).hint("Give the right list with --revocations FILE."));
    }
    let newest = roots.last().map(|root| open_root(root)).transpose()?;
    if let Some(newest) = newest {
        list.clone().verify(&newest).map_err(|error| {
            CommandError::from(error)
                .context(format!("{shown} is not complete"))
                .hint("The next keyholder signs it with `sealock trust revoke --key FILE`.")
        })?;
    }
    if list.expires() <= time::now() {
        return Err(CommandError::failed(format!("{shown} expired at {}", list.expires()))
            .hint("Renew it with `sealock trust revoke --renew --key FILE`."));
    }
    Ok(Carried { bytes, list })
}

impl Carried {
    /// In words: `list 3, 12 revoked`.
    pub fn text(&self) -> String {
        format!("list {}, {} revoked", self.list.version(), self.list.entries().len())
    }

    /// Refuses to build what every site would refuse.
    ///
    /// # Errors
    /// Something of the bundle is revoked, with all of it.
    pub fn check(&self, manifest: &Manifest) -> Result<()> {
        let names: BTreeSet<&Digest> = manifest.references.iter().map(|reference| &reference.digest).collect();
        let named = manifest.references.iter().map(|reference| (reference.name.to_string(), &reference.digest));
        let others = manifest.blobs.iter().filter(|blob| !names.contains(&blob.digest));
        let others = others.map(|blob| (format!("the blob {}", blob.digest), &blob.digest));
        let line = |(what, digest): (String, &Digest)| {
            self.list.of_digest(digest).map(|entry| format!("{what}: {}", entry.reason))
        };
        let revoked: Vec<String> = named.chain(others).filter_map(line).collect();
        if revoked.is_empty() {
            return Ok(());
        }
        let problem = format!("the lock holds what was revoked: {}", revoked.join("; "));
        Err(CommandError::refused(Code::Revoked, problem)
            .hint("Choose another version in the bundle spec, and run `sealock lock` again."))
    }

    /// Says so where the bundle at `path` was built with another list: a header is not laid out anew.
    pub fn warn_if_not_in(&self, path: &Path, context: &Context) -> Result<()> {
        if Archive::open(path)?.revocations() != Some(self.bytes.as_slice()) {
            context.ui.warn(format_args!(
                "{} was built before revocation {}: carry the list beside it, or move the bundle away and build again",
                path.display(),
                self.text()
            ));
        }
        Ok(())
    }
}
