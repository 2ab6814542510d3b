//! What an attacker can make: honest bundles of a publisher, and everything that looks like one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use sealock_bundle::Manifest;
use sealock_bundle::archive::Writer;
use sealock_bundle::artifact::{self, Content, OCI_MANIFEST};
use sealock_bundle::lock::{
    self, BlobRole, BlobSource, Lock, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule,
};
use sealock_bundle::names::Platform;
use sealock_bundle::spec::Audience;
use sealock_trust::revocation::{Entry, ListTerms, RevocationList, Subject};
use sealock_trust::tuf::{self, MetadataSet, RootSpec, Terms};
use sealock_trust::{Digest, FileKey, KeySet, Scheme, Signer};

/// Where the payload of a small bundle begins.
pub const HEADER: usize = 1 << 20;

/// A time so many days from now, in whole seconds.
pub fn days(from_now: i64) -> Timestamp {
    // One second for the whole run: a manifest and the metadata that is made for it later say the same.
    static SECOND: LazyLock<Timestamp> =
        LazyLock::new(|| Timestamp::from_second(Timestamp::now().as_second()).expect("a time"));
    let second = *SECOND;
    second + SignedDuration::from_hours(24 * from_now)
}

/// A publisher: two keys, both needed, under a root with one key.
pub struct Publisher {
    pub root_key: FileKey,
    pub keys: Vec<FileKey>,
    pub revoker: FileKey,
    pub roots: Vec<Vec<u8>>,
}

impl Publisher {
    pub fn new() -> Self {
        Self::with_keys(vec![key(Scheme::Ed25519), key(Scheme::EcdsaP256)], 2)
    }

    pub fn with_keys(keys: Vec<FileKey>, threshold: u32) -> Self {
        let (root_key, revoker) = (key(Scheme::Ed25519), key(Scheme::Ed25519));
        let role = KeySet::new([revoker.public_key().clone()], 1).expect("a key set");
        let spec = RootSpec { revoker: Some(role), ..root_spec(&root_key, &keys, threshold, days(365)) };
        let root = tuf::create_root(&spec, &[&root_key]).expect("a root");
        Self { root_key, keys, revoker, roots: vec![root] }
    }

    /// The list that follows `previous`, with `digests` more.
    pub fn revoke(&self, previous: Option<&[u8]>, digests: &[&Digest]) -> Vec<u8> {
        let entry = |digest: &&Digest| Entry {
            subject: Subject::Digest((*digest).clone()),
            reason: "it calls home".parse().expect("a reason"),
            revoked: days(-1),
        };
        let previous = previous.map(|list| RevocationList::read(list).expect("a list"));
        let terms = ListTerms { issued: days(-1), expires: days(90) };
        let added = digests.iter().map(entry);
        let list = RevocationList::make(&self.roots[0], previous.as_ref(), &terms, added, &BTreeSet::new());
        let mut list = list.expect("a list");
        list.add_signatures(&[&self.revoker]).expect("a signature");
        list.to_bytes().expect("a list")
    }

    pub fn signers(&self) -> Vec<&dyn Signer> {
        self.keys.iter().map(|key| key as &dyn Signer).collect()
    }

    pub fn sign(&self, bundle: &Path) {
        sealock_bundle::sign(bundle, &self.roots, &self.signers()).expect("a signed bundle");
    }

    /// The trust metadata that this publisher would sign for any bytes at all.
    pub fn vouch(&self, manifest: &[u8], sequence: u64) -> MetadataSet {
        self.vouch_on(manifest, &Terms { sequence, issued: days(-1), expires: days(300) })
    }

    /// As [`Self::vouch`], with these terms.
    pub fn vouch_on(&self, manifest: &[u8], terms: &Terms) -> MetadataSet {
        tuf::sign_manifest(&self.roots, manifest, terms, &self.signers()).expect("metadata")
    }
}

