//! Manifests, tags, mounts and deletes.

use sealock_store::StoreError;
use sealock_store::pushed::{Demands, PushError, Pushed, Snapshot};
use sealock_trust::Digest;
use serde_json::json;

use super::support::*;

fn digests<'a>(held: impl Iterator<Item = &'a sealock_store::pushed::Held>) -> Vec<Digest> {
    held.map(|held| held.manifest.digest.clone()).collect()
}

#[test]
fn a_manifest_comes_with_all_its_tags_and_goes_with_them() {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    let bytes = manifest_of(&[b"layer"], None);
    let first = pushed.put_manifest(put("a", &bytes, &["1", "latest"]), WHO, moment()).unwrap();
    let snapshot = pushed.snapshot();
    let repository = snapshot.repository("a").unwrap();
    let held = repository.manifest(&Digest::sha256(&bytes)).unwrap();
    assert_eq!(held.manifest.bytes, bytes);
    assert_eq!((held.entry.principal.as_deref(), held.entry.verdict.rule.as_str()), (WHO, "test"));
    assert_eq!(repository.tag("latest").unwrap().generation, first.number);
    check(&world.store(), &snapshot);

    let gone = pushed.delete_manifest(("a", WHO), &Digest::sha256(&bytes), moment()).unwrap();
    assert!(pushed.snapshot().repository("a").unwrap().tag("1").is_none());
    let again = pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap();
    assert!(again.number > gone.number, "a generation never comes twice");
    // The snapshot that a request still holds has not changed.
    assert!(repository.tag("latest").is_some());
}

#[test]
fn a_manifest_whose_children_are_absent_is_refused_and_leaves_nothing() {
    let world = World::new();
    let pushed = world.open();
    let bytes = manifest_of(&[b"layer"], None);
    let error = pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap_err();
    assert!(matches!(error, PushError::MissingChild { .. }), "{error:?}");
    assert!(!world.store().has_blob(&Digest::sha256(&bytes)).unwrap());

    // The same blob in another repository does not count.
    blob(&pushed, "b", b"layer").unwrap();
    assert!(pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).is_err());
    assert!(pushed.snapshot().repository("a").is_none());

    let mut sparse = put("a", &bytes, &["1"]);
    sparse.demands = Demands { may_be_sparse: true };
    pushed.put_manifest(sparse, WHO, moment()).unwrap();
}

#[test]
fn a_manifest_that_lies_about_a_size_is_refused() {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    let text = String::from_utf8(manifest_of(&[b"layer"], None)).unwrap().replace("\"size\": 5", "\"size\": 6");
    let error = pushed.put_manifest(put("a", text.as_bytes(), &["1"]), WHO, moment()).unwrap_err();
    assert!(matches!(error, PushError::ChildSize { claimed: 6, actual: 5, .. }), "{error:?}");
}

#[test]
fn a_tag_that_stays_does_not_move() {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"one").unwrap();
    blob(&pushed, "a", b"two").unwrap();
    let (one, two) = (manifest_of(&[b"one"], None), manifest_of(&[b"two"], None));
    pushed.put_manifest(put("a", &one, &["1"]), WHO, moment()).unwrap();
    let mut second = put("a", &two, &["2", "1"]);
    second.fixed = second.tags.clone();
    let error = pushed.put_manifest(second, WHO, moment()).unwrap_err();
    assert!(matches!(error, PushError::TagTaken { ref tag, .. } if tag == "1"), "{error:?}");
    assert!(pushed.snapshot().repository("a").unwrap().tag("2").is_none(), "all tags, or none");
    let mut same = put("a", &one, &["1"]);
    same.fixed = same.tags.clone();
    pushed.put_manifest(same, WHO, moment()).unwrap();
    pushed.put_manifest(put("a", &two, &["1"]), WHO, moment()).unwrap();
}

#[test]
fn referrers_are_listed_by_subject_also_of_one_that_is_absent() {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    let subject = descriptor(MANIFEST, b"absent");
    let referrer = manifest_of(&[b"layer"], Some(subject));
    pushed.put_manifest(put("a", &referrer, &[]), WHO, moment()).unwrap();
    let referrers = |snapshot: &Snapshot, digest: &Digest| digests(snapshot.repository("a").unwrap().referrers(digest));
    let subject = Digest::sha256(b"absent");
    assert_eq!(referrers(&pushed.snapshot(), &subject), [Digest::sha256(&referrer)]);
    assert_eq!(referrers(&pushed.snapshot(), &Digest::sha256(b"other")), []);
    drop(pushed);
    let pushed = world.open();
    assert_eq!(referrers(&pushed.snapshot(), &subject), [Digest::sha256(&referrer)]);
    pushed.delete_manifest(("a", WHO), &Digest::sha256(&referrer), moment()).unwrap();
    assert_eq!(referrers(&pushed.snapshot(), &subject), []);
}

