//! Where things stand inside the folder of a store (docs/formats/store.md).

use std::path::{Path, PathBuf};

use sealock_trust::Algorithm;
use sealock_trust::Digest;
use sealock_trust::format;

/// What the file `format` says, with a line feed behind it.
pub(crate) const FORMAT: &str = format::STORE.current;

/// The names inside one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    pub(crate) fn operations(&self) -> PathBuf {
        self.root.join("operations.log")
    }

    pub(crate) fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    pub(crate) fn release(&self, number: u64) -> PathBuf {
        self.releases().join(format!("{number}.json"))
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        blob_in(&self.blobs(), digest)
    }

    /// Bundles that were taken in, and lend their blobs.
    pub(crate) fn lent(&self) -> PathBuf {
        self.root.join("lent")
    }

    /// The bundle whose manifest has this digest.
    pub(crate) fn lender(&self, manifest: &Digest) -> PathBuf {
        self.lent().join(format!("{}{BUNDLE_END}", file_name(manifest)))
    }

    /// What that bundle lends no more.
    pub(crate) fn withdrawn(&self, manifest: &Digest) -> PathBuf {
        self.lent().join(format!("{}{WITHDRAWN_END}", file_name(manifest)))
    }

    /// Blobs on their way from a bundle to a file of their own.
    pub(crate) fn migrating(&self) -> PathBuf {
        self.lent().join("partial")
    }

    /// Held by whoever migrates.
    pub(crate) fn migration_lock(&self) -> PathBuf {
        self.lent().join("lock")
    }

    pub(crate) fn stagings(&self) -> PathBuf {
        self.root.join("staging")
    }

    pub(crate) fn staging(&self, manifest: &Digest) -> PathBuf {
        self.stagings().join(file_name(manifest))
    }

    /// What the garbage collector condemned while no server ran.
    pub(crate) fn condemned(&self) -> PathBuf {
        self.root.join("condemned")
    }

    /// Held by the server that gives promises, or by whoever collects garbage while there is none.
    pub(crate) fn serving(&self) -> PathBuf {
        self.root.join("serving")
    }

    /// Room that is given up when the disk is full, so that garbage can go.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn quarantined(&self, digest: &Digest) -> PathBuf {
        self.quarantine().join(file_name(digest))
    }

    /// When each blob was hashed last.
    pub(crate) fn verified(&self) -> PathBuf {
        self.root.join("verified")
    }

    pub(crate) fn holds(&self) -> PathBuf {
        self.root.join("holds")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Everything about pushed content but its bytes.
    pub(crate) fn pushed(&self) -> PathBuf {
        self.root.join("pushed")
    }

    pub(crate) fn hold(&self, manifest: &Digest) -> PathBuf {
        self.holds().join(file_name(manifest))
    }
}

/// How the name of a bundle that was taken in ends.
pub(crate) const BUNDLE_END: &str = ".tar";

/// How the name of the list ends that says what a bundle lends no more.
pub(crate) const WITHDRAWN_END: &str = ".withdrawn";

/// The algorithms that have a folder under `blobs/`.
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// `<folder>/<alg>/<hex>`, as in an OCI image layout.
pub(crate) fn blob_in(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(digest.algorithm().as_str()).join(digest.hex())
}

/// The digest that [`file_name`] made a name of.
pub(crate) fn digest_of_name(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}

/// A digest as one file name: a colon is legal on Linux but troubles many tools.
pub(crate) fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}
