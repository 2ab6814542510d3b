//! A publisher, a site, and bundles between them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_bundle::archive::{ArchiveError, Writer};
use sealock_bundle::artifact::{self, Artifact, Content, OCI_MANIFEST};
use sealock_bundle::binary::Description;
use sealock_bundle::import::{ImportError, ImportOutcome, Station, Terms, import};
use sealock_bundle::lock::{
    self, BlobRole, BlobSource, Lock, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule,
};
use sealock_bundle::names::Platform;
use sealock_bundle::os_packages::{INDEX, PACKAGE};
use sealock_bundle::spec::Audience;
use sealock_bundle::verify::Against;
use sealock_store::Store;
use sealock_trust::directory::Candidate;
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::tuf::{RootSpec, Rules, create_root};
use sealock_trust::{Digest, FileKey, KeySet, Scheme, Signer, SiteKeys, SiteRoot, TrustDirectory};
use tempfile::TempDir;

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn issued() -> Timestamp {
    time("2026-11-01T00:00:00Z")
}

pub(crate) fn now() -> Timestamp {
    time("2026-11-23T00:00:00Z")
}

/// Two publisher keys, both needed, and a revoker.
pub(crate) struct Publisher {
    pub(crate) keys: Vec<FileKey>,
    pub(crate) revoker: FileKey,
    pub(crate) root: Vec<u8>,
}

impl Publisher {
    /// What its bundles are held against where nothing is remembered yet, and no site is named.
    pub(crate) fn against(&self) -> Against<'_> {
        Against {
            root: &self.root,
            now: now(),
            state: None,
            accept_gap: None,
            recipient: None,
            rules: Rules::default(),
        }
    }

    pub(crate) fn new() -> Self {
        let root_key = FileKey::generate(Scheme::Ed25519).unwrap();
        let revoker = FileKey::generate(Scheme::Ed25519).unwrap();
        let keys = vec![FileKey::generate(Scheme::Ed25519).unwrap(), FileKey::generate(Scheme::EcdsaP256).unwrap()];
        let set = |keys: &[&FileKey]| {
            KeySet::new(keys.iter().map(|key| key.public_key().clone()), u32::try_from(keys.len()).unwrap()).unwrap()
        };
        let spec = RootSpec {
            expires: time("2030-01-01T00:00:00Z"),
            root: set(&[&root_key]),
            publisher: set(&keys.iter().collect::<Vec<_>>()),
            revoker: Some(set(&[&revoker])),
        };
        let root = create_root(&spec, &[&root_key]).unwrap();
        Self { keys, revoker, root }
    }

    pub(crate) fn signers(&self) -> Vec<&dyn Signer> {
        self.keys.iter().map(|key| key as &dyn Signer).collect()
    }

    pub(crate) fn sign(&self, bundle: &Path) {
        sealock_bundle::sign::sign(bundle, std::slice::from_ref(&self.root), &self.signers()).unwrap();
    }
}

/// What a bundle carries: a lock, and the bytes that a fetcher would have fetched.
#[derive(Clone)]
pub(crate) struct Cargo {
    pub(crate) lock: Lock,
    pub(crate) contents: BTreeMap<Digest, Vec<u8>>,
}

impl Cargo {
    /// The given files, each an artifact `files.example/<name>:1`.
    pub(crate) fn of_files(stream: &str, sequence: u64, files: &[(&str, Vec<u8>)]) -> Self {
        let mut cargo = Self { lock: empty_lock(stream, sequence), contents: BTreeMap::new() };
        for (name, bytes) in files {
            cargo.add(name, bytes);
        }
        cargo.lock.sort();
        cargo
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        let digest = Digest::sha256(bytes);
        let size = bytes.len() as u64;
        let artifact = artifact::of_file(&Content { digest: digest.clone(), size, title: name.to_owned() });
        self.lock.references.push(LockedReference {
            name: format!("files.example/{name}:1").parse().unwrap(),
            kind: ReferenceKind::File,
            digest: artifact.digest.clone(),
            media_type: OCI_MANIFEST.to_owned(),
            platform: None,
            subject: None,
            source: format!("https://files.example/{name}"),
            requested_by: vec![format!("file {name}")],
            verdict: Verdict::new(VerdictRule::Checksum),
        });
        self.lock.blobs.extend(artifact.blobs);
        self.lock.blobs.push(LockedBlob {
            digest: digest.clone(),
            size,
            media_type: artifact::OCTET_STREAM.to_owned(),
            role: BlobRole::Layer,
            source: BlobSource::Http { url: format!("https://files.example/{name}"), inner: None },
        });
        self.contents.insert(digest, bytes.to_vec());
    }

