//! What a site remembers, and what it lets pass: time, age, revocation, a broken glass, and a memory that was put back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use sealock_bundle::import::{ImportOutcome, Imported, Notice, Terms};
use sealock_trust::break_glass::{BreakGlass, Token};
use sealock_trust::directory::Candidate;
use sealock_trust::receipt::Exception;
use sealock_trust::resolution::ResolveState;
use sealock_trust::revocation::{Entry, ListTerms, RevocationList, Subject};
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::{Digest, FileKey, KeySet, Receipt, Scheme, Signer, SiteKeys, SiteRoot};
use tempfile::TempDir;

use crate::support::{Cargo, Publisher, Site, issued, now, sample, time};

struct Scene {
    folder: TempDir,
    publisher: Publisher,
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let publisher = Publisher::new();
        let site = Site::new(&publisher);
        Self { folder: tempfile::tempdir().unwrap(), publisher, site }
    }

    fn build(&self, cargo: &Cargo) -> std::path::PathBuf {
        cargo.build(self.folder.path(), &self.publisher)
    }

    fn import(&self, cargo: &Cargo) -> Imported {
        self.import_on(cargo, &Terms::at(now()))
    }

    fn import_on(&self, cargo: &Cargo, terms: &Terms) -> Imported {
        match self.site.import_on(&self.build(cargo), terms).unwrap() {
            ImportOutcome::Published(imported) => imported,
            ImportOutcome::Already(imported) => panic!("{imported:?}"),
        }
    }

    fn refusal_on(&self, cargo: &Cargo, terms: &Terms) -> String {
        self.site.refusal_on(&self.build(cargo), terms)
    }

    /// Exceptions as they stand in the receipt, and in the release.
    fn exceptions(&self, imported: &Imported) -> Vec<Exception> {
        let receipt = Receipt::verify(&imported.receipt, self.site.keys.key_set()).unwrap();
        let release = self.site.store.current_release(self.site.keys.key_set()).unwrap().unwrap().release;
        assert_eq!(receipt.generation, release.trust_generation);
        assert_eq!(receipt.generation, Some(self.site.trust.generation().unwrap()));
        assert_eq!(release.exceptions.get("base").cloned().unwrap_or_default(), receipt.exceptions);
        receipt.exceptions
    }

    fn revoke(&self, subjects: &[Subject]) {
        let entry = |subject: &Subject| Entry {
            subject: subject.clone(),
            reason: "it calls home".parse().unwrap(),
            revoked: issued(),
        };
        let terms = ListTerms { issued: issued(), expires: time("2027-01-01T00:00:00Z") };
        let entries = subjects.iter().map(entry);
        let list = RevocationList::make(&self.publisher.root, None, &terms, entries, &BTreeSet::new());
        let mut list = list.unwrap();
        list.add_signatures(&[&self.publisher.revoker]).unwrap();
        self.site.trust.keep_revocations(&list.to_bytes().unwrap(), now(), Some(&self.site.keys)).unwrap();
    }
}

fn at(text: &str) -> Terms {
    Terms::at(time(text))
}

fn with_times(mut cargo: Cargo, issued: &str, soft: &str, expires: &str) -> Cargo {
    (cargo.lock.issued, cargo.lock.soft_expiry, cargo.lock.expires) = (time(issued), time(soft), time(expires));
    cargo
}

#[test]
fn a29_a_bundle_that_follows_another_one_than_the_accepted_one_is_equivocation() {
    let scene = Scene::new();
    let accepted = scene.import(&sample("base", 1)).manifest;
    let mut next = sample("base", 2);
    next.lock.previous = Some(Digest::sha256(b"the other bundle of sequence 1"));
    assert_eq!(scene.refusal_on(&next, &Terms::at(now())), "EQUIVOCATION");
    next.lock.previous = Some(accepted);
    fs::remove_file(scene.folder.path().join("base-2.sealock")).unwrap();
    assert_eq!(scene.import(&next).sequence, 2);
}

