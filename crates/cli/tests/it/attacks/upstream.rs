//! On the way from upstream to the lock: what upstreams sign, and what they serve. The station stands beside the packager's desk,
//! and must be what it was like the desk itself.

use sealock_testkit::corpus;
use sealock_testkit::cosign::{Cosign, SIGN, attachment, statement};
use sealock_testkit::image::Image;
use sealock_testkit::sigstore::Sigstore;
use sealock_testkit::upstream::Fault;
use sealock_trust::Digest;
use serde_json::{Value, json};

use super::scene::{Verdict, attempt};
use super::{Attempt, Expected};
use crate::import::believe;
use crate::packager::{Packager, SPEC, json as parsed};

use Expected::{Accepted, Refused};

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        number: 19,
        name: "an image without the signature that its rule demands",
        expected: Refused("UNSIGNED"),
        run: |_| locked(&Rule::key(), None),
    },
    Attempt {
        number: 20,
        name: "an image with the signature of another one",
        expected: Refused("SUBJECT"),
        run: |_| {
            let rule = Rule::key();
            let other = rule.key.bundle(&Digest::sha256(b"another image"));
            locked(&rule, Some(&other))
        },
    },
    Attempt {
        number: 21,
        name: "an image whose signature has the log entry of another one",
        expected: Refused("TLOG_BINDING"),
        run: |_| {
            let rule = Rule::keyless();
            let mut bundle = rule.by_identity(&web().digest);
            let elsewhere = rule.by_identity(&Digest::sha256(b"another image"));
            bundle["verificationMaterial"]["tlogEntries"] = elsewhere["verificationMaterial"]["tlogEntries"].clone();
            locked(&rule, Some(&bundle))
        },
    },
    Attempt {
        number: 21,
        name: "an image whose log entry is proven by nothing",
        expected: Refused("TLOG_BINDING"),
        run: |_| {
            let rule = Rule::keyless();
            let mut bundle = rule.by_identity(&web().digest);
            let hash = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
            bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"][0] = hash.into();
            locked(&rule, Some(&bundle))
        },
    },
    Attempt {
        number: 22,
        name: "an image whose signature is of a version that needs no proof",
        expected: Refused("VERSION_FLOOR"),
        run: |_| {
            let rule = Rule::keyless();
            let mut bundle = rule.by_identity(&web().digest);
            let entry = bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().expect("an entry");
            entry.remove("inclusionProof");
            bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
            locked(&rule, Some(&bundle))
        },
    },
    Attempt {
        number: 54,
        name: "a tag that moves after it was judged (harmless)",
        expected: Accepted,
        run: |_| {
            let packager = desk();
            packager.lock();
            packager.upstream.push("docker.io/library/web:2", &evil());
            packager.sandbox.must(&["build", "--lock", "plant/sealock.lock"]);
            let verdict = attempt(&packager.sandbox, &[], &["import", "plant/plant-1.tar"]);
            let release = parsed(&packager.sandbox.must(&["release", "show", "-o", "json"]));
            let references = release["references"].as_array().expect("references");
            let digest_of = |name: &str| references.iter().find(|reference| reference["name"] == name);
            let served = digest_of("docker.io/library/web:2").expect("the image")["digest"].clone();
            assert_eq!(served, web().digest.to_string(), "another image than the one that was judged");
            verdict
        },
    },
    Attempt {
        number: 54,
        name: "another content under the digest that was judged",
        expected: Refused("UPSTREAM_DIGEST"),
        run: |_| {
            let packager = desk();
            packager.lock();
            packager.upstream.fail("/blobs/", Fault::Flip);
            attempt(&packager.sandbox, &[], &["build", "--lock", "plant/sealock.lock"])
        },
    },
];

const WORKFLOW: &str = "https://ci.example/team/web/release@refs/tags/v1";
const ISSUER: &str = "https://issuer.example";

/// Who must have signed the image, and what it takes to sign as they do.
struct Rule {
    key: Cosign,
    sigstore: Sigstore,
    yaml: String,
}

impl Rule {
    fn key() -> Self {
        Self { key: Cosign::generate(), sigstore: Sigstore::new(), yaml: "{key: keys/web.pub}".to_owned() }
    }

    fn keyless() -> Self {
        let rule = format!("identity: '{WORKFLOW}', issuer: '{ISSUER}', trustedRoot: keys/sigstore.json");
        Self { yaml: format!("{{keyless: {{{rule}}}}}"), ..Self::key() }
    }

    fn by_identity(&self, digest: &Digest) -> Value {
        self.sigstore.bundle(&self.sigstore.certify(WORKFLOW, ISSUER), &statement(digest, SIGN))
    }
}

/// The image that the desk's upstream has as `docker.io/library/web:2`.
fn web() -> Image {
    corpus::images(2, 300_000)[1].clone()
}

fn evil() -> Image {
    Image::new("linux/amd64", &[&[("app", b"#!/bin/evil")]])
}

/// A packager beside a station that believes them.
fn desk() -> Packager {
    let packager = Packager::new();
    believe(&packager.sandbox, "plant-7");
    packager
}

/// What `lock` says where the image must be signed as `rule` says, and this is all that is attached to it.
fn locked(rule: &Rule, attached: Option<&Value>) -> Verdict {
    let packager = desk();
    if let Some(bundle) = attached {
        packager.upstream.attach("docker.io/library/web", &attachment(bundle, &web()));
    }
    let sandbox = &packager.sandbox;
    sandbox.write("plant/keys/web.pub", rule.key.public_pem());
    sandbox.write("plant/keys/sigstore.json", json!(rule.sigstore.trusted_root()).to_string());
    let unsigned = "web:2\", verify: {unsigned: \"made for this test\"}}";
    let spec = SPEC.replace(unsigned, &format!("web:2\", verify: {}}}", rule.yaml));
    assert_ne!(spec, SPEC, "the rule stands in no spec");
    sandbox.write("plant/sealock.yaml", spec);
    attempt(sandbox, &[], &["lock", "-f", "plant/sealock.yaml"])
}
