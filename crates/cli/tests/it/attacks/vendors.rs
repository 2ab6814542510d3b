//! On delegations: vendors who reach too far, publishers who leave them out, and a second publisher on one site.

use std::collections::BTreeMap;
use std::rc::Rc;

use sealock_bundle::Manifest;
use sealock_trust::tuf::{self, Delegations, MetadataSet, TargetFile, Terms, VendorPlan, prepare};
use sealock_trust::{Digest, FileKey, KeySet, RoleName, Scheme, Signer};
use serde_json::{Value, json};

use super::forge::{Cargo, Parts, Publisher, TarEntry, days, key};
use super::{Attack, Expected, Scene};

use Expected::Refused;

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 27,
        name: "a delegated name that its vendor has not signed",
        expected: Refused("UNSIGNED"),
        make: |scene| Delegated::new(1).bundle(scene, |forged| forged.publisher_signs(scene)),
    },
    Attack {
        number: 27,
        name: "one of two signatures that a vendor owes",
        expected: Refused("THRESHOLD"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                let keys = Rc::clone(&forged.acme);
                forged.vendor_signs("acme", &keys[..1]);
                forged.publisher_signs(scene);
            })
        },
    },
    Attack {
        number: 27,
        name: "the publisher's keys in the vendor's place",
        expected: Refused("THRESHOLD"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                let content = forged.signed_content("acme");
                let sign = |key: &FileKey| {
                    let sig = key.sign(&content).expect("a signature");
                    json!({"keyid": key.public_key().id(), "sig": hex(&sig)})
                };
                let mut signatures: Vec<Value> = scene.publisher.keys.iter().map(sign).collect();
                signatures.sort_by_key(|signature| signature["keyid"].to_string());
                forged.vendor_file("acme", |file| file["signatures"] = json!(signatures));
                forged.publisher_signs(scene);
            })
        },
    },
    Attack {
        number: 27,
        name: "a vendor vouches for a name that is not its own",
        expected: Refused("SCOPE"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.vendor_says("acme", |signed| signed["targets"]["files.example/own:1"] = target(b"evil"));
                forged.publisher_signs(scene);
            })
        },
    },
    Attack {
        number: 27,
        name: "a vendor claims another vendor's name",
        expected: Refused("SCOPE"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.vendor_says("zeta", |signed| signed["targets"]["files.example/app:1"] = target(b"evil"));
                forged.vendor_signs_all("acme");
                forged.publisher_signs(scene);
            })
        },
    },
    Attack {
        number: 27,
        name: "a vendor's file is left out",
        expected: Refused("INCOMPLETE"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.everybody_signs(scene);
                forged.set.delegated.remove(&role("acme"));
            })
        },
    },
    Attack {
        number: 27,
        name: "a file of a vendor whom nobody delegates to",
        expected: Refused("UNDECLARED"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.everybody_signs(scene);
                let stray = forged.set.delegated[&role("acme")].clone();
                forged.set.delegated.insert(role("evil"), stray);
            })
        },
    },
    Attack {
        number: 27,
        name: "a vendor's file that has expired",
        expected: Refused("EXPIRED"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.vendor_says("acme", |signed| signed["expires"] = days(-1).to_string().into());
                forged.vendor_signs_all("zeta");
                forged.publisher_signs(scene);
            })
        },
    },
    Attack { number: 27, name: "a vendor's file that goes back", expected: Refused("ROLLBACK"), make: goes_back },
    Attack {
        number: 27,
        name: "a vendor delegates to itself",
        expected: Refused("CYCLE"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                let own = forged.delegations.only(&role("acme")).expect("a delegation");
                let own = serde_json::to_value(own).expect("JSON");
                forged.vendor_says("acme", |signed| signed["delegations"] = own);
                forged.vendor_signs_all("zeta");
                forged.publisher_signs(scene);
            })
        },
    },
    Attack {
        number: 27,
        name: "a vendor delegates on to a role that comes without a file",
        expected: Refused("INCOMPLETE"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                let mut on = serde_json::to_value(forged.delegations.only(&role("acme"))).expect("JSON");
                on["roles"][0]["name"] = "team".into();
                forged.vendor_says("acme", |signed| signed["delegations"] = on);
                forged.vendor_signs_all("zeta");
                forged.publisher_signs(scene);
            })
        },
    },
    Attack { number: 27, name: "a role that is delegated to twice", expected: Refused("CYCLE"), make: twice },
    Attack {
        number: 27,
        name: "a vendor vouches for other content than comes",
        expected: Refused("SUBJECT"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.vendor_says("acme", |signed| signed["targets"]["files.example/app:1"] = target(b"good"));
                forged.vendor_signs_all("zeta");
                forged.publisher_signs(scene);
            })
        },
    },
    Attack {
        number: 27,
        name: "metadata without the delegations of the manifest",
        expected: Refused("SUBJECT"),
        make: |scene| {
            Delegated::new(1).bundle(scene, |forged| {
                forged.set = scene.publisher.vouch_on(&forged.manifest, &forged.terms);
            })
        },
    },
    Attack {
        number: 27,
        name: "a publisher of apps claims a name of the base",
        expected: Refused("SCOPE"),
        make: claims,
    },
];

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn role(name: &str) -> RoleName {
    name.parse().expect("a role")
}

