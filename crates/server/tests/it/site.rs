//! A site in a temporary folder: a store with a release, a certificate, and a server on a free port.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use sealock_server::control::{self, ControlError};
use sealock_server::tls::SiteCa;
use sealock_server::upkeep::Collect;
use sealock_server::{
    AccessFiles, Clock, Limits, RevocationSource, ServeConfig, ServeError, Server, TlsFiles, UpkeepPolicy,
};
use sealock_store::gc::Outcome;
use sealock_store::lent::{Migrated, Offer};
use sealock_store::pushed::Settings;
use sealock_store::release::{Reference, ReferenceKind, Selection};
use sealock_store::{Published, Release, Store};
use sealock_testkit::loan::Loan;
use sealock_trust::{Digest, FileKey, KeySet, Scheme, Signer};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) struct Site {
    folder: tempfile::TempDir,
    key: FileKey,
    ca: SiteCa,
    pub(crate) limits: Limits,
    pub(crate) revocations: Option<RevocationSource>,
    /// Where it stands who may do what.
    pub(crate) access: Option<AccessFiles>,
    pub(crate) pushed: Option<Settings>,
    pub(crate) upkeep: UpkeepPolicy,
    pub(crate) clock: Clock,
}

/// Who may push in tests.
pub(crate) const USER: (&str, &str) = ("robot+pusher", "slk_a-secret-of-these-tests");

/// Something to import: blobs, and the names of some of them.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) references: Vec<Reference>,
}

