//! Drills of backups that a real etcd is restored from.

use std::fs;
use std::path::Path;

use sealock_testkit::etcd::{EtcdCluster, programs};
use sealock_trust::site::SiteKeys;
use tempfile::TempDir;

use super::*;
use crate::backup::payload::Part;
use crate::backup::tests::{as_published, manifest, published_keys, write};
use crate::backup::{EtcdState, Manifest, Payload, Recipients, RecoveryKey, SPEC};
use crate::etcd::restore::rehearse;
use crate::etcd::{Credentials, Endpoints, Etcd};
use crate::site_of_tests::keys;

/// What encrypts Secrets here: AES-CBC, as the guide of Kubernetes shows it.
const KEY: [u8; 32] = [7; 32];
const ENCRYPTION: &str = "kubernetes/enc/enc.yaml";

/// A cluster's etcd, and what opens the backups of it.
struct Plant {
    found: sealock_testkit::etcd::Programs,
    cluster: EtcdCluster,
    site: SiteKeys,
    key: RecoveryKey,
    folder: TempDir,
}

impl Plant {
    async fn start(found: sealock_testkit::etcd::Programs) -> Self {
        let cluster = EtcdCluster::start(&found, 1);
        let folder = tempfile::tempdir().unwrap();
        let plant = Self { found, cluster, site: keys(), key: RecoveryKey::generate(), folder };
        let etcd = plant.etcd();
        let patience = std::time::Duration::from_secs(120);
        etcd.await_survey("it does not serve", patience, |survey| (!survey.agreed).then(String::new)).await.unwrap();
        for key in ["namespaces/kube-system", "configmaps/kube-system/kubeadm-config", "minions/cp1"] {
            plant.put(key, b"k8s\0 an object").await;
        }
        // More than are read at a time; and the one that counts comes last.
        for n in 0..11 {
            plant.put(&format!("secrets/demo/clear-{n}"), b"k8s\0 written before anything was encrypted").await;
        }
        plant.put("secrets/demo/key", &encrypted()).await;
        plant
    }

    fn etcd(&self) -> Etcd {
        let (certificate, key) = self.cluster.client().unwrap();
        let credentials = Some(Credentials { ca: self.cluster.ca(), certificate, key: key.into() });
        Etcd::new(&Endpoints { seeds: vec![self.cluster.member(0).client_url().parse().unwrap()], credentials })
            .unwrap()
    }

    async fn put(&self, key: &str, value: &[u8]) {
        let key = format!("/registry/{key}");
        assert!(self.etcd().first_seed().put_if(key.as_bytes(), value, 0).await.unwrap());
    }

    fn programs(&self) -> Programs {
        Programs { etcd: self.found.etcd(), etcdutl: self.found.etcdutl() }
    }

    /// The parts of a backup taken now, and what the host says of its etcd.
    async fn parts(&self, name: &str) -> (Vec<Part>, EtcdState) {
        let path = self.folder.path().join(format!("{name}.db"));
        let taken = self.etcd().snapshot(&path, &|_, _| {}).await.unwrap().snapshot;
        let scratch = self.folder.path();
        let wanted = Wanted { snapshot: &path, digest: None, scratch, bump: BUMP };
        let rehearsal = rehearse(&self.programs(), &wanted).await.unwrap();
        let state = EtcdState {
            version: rehearsal.version,
            revision: rehearsal.content.revision,
            rehearsed_keys: rehearsal.read.keys,
        };
        let mut parts = vec![Part::of_file(SNAPSHOT, &path, taken.digest, taken.size), bytes(SPEC, "kind: Cluster\n")];
        parts.extend(authorities());
        (parts, state)
    }

    fn write(&self, name: &str, parts: &[Part], told: impl FnOnce(&mut Manifest)) -> PathBuf {
        let path = self.folder.path().join(name);
        write(&path, (&self.site, &self.key), parts, told);
        path
    }