    /// Adds a binary of Sealock with this content.
    pub(crate) fn add_binary(&mut self, description: &Description, bytes: &[u8]) {
        let (digest, size) = (Digest::sha256(bytes), bytes.len() as u64);
        let artifact = description.artifact(&Content { digest: digest.clone(), size, title: "sealock".to_owned() });
        self.lock.references.push(LockedReference {
            name: description.artifact_name().unwrap(),
            kind: ReferenceKind::Sealock,
            digest: artifact.digest.clone(),
            media_type: OCI_MANIFEST.to_owned(),
            platform: Some(description.platform()),
            subject: None,
            source: "dist/sealock".to_owned(),
            requested_by: vec!["spec.sealock".to_owned()],
            verdict: Verdict::new(VerdictRule::Checksum),
        });
        self.lock.blobs.extend(artifact.blobs);
        self.lock.blobs.push(LockedBlob {
            digest: digest.clone(),
            size,
            media_type: artifact::BINARY.to_owned(),
            role: BlobRole::Layer,
            source: BlobSource::File { path: "dist/sealock".to_owned() },
        });
        self.contents.insert(digest, bytes.to_vec());
        self.lock.sort();
    }

    /// Adds a set of OS packages: `artifact`, made of this index and of packages with these contents.
    pub(crate) fn add_packages(&mut self, artifact: Artifact, index: &[u8], packages: &[Vec<u8>]) {
        self.lock.references.push(LockedReference {
            name: "os-packages/debian-12:amd64".parse().unwrap(),
            kind: ReferenceKind::OsPackages,
            digest: artifact.digest,
            media_type: OCI_MANIFEST.to_owned(),
            platform: Some(Platform::linux_amd64()),
            subject: None,
            source: "https://deb.example/debian stable main".to_owned(),
            requested_by: vec!["spec.osPackages".to_owned()],
            verdict: Verdict::new(VerdictRule::Gpg),
        });
        self.lock.blobs.extend(artifact.blobs);
        self.lock.blobs.push(artifact::generated(INDEX, BlobRole::Layer, index));
        for bytes in packages {
            let (digest, size) = (Digest::sha256(bytes), bytes.len() as u64);
            self.lock.blobs.push(LockedBlob {
                digest: digest.clone(),
                size,
                media_type: PACKAGE.to_owned(),
                role: BlobRole::Layer,
                source: BlobSource::Http { url: format!("https://deb.example/{}", digest.hex()), inner: None },
            });
            self.contents.insert(digest, bytes.clone());
        }
        self.lock.sort();
    }

    /// Writes what is missing, and finishes.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        self.try_write(path).unwrap()
    }

    /// As [`Self::write`], where it may be refused to finish.
    pub(crate) fn try_write(&self, path: &Path) -> Result<PathBuf, ArchiveError> {
        let writer = Writer::create(path, &self.lock).unwrap();
        for blob in writer.missing() {
            let mut slot = writer.slot(&blob.digest).unwrap();
            for piece in self.contents[&blob.digest].chunks(100_000) {
                slot.write(piece).unwrap();
            }
            slot.finish().unwrap();
        }
        writer.finish()
    }

    /// Writes and signs.
    pub(crate) fn build(&self, folder: &Path, publisher: &Publisher) -> PathBuf {
        let name = format!("{}-{}.sealock", self.lock.stream.as_str().replace('/', "-"), self.lock.sequence);
        let path = self.write(&folder.join(name));
        publisher.sign(&path);
        path
    }
}

fn empty_lock(stream: &str, sequence: u64) -> Lock {
    Lock {
        format: lock::FORMAT.to_owned(),
        name: "plant-7".parse().unwrap(),
        stream: stream.parse().unwrap(),
        sequence,
        previous: None,
        issued: issued(),
        soft_expiry: time("2026-12-01T00:00:00Z"),
        expires: time("2027-11-01T00:00:00Z"),
        audience: Audience { sites: vec!["plant-7".parse().unwrap()], classification: None },
        platforms: vec![Platform::linux_amd64()],
        publisher_keys: 2,
        delegations: None,
        selection: None,
        parameters: BTreeMap::new(),
        spec: Digest::sha256(b"spec"),
        tool: "sealock 0.1.0".to_owned(),
        references: Vec::new(),
        blobs: Vec::new(),
        annotations: BTreeMap::new(),
    }
}