#[test]
fn a32_a_stream_begins_where_its_enrolment_says() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let site = Site::in_folder(tempfile::tempdir().unwrap(), "plant-7");
    let (fingerprint, prefix) = (Digest::sha256(&publisher.root), "*".parse().unwrap());
    let candidate = Candidate {
        root: &publisher.root,
        fingerprint: &fingerprint,
        prefix: &prefix,
        from_sequence: Some(3000),
        names: &[],
    };
    site.trust.enroll(&candidate, None).unwrap();
    assert_eq!(site.refusal(&sample("base", 2999).build(folder.path(), &publisher)), "ROLLBACK");
    assert_eq!(site.refusal(&sample("base", 4000).build(folder.path(), &publisher)), "JUMP");
    site.import(&sample("base", 3001).build(folder.path(), &publisher)).unwrap();
}

#[test]
fn a32_the_first_bundle_leaps_no_further_than_any_other() {
    let scene = Scene::new();
    assert_eq!(scene.refusal_on(&sample("base", 1001), &Terms::at(now())), "JUMP");
}

#[test]
fn a39_a_bundle_from_the_future_is_refused_and_does_not_stand_in_the_way() {
    let scene = Scene::new();
    let future = with_times(sample("base", 1), "2098-01-01T00:00:00Z", "2098-02-01T00:00:00Z", "2099-01-01T00:00:00Z");
    assert_eq!(scene.refusal_on(&future, &Terms::at(now())), "CLOCK");
    fs::remove_file(scene.folder.path().join("base-1.sealock")).unwrap();
    assert_eq!(scene.import(&sample("base", 1)).notices, []);
}

#[test]
fn a39_a_clock_that_was_set_back_is_told_and_passed_over() {
    let scene = Scene::new();
    scene.import(&sample("base", 1));
    let clock = time("1970-01-01T00:00:00Z");
    let imported = scene.import_on(&sample("base", 2), &Terms::at(clock));
    assert_eq!(imported.notices, [Notice::ClockBehind { clock, floor: issued() }]);
    // Of another stream, too: the floor is the site's.
    let expired = with_times(sample("apps", 1), "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", "2026-01-01T00:00:00Z");
    assert_eq!(scene.refusal_on(&expired, &at("2025-06-01T00:00:00Z")), "EXPIRED");
}

#[test]
fn a39_a_clock_fifty_years_ahead_expires_nothing_in_silence() {
    let scene = Scene::new();
    scene.import(&sample("base", 1));
    let wrong = at("2076-11-23T00:00:00Z");
    assert_eq!(scene.refusal_on(&sample("base", 2), &wrong), "CLOCK");
    let confirmed = Terms { confirm_clock: true, ..wrong };
    fs::remove_file(scene.folder.path().join("base-2.sealock")).unwrap();
    assert_eq!(scene.refusal_on(&sample("base", 2), &confirmed), "EXPIRED");
    fs::remove_file(scene.folder.path().join("base-2.sealock")).unwrap();
    assert_eq!(scene.import(&sample("base", 2)).sequence, 2);
}

#[test]
fn a_long_silence_is_no_wrong_clock_where_nothing_is_expired() {
    let scene = Scene::new();
    scene.import(&sample("base", 1));
    let fresh = with_times(sample("base", 2), "2028-01-01T00:00:00Z", "2028-02-01T00:00:00Z", "2029-01-01T00:00:00Z");
    let imported = scene.import_on(&fresh, &at("2028-01-02T00:00:00Z"));
    assert!(matches!(imported.notices[..], [Notice::ClockAhead { .. }]), "{:?}", imported.notices);
}

#[test]
fn age_is_amber_first_and_then_needs_a_reason_and_both_are_on_record() {
    let scene = Scene::new();
    let since = time("2026-12-01T00:00:00Z");
    let imported = scene.import_on(&sample("base", 1), &at("2026-12-31T00:00:00Z"));
    assert_eq!(imported.notices, [Notice::Stale { since }]);
    assert_eq!(scene.exceptions(&imported), [Exception::Stale { since, reason: None }]);

    let late = at("2026-12-31T00:00:01Z");
    assert_eq!(scene.refusal_on(&sample("base", 2), &late), "STALE");
    let reason: sealock_trust::Justification = "the ship was late".parse().unwrap();
    let explained = Terms { accept_stale: Some(reason.clone()), ..late };
    fs::remove_file(scene.folder.path().join("base-2.sealock")).unwrap();
    let imported = scene.import_on(&sample("base", 2), &explained);
    assert_eq!(scene.exceptions(&imported), [Exception::Stale { since, reason: Some(reason) }]);
    // The next release of another stream keeps it; the next one of the stream does not.
    scene.import(&Cargo::of_files("apps", 1, &[("app", b"app".to_vec())]));
    let release = scene.site.store.current_release(scene.site.keys.key_set()).unwrap().unwrap().release;
    assert!(release.exceptions.contains_key("base"));
    let imported = scene.import(&sample("base", 3));
    assert_eq!(scene.exceptions(&imported), []);
}