    async fn drill(&self, file: &Path, key: &RecoveryKey) -> Outcome {
        let scratch = self.folder.path().join("scratch");
        fs::create_dir_all(&scratch).unwrap();
        // What a drill that was killed has left.
        fs::create_dir(scratch.join("sealock-drill-killed")).unwrap();
        let means = Means::of(self.folder.path(), key, &scratch);
        let outcome = drill(&means.order(file, &self.site), "plant-7", &|_| Ok(self.programs())).await.unwrap();
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "something stays");
        outcome
    }

    /// Drills until etcd's data lies there in clear, and interrupts it then.
    async fn interrupted(&self, file: &Path) {
        let scratch = self.folder.path().join("scratch");
        let means = Means::of(self.folder.path(), &self.key, &scratch);
        let order = means.order(file, &self.site);
        let programs = |_: &str| {
            let drills = fs::read_dir(&scratch).unwrap();
            assert!(drills.map(|one| one.unwrap().path()).all(|one| one.join("snapshot.db").exists()));
            means.interrupter.raise();
            Ok(self.programs())
        };
        let ended = drill(&order, "plant-7", &programs).await.unwrap_err();
        assert!(matches!(ended, BackupError::Interrupted), "{ended}");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "something stays");
    }
}

/// What a drill is carried out with.
struct Means {
    identities: Identities,
    places: Places,
    interrupter: crate::backup::Interrupter,
    interrupt: Interrupt,
}

impl Means {
    fn of(folder: &Path, key: &RecoveryKey, scratch: &Path) -> Self {
        let (interrupter, interrupt) = Interrupt::new();
        let path = folder.join(format!("{}.key", key.recipient()));
        let _ = fs::remove_file(&path);
        key.save(&path, None).unwrap();
        let places = Places::new(Some(scratch), scratch);
        Self { identities: Identities::load(&path, None).unwrap(), places, interrupter, interrupt }
    }

    fn order<'a>(&'a self, file: &'a Path, site: &'a SiteKeys) -> Order<'a> {
        let Self { identities, places, interrupt, .. } = self;
        Order { file, site: site.root(), identities, places, interrupt, sealock: "1.0.0" }
    }
}

fn bytes(path: &str, text: &str) -> Part {
    Part::of_bytes(path, Zeroizing::new(text.as_bytes().to_vec()))
}

fn encrypted() -> Vec<u8> {
    use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
    let iv = [3; 16];
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &KEY).unwrap()).unwrap();
    let mut object = b"k8s\0 a Secret".to_vec();
    key.less_safe_encrypt(&mut object, EncryptionContext::Iv128((&iv).into())).unwrap();
    [b"k8s:enc:aescbc:v1:key1:".as_slice(), &iv, &object].concat()
}

/// Authorities as kubeadm makes them, but for the algorithm of their keys, and the keys of service accounts.
fn authorities() -> Vec<Part> {
    let now = Timestamp::now();
    let mut parts = Vec::new();
    for (name, path) in [("kubernetes", "ca"), ("etcd-ca", "etcd/ca"), ("front-proxy-ca", "front-proxy-ca")] {
        let made = sealock_node::certificates::Authority::generate(name, now).unwrap();
        parts.push(bytes(&format!("kubernetes/pki/{path}.crt"), made.certificate()));
        parts.push(bytes(&format!("kubernetes/pki/{path}.key"), &made.key()));
    }
    for name in ["sa.key", "sa.pub"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/drill").join(name);
        parts.push(bytes(&format!("kubernetes/pki/{name}"), &fs::read_to_string(path).unwrap()));
    }
    parts
}

fn encryption() -> Part {
    use base64::Engine as _;
    let secret = base64::prelude::BASE64_STANDARD.encode(KEY);
    let text = format!(
        "kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - aescbc: {{keys: [{{name: key1, secret: {secret}}}]}}\n"
    );
    bytes(ENCRYPTION, &text)
}