/// A server that answers until it is dropped, or stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = SiteCa::generate("test", Timestamp::now()).unwrap();
        let site = Self {
            folder,
            key: FileKey::generate(Scheme::Ed25519).unwrap(),
            ca,
            // A full disk of the machine that runs the tests is no fault of the site.
            limits: Limits { headroom: 0, ..Limits::default() },
            revocations: None,
            access: None,
            pushed: None,
            upkeep: UpkeepPolicy { migrate_headroom: 0, ..UpkeepPolicy::default() },
            clock: Clock::default(),
        };
        Store::init(&site.path("store")).unwrap();
        std::fs::write(site.path("ca.crt"), site.ca.certificate_pem()).unwrap();
        site.issue_certificate();
        site
    }

    /// A site where one user may push, and nobody else do anything.
    pub(crate) fn with_pushes() -> Self {
        Self::with_rules("[{repositories: ['**'], mutableTags: ['**']}]")
    }

    /// The same under these rules, and another who may pull.
    pub(crate) fn with_rules(rules: &str) -> Self {
        let mut site = Self::new();
        let secret = Digest::sha256(USER.1.as_bytes());
        site.write_access(&format!(
            "  login: {{challenge: basic}}
  anonymous: {{pull: []}}
  robots:
    - name: pusher
      secret: '{secret}'
      expires: 9999-01-01T00:00:00Z
      grants: [{{repositories: ['**'], actions: [pull, push, delete, catalog]}}]
    - name: reader
      secret: '{secret}'
      expires: 9999-01-01T00:00:00Z
      grants: [{{repositories: ['**'], actions: [pull]}}]
  rules: {rules}
"
        ));
        site.pushed = Some(Settings { headroom: 0, ..Settings::default() });
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `spec` the site's word on who may do what; a server that runs already takes it at the next reload.
    pub(crate) fn write_access(&mut self, spec: &str) {
        let head = "apiVersion: sealock/v1alpha1\nkind: Registry\nmetadata: {name: registry.test}\nspec:\n";
        std::fs::write(self.path("registry.yaml"), format!("{head}{spec}")).unwrap();
        self.access =
            Some(AccessFiles { registry: self.path("registry.yaml"), token_key: self.path("registry/token.key") });
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    pub(crate) fn issue_certificate(&self) {
        let addresses = ["127.0.0.1".parse().unwrap()];
        let issued = self.ca.issue("registry.test", &addresses, Timestamp::now()).unwrap();
        std::fs::write(self.path("tls.crt"), issued.certificate_pem).unwrap();
        std::fs::write(self.path("tls.key"), issued.key_pem).unwrap();
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::new([self.key.public_key().clone()], 1).unwrap()
    }

    /// Makes `content` the only bundle of the stream `base`.
    pub(crate) fn publish(&self, content: Content) -> Published {
        let lock = self.store().lock().unwrap();
        let current = lock.store().current_release(&self.keys()).unwrap();
        let sequence = current.as_ref().map_or(1, |current| current.release.number + 1);
        let listed: Vec<_> =
            content.blobs.iter().map(|blob| json!({"digest": Digest::sha256(blob), "size": blob.len()})).collect();
        let listing = json!({"sequence": sequence, "blobs": listed}).to_string().into_bytes();
        let manifest = Digest::sha256(&listing);
        let mut staging = lock.staging(&manifest).unwrap();
        for blob in content.blobs.iter().chain([&listing]) {
            let digest = Digest::sha256(blob);
            if !staging.holds(&digest, blob.len() as u64).unwrap() {
                let mut writer = staging.write_blob(&digest, blob.len() as u64).unwrap();
                writer.push(blob).unwrap();
                writer.finish().unwrap();
            }
        }
        let selection = Selection { stream: "base".into(), sequence, manifest, held: false, publisher: None };
        let release = Release::after(current.as_ref(), selection, content.references, Timestamp::now()).unwrap();
        lock.publish(release, Some(staging), &self.key).unwrap()
    }

    /// The same, but the store takes the bundle in, and writes none of its blobs.
    pub(crate) fn publish_in_place(&self, content: Content) -> Published {
        let (store, path) = (self.store(), self.path("bundle.tar"));
        let lock = store.lock().unwrap();
        let current = store.current_release(&self.keys()).unwrap();
        let sequence = current.as_ref().map_or(1, |current| current.release.number + 1);
        let loan = Loan::of(sequence, content.blobs);
        loan.write(&path);
        let offer = Offer::new(&store, std::fs::File::open(&path).unwrap().into(), &path).unwrap();
        let mut staging = lock.staging(&loan.digest()).unwrap();
        staging.adopt(&offer).unwrap();
        loan.blobs.iter().for_each(|blob| staging.confirm(&Digest::sha256(blob)));
        let (stream, manifest) = ("base".to_owned(), loan.digest());
        let selection = Selection { stream, sequence, manifest, held: false, publisher: None };
        let release = Release::after(current.as_ref(), selection, content.references, Timestamp::now()).unwrap();
        let published = lock.publish(release, Some(staging), &self.key).unwrap();
        assert!(offer.give_up(&store, &loan.digest()).unwrap());
        published
    }

    pub(crate) fn config(&self) -> ServeConfig {
        ServeConfig {
            store: self.store(),
            site_keys: self.keys(),
            revocations: self.revocations.clone(),
            access: self.access.clone(),
            pushed: self.pushed,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: TlsFiles { certificate: self.path("tls.crt"), key: self.path("tls.key") },
            names: vec!["registry.test".into(), "registry.test:5000".into()],
            control_socket: Some(self.path("control.sock")),
            notify_socket: None,
            metrics: Some("127.0.0.1:0".parse().unwrap()),
            access_log: Some(self.path("access.log")),
            limits: self.limits,
            upkeep: self.upkeep.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Tells the server that there is a new release, as `import` does.
    pub(crate) async fn reload(&self) -> Result<String, ControlError> {
        let path = self.path("control.sock");
        tokio::task::spawn_blocking(move || control::reload(&path)).await.unwrap()
    }

    /// Asks the server to collect garbage, as `sealock store gc` does.
    pub(crate) async fn collect(&self, asked: Collect) -> Result<Outcome, ControlError> {
        let path = self.path("control.sock");
        tokio::task::spawn_blocking(move || control::collect(&path, &asked)).await.unwrap()
    }

    /// Asks the server to migrate, as `sealock store migrate` does.
    pub(crate) async fn migrate(&self) -> Result<Migrated, ControlError> {
        let path = self.path("control.sock");
        tokio::task::spawn_blocking(move || control::migrate(&path)).await.unwrap()
    }

    pub(crate) async fn serve(&self) -> Running {
        let server = Server::bind(self.config()).await.unwrap();
        let (address, metrics) = (server.addresses()[0], server.metrics_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        let client = Client::new(address, self.ca.certificate_pem());
        Running { address, metrics, client, stop: Some(stop), task }
    }
}

impl Running {
    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(&mut self) {
        (&mut self.task).await.unwrap().unwrap();
    }
}

impl Content {
    /// Adds a blob, and returns how a manifest refers to it.
    pub(crate) fn blob(&mut self, media_type: &str, blob: Vec<u8>) -> Value {
        let descriptor =
            json!({"mediaType": media_type, "digest": Digest::sha256(&blob).to_string(), "size": blob.len()});
        self.blobs.push(blob);
        descriptor
    }

    /// Adds an image of `layers`, and returns how an index refers to it.
    pub(crate) fn image(&mut self, layers: &[Vec<u8>]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::sha256(layer).to_string()).collect();
        let config =
            json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let layers: Vec<_> =
            layers.iter().map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar", layer.clone())).collect();
        self.manifest(&json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
    }

    /// Adds a manifest or index as it stands.
    pub(crate) fn manifest(&mut self, manifest: &Value) -> Value {
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        // Spaces that a re-serialisation would lose.
        self.blob(&media_type, serde_json::to_vec_pretty(manifest).unwrap())
    }

    pub(crate) fn name(&mut self, name: &str, descriptor: &Value) {
        self.references.push(Reference {
            name: name.into(),
            kind: ReferenceKind::Image,
            digest: descriptor["digest"].as_str().unwrap().parse().unwrap(),
            media_type: descriptor["mediaType"].as_str().unwrap().into(),
            subject: None,
            size: descriptor["size"].as_u64().unwrap(),
            stream: "base".into(),
            vendor: None,
        });
    }
}

/// Bytes that repeat nowhere.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A layer that tools accept: a tar of one file.
pub(crate) fn layer(size: usize) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "noise");
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = vec![0; size.next_multiple_of(512) - size + 1024];
    [header.to_vec(), noise(size), padding].concat()
}