#[test]
fn an_accepted_gap_is_on_record() {
    let scene = Scene::new();
    scene.import(&sample("base", 1));
    let imported = scene.import_on(&sample("base", 4), &Terms { accept_gap: Some(2..=3), ..Terms::at(now()) });
    assert_eq!(scene.exceptions(&imported), [Exception::Gap { first: 2, last: 3 }]);
}

#[test]
fn a_root_that_will_expire_is_told_of() {
    let scene = Scene::new();
    let late = with_times(sample("base", 1), "2029-09-01T00:00:00Z", "2029-10-01T00:00:00Z", "2029-12-01T00:00:00Z");
    let imported = scene.import_on(&late, &at("2029-09-02T00:00:00Z"));
    assert_eq!(imported.notices, [Notice::RootDue { expires: time("2030-01-01T00:00:00Z") }]);
}

#[test]
fn a26_revoked_content_is_refused_whatever_it_is() {
    let cargo = sample("base", 1);
    // The manifest does not depend on who signs it.
    let manifest = sealock_bundle::Archive::open(&Scene::new().build(&cargo)).unwrap().manifest_digest();
    let (reference, blob) = (cargo.lock.references[0].digest.clone(), cargo.lock.blobs[0].digest.clone());
    for digest in [manifest, reference, blob] {
        let scene = Scene::new();
        scene.revoke(&[Subject::Digest(digest.clone())]);
        assert_eq!(scene.refusal_on(&cargo, &Terms::at(now())), "REVOKED", "{digest}");
    }
}

#[test]
fn a26_what_a_revoked_key_signed_is_refused() {
    let scene = Scene::new();
    scene.import(&sample("base", 1));
    scene.revoke(&[Subject::Key(scene.publisher.keys[0].public_key().id().clone())]);
    assert_eq!(scene.refusal_on(&sample("base", 2), &Terms::at(now())), "REVOKED");
}

#[test]
fn nobody_revokes_what_is_anothers() {
    let (scene, other) = (Scene::new(), Publisher::new());
    let site = Site::in_folder(tempfile::tempdir().unwrap(), "plant-7");
    site.enroll(&scene.publisher, "base");
    site.enroll(&other, "apps");
    let scene = Scene { site, ..scene };
    let apps = sample("apps", 1);
    scene.revoke(&[Subject::Digest(apps.lock.references[0].digest.clone())]);
    scene.site.import(&apps.build(scene.folder.path(), &other)).unwrap();
    assert_eq!(scene.refusal_on(&sample("base", 1), &Terms::at(now())), "REVOKED");
}

