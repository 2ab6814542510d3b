//! Two bundles, compared: platforms, layers, SBOMs, signers.

use sealock_bundle::Archive;
use sealock_bundle::archive::ArchiveError;
use sealock_bundle::artifact::{self, Content, OCI_INDEX, OCI_MANIFEST};
use sealock_bundle::diff::{self, Change, Diff, Kind, Level, Readable, Side, Trust};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_trust::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Cargo, noise};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

struct Boxed {
    cargo: Cargo,
}

impl Boxed {
    fn new(sequence: u64) -> Self {
        Self { cargo: Cargo::of_files("base", sequence, &[("tool", noise(9, 70_000))]) }
    }

    fn blob(&mut self, media_type: &str, role: BlobRole, bytes: &[u8]) -> Value {
        let digest = Digest::sha256(bytes);
        if self.cargo.contents.insert(digest.clone(), bytes.to_vec()).is_none() {
            self.cargo.lock.blobs.push(LockedBlob {
                digest: digest.clone(),
                size: bytes.len() as u64,
                media_type: media_type.to_owned(),
                role,
                source: BlobSource::File { path: "x".to_owned() },
            });
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn manifest(&mut self, value: &Value, role: BlobRole) -> Value {
        let media_type = if role == BlobRole::Index { OCI_INDEX } else { OCI_MANIFEST };
        self.blob(media_type, role, &serde_json::to_vec(value).unwrap())
    }

    /// An index with these platforms, each of one layer, and an SBOM that refers to the first.
    fn image(&mut self, name: &str, platforms: &[(&str, u64)], sbom: Option<&str>, verdict: Verdict) {
        let mut entries = Vec::new();
        for (architecture, seed) in platforms {
            let config = self.blob(CONFIG, BlobRole::Config, b"{ }");
            let layer = self.blob("application/vnd.oci.image.layer.v1.tar", BlobRole::Layer, &noise(*seed, 50_000));
            let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
            let mut entry = self.manifest(&manifest, BlobRole::Manifest);
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entries.push(entry);
        }
        if let Some(sbom) = sbom {
            let config = self.blob(CONFIG, BlobRole::Config, b"{ }");
            let layer = self.blob("application/spdx+json", BlobRole::Layer, sbom.as_bytes());
            let subject = entries[0].clone();
            let referrer = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/spdx+json",
                "config": config, "layers": [layer], "subject": subject});
            self.manifest(&referrer, BlobRole::Manifest);
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        let index = self.manifest(&index, BlobRole::Index);
        self.reference(name, ReferenceKind::Image, (OCI_INDEX, index["digest"].as_str().unwrap()), verdict);
    }

    fn yaml(&mut self, text: &str) {
        let digest = Digest::sha256(text.as_bytes());
        let content = Content { digest: digest.clone(), size: text.len() as u64, title: "net.yaml".to_owned() };
        let artifact = artifact::of_kubernetes_manifest(&content);
        self.blob(artifact::YAML, BlobRole::Layer, text.as_bytes());
        self.cargo.lock.blobs.extend(artifact.blobs);
        let name = format!("manifests/plant-7/net.yaml:{}", self.cargo.lock.sequence);
        let local = Verdict { rule: VerdictRule::Local, key: None, identity: None, issuer: None, reason: None };
        self.reference(&name, ReferenceKind::Manifest, (OCI_MANIFEST, &artifact.digest.to_string()), local);
    }

    fn reference(&mut self, name: &str, kind: ReferenceKind, (media_type, digest): (&str, &str), verdict: Verdict) {
        self.cargo.lock.references.push(LockedReference {
            name: name.parse().unwrap(),
            kind,
            digest: digest.parse().unwrap(),
            media_type: media_type.to_owned(),
            platform: None,
            subject: None,
            source: name.to_owned(),
            requested_by: Vec::new(),
            verdict,
        });
    }

    fn write(mut self, folder: &TempDir) -> Archive {
        self.cargo.lock.sort();
        let path = folder.path().join(format!("{}.tar", self.cargo.lock.sequence));
        Archive::open(&self.cargo.write(&path)).unwrap()
    }
}

fn signed(key: &str) -> Verdict {
    Verdict {
        rule: VerdictRule::Key,
        key: Some(Digest::sha256(key.as_bytes())),
        identity: None,
        issuer: None,
        reason: None,
    }
}

fn unsigned(reason: &str) -> Verdict {
    Verdict { rule: VerdictRule::Unsigned, key: None, identity: None, issuer: None, reason: Some(reason.to_owned()) }
}

pub(crate) fn compare(old: &Archive, new: &Archive) -> Result<Diff, ArchiveError> {
    let manifests = [old, new].map(|archive| archive.unverified_manifest().unwrap());
    let read = |at: usize, archive: &Archive, digest: &Digest, limit: u64| {
        let blob = manifests[at].blobs.iter().find(|blob| blob.digest == *digest);
        blob.map_or(Ok(None), |blob| archive.small_blob(blob, limit))
    };
    let side = |at: usize, archive: &Archive| {
        Side::of_bundle("x", &manifests[at], &archive.manifest_digest(), Trust::Read, &[])
    };
    diff::between(
        Readable { side: side(0, old), read: &|digest, limit| read(0, old, digest, limit) },
        Readable { side: side(1, new), read: &|digest, limit| read(1, new, digest, limit) },
    )
}

fn sbom(packages: &[(&str, &str)]) -> String {
    let packages: Vec<Value> =
        packages.iter().map(|(name, version)| json!({"name": name, "versionInfo": version})).collect();
    json!({"spdxVersion": "SPDX-2.3", "packages": packages}).to_string()
}

#[test]
fn an_upgrade_is_told_with_all_that_a_reviewer_needs() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Boxed::new(1);
    let (before, after) = (sbom(&[("zlib", "1.2"), ("curl", "8")]), sbom(&[("zlib", "1.3"), ("\u{1b}[2Jevil", "1")]));
    old.image("quay.io/team/app:v1.0.0", &[("amd64", 1), ("arm64", 2)], Some(&before), signed("a"));
    old.image("quay.io/team/web:v1.0.0", &[("amd64", 3)], None, signed("a"));
    old.image("quay.io/team/gone:v1", &[("amd64", 4)], None, unsigned("x"));
    old.yaml("kind: ConfigMap\ndata:\n  a: one\n");
    let mut new = Boxed::new(2);
    new.image("quay.io/team/app:v1.1.0", &[("amd64", 5)], Some(&after), unsigned("we\u{202e}trust"));
    new.image("quay.io/team/web:v1.0.0", &[("amd64", 6)], None, signed("b"));
    new.yaml("kind: ConfigMap\ndata:\n  a: \u{1b}]0;two\u{7}\n");
    let diff = compare(&old.write(&folder), &new.write(&folder)).unwrap();

