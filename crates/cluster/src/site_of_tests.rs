//! A site of one key, for tests.

use jiff::Timestamp;
use sealock_trust::site::{Registry, SiteKeys, SiteRoot, SiteRootSpec};
use sealock_trust::{FileKey, KeySet, Scheme, Signer as _};

/// A new site called plant-7, with its key.
pub(crate) fn keys() -> SiteKeys {
    let key = FileKey::generate(Scheme::Ed25519).unwrap();
    let only = || KeySet::new([key.public_key().clone()], 1).unwrap();
    let registry = Registry { name: "registry".into(), address: "10.77.0.2:443".into(), ca: String::new() };
    let spec = SiteRootSpec {
        id: "plant-7".parse().unwrap(),
        issued: Timestamp::UNIX_EPOCH,
        classification: None,
        root: only(),
        site: only(),
        approver: None,
        stale_grace_days: None,
        retained_releases: None,
        registry,
    };
    let root = SiteRoot::create(&spec, &[&key]).unwrap();
    SiteKeys::new(root, Box::new(key)).unwrap()
}