fn ca_hash(parts: &[Part]) -> String {
    let at = parts.iter().position(|part| part.content.path == "kubernetes/pki/ca.crt").unwrap();
    let certificate = parts[at].text();
    sealock_node::certificates::Facts::of(&certificate).unwrap().key_hash().unwrap().to_string()
}

/// The checks that were not passed, with what was found.
fn failed(outcome: &Outcome) -> Vec<(&str, &str)> {
    let checks = outcome.evidence.record.checks.iter();
    checks.filter(|check| check.verdict == Verdict::Failed).map(|check| (&*check.name, &*check.found)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_drilled_and_what_is_wrong_with_one_is_found() {
    let Some(found) = programs() else { return };
    let plant = Plant::start(found).await;
    let (mut parts, state) = plant.parts("one").await;
    parts.push(encryption());
    let hash = ca_hash(&parts);
    let truth = |manifest: &mut Manifest| {
        manifest.state.etcd = state.clone();
        manifest.state.ca_hash.clone_from(&hash);
    };
    let sound = plant.write("sound.backup", &parts, truth);
    let outcome = plant.drill(&sound, &plant.key).await;
    assert_eq!(failed(&outcome), []);
    let record = &outcome.evidence.record;
    let names: Vec<_> = record.checks.iter().map(|check| (&*check.name, check.verdict)).collect();
    let all = [
        "signature",
        "content",
        "authorities",
        "service-accounts",
        "etcd",
        "state",
        "objects",
        "encryption",
        "cleared",
    ];
    assert_eq!(names, all.map(|name| (name, Verdict::Passed)));
    assert!(record.checks[7].found.contains("aescbc"), "{:?}", record.checks[7]);
    assert!(outcome.evidence.is_passed() && outcome.error.is_none());
    assert_eq!(record.backup.as_ref().unwrap().taken, Timestamp::UNIX_EPOCH);
    assert_eq!(record.backup.as_ref().unwrap().ca_hash.as_deref(), Some(&*hash));
    assert!(record.backup.as_ref().unwrap().age_seconds > 50 * 365 * 86_400, "by the clock of this machine");
    assert_eq!(outcome.evidence.digest, Digest::sha256(&fs::read(&sound).unwrap()));
    let signed = outcome.evidence.sign(&plant.site).unwrap();
    assert_eq!(Evidence::open(&signed, plant.site.root()).unwrap(), outcome.evidence);

    plant.interrupted(&sound).await;
    let lost = plant.drill(&sound, &RecoveryKey::generate()).await;
    assert_eq!(failed(&lost).len(), 1);
    assert_eq!((failed(&lost)[0].0, lost.evidence.record.code.as_deref()), ("content", Some("DRILL")));

    let older = plant.write("older.backup", &parts, |manifest| {
        truth(manifest);
        manifest.state.etcd.rehearsed_keys += 1;
    });
    let outcome = plant.drill(&older, &plant.key).await;
    assert_eq!(failed(&outcome).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["state"]);

    // An authority without its key, and nothing that encrypts what is encrypted: all of it is told at once.
    let front = parts.iter().position(|part| part.content.path.ends_with("front-proxy-ca.key")).unwrap();
    let own = parts.iter().find(|part| part.content.path.ends_with("pki/ca.key")).unwrap().text();
    parts[front] = bytes("kubernetes/pki/front-proxy-ca.key", &own);
    let other = encryption().text().replace("key1", "key2");
    *parts.last_mut().unwrap() = bytes(ENCRYPTION, &other);
    let outcome = plant.drill(&plant.write("keys.backup", &parts, truth), &plant.key).await;
    let found = failed(&outcome);
    assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["authorities", "encryption"]);
    assert!(found[0].1.contains("front-proxy-ca") && found[1].1.contains("key1"), "{found:?}");

    // A cluster that lacks what none is without.
    plant.cluster.etcdctl(0, &["del", "/registry/configmaps/kube-system/kubeadm-config"]);
    let (parts, state) = plant.parts("two").await;
    let hash = ca_hash(&parts);
    let hollow = plant.write("hollow.backup", &parts, |manifest| {
        manifest.state.etcd = state;
        manifest.state.ca_hash = hash;
    });
    let outcome = plant.drill(&hollow, &plant.key).await;
    // And one whose Secrets nobody could read: they are encrypted, and the backup does not say how.
    let unread = "1 of 12 Secrets are encrypted, and the backup holds no encryption configuration";
    let objects = "the ConfigMap kubeadm-config is not in etcd";
    assert_eq!(failed(&outcome), [("objects", objects), ("encryption", unread)]);
}

#[tokio::test]
async fn what_is_no_backup_of_the_cluster_is_told_apart() {
    let (site, key, folder) = (keys(), RecoveryKey::generate(), tempfile::tempdir().unwrap());
    let file = folder.path().join("a.backup");
    let nobody = |_: &str| -> Result<Programs, BackupError> { Err(BackupError::drill("no etcd was needed")) };
    let ours = Means::of(folder.path(), &key, folder.path());
    crate::backup::tests::written_as(&file, (&site, &key), |_| {});
    let other = drill(&ours.order(&file, &site), "plant-8", &nobody).await.unwrap_err();
    assert_eq!(other.code(), Some(Code::Spec), "{other}");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let outcome = drill(&ours.order(&file, &site), "plant-7", &nobody).await.unwrap();
    assert_eq!(outcome.evidence.record.code.as_deref(), Some("DIGEST"));
    assert_eq!(outcome.evidence.record.backup, None, "nobody vouches for what it says of itself");
    assert_eq!(failed(&outcome).len(), 1);
    let missing = drill(&ours.order(&folder.path().join("b"), &site), "plant-7", &nobody).await;
    assert!(matches!(missing, Err(BackupError::Io { .. })), "a file that is not there is no drill");
}

/// The record to the byte, under the site root of the crate `trust`.
#[test]
fn the_record_is_as_published() {
    let site = published_keys();
    let check = |name: &str, verdict, found: &str| Check { name: name.into(), verdict, found: found.into() };
    let evidence = Evidence {
        file: "plant-7-2026-11-26T020000Z.backup".into(),
        digest: Digest::sha256(b"a file"),
        record: Record {
            format: format::DRILL.current.into(),
            site: "plant-7".into(),
            cluster: Some("plant-7".into()),
            sealock: "1.0.0".into(),
            begun: "2026-11-27T09:00:00Z".parse().unwrap(),
            took_ms: 5210,
            backup: Some(Drilled {
                digest: Digest::sha256(b"a table of contents"),
                taken: "2026-11-26T02:00:00Z".parse().unwrap(),
                age_seconds: 111_600,
                ca_hash: Some(format!("sha256:{}", "a1".repeat(32))),
            }),
            verdict: Verdict::Failed,
            code: Some("DRILL".into()),
            checks: vec![
                check("signature", Verdict::Passed, SIGNED),
                check("objects", Verdict::Failed, "the ConfigMap kubeadm-config is not in etcd"),
                check("encryption", Verdict::Absent, "the API server encrypts nothing"),
            ],
        },
    };
    let signed = evidence.sign(&site).unwrap();
    as_published("drill.json", &signed);
    assert_eq!(Evidence::open(&signed, site.root()).unwrap(), evidence);
    let another = keys();
    assert!(Evidence::open(&signed, another.root()).is_err());
    // A table of contents is no record, though the site has signed it.
    let recipients = Recipients::parse(&[RecoveryKey::generate().recipient()]).unwrap();
    let table = manifest(&[], &recipients, Payload { digest: Digest::sha256(b""), size: 0 }).sign(&site).unwrap();
    assert_eq!(Evidence::open(&table, site.root()).unwrap_err().code(), Some(Code::Subject));
}