    let changes: Vec<(Change, Kind, String)> =
        diff.artifacts.iter().map(|change| (change.change, change.kind, change.name().to_string())).collect();
    assert_eq!(
        changes,
        [
            (Change::Replaced, Kind::Image, "quay.io/team/app:v1.1.0".to_owned()),
            (Change::Removed, Kind::Image, "quay.io/team/gone:v1".to_owned()),
            (Change::Changed, Kind::Image, "quay.io/team/web:v1.0.0".to_owned()),
            (Change::Changed, Kind::Manifest, "manifests/plant-7/net.yaml:2".to_owned()),
        ]
    );
    let alerts: Vec<(Level, &str)> = diff.alerts.iter().map(|alert| (alert.level, alert.code)).collect();
    assert_eq!(
        alerts,
        [
            (Level::Alarm, "no-successor"),
            (Level::Alarm, "signature-lost"),
            (Level::Alarm, "signer-changed"),
            (Level::Notice, "not-verified"),
            (Level::Notice, "platform-lost"),
            (Level::Notice, "version-moved"),
        ]
    );
    let app = &diff.artifacts[0];
    assert_eq!(app.old.as_ref().unwrap().platforms.len(), 2);
    assert_eq!(app.travels.unwrap().blobs, 3, "index, manifest and layer; the config is shared");
    let packages = &diff.packages[0];
    assert_eq!(packages.artifact.as_str(), "quay.io/team/app:v1.1.0 (linux/amd64)");
    let told: Vec<&str> = packages.changes.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(told, ["zlib", r"\u{1b}[2Jevil", "curl"]);
    assert_eq!(diff.unchanged.len(), 1, "the tool");
    let json = serde_json::to_string(&diff).unwrap();
    assert!(!json.contains("u001b") && !json.contains('\u{202e}') && !json.contains("u0007"), "{json}");
    assert!(diff.texts[0].lines.iter().any(|line| line.as_str() == r"+  a: \u{1b}]0;two\u{7}"));
}

#[test]
fn the_same_bundle_does_not_differ() {
    let folder = tempfile::tempdir().unwrap();
    let mut boxed = Boxed::new(1);
    boxed.image("quay.io/team/app:v1", &[("amd64", 1)], Some(&sbom(&[("a", "1")])), signed("a"));
    let archive = boxed.write(&folder);
    let diff = compare(&archive, &archive).unwrap();
    assert!(!diff.differs && diff.artifacts.is_empty() && diff.packages.is_empty());
}

#[test]
fn what_is_no_manifest_is_a_note_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut boxed = Boxed::new(1);
    // What is no JSON, or nested without end, is not built at all.
    let bent = br#"{"layers":[{"mediaType":"x","digest":"none","size":1}]}"#;
    let blob = boxed.blob(OCI_MANIFEST, BlobRole::Manifest, bent);
    let digest = blob["digest"].as_str().unwrap().to_owned();
    boxed.reference("quay.io/team/app:v1", ReferenceKind::Image, (OCI_MANIFEST, &digest), unsigned("x"));
    let diff = compare(&Boxed::new(1).write(&tempfile::tempdir().unwrap()), &boxed.write(&folder)).unwrap();
    assert!(diff.notes.iter().any(|note| note.as_str().contains("cannot be read as a manifest")), "{:?}", diff.notes);
    assert_eq!(diff.artifacts[0].travels, None);
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    use std::os::unix::fs::FileExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut boxed = Boxed::new(1);
    boxed.image("quay.io/team/app:v1", &[("amd64", 1)], None, signed("a"));
    let archive = boxed.write(&folder);
    let manifest = archive.unverified_manifest().unwrap();
    let index = manifest.blobs.iter().find(|blob| blob.role == BlobRole::Index).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(archive.path()).unwrap();
    file.write_all_at(b"X", archive.header_size() + index.offset.unwrap()).unwrap();
    let error = compare(&archive, &archive).unwrap_err();
    assert_eq!(error.code().unwrap().to_string(), "DIGEST");
}
