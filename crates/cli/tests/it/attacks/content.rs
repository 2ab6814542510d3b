//! On what is signed: a publisher who is careless, or whose keys were stolen.

use sealock_bundle::artifact::{self, OCI_MANIFEST};
use sealock_bundle::lock::BlobRole;
use sealock_trust::Digest;
use serde_json::{Value, json};

use super::forge::{Cargo, Parts};
use super::{Attack, Expected, Scene};

use Expected::{Accepted, Refused};

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 11,
        name: "sizes that no disk holds",
        expected: Refused("LIMIT"),
        make: |scene| {
            edited(scene, |manifest| {
                manifest["blobs"][0]["size"] = json!(9_007_199_254_740_991_u64);
            })
        },
    },
    Attack {
        number: 12,
        name: "a hundred levels of JSON",
        expected: Refused("LIMIT"),
        make: |scene| signed(scene, "[".repeat(100).as_bytes()),
    },
    Attack {
        number: 13,
        name: "one blob listed twice",
        expected: Refused("FORMAT"),
        make: |scene| {
            edited(scene, |manifest| {
                let first = manifest["blobs"][0].clone();
                manifest["blobs"].as_array_mut().expect("blobs").push(first);
            })
        },
    },
    Attack {
        number: 13,
        name: "one blob under two names (harmless)",
        expected: Accepted,
        make: |scene| scene.honest(&Cargo::of_files(1, &[("one", b"the same"), ("two", b"the same")])),
    },
    Attack {
        number: 14,
        name: "a key that stands twice in the manifest",
        expected: Refused("AMBIGUOUS"),
        make: |scene| {
            let text = String::from_utf8(manifest_of(scene)).expect("text");
            signed(scene, text.replacen("\"sequence\":1", "\"sequence\":1,\"sequence\":2", 1).as_bytes())
        },
    },
    Attack {
        number: 15,
        name: "one name for two contents",
        expected: Refused("CONFLICT"),
        make: |scene| {
            edited(scene, |manifest| {
                let name = manifest["references"][0]["name"].clone();
                manifest["references"][1]["name"] = name;
            })
        },
    },
    Attack {
        number: 16,
        name: "a size that is not the content's",
        expected: Refused("FORMAT"),
        make: |scene| {
            edited(scene, |manifest| {
                let size = manifest["blobs"][0]["size"].as_u64().expect("a size");
                manifest["blobs"][0]["size"] = json!(size + 1);
            })
        },
    },
    Attack {
        number: 16,
        name: "a tar header with another size than the manifest",
        expected: Refused("SIZE"),
        make: other_size,
    },
    Attack {
        number: 17,
        name: "a name that stands for another type than its blob",
        expected: Refused("TYPE_MISMATCH"),
        make: |scene| {
            edited(scene, |manifest| {
                manifest["references"][0]["media-type"] = json!("application/vnd.oci.image.index.v1+json");
            })
        },
    },
    Attack {
        number: 17,
        name: "a text that is called a gzip layer",
        expected: Refused("TYPE_MISMATCH"),
        make: |scene| {
            edited(scene, |manifest| {
                blob(manifest, "layer")["media-type"] = json!(GZIP_LAYER);
            })
        },
    },
    Attack {
        number: 17,
        name: "an image manifest in the role of an index",
        expected: Refused("TYPE_MISMATCH"),
        make: |scene| {
            edited(scene, |manifest| {
                blob(manifest, "manifest")["role"] = json!("index");
            })
        },
    },
    Attack {
        number: 17,
        name: "an image manifest that names its layer's type otherwise",
        expected: Refused("TYPE_MISMATCH"),
        make: |scene| dishonest(scene, &json!({"layers": [layer(GZIP_LAYER)]})),
    },
    Attack {
        number: 17,
        name: "a document that is an image manifest and an index",
        expected: Refused("TYPE_MISMATCH"),
        make: |scene| dishonest(scene, &json!({"layers": [layer("application/octet-stream")], "manifests": []})),
    },
    Attack { number: 18, name: "the payload of another bundle", expected: Refused("UNDECLARED"), make: other_payload },
    Attack {
        number: 18,
        name: "an index.json that names something else",
        expected: Refused("AMBIGUOUS"),
        make: |scene| {
            let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
            let index = parts.content("index.json");
            let at = index.windows(5).position(|window| window == b"small").expect("a name");
            index[at] = b'S';
            parts.to_bytes()
        },
    },
    Attack {
        number: 37,
        name: "a bundle for another site",
        expected: Refused("AUDIENCE"),
        make: |scene| {
            let mut cargo = Cargo::sample(1);
            cargo.lock.audience.sites = vec!["plant-8".parse().expect("a site")];
            scene.honest(&cargo)
        },
    },
    Attack {
        number: 37,
        name: "a bundle of a classification that the site does not have",
        expected: Refused("AUDIENCE"),
        make: |scene| {
            let mut cargo = Cargo::sample(1);
            cargo.lock.audience.classification = Some("secret".to_owned());
            scene.honest(&cargo)
        },
    },
    Attack {
        number: 55,
        name: "terminal escapes in the manifest",
        expected: Refused("FORMAT"),
        make: |scene| {
            edited(scene, |manifest| {
                manifest["tool"] = json!("sealock\u{1b}[2J");
            })
        },
    },
    Attack {
        number: 55,
        name: "a new line in a name",
        expected: Refused("FORMAT"),
        make: |scene| {
            edited(scene, |manifest| {
                manifest["references"][0]["name"] = json!("files.example/a\nb:1");
            })
        },
    },
];

