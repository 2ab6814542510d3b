//! What a backup says of authorities whose keys stay elsewhere.

use super::*;
use crate::backup::Manifest;

fn manifest(contents: &[(&str, &str)]) -> Manifest {
    let digest = sealock_trust::Digest::sha256(b"it");
    let contents = contents.iter().map(|(path, text)| {
        json!({"path": path, "digest": sealock_trust::Digest::sha256(text.as_bytes()), "size": text.len()})
    });
    let table = json!({
        "format": "backup/1.0", "site": "plant-7", "cluster": "plant-7", "taken": "2026-11-26T10:00:00Z",
        "release": {"number": 3, "digest": digest}, "host": "cp1", "recipients": ["age1"],
        "state": {
            "kubernetes": "v1.36.3", "ca-hash": digest, "etcd": {"version": "3.6.8", "revision": 42, "rehearsed-keys": 7},
            "contents": contents.collect::<Vec<_>>(),
        },
        "payload": {"digest": digest, "size": 1000},
    });
    serde_json::from_value(table).unwrap()
}

/// What the hosts would ask for would be signed by authorities that nothing in the backup believes.
#[test]
fn a_backup_with_other_authorities_is_refused_before_anything_is_signed() {
    let site = Site::new();
    let text = |name: &str| fs::read_to_string(site.folder.path().join(name)).unwrap();
    let (ca, fp, etcd) = (text("ca.crt"), text("fp.crt"), text("etcd.crt"));
    let check = |front_proxy: &str| {
        let contents = [
            ("kubernetes/pki/ca.crt", ca.as_str()),
            ("kubernetes/pki/front-proxy-ca.crt", front_proxy),
            ("kubernetes/pki/etcd/ca.crt", &etcd),
        ];
        site.outside().check_backup(&manifest(&contents))
    };
    check(&fp).unwrap();
    check(&Facts::of(&fp).unwrap().pem()).unwrap();
    let refused = check(&etcd).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Spec));
    assert!(refused.hint().unwrap().contains("when the backup was taken"));
    let digest = Facts::of(&fp).unwrap().digest().hex()[..12].to_owned();
    let said = refused.to_string().replace(&site.folder.path().display().to_string(), "SITE");
    insta::assert_snapshot!(said.replace(&digest, "DIGEST"));
}

/// Its requests were made anew, as on another machine in its place.
#[test]
fn a_restore_that_was_begun_goes_on_with_what_was_signed_since() {
    let (site, asked) = (Site::new(), of_kubelet());
    site.sign(&asked, 0);
    let waits = worker(&[(KUBELET_CLIENT, &asked)]);
    let signed = site.missing(&waits).on(site.cluster.host("w1").unwrap()).unwrap();
    let task = crate::plan::Task {
        id: "w1/join".into(),
        host: "w1".into(),
        after: Vec::new(),
        secrets: Vec::new(),
        steps: vec![sealock_node::Step::new("certificates/signed", signed)],
    };
    let open = Plan { tasks: vec![task], ..plan::example() };
    assert_eq!(site.outside().signed_since(&open, &waits).unwrap(), open);
    let lost = worker(&[]);
    let refused = site.outside().signed_since(&open, &lost).unwrap_err();
    assert!(refused.to_string().contains("not asked for yet"), "{refused}");
    let next = of_kubelet();
    let asks = worker(&[(KUBELET_CLIENT, &next)]);
    let refused = site.outside().signed_since(&open, &asks).unwrap_err();
    assert!(refused.to_string().contains("another key"), "{refused}");
    site.sign(&next, 0);
    let since = site.outside().signed_since(&open, &asks).unwrap();
    assert_ne!(since, open);
    assert_eq!(site.outside().signed_since(&since, &asks).unwrap(), since);
}