fn target(content: &[u8]) -> Value {
    json!({"hashes": {"sha256": Digest::sha256(content).hex()}, "length": content.len()})
}

/// A bundle with two vendors: `acme` has `app` and two keys, both needed, `zeta` has `tool` and one.
struct Delegated {
    cargo: Cargo,
    delegations: Delegations,
    acme: Rc<[FileKey]>,
    zeta: Rc<[FileKey]>,
    versions: BTreeMap<RoleName, u64>,
}

impl Delegated {
    fn new(sequence: u64) -> Self {
        let acme = [key(Scheme::Ed25519), key(Scheme::EcdsaP384)];
        Self::by(sequence, Rc::new(acme), Rc::new([key(Scheme::EcdsaP256)]))
    }

    fn by(sequence: u64, acme: Rc<[FileKey]>, zeta: Rc<[FileKey]>) -> Self {
        let mut delegations = Delegations::default();
        for (name, keys, prefix) in [("acme", &acme, "files.example/app"), ("zeta", &zeta, "files.example/tool")] {
            let threshold = u32::try_from(keys.len()).expect("few");
            let keys = KeySet::new(keys.iter().map(|key| key.public_key().clone()), threshold).expect("keys");
            delegations.delegate(&role(name), &keys, &[prefix.parse().expect("names")]).expect("a delegation");
        }
        let mut cargo = Cargo::of_files(sequence, &[("app", b"app"), ("tool", b"tool"), ("own", b"own")]);
        cargo.lock = cargo.lock.delegating(Some(&delegations)).expect("a lock");
        Self { cargo, delegations, acme, zeta, versions: BTreeMap::new() }
    }

    /// The bundle as `forge` leaves it, from metadata that nobody has signed.
    fn bundle(self, scene: &Scene<'_>, forge: impl FnOnce(&mut Forged)) -> Vec<u8> {
        let manifest = Manifest::from_lock(&self.cargo.lock).expect("a manifest");
        let targets = ["app", "tool"].map(|name| {
            let name = format!("files.example/{name}:1");
            let reference = manifest.reference(&name).expect("an artifact");
            let size = manifest.blobs.iter().find(|blob| blob.digest == reference.digest).expect("a blob").size;
            let hashes = BTreeMap::from([("sha256".to_owned(), reference.digest.hex().to_owned())]);
            BTreeMap::from([(name, TargetFile { length: size, hashes, custom: None })])
        });
        let [app, tool] = targets;
        let plan = VendorPlan {
            delegations: self.delegations.clone(),
            targets: BTreeMap::from([(role("acme"), app), (role("zeta"), tool)]),
            versions: self.versions,
            ..VendorPlan::default()
        };
        let terms = Terms { sequence: manifest.sequence, issued: manifest.issued, expires: manifest.expires };
        let manifest = manifest.to_bytes().expect("JSON");
        let set = prepare(&scene.publisher.roots, &manifest, &terms, Some(&plan)).expect("metadata");
        let Self { cargo, delegations, acme, zeta, .. } = self;
        let mut forged = Forged { set, manifest, terms, delegations, acme, zeta };
        forge(&mut forged);
        lay_out(scene, &cargo, &forged.set)
    }
}

/// The bundle of `cargo` with the metadata `set`, laid out byte for byte.
fn lay_out(scene: &Scene<'_>, cargo: &Cargo, set: &MetadataSet) -> Vec<u8> {
    let path = cargo.write(&scene.path());
    let mut parts = Parts::of(&std::fs::read(path).expect("a bundle"));
    let files = set.files().into_iter().map(|(name, bytes)| TarEntry::honest(&format!("tuf/metadata/{name}"), bytes));
    parts.entries.splice(2..2, files);
    parts.to_bytes()
}

