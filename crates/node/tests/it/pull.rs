//! What a hostile or broken registry gets.

use std::io::{ErrorKind, Read};

use sealock_node::pull::{Client, Descriptor, PullError};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::registry::{Answer, Registry};

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor { digest: Digest::sha256(content), size: content.len() as u64 }
}

fn blob(registry: &Registry, wanted: &Descriptor, answers: Vec<Answer>) -> std::io::Result<Vec<u8>> {
    registry.serve(format!("/v2/a/b/blobs/{}", wanted.digest), answers);
    let mut content = Vec::new();
    let client = Client::new(&registry.endpoint).unwrap();
    client.blob("a/b", wanted).map_err(std::io::Error::other)?.read_to_end(&mut content).map(|_| content)
}

#[test]
fn a_blob_arrives_whole_and_only_with_its_digest_and_length() {
    let registry = Registry::start();
    let content = vec![7; 300_000];
    let wanted = descriptor(&content);
    assert_eq!(blob(&registry, &wanted, vec![Answer::Whole(content.clone())]).unwrap(), content);
    let mut flipped = content.clone();
    flipped[150_000] ^= 1;
    let longer = [content.as_slice(), b"x"].concat();
    for hostile in [flipped, longer] {
        let error = blob(&registry, &wanted, vec![Answer::Whole(hostile)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
    for short in [Answer::Whole(content[..1000].to_vec()), Answer::Cut(content.clone(), 1000)] {
        let error = blob(&registry, &wanted, vec![short]).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::InvalidData, "what broke off may be tried again: {error}");
    }
}

#[test]
fn a_busy_registry_is_asked_again_and_a_missing_blob_is_not() {
    let registry = Registry::start();
    let wanted = descriptor(b"content");
    let busy = vec![Answer::Status(503), Answer::Status(429), Answer::Whole(b"content".to_vec())];
    assert_eq!(blob(&registry, &wanted, busy).unwrap(), b"content");
    assert_eq!(registry.asked(), 3);
    blob(&registry, &wanted, vec![Answer::Status(404)]).unwrap_err();
    assert_eq!(registry.asked(), 4);
}

#[test]
fn a_manifest_with_another_digest_is_refused() {
    let registry = Registry::start();
    let digest = Digest::sha256(b"promised");
    registry.serve(format!("/v2/a/b/manifests/{digest}"), vec![Answer::Whole(b"sent".to_vec())]);
    let error = Client::new(&registry.endpoint).unwrap().manifest("a/b", &digest).unwrap_err();
    assert_eq!(error.code(), Some(Code::Digest), "{error}");
}

#[test]
fn a_registry_with_another_ca_is_not_believed() {
    let (registry, other) = (Registry::start(), Registry::start());
    let mut endpoint = registry.endpoint.clone();
    endpoint.ca = other.endpoint.ca;
    let error = Client::new(&endpoint).unwrap().ping().unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert_eq!(registry.asked(), 0);
    endpoint.ca = "no certificate".into();
    assert!(matches!(Client::new(&endpoint), Err(PullError::Ca(_))));
}
