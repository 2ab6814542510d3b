//! Building and signing.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sealock_bundle::archive::{ArchiveError, Writer, partial_path};
use sealock_bundle::artifact::{self, OCI_MANIFEST};
use sealock_bundle::lock::{BlobRole, Lock, LockError};
use sealock_bundle::verify;
use sealock_bundle::{Archive, Manifest, sign};
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use sealock_trust::request::SigningRequest;
use sealock_trust::tuf::{Terms, sign_manifest};
use serde_json::json;

use crate::support::{Cargo, Publisher, noise, now, sample};

#[test]
fn what_was_built_and_signed_verifies_to_the_last_byte() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = sample("base", 1).build(folder.path(), &publisher);
    let header = verify::header(Archive::open(&path).unwrap(), &publisher.against()).unwrap();
    assert_eq!(header.signers().len(), 2);
    let total = header.payload_size();
    let mut last = 0;
    header.check_payload(&mut |done| last = done).unwrap();
    assert_eq!(last + 1024, total);
}

#[test]
fn the_same_lock_makes_the_same_bytes_and_signing_touches_the_header_only() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let cargo = sample("base", 1);
    let one = fs::read(cargo.write(&folder.path().join("one"))).unwrap();
    let other = fs::read(cargo.write(&folder.path().join("other"))).unwrap();
    assert!(one == other, "two builds of one lock differ");

    publisher.sign(&folder.path().join("one"));
    let signed = fs::read(folder.path().join("one")).unwrap();
    let header = usize::try_from(Archive::open(&folder.path().join("one")).unwrap().header_size()).unwrap();
    assert_eq!(header, 1 << 20);
    assert!(signed[header..] == one[header..] && signed[..header] != one[..header]);
}

#[test]
fn two_people_can_sign_one_after_the_other() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = sample("base", 1).write(&folder.path().join("b"));
    let roots = std::slice::from_ref(&publisher.root);
    let signers = publisher.signers();
    let code = || {
        let error = verify::header(Archive::open(&path).unwrap(), &publisher.against()).unwrap_err();
        error.code().unwrap().to_string()
    };
    assert_eq!(code(), "UNSIGNED");
    assert_eq!(sealock_bundle::sign(&path, roots, &signers[..1]).unwrap().signers.len(), 1);
    assert_eq!(code(), "THRESHOLD");
    assert_eq!(sealock_bundle::sign(&path, &[], &signers[1..]).unwrap().signers.len(), 2);
    verify::header(Archive::open(&path).unwrap(), &publisher.against()).unwrap();
}

#[test]
fn a_signature_that_was_cut_off_is_finished_by_the_next() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = sample("base", 1).build(folder.path(), &publisher);
    let signed = fs::read(&path).unwrap();
    // Half of the header is lost, its copy is there: as after a power loss in the middle.
    let copy = path.with_file_name("base-1.sealock.header");
    fs::write(&copy, &signed[..1 << 20]).unwrap();
    let mut torn = signed.clone();
    torn[4096..(1 << 20)].fill(0);
    fs::write(&path, &torn).unwrap();
    assert!(Archive::open(&path).is_err());
    publisher.sign(&path);
    assert!(!copy.exists());
    verify::header(Archive::open(&path).unwrap(), &publisher.against()).unwrap();
}

#[test]
fn what_an_interrupted_signing_left_does_not_touch_the_next_bundle() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = sample("base", 1).build(folder.path(), &publisher);
    fs::write(path.with_file_name("base-1.sealock.header"), vec![7; 1 << 20]).unwrap();
    sample("base", 1).build(folder.path(), &publisher);
    verify::header(Archive::open(&path).unwrap(), &publisher.against()).unwrap();
}

#[test]
fn an_interrupted_build_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    let cargo = sample("base", 1);
    let writer = Writer::create(&path, &cargo.lock).unwrap();
    let first = writer.missing()[0].clone();
    let mut slot = writer.slot(&first.digest).unwrap();
    slot.write(&cargo.contents[&first.digest]).unwrap();
    slot.finish().unwrap();
    writer.checkpoint().unwrap();
    let count = writer.missing().len();
    assert!(matches!(Writer::create(&path, &cargo.lock), Err(ArchiveError::Busy { .. })));
    assert!(matches!(writer.finish(), Err(ArchiveError::Incomplete { .. })));
    assert!(!path.exists());

    // The line of the second blob was cut off by the power loss.
    let progress = path.with_file_name("b.partial.progress");
    let mut text = fs::read_to_string(&progress).unwrap();
    text.push_str("sha256:12");
    fs::write(&progress, text).unwrap();

    let writer = Writer::create(&path, &cargo.lock).unwrap();
    assert_eq!(writer.missing().len(), count);
    assert!(!writer.missing().contains(&first));
    drop(writer);
    let resumed = fs::read(cargo.write(&path)).unwrap();
    let fresh = fs::read(cargo.write(&folder.path().join("fresh"))).unwrap();
    assert!(resumed == fresh);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something was left behind");
}