/// Metadata on its way to be forged.
struct Forged {
    set: MetadataSet,
    manifest: Vec<u8>,
    terms: Terms,
    delegations: Delegations,
    acme: Rc<[FileKey]>,
    zeta: Rc<[FileKey]>,
}

impl Forged {
    fn publisher_signs(&mut self, scene: &Scene<'_>) {
        self.set.add_signatures(&scene.publisher.signers()).expect("signed");
    }

    fn vendor_signs(&mut self, name: &str, keys: &[FileKey]) {
        let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
        self.set.add_vendor_signatures(&role(name), &signers).expect("signed");
    }

    fn vendor_signs_all(&mut self, name: &str) {
        let keys = Rc::clone(if name == "acme" { &self.acme } else { &self.zeta });
        self.vendor_signs(name, &keys);
    }

    fn everybody_signs(&mut self, scene: &Scene<'_>) {
        self.vendor_signs_all("acme");
        self.vendor_signs_all("zeta");
        self.publisher_signs(scene);
    }

    /// Changes the file of the vendor `name`, whatever that makes of its signatures.
    fn vendor_file(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let bytes = self.set.delegated.get_mut(&role(name)).expect("a file");
        let mut file: Value = serde_json::from_slice(bytes).expect("JSON");
        change(&mut file);
        *bytes = sealock_trust::json::jcs::to_vec(&file).expect("JSON");
    }

    /// Changes what the vendor `name` says, signed by its own keys.
    fn vendor_says(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        self.vendor_file(name, |file| change(&mut file["signed"]));
        self.vendor_signs_all(name);
    }

    /// What the signatures in the file of the vendor `name` are over.
    fn signed_content(&self, name: &str) -> Vec<u8> {
        let bytes = &self.set.delegated[&role(name)];
        tuf::Signed::<tuf::Targets>::parse("targets.json", bytes).expect("metadata").canonical().to_vec()
    }
}

fn goes_back(scene: &Scene<'_>) -> Vec<u8> {
    let with_version =
        |delegated: Delegated, version| Delegated { versions: BTreeMap::from([(role("acme"), version)]), ..delegated };
    let first = Delegated::new(1);
    let next = Delegated::by(2, Rc::clone(&first.acme), Rc::clone(&first.zeta));
    let bundle = with_version(first, 5).bundle(scene, |forged| forged.everybody_signs(scene));
    let verdict = scene.import(&bundle);
    assert_eq!(verdict.exit, 0, "{}", verdict.seen);
    with_version(next, 4).bundle(scene, |forged| forged.everybody_signs(scene))
}

/// The delegation to `acme` stands in manifest and metadata two times.
fn twice(scene: &Scene<'_>) -> Vec<u8> {
    let delegated = Delegated::new(1);
    let mut manifest = Manifest::from_lock(&delegated.cargo.lock).expect("a manifest");
    let roles = &mut manifest.delegations.as_mut().expect("delegations").roles;
    roles.insert(0, roles[0].clone());
    let honest = delegated.bundle(scene, |forged| forged.everybody_signs(scene));
    let mut parts = Parts::of(&honest);
    parts.replace_manifest(scene.publisher, &manifest.to_bytes().expect("JSON"), 1);
    parts.to_bytes()
}

/// A second publisher, enrolled for its own stream and names, brings something under a name of the base before the base does.
fn claims(scene: &Scene<'_>) -> Vec<u8> {
    let apps = Publisher::new();
    scene.sandbox.write("apps.json", &apps.roots[0]);
    let fingerprint = Digest::sha256(&apps.roots[0]).to_string();
    let enroll = ["trust", "enroll", "apps.json", "--stream", "apps", "--fingerprint", &fingerprint];
    assert_eq!(scene.sandbox.run(&enroll).status.code(), Some(2), "its names have to be said");
    scene.sandbox.must(&[&enroll[..], &["--names", "files.example/shop"]].concat());
    let mut cargo = Cargo::of_files(1, &[("shop", b"shop"), ("kube-apiserver", b"evil")]);
    cargo.lock.stream = "apps/shop".parse().expect("a stream");
    scene.signed_by(&apps, &cargo)
}