const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The first blob of a manifest with this role.
fn blob<'a>(manifest: &'a mut Value, role: &str) -> &'a mut Value {
    let blobs = manifest["blobs"].as_array_mut().expect("blobs");
    blobs.iter_mut().find(|blob| blob["role"] == role).expect("a blob of that role")
}

/// The descriptor of the blob `hello`, which is a text.
fn layer(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(b"hello\n"), "size": 6})
}

/// The sample, and this document as an image manifest. An honest publisher's tool does not build it, so it is a config until
/// the manifest is signed.
fn dishonest(scene: &Scene<'_>, document: &Value) -> Vec<u8> {
    let mut cargo = Cargo::sample(1);
    let blob = artifact::generated(OCI_MANIFEST, BlobRole::Config, document.to_string().as_bytes());
    let digest = json!(blob.digest);
    cargo.lock.blobs.push(blob);
    cargo.lock.sort();
    let mut parts = Parts::of(&scene.honest(&cargo));
    let mut manifest: Value = serde_json::from_slice(parts.content("tuf/targets/manifest.json")).expect("JSON");
    let blobs = manifest["blobs"].as_array_mut().expect("blobs");
    blobs.iter_mut().filter(|blob| blob["digest"] == digest).for_each(|blob| blob["role"] = json!("manifest"));
    parts.replace_manifest(scene.publisher, &serde_json::to_vec(&manifest).expect("JSON"), 1);
    parts.to_bytes()
}

fn manifest_of(scene: &Scene<'_>) -> Vec<u8> {
    Parts::of(&scene.honest(&Cargo::sample(1))).content("tuf/targets/manifest.json").clone()
}

/// The honest bundle with these bytes as its manifest, signed by the publisher.
fn signed(scene: &Scene<'_>, manifest: &[u8]) -> Vec<u8> {
    let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
    parts.replace_manifest(scene.publisher, manifest, 1);
    parts.to_bytes()
}

/// The honest bundle with a changed manifest, signed by the publisher.
fn edited(scene: &Scene<'_>, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(&manifest_of(scene)).expect("JSON");
    edit(&mut manifest);
    // serde_json sorts the keys of its maps, as RFC 8785 does for such plain names.
    signed(scene, &serde_json::to_vec(&manifest).expect("JSON"))
}

fn other_size(scene: &Scene<'_>) -> Vec<u8> {
    let mut bundle = scene.honest(&Cargo::sample(1));
    let at = bundle.windows(6).rposition(|window| window == b"hello\n").expect("the small blob") - 512;
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&bundle[at..at + 512]);
    header.set_size(7);
    header.as_old_mut().cksum = *b"        ";
    let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    header.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bundle[at..at + 512].copy_from_slice(header.as_bytes());
    bundle
}

fn other_payload(scene: &Scene<'_>) -> Vec<u8> {
    let mut parts = Parts::of(&scene.honest(&Cargo::sample(1)));
    let length = parts.payload.len();
    parts.payload = Parts::of(&scene.honest(&Cargo::of_files(1, &[("x", b"HELLO\n")]))).payload;
    parts.payload.resize(length, 0);
    parts.to_bytes()
}