#[test]
fn progress_without_the_file_that_it_speaks_of_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    let cargo = sample("base", 1);
    let writer = Writer::create(&path, &cargo.lock).unwrap();
    for blob in writer.missing() {
        let mut slot = writer.slot(&blob.digest).unwrap();
        slot.write(&cargo.contents[&blob.digest]).unwrap();
        slot.finish().unwrap();
    }
    writer.checkpoint().unwrap();
    drop(writer);
    // As after a power loss between the last rename and the removal of the progress.
    fs::remove_file(partial_path(&path)).unwrap();
    let writer = Writer::create(&path, &cargo.lock).unwrap();
    assert_eq!(writer.missing().len(), cargo.contents.len());
}

#[test]
fn what_is_there_of_another_bundle_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    let other = Cargo::of_files("base", 2, &[("other", noise(9, 5 << 20))]);
    let writer = Writer::create(&path, &other.lock).unwrap();
    let blob = writer.missing()[0].clone();
    let mut slot = writer.slot(&blob.digest).unwrap();
    slot.write(&other.contents[&blob.digest]).unwrap();
    slot.finish().unwrap();
    writer.checkpoint().unwrap();
    drop(writer);

    let cargo = sample("base", 1);
    let built = fs::read(cargo.write(&path)).unwrap();
    assert!(built == fs::read(cargo.write(&folder.path().join("fresh"))).unwrap());
}

#[test]
fn content_that_is_not_what_the_lock_says_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = sample("base", 1);
    let writer = Writer::create(&folder.path().join("b"), &cargo.lock).unwrap();
    let blob = writer.missing().into_iter().find(|blob| blob.size == 512).unwrap();
    let fill = |bytes: &[u8]| {
        let mut slot = writer.slot(&blob.digest).unwrap();
        slot.write(bytes).and_then(|()| slot.finish())
    };
    assert!(matches!(fill(&[0; 513]), Err(ArchiveError::WrongSize { actual: 513, expected: 512, .. })));
    assert!(matches!(fill(&[0; 511]), Err(ArchiveError::WrongSize { actual: 511, expected: 512, .. })));
    assert!(matches!(fill(&[0; 512]), Err(ArchiveError::WrongDigest { .. })));
    assert!(writer.missing().contains(&blob));
    assert!(matches!(writer.slot(&Digest::sha256(b"?")), Err(ArchiveError::UnknownBlob(_))));
    fill(&cargo.contents[&blob.digest]).unwrap();
    assert!(!writer.missing().contains(&blob));
}

#[test]
fn slots_are_filled_from_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = sample("base", 1);
    let writer = Writer::create(&folder.path().join("b"), &cargo.lock).unwrap();
    std::thread::scope(|scope| {
        for blob in writer.missing() {
            let (writer, cargo) = (writer.clone(), &cargo);
            scope.spawn(move || {
                let mut slot = writer.slot(&blob.digest).unwrap();
                cargo.contents[&blob.digest].chunks(1000).for_each(|piece| slot.write(piece).unwrap());
                slot.finish().unwrap();
            });
        }
    });
    let built = fs::read(writer.finish().unwrap()).unwrap();
    assert!(built == fs::read(cargo.write(&folder.path().join("fresh"))).unwrap());
}

#[test]
fn room_is_taken_before_the_first_blob_and_a_bundle_beyond_the_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    let mut cargo = sample("base", 1);
    let writer = Writer::create(&path, &cargo.lock).unwrap();
    let metadata = fs::metadata(partial_path(&path)).unwrap();
    assert!(metadata.blocks() * 512 >= cargo.lock.content_size());
    drop(writer);

    let huge = cargo.lock.blobs.iter_mut().find(|blob| !blob.is_generated()).unwrap();
    huge.size = 1 << 43;
    let error = Writer::create(&folder.path().join("huge"), &cargo.lock).unwrap_err();
    assert!(matches!(error, ArchiveError::DiskFull { needed, .. } if needed > 1 << 43), "{error:?}");
    assert!(error.is_environment() && !error.is_refusal());
    assert!(!partial_path(&folder.path().join("huge")).exists());
}

