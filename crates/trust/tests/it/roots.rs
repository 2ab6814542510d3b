//! The chain of roots: rotation under both thresholds, one by one, and what tries to break it.

use sealock_trust::FileKey;
use sealock_trust::reason::Code;
use sealock_trust::tuf::{
    self, MetadataSet, RootWalk, add_root_signatures, create_root, open_root, rotate_root, walk_roots,
};

use crate::world::{Publisher, key_set, keys, root_spec, signers};

fn rotated(times: usize) -> Publisher {
    let mut publisher = Publisher::new();
    (0..times).for_each(|_| publisher.rotate());
    publisher
}

fn walk(publisher: &Publisher, set: &MetadataSet) -> RootWalk {
    walk_roots(publisher.first_root(), set).unwrap()
}

fn fault(publisher: &Publisher, set: &MetadataSet) -> Code {
    assert!(publisher.verify(set).is_err());
    walk(publisher, set).fault.unwrap().code()
}

/// A bundle with another second root in the place of the publisher's own.
fn with_second_root(publisher: &Publisher, root: Vec<u8>) -> MetadataSet {
    let mut set = publisher.sign(1);
    set.roots.insert(2, root);
    set
}

#[test]
fn a_chain_of_rotations_is_followed_to_its_end() {
    let publisher = rotated(5);
    let set = publisher.sign(1);
    assert_eq!(publisher.verify(&set).unwrap().root_version(), 6);
    let walk = walk(&publisher, &set);
    assert_eq!(walk.newest.version, 6);
    assert_eq!(walk.newer.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert!(walk.fault.is_none());
}

#[test]
fn a_bundle_may_leave_out_roots_that_are_trusted_already() {
    let publisher = rotated(3);
    let mut set = publisher.sign(1);
    set.roots.remove(&1);
    set.roots.remove(&2);
    assert!(tuf::verify(&publisher.roots[2], &set, crate::world::MANIFEST, crate::world::now(), None).is_ok());
    set.roots.clear();
    assert!(tuf::verify(&publisher.roots[3], &set, crate::world::MANIFEST, crate::world::now(), None).is_ok());
}

#[test]
fn a_bundle_under_an_older_root_is_judged_by_the_newest() {
    let mut publisher = rotated(1);
    let old = publisher.sign(1);
    publisher.rotate();
    let judge = |root: &[u8]| tuf::verify(root, &old, crate::world::MANIFEST, crate::world::now(), None);
    assert!(judge(&publisher.roots[1]).is_ok());
    assert_eq!(judge(&publisher.roots[2]).unwrap_err().code(), Code::Threshold);
}

#[test]
fn a33_a_hole_in_the_chain_is_root_gap_and_what_lies_before_it_is_kept() {
    let publisher = rotated(3);
    let mut set = publisher.sign(1);
    set.roots.remove(&3);
    assert_eq!(fault(&publisher, &set), Code::RootGap);
    assert_eq!(walk(&publisher, &set).newest.version, 2);

    let mut set = publisher.sign(1);
    set.roots.remove(&1);
    set.roots.remove(&2);
    assert_eq!(fault(&publisher, &set), Code::RootGap);
    assert!(walk(&publisher, &set).newer.is_empty());
}

#[test]
fn a33_a_root_under_another_version_than_its_name_says_is_root_gap() {
    let publisher = rotated(2);
    let mut set = publisher.sign(1);
    let third = set.roots.remove(&3).unwrap();
    set.roots.insert(2, third);
    assert_eq!(fault(&publisher, &set), Code::RootGap);
}

#[test]
fn a34_a_root_without_the_old_threshold_is_root_sig() {
    let publisher = rotated(1);
    let usurper = keys(2);
    let spec = root_spec(&usurper, &keys(2));
    let root = rotate_root(publisher.first_root(), &spec, &signers(&usurper)).unwrap();
    assert_eq!(fault(&publisher, &with_second_root(&publisher, root)), Code::RootSig);
}

#[test]
fn a34_leaving_out_the_trusted_root_does_not_hide_that_it_never_signed() {
    let publisher = rotated(1);
    let usurper = keys(2);
    let spec = root_spec(&usurper, &keys(2));
    let root = rotate_root(publisher.first_root(), &spec, &signers(&usurper)).unwrap();
    let mut set = with_second_root(&publisher, root);
    set.roots.remove(&1);
    assert_eq!(fault(&publisher, &set), Code::RootSig);
    assert_eq!(walk(&publisher, &set).newest.version, 1);
}

#[test]
fn a34_a_root_without_its_own_threshold_is_root_sig() {
    let mut publisher = Publisher::new();
    let old: Vec<FileKey> = std::mem::take(&mut publisher.root_keys);
    let spec = root_spec(&keys(2), &publisher.keys);
    let root = rotate_root(publisher.first_root(), &spec, &signers(&old)).unwrap();
    let set = with_second_root(&publisher, root);
    assert_eq!(fault(&publisher, &set), Code::RootSig);
    assert_eq!(walk(&publisher, &set).newest.version, 1);
}

#[test]
fn two_roots_of_one_version_are_equivocation() {
    let publisher = Publisher::new();
    let other = create_root(&root_spec(&publisher.root_keys, &keys(2)), &signers(&publisher.root_keys)).unwrap();
    let mut set = publisher.sign(1);
    set.roots.insert(1, other);
    assert_eq!(fault(&publisher, &set), Code::Equivocation);
}

#[test]
fn an_older_root_that_is_damaged_is_refused_as_well() {
    let publisher = rotated(2);
    let mut set = publisher.sign(1);
    let stranger = Publisher::new();
    set.roots.insert(1, stranger.roots[0].clone());
    let error = tuf::verify(&publisher.roots[2], &set, crate::world::MANIFEST, crate::world::now(), None).unwrap_err();
    assert_eq!(error.code(), Code::RootSig);
}

#[test]
fn a36_a_refused_bundle_does_not_keep_the_next_good_one_out() {
    let publisher = rotated(2);
    let mut bad = publisher.sign(1);
    bad.targets.truncate(20);
    assert!(publisher.verify(&bad).is_err());
    let kept = walk(&publisher, &bad);
    let (version, root) = kept.newer.last().unwrap();
    assert_eq!(*version, 3);
    let good = publisher.sign(1);
    assert!(tuf::verify(root, &good, crate::world::MANIFEST, crate::world::now(), None).is_ok());
}

#[test]
fn a_root_is_signed_by_one_person_after_the_other() {
    let root_keys = keys(2);
    let spec = root_spec(&root_keys, &keys(2));
    let half = create_root(&spec, &signers(&root_keys[..1])).unwrap();
    assert_eq!(open_root(&half).unwrap_err().code(), Code::RootSig);
    let whole = add_root_signatures(&half, None, &signers(&root_keys[1..])).unwrap();
    assert_eq!(open_root(&whole).unwrap().version, 1);
    assert!(add_root_signatures(&whole, None, &signers(&keys(1))).is_err());
}

#[test]
fn the_revoker_stands_in_the_signed_root() {
    let (root_keys, revoker) = (keys(2), keys(1));
    let mut spec = root_spec(&root_keys, &keys(2));
    spec.revoker = Some(key_set(&revoker, 1));
    let root = open_root(&create_root(&spec, &signers(&root_keys)).unwrap()).unwrap();
    assert_eq!(root.revoker_keys().unwrap(), spec.revoker);
    assert_eq!(root.publisher_keys().unwrap(), spec.publisher);
}