/// Bytes that do not compress and differ by seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Small, aligned, empty, and larger than a read piece: every shape of entry.
pub(crate) fn sample(stream: &str, sequence: u64) -> Cargo {
    let files = [
        ("empty", Vec::new()),
        ("small", b"hello\n".to_vec()),
        ("block", noise(1, 512)),
        ("edge", noise(2, (64 << 10) - 1)),
        ("aligned", noise(3, 64 << 10)),
        ("large", noise(4, (3 << 20) + 17)),
        ("own", format!("{stream} {sequence}").into_bytes()),
    ];
    Cargo::of_files(stream, sequence, &files)
}

/// A site in a temporary folder.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) trust: TrustDirectory,
    pub(crate) keys: SiteKeys,
}

impl Site {
    pub(crate) fn new(publisher: &Publisher) -> Self {
        let site = Self::in_folder(tempfile::tempdir().unwrap(), "plant-7");
        site.enroll(publisher, "*");
        site
    }

    pub(crate) fn in_folder(folder: TempDir, id: &str) -> Self {
        let store = Store::init(&folder.path().join("store")).unwrap();
        let trust = TrustDirectory::open(&folder.path().join("trust")).unwrap();
        let key = FileKey::generate(Scheme::Ed25519).unwrap();
        let keys = site_keys(id, key);
        Self { folder, store, trust, keys }
    }

    pub(crate) fn enroll(&self, publisher: &Publisher, prefix: &str) {
        self.enroll_for(publisher, prefix, "*");
    }

    /// Enrols a publisher that may bring artifacts whose names begin with `names`.
    pub(crate) fn enroll_for(&self, publisher: &Publisher, prefix: &str, names: &str) {
        let fingerprint = Digest::sha256(&publisher.root);
        let prefix = prefix.parse().unwrap();
        let (root, fingerprint) = (publisher.root.as_slice(), &fingerprint);
        let candidate =
            Candidate { root, fingerprint, prefix: &prefix, from_sequence: None, names: &[names.parse().unwrap()] };
        self.trust.enroll(&candidate, Some(&self.keys)).unwrap();
    }

    pub(crate) fn station(&self) -> Station<'_> {
        Station { store: &self.store, trust: &self.trust, site: &self.keys }
    }

    pub(crate) fn import(&self, bundle: &Path) -> Result<ImportOutcome, ImportError> {
        self.import_on(bundle, &Terms::at(now()))
    }

    pub(crate) fn import_on(&self, bundle: &Path, terms: &Terms) -> Result<ImportOutcome, ImportError> {
        import(bundle, self.station(), terms, &mut |_| {})
    }

    /// The reason code that the import is refused with.
    pub(crate) fn refusal(&self, bundle: &Path) -> String {
        self.refusal_on(bundle, &Terms::at(now()))
    }

    pub(crate) fn refusal_on(&self, bundle: &Path, terms: &Terms) -> String {
        let before = self.snapshot();
        let error = self.import_on(bundle, terms).expect_err("the bundle should have been refused");
        assert!(error.is_refusal() && !error.is_environment(), "{error}");
        assert_eq!(self.snapshot(), before, "a refusal changed the site: {error}");
        error.code().unwrap().to_string()
    }

    /// Every file of the store and the trust directory, with content; locks and emptied folders aside.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.folder.path(), &mut files);
        files.retain(|path, _| !path.ends_with("lock") && !path.ends_with(".lock"));
        files
    }

    pub(crate) fn release(&self) -> Option<u64> {
        self.store.current_release(self.keys.key_set()).unwrap().map(|published| published.release.number)
    }
}

pub(crate) fn site_keys(id: &str, key: FileKey) -> SiteKeys {
    let set = || KeySet::new([key.public_key().clone()], 1).unwrap();
    let spec = SiteRootSpec {
        id: id.parse().unwrap(),
        issued: issued(),
        classification: None,
        root: set(),
        site: set(),
        approver: None,
        stale_grace_days: None,
        retained_releases: None,
        registry: Registry {
            name: "registry.plant-7.lab".to_owned(),
            address: "10.77.0.2:443".to_owned(),
            ca: String::new(),
        },
    };
    let root = SiteRoot::create(&spec, &[&key]).unwrap();
    SiteKeys::new(root, Box::new(key)).unwrap()
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            collect(&path, files);
        } else if kind.is_symlink() {
            files.insert(path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}