#[test]
fn a_lock_is_read_as_it_was_written_and_in_no_other_way() {
    let cargo = sample("base", 1);
    let bytes = cargo.lock.to_bytes().unwrap();
    assert_eq!(Lock::from_bytes(&bytes).unwrap(), cargo.lock);
    let spaced = String::from_utf8(bytes.clone()).unwrap().replacen(':', ": ", 1);
    assert!(matches!(Lock::from_bytes(spaced.as_bytes()), Err(LockError::Json(_))));

    let mut twin = cargo.lock.clone();
    twin.references.push(twin.references[0].clone());
    assert!(matches!(twin.to_bytes(), Err(LockError::Inconsistent(_))));
    let mut bare = cargo.lock.clone();
    bare.blobs.clear();
    assert!(matches!(bare.to_bytes(), Err(LockError::Inconsistent(_))));
    let mut newer = cargo.lock.clone();
    newer.format = "lock/2.0".to_owned();
    assert!(matches!(newer.to_bytes(), Err(LockError::Format(_))));
    let mut sized = cargo.lock.clone();
    let mut other = sized.blobs[0].clone();
    other.size += 1;
    sized.blobs.push(other);
    assert!(matches!(sized.to_bytes(), Err(LockError::Inconsistent(_))));
    let mut fraction = cargo.lock.clone();
    fraction.issued = "2026-11-01T00:00:00.5Z".parse().unwrap();
    assert!(matches!(fraction.to_bytes(), Err(LockError::Inconsistent(_))));
    let mut shuffled = cargo.lock.clone();
    shuffled.blobs.reverse();
    let shuffled = sealock_trust::json::jcs::to_vec(&shuffled).unwrap();
    assert!(matches!(Lock::from_bytes(&shuffled), Err(LockError::Inconsistent(_))));

    let manifest = Manifest::from_lock(&cargo.lock).unwrap();
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap(), manifest);
}

#[test]
fn a_request_whose_terms_are_not_the_manifests_is_refused() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = sample("base", 1).write(&folder.path().join("one"));
    let roots = std::slice::from_ref(&publisher.root);
    let sign::Requested { request, tally } = sign::requests(&path, roots).unwrap().publisher;
    assert_eq!(sign::manifest_of(&request).unwrap().unwrap().sequence, 1);
    assert!(!tally[0].met && tally[0].signed.is_empty());

    let archive = Archive::open(&path).unwrap();
    let manifest = archive.unverified_manifest().unwrap();
    let terms = Terms { sequence: 1, issued: manifest.issued, expires: now() };
    let set = sign_manifest(roots, archive.manifest_bytes(), &terms, &[]).unwrap();
    let forged = SigningRequest::for_bundle(&set, archive.manifest_bytes()).unwrap();
    assert_eq!(sign::manifest_of(&forged).unwrap_err().code(), Some(Code::Subject));
}

#[test]
fn a_refused_signature_file_leaves_the_bundle_as_it_was() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = sample("base", 1).write(&folder.path().join("one"));
    let roots = std::slice::from_ref(&publisher.root);
    let request = sign::requests(&path, roots).unwrap().publisher.request;
    let other = sample("base", 2).write(&folder.path().join("two"));
    let stale = sign::requests(&other, roots).unwrap().publisher.request.sign(&publisher.keys[1]).unwrap();
    let good = request.sign(&publisher.keys[0]).unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(sign::merge(&path, roots, &[good.clone(), stale]).unwrap_err().code(), Some(Code::Subject));
    assert!(fs::read(&path).unwrap() == before);

    let both = [good, request.sign(&publisher.keys[1]).unwrap()];
    let (signed, merged, tally) = sign::merge(&path, roots, &both).unwrap();
    assert_eq!((signed.signers.len(), merged.added.len(), tally[0].met), (2, 2, true));
    verify::header(Archive::open(&path).unwrap(), &publisher.against()).unwrap();
}

#[test]
fn a_document_that_says_otherwise_what_a_blob_is_is_not_built() {
    let folder = tempfile::tempdir().unwrap();
    let mut cargo = sample("base", 1);
    let layer =
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::sha256(b"{}"), "size": 2});
    let empty = artifact::generated("application/vnd.oci.empty.v1+json", BlobRole::Config, b"{}");
    let document = json!({"schemaVersion": 2, "layers": [layer]}).to_string();
    let manifest = artifact::generated(OCI_MANIFEST, BlobRole::Manifest, document.as_bytes());
    let digest = manifest.digest.clone();
    cargo.lock.blobs.extend([empty, manifest]);
    cargo.lock.sort();
    let path = folder.path().join("b");
    let error = cargo.try_write(&path).unwrap_err();
    let ArchiveError::TypeMismatch { digest: of, mismatch } = &error else { panic!("{error}") };
    assert_eq!(*of, digest);
    assert!(mismatch.found.contains("is application/vnd.oci.image.layer.v1.tar, which is carried as"), "{mismatch}");
    assert!(!path.exists());
}