pub fn key(scheme: Scheme) -> FileKey {
    FileKey::generate(scheme).expect("a key")
}

pub fn root_spec(root_key: &FileKey, keys: &[FileKey], threshold: u32, expires: Timestamp) -> RootSpec {
    let set = |keys: &[&FileKey], threshold| {
        KeySet::new(keys.iter().map(|key| key.public_key().clone()), threshold).expect("a key set")
    };
    RootSpec {
        expires,
        root: set(&[root_key], 1),
        publisher: set(&keys.iter().collect::<Vec<_>>(), threshold),
        revoker: None,
    }
}

/// A lock, and the bytes that a fetcher would have fetched.
pub struct Cargo {
    pub lock: Lock,
    contents: BTreeMap<Digest, Vec<u8>>,
}

impl Cargo {
    /// The given files, each an artifact `files.example/NAME:1`.
    pub fn of_files(sequence: u64, files: &[(&str, &[u8])]) -> Self {
        let mut cargo = Self { lock: empty_lock(sequence), contents: BTreeMap::new() };
        for (name, bytes) in files {
            cargo.add(name, bytes);
        }
        cargo.lock.sort();
        cargo
    }

    /// Small, aligned and generated entries, and one that differs from bundle to bundle.
    pub fn sample(sequence: u64) -> Self {
        let aligned = vec![7; 64 << 10];
        let own = format!("number {sequence}");
        Self::of_files(sequence, &[("small", b"hello\n"), ("aligned", &aligned), ("own", own.as_bytes())])
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        let (digest, size) = (Digest::sha256(bytes), bytes.len() as u64);
        let artifact = artifact::of_file(&Content { digest: digest.clone(), size, title: name.to_owned() });
        self.lock.references.push(LockedReference {
            name: format!("files.example/{name}:1").parse().expect("a name"),
            kind: ReferenceKind::File,
            digest: artifact.digest.clone(),
            media_type: OCI_MANIFEST.to_owned(),
            platform: None,
            subject: None,
            source: format!("https://files.example/{name}"),
            requested_by: vec![format!("file {name}")],
            verdict: Verdict { rule: VerdictRule::Checksum, key: None, identity: None, issuer: None, reason: None },
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

    /// The bundle, unsigned.
    pub fn write(&self, path: &Path) -> PathBuf {
        self.fill(Writer::create(path, &self.lock).expect("a bundle"))
    }

    /// The same under another manifest than the lock makes: a delta, unsigned.
    pub fn write_as(&self, path: &Path, manifest: &Manifest) -> PathBuf {
        self.fill(Writer::create_with(path, &self.lock, manifest).expect("a bundle"))
    }

    /// The bundle, unsigned, with a revocation list.
    pub fn write_with(&self, path: &Path, list: Option<Vec<u8>>) -> PathBuf {
        let manifest = Manifest::from_lock(&self.lock).expect("a manifest");
        self.fill(Writer::create_carrying(path, (&self.lock, &manifest), list).expect("a bundle"))
    }

    /// Bytes that a manifest names beside what is locked.
    pub fn bring(&mut self, bytes: &[u8]) {
        self.contents.insert(Digest::sha256(bytes), bytes.to_vec());
    }

    fn fill(&self, writer: Writer) -> PathBuf {
        for patch in writer.missing_patches() {
            let mut slot = writer.slot(&patch).expect("a slot");
            slot.write(&self.contents[&patch]).expect("room");
            slot.finish().expect("the right bytes");
        }
        for blob in writer.missing() {
            let mut slot = writer.slot(&blob.digest).expect("a slot");
            slot.write(&self.contents[&blob.digest]).expect("room");
            slot.finish().expect("the right bytes");
        }
        writer.finish().expect("a whole bundle")
    }
}

fn empty_lock(sequence: u64) -> Lock {
    Lock {
        format: lock::FORMAT.to_owned(),
        name: "plant-7".parse().expect("a name"),
        stream: "base".parse().expect("a stream"),
        sequence,
        previous: None,
        issued: days(-1),
        soft_expiry: days(100),
        expires: days(300),
        audience: Audience { sites: vec!["plant-7".parse().expect("a site")], classification: None },
        platforms: vec![Platform::linux_amd64()],
        publisher_keys: 2,
        delegations: None,
        spec: Digest::sha256(b"spec"),
        selection: None,
        parameters: BTreeMap::new(),
        tool: "sealock 0.1.0".to_owned(),
        references: Vec::new(),
        blobs: Vec::new(),
        annotations: BTreeMap::new(),
    }
}

/// One tar entry of a header that the attacker lays out byte for byte.
pub struct TarEntry {
    pub header: [u8; 512],
    pub content: Vec<u8>,
}

impl TarEntry {
    /// As `sealock build` writes it.
    pub fn honest(name: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.as_old_mut().mode.copy_from_slice(b"0000444\0");
        let mut entry = Self { header: [0; 512], content: content.to_vec() };
        entry.header.copy_from_slice(header.as_bytes());
        entry.fix_checksum();
        entry
    }

    /// Bent in some way, with a checksum that fits again.
    pub fn bent(name: &str, bend: impl FnOnce(&mut tar::Header)) -> Self {
        let mut entry = Self::honest(name, b"");
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&entry.header);
        bend(&mut header);
        entry.header.copy_from_slice(header.as_bytes());
        entry.fix_checksum();
        entry
    }

    /// Spelled as an honest writer does: six digits, NUL, space.
    fn fix_checksum(&mut self) {
        self.header[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.header.iter().map(|byte| u32::from(*byte)).sum();
        self.header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// The parts of a small bundle, to be put together again in another way.
pub struct Parts {
    /// Up to `pad`, which is made anew.
    pub entries: Vec<TarEntry>,
    pub payload: Vec<u8>,
}

impl Parts {
    pub fn of(bundle: &[u8]) -> Self {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            let header: [u8; 512] = bundle[at..at + 512].try_into().expect("a block");
            let parsed = tar::Header::from_byte_slice(&header);
            let size = usize::try_from(parsed.size().expect("a size")).expect("a size");
            let is_pad = header.starts_with(b"pad\0");
            if is_pad {
                return Self { entries, payload: bundle[HEADER..].to_vec() };
            }
            entries.push(TarEntry { header, content: bundle[at + 512..at + 512 + size].to_vec() });
            at += 512 + size.next_multiple_of(512);
        }
    }

    /// The content of the entry `name`.
    pub fn content(&mut self, name: &str) -> &mut Vec<u8> {
        let is_it = |entry: &&mut TarEntry| entry.header.starts_with(format!("{name}\0").as_bytes());
        &mut self.entries.iter_mut().find(is_it).expect("an entry of that name").content
    }

    /// Puts another manifest in the place of the honest one, signed by `publisher` all the same.
    pub fn replace_manifest(&mut self, publisher: &Publisher, manifest: &[u8], sequence: u64) {
        let set = publisher.vouch(manifest, sequence);
        for (name, bytes) in set.files() {
            self.set(&format!("tuf/metadata/{name}"), bytes);
        }
        self.set("tuf/targets/manifest.json", manifest);
    }

    /// Gives the entry `name` another content, and a header that fits.
    pub fn set(&mut self, name: &str, content: &[u8]) {
        let is_it = |entry: &&mut TarEntry| entry.header.starts_with(format!("{name}\0").as_bytes());
        *self.entries.iter_mut().find(is_it).expect("an entry of that name") = TarEntry::honest(name, content);
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.header);
            bytes.extend_from_slice(&entry.content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        let padding = HEADER.saturating_sub(bytes.len() + 512);
        bytes.extend_from_slice(&TarEntry::honest("pad", &vec![0; padding]).header);
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}