#[test]
fn an_expired_revocation_list_is_told_of_and_goes_on_to_hold() {
    let scene = Scene::new();
    scene.revoke(&[Subject::Digest(sample("base", 2).lock.references[0].digest.clone())]);
    let fresh = with_times(
        Cargo::of_files("base", 1, &[("other", b"harmless".to_vec())]),
        "2027-01-10T00:00:00Z",
        "2027-02-01T00:00:00Z",
        "2027-12-01T00:00:00Z",
    );
    let imported = scene.import_on(&fresh, &at("2027-01-11T00:00:00Z"));
    assert_eq!(imported.notices, [Notice::RevocationsExpired { expires: time("2027-01-01T00:00:00Z") }]);
    let mut revoked = sample("base", 2);
    revoked.lock.issued = time("2027-01-10T00:00:00Z");
    revoked.lock.soft_expiry = time("2027-02-10T00:00:00Z");
    assert_eq!(scene.refusal_on(&revoked, &at("2027-01-11T00:00:00Z")), "REVOKED");
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a40_a_trust_folder_that_was_put_back_freezes_imports_until_somebody_settles_it() {
    let scene = Scene::new();
    let (site, approvers) = site_of_two(&scene.publisher);
    let scene = Scene { site, ..scene };
    scene.import(&sample("base", 1));
    let (trust, kept) = (scene.site.trust.path().to_owned(), scene.folder.path().join("kept"));
    copy_folder(&trust, &kept);
    scene.import(&sample("base", 2));
    fs::remove_dir_all(&trust).unwrap();
    copy_folder(&kept, &trust);

    let third = scene.build(&sample("base", 3));
    let refused = |bundle: &Path| scene.site.import(bundle).unwrap_err().code().unwrap().to_string();
    assert_eq!(refused(&third), "STATE_REGRESSION");
    assert_eq!(refused(&scene.folder.path().join("base-2.sealock")), "STATE_REGRESSION");
    let before = scene.site.snapshot();
    assert_eq!(refused(&third), "STATE_REGRESSION");
    assert_eq!(scene.site.snapshot(), before);

    let (one, two): (&dyn Signer, &dyn Signer) = (&approvers[0], &approvers[1]);
    let mirror = scene.site.trust.frozen().unwrap().unwrap();
    let reason: sealock_trust::Justification = "restored by the disk vendor".parse().unwrap();
    let token = |found, signers: &[&dyn Signer]| {
        let until = time("2026-11-24T00:00:00Z");
        let site = "plant-7".parse().unwrap();
        ResolveState::new(site, (found, mirror.clone()), until, reason.clone()).sign(signers).unwrap()
    };
    let resolve = |token: &[u8], now| scene.site.trust.resolve(token, now, &scene.site.keys);
    for (forged, code) in [
        (token(2, &[one]), "THRESHOLD"),
        (token(2, &[one, scene.site.keys.signer()]), "THRESHOLD"),
        (token(1, &[one, two]), "SUBJECT"),
        (b"{}".to_vec(), "FORMAT"),
    ] {
        assert_eq!(resolve(&forged, now()).unwrap_err().code().unwrap().as_str(), code);
    }
    let both = ResolveState::add_signatures(&token(2, &[one]), &[two]).unwrap();
    let late = resolve(&both, time("2026-11-24T00:00:00Z")).unwrap_err();
    assert_eq!(late.code().unwrap().as_str(), "EXPIRED");
    assert_eq!(refused(&third), "STATE_REGRESSION");
    let resolution = resolve(&both, now()).unwrap();
    assert_eq!((resolution.found, resolution.mirror.generation), (2, 3));
    assert!(resolve(&both, now()).is_err(), "there is nothing more to settle");
    assert_eq!(refused(&third), "GAP");
    scene.site.import(&scene.folder.path().join("base-2.sealock")).unwrap();
    scene.site.import(&third).unwrap();
    assert_eq!(scene.site.trust.resolutions().unwrap(), [resolution]);
}

#[test]
fn a40_a_state_that_is_gone_is_no_fresh_start() {
    let scene = Scene::new();
    scene.site.trust.keep_site_root(&scene.site.keys).unwrap();
    scene.import(&sample("base", 1));
    fs::remove_file(scene.site.trust.path().join("state.json")).unwrap();
    assert_eq!(scene.refusal_on(&sample("base", 2), &Terms::at(now())), "STATE_REGRESSION");
}

/// A site with two approvers.
fn site_of_two(publisher: &Publisher) -> (Site, [FileKey; 2]) {
    let approvers = [(); 2].map(|()| FileKey::generate(Scheme::Ed25519).unwrap());
    let key = FileKey::generate(Scheme::Ed25519).unwrap();
    let only = || KeySet::new([key.public_key().clone()], 1).unwrap();
    let spec = SiteRootSpec {
        id: "plant-7".parse().unwrap(),
        issued: issued(),
        classification: None,
        root: only(),
        site: only(),
        approver: Some(KeySet::new(approvers.iter().map(|key| key.public_key().clone()), 1).unwrap()),
        registry: Registry { name: "registry".to_owned(), address: "10.77.0.2:443".to_owned(), ca: String::new() },
        stale_grace_days: None,
        retained_releases: None,
    };
    let root = SiteRoot::create(&spec, &[&key]).unwrap();
    let site = Site::new(publisher);
    (Site { keys: SiteKeys::new(root, Box::new(key)).unwrap(), ..site }, approvers)
}

fn token(manifest: &Digest, expires: Timestamp, signers: &[&dyn Signer]) -> Vec<u8> {
    let reason = "the pumps stand still".parse().unwrap();
    BreakGlass::new("plant-7".parse().unwrap(), manifest.clone(), expires, reason).sign(signers).unwrap()
}

#[test]
fn two_people_let_one_bundle_in_that_is_too_old_out_of_turn_and_for_others() {
    let scene = Scene::new();
    let (site, approvers) = site_of_two(&scene.publisher);
    let scene = Scene { site, ..scene };
    scene.import(&sample("base", 1));
    let mut cargo = sample("base", 4);
    cargo.lock.audience.sites = vec!["plant-8".parse().unwrap()];
    let bundle = scene.build(&cargo);
    let manifest = sealock_bundle::Archive::open(&bundle).unwrap().manifest_digest();
    let late = |token: Option<&Vec<u8>>| Terms {
        break_glass: token.cloned(),
        confirm_clock: true,
        ..at("2027-12-01T00:00:00Z")
    };
    let (one, two): (&dyn Signer, &dyn Signer) = (&approvers[0], &approvers[1]);
    let valid_until = time("2027-12-02T00:00:00Z");
    assert_eq!(scene.site.refusal_on(&bundle, &late(None)), "EXPIRED");
    for (forged, code) in [
        (token(&manifest, valid_until, &[one]), "THRESHOLD"),
        (token(&manifest, valid_until, &[one, scene.site.keys.signer()]), "THRESHOLD"),
        (token(&Digest::sha256(b"another"), valid_until, &[one, two]), "SUBJECT"),
        (token(&manifest, time("2027-12-01T00:00:00Z"), &[one, two]), "EXPIRED"),
        (b"{}".to_vec(), "FORMAT"),
    ] {
        assert_eq!(scene.site.refusal_on(&bundle, &late(Some(&forged))), code);
    }

    let signed_once = token(&manifest, valid_until, &[one]);
    let both = Token::add_signatures(&signed_once, &[two]).unwrap();
    let outcome = scene.site.import_on(&bundle, &late(Some(&both))).unwrap();
    let ImportOutcome::Published(imported) = outcome else { panic!("{outcome:?}") };
    let exceptions = scene.exceptions(&imported);
    let [Exception::BreakGlass { codes, .. }] = &exceptions[..] else { panic!("{exceptions:?}") };
    assert_eq!(codes, &["EXPIRED", "STALE", "GAP", "AUDIENCE"]);

    // Never against a signature.
    let mut forged = sample("base", 5);
    forged.lock.audience.sites = vec!["plant-8".parse().unwrap()];
    let bundle = forged.write(&scene.folder.path().join("foreign"));
    Publisher::new().sign(&bundle);
    let manifest = sealock_bundle::Archive::open(&bundle).unwrap().manifest_digest();
    let both = token(&manifest, valid_until, &[one, two]);
    assert_eq!(scene.site.refusal_on(&bundle, &late(Some(&both))), "EQUIVOCATION");
}

#[test]
fn a_broken_glass_is_used_up_in_the_same_write_as_the_acceptance() {
    let scene = Scene::new();
    let (site, approvers) = site_of_two(&scene.publisher);
    let scene = Scene { site, ..scene };
    scene.import(&sample("base", 1));
    let bundle = scene.build(&sample("base", 3));
    let manifest = sealock_bundle::Archive::open(&bundle).unwrap().manifest_digest();
    let terms = Terms {
        break_glass: Some(token(&manifest, time("2027-12-02T00:00:00Z"), &[&approvers[0], &approvers[1]])),
        ..Terms::at(now())
    };
    scene.site.import_on(&bundle, &terms).unwrap();
    // The same bundle again is known; no token is asked for, and none is used.
    assert!(matches!(scene.site.import_on(&bundle, &terms).unwrap(), ImportOutcome::Already(_)));
    let state = fs::read(scene.site.trust.path().join("state.json")).unwrap();
    let envelope = sealock_trust::dsse::Envelope::from_json(&state).unwrap();
    let payload = envelope.unverified("application/vnd.sealock.trust-state.v1+json").unwrap();
    let state: serde_json::Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(state["used"].as_array().unwrap().len(), 1);
}
