//! The chain of roots: from the enrolled one, one by one, to the newest.

use super::metadata::Form;
use super::set::root_file;
use super::{Metadata, MetadataSet, Root, Signed, TrustError};

/// Reads a root that is to be enrolled: sound, and signed by its own threshold.
///
/// # Errors
/// [`TrustError::Json`], [`TrustError::Kind`], [`TrustError::RootUnsound`], [`TrustError::RootSignature`].
pub fn open_root(bytes: &[u8]) -> Result<Root, TrustError> {
    let root = parse_root(Form::Canonical, "root.json", bytes)?;
    verify_root(&root, &root.signed)?;
    Ok(root.signed)
}

/// What a walk along a bundle's roots came to.
#[derive(Debug)]
pub struct RootWalk {
    /// The newest root that is trusted now.
    pub newest: Root,
    /// The files of roots that are trusted now and newer than before, in order. Worth keeping even if the bundle
    /// is refused: otherwise one bad bundle would block the next good one.
    pub newer: Vec<(u64, Vec<u8>)>,
    /// What ended the walk before its end.
    pub fault: Option<TrustError>,
}

/// Walks from `trusted_root` along the bundle's roots (specification 5.3).
///
/// # Errors
/// Where `trusted_root` itself can't be read. A fault in the bundle's roots is in [`RootWalk::fault`].
pub fn walk_roots(trusted_root: &[u8], set: &MetadataSet) -> Result<RootWalk, TrustError> {
    walk_roots_in(Form::Canonical, trusted_root, set)
}

pub(super) fn walk_roots_in(form: Form, trusted_root: &[u8], set: &MetadataSet) -> Result<RootWalk, TrustError> {
    let trusted = parse_root(form, "the trusted root", trusted_root)?;
    let mut walk = Walk { form, newest: trusted, newer: Vec::new(), previous: None };
    let fault = set.roots.iter().try_for_each(|(version, bytes)| walk.step(*version, bytes)).err();
    Ok(RootWalk { newest: walk.newest.signed, newer: walk.newer, fault })
}

struct Walk {
    form: Form,
    newest: Signed<Root>,
    newer: Vec<(u64, Vec<u8>)>,
    previous: Option<Signed<Root>>,
}

impl Walk {
    /// Off-spec: the specification looks at newer roots only. Older ones of the bundle must be sound and follow each
    /// other as well, so that no byte of the file goes unjudged.
    fn step(&mut self, version: u64, bytes: &[u8]) -> Result<(), TrustError> {
        let file = root_file(version);
        let root = parse_root(self.form, &file, bytes)?;
        // 5.3.5: the version is exactly that of the root before plus one. The file's name must say so, too.
        if root.signed.version != version {
            return Err(TrustError::RootGap { expected: version, found: root.signed.version });
        }
        let trusted = self.newest.signed.version;
        let expected = self.previous.as_ref().map_or(version.min(trusted + 1), |root| root.signed.version + 1);
        if version != expected {
            return Err(TrustError::RootGap { expected, found: version });
        }
        if let Some(previous) = &self.previous {
            verify_root(&root, &previous.signed)?;
        }
        if version == trusted && root.canonical() != self.newest.canonical() {
            return Err(TrustError::RootFork { version });
        }
        if version == trusted + 1 {
            // 5.3.4: signed by the threshold of the trusted root …
            verify_root(&root, &self.newest.signed)?;
        }
        // … and by its own.
        verify_root(&root, &root.signed)?;
        if version == trusted + 1 {
            // 5.3.6: its expiry does not matter yet. 5.3.7 and 5.3.8: it is trusted now, the caller keeps it.
            self.newest = root.clone();
            self.newer.push((version, bytes.to_vec()));
        }
        self.previous = Some(root);
        Ok(())
    }
}

fn parse_root(form: Form, file: &str, bytes: &[u8]) -> Result<Signed<Root>, TrustError> {
    let root = Signed::<Root>::parse_in(form, file, bytes)?;
    let version = root.signed.version();
    root.signed.check().map_err(|source| TrustError::RootUnsound { version, source })?;
    Ok(root)
}

fn verify_root(root: &Signed<Root>, by: &Root) -> Result<(), TrustError> {
    let refused = |source| TrustError::RootSignature { version: root.signed.version, by: by.version, source };
    let keys = by.root_keys().map_err(refused)?;
    root.verify(&keys).map(|_| ()).map_err(refused)
}