#[test]
fn nothing_goes_from_under_a_manifest() {
    let world = World::new();
    let pushed = world.open();
    let layer = blob(&pushed, "a", b"layer").unwrap();
    let bytes = manifest_of(&[b"layer"], None);
    let digest = Digest::sha256(&bytes);
    pushed.put_manifest(put("a", &bytes, &["1"]), WHO, moment()).unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": digest.to_string(), "size": bytes.len()}]});
    let index = index.to_string().into_bytes();
    pushed.put_manifest(put("a", &index, &[]), WHO, moment()).unwrap();

    let used = |result: Result<_, PushError>| assert!(matches!(result, Err(PushError::InUse { .. })));
    used(pushed.delete_blob(("a", WHO), &layer, moment()));
    used(pushed.delete_manifest(("a", WHO), &digest, moment()));
    pushed.delete_manifest(("a", WHO), &Digest::sha256(&index), moment()).unwrap();
    pushed.delete_manifest(("a", WHO), &digest, moment()).unwrap();
    pushed.delete_blob(("a", WHO), &layer, moment()).unwrap();
    assert!(pushed.snapshot().repository("a").is_none());
    assert!(!pushed.snapshot().is_reached(&layer) && !pushed.snapshot().is_held(&layer));
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let world = World::new();
    let pushed = world.open();
    let digest = Digest::sha256(b"x");
    assert!(matches!(pushed.delete_tag(("a", WHO), "1", moment()), Err(PushError::UnknownTag { .. })));
    assert!(matches!(pushed.delete_blob(("a", WHO), &digest, moment()), Err(PushError::UnknownBlob { .. })));
    assert!(matches!(pushed.delete_manifest(("a", WHO), &digest, moment()), Err(PushError::UnknownManifest { .. })));
    assert!(matches!(pushed.mount(("a", WHO), &digest, "b", moment()), Err(PushError::UnknownBlob { .. })));
}

#[test]
fn a_mount_lets_another_repository_hold_the_blob() {
    let (world, guard) = (World::new(), guard());
    let pushed = Pushed::open(&world.store(), &settings(), guard.clone(), moment()).unwrap();
    let layer = blob(&pushed, "a", b"layer").unwrap();
    assert_eq!(pushed.mount(("b", WHO), &layer, "a", moment()).unwrap(), 5);
    pushed.delete_blob(("a", WHO), &layer, moment()).unwrap();
    assert_eq!(pushed.snapshot().repository("b").unwrap().blob(&layer), Some(5));
    assert!(pushed.snapshot().is_held(&layer));
    assert!(guard.is_promised(&layer, 3599) && !guard.is_promised(&layer, 3600));
}

#[test]
fn what_a_record_cannot_say_is_refused() {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    let tags: Vec<String> = (0..1000).map(|number| format!("{number:0100}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let result = pushed.put_manifest(put("a", &manifest_of(&[b"layer"], None), &tags), WHO, moment());
    assert!(matches!(result, Err(PushError::RecordTooLong)));
    // And the log goes on.
    blob(&pushed, "a", b"other").unwrap();
    check(&world.store(), &pushed.snapshot());
}

#[test]
fn who_did_what_stands_in_the_log() {
    let world = World::new();
    let pushed = world.open();
    blob(&pushed, "a", b"layer").unwrap();
    let facts = [("reason".to_owned(), "a bad password".to_owned())].into();
    pushed.audit(None, "refused", (Some("a"), facts), moment()).unwrap();
    drop(pushed);
    let mut said = Vec::new();
    world.store().pushed_records(|record| said.push((record.principal, format!("{:?}", record.operation)))).unwrap();
    assert_eq!(said.len(), 3);
    assert!(said[0].1.starts_with("Opened") && said[1].1.starts_with("Blob") && said[2].1.contains("a bad password"));
    assert_eq!((said[0].0.as_deref(), said[1].0.as_deref()), (None, WHO));
}

#[test]
fn many_pushers_at_once_all_get_what_they_were_told() {
    let world = World::new();
    let pushed = world.open();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let pushed = &pushed;
            scope.spawn(move || {
                for number in 0..20 {
                    let content = format!("{number}");
                    let digest = blob(pushed, name, content.as_bytes()).unwrap();
                    let bytes = manifest_of(&[content.as_bytes()], None);
                    pushed.put_manifest(put(name, &bytes, &["latest"]), WHO, moment()).unwrap();
                    let snapshot = pushed.snapshot();
                    let repository = snapshot.repository(name).unwrap();
                    assert!(repository.blob(&digest).is_some());
                    assert_eq!(repository.tag("latest").unwrap().digest, Digest::sha256(&bytes));
                }
            });
        }
    });
    check(&world.store(), &pushed.snapshot());
    assert_eq!(files(&world.path().join("uploads")), [] as [&str; 0]);
}

#[test]
fn a_damaged_blob_in_the_way_is_replaced() {
    let world = World::new();
    let pushed = world.open();
    let digest = Digest::sha256(b"layer");
    std::fs::write(world.store().blob_path(&digest), b"lay").unwrap();
    blob(&pushed, "a", b"layer").unwrap();
    check(&world.store(), &pushed.snapshot());
}

#[test]
fn a_wrong_digest_leaves_nothing() {
    let world = World::new();
    let pushed = world.open();
    let mut append = begun(&pushed, "a").unwrap();
    append.write(b"layer", moment()).unwrap();
    let id = append.id().to_string();
    let error = pushed.finish(append, ("a", WHO), &Digest::sha256(b"other"), moment()).unwrap_err();
    assert!(matches!(error, PushError::Store(StoreError::WrongDigest { .. })), "{error:?}");
    assert!(error.is_refusal());
    assert!(matches!(pushed.acknowledged("a", WHO, &id), Err(PushError::UnknownUpload { .. })));
    assert!(pushed.snapshot().repository("a").is_none());
    assert_eq!(files(&world.path().join("uploads")), [] as [&str; 0]);
    assert_eq!(files(&world.path().join("blobs")), [] as [&str; 0]);
}
