//! OS packages: from an archive to a lock, a bundle and a comparison.

use sealock_testkit::apt::{Archive, Deb};
use sealock_testkit::gpg::Gpg;

use crate::import::believe;
use crate::packager::{Packager, SPEC};
use crate::sandbox::steady;

const SET: &str = "  osPackages:
    - name: debian-12
      apt: [{uri: 'https://deb.example/debian', suite: stable, components: [main], signedBy: keys/archive.asc}]
      packages: [hello]
";
const LOCK: [&str; 3] = ["lock", "-f", "plant/sealock.yaml"];

/// A packager whose spec wants `hello` of an archive that `gpg` signs.
fn packager(gpg: &Gpg) -> Packager {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    let settings = sandbox.read("home/.config/sealock/config.yaml");
    let mirror = format!("  deb.example: {}\n", packager.upstream.mirror_of("deb.example"));
    sandbox.write("home/.config/sealock/config.yaml", settings + &mirror);
    sandbox.write("plant/sealock.yaml", SPEC.to_owned() + SET);
    sandbox.write("plant/keys/archive.asc", gpg.public_key());
    packager
}

/// Publishes `hello` in this version, with what it needs.
fn publish(packager: &Packager, gpg: &Gpg, version: &str, date: &str) {
    let packages = [Deb::pack("hello", version, "amd64", &["Depends: words"]), Deb::pack("words", "1:1.0", "all", &[])];
    let archive = Archive::new("stable", date, &packages);
    for (path, bytes) in archive.signed(gpg) {
        packager.upstream.put(&format!("deb.example/debian/{path}"), bytes);
    }
}

#[test]
fn packages_are_locked_built_and_compared_by_their_versions() {
    let _steady = steady();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(?ms)^FACT .*?\n\n", "[FACTS]\n\n");
    settings.add_filter(r"[0-9A-F]{40}", "[KEY]");
    settings.add_filter(r"\d+(\.\d)? (B|KiB)\b", "[BYTES]");
    let _more = settings.bind_to_scope();
    let gpg = Gpg::new();
    let packager = packager(&gpg);
    publish(&packager, &gpg, "2.10-3", "Mon, 16 Nov 2026 10:00:00 UTC");
    insta::assert_snapshot!("lock", packager.sandbox.see(&LOCK));
    packager.build();
    insta::assert_snapshot!("inspect", packager.sandbox.see(&["inspect", "plant/plant-1.tar"]));
    publish(&packager, &gpg, "2.10-3+deb12u1", "Tue, 17 Nov 2026 10:00:00 UTC");
    packager.build();
    believe(&packager.sandbox, "plant-7");
    packager.sandbox.must(&["import", "plant/plant-1.tar"]);
    packager.sandbox.must(&["import", "plant/plant-2.tar"]);
    let diff = ["diff", "plant/plant-1.tar", "plant/plant-2.tar", "--root", "plant/trust/root.json"];
    insta::assert_snapshot!("diff", packager.sandbox.see(&diff));
}

#[test]
fn a_newer_state_of_the_archive_without_new_packages_makes_no_other_lock() {
    let gpg = Gpg::new();
    let packager = packager(&gpg);
    publish(&packager, &gpg, "2.10-3", "Mon, 16 Nov 2026 10:00:00 UTC");
    packager.lock();
    let before = packager.sandbox.read("plant/sealock.lock");
    publish(&packager, &gpg, "2.10-3", "Tue, 17 Nov 2026 10:00:00 UTC");
    assert!(packager.lock().contains("is unchanged"));
    packager.sandbox.must(&[&LOCK[..], &["--check"]].concat());
    assert_eq!(packager.sandbox.read("plant/sealock.lock"), before);
}

#[test]
fn attack_an_archive_that_went_back_is_refused_and_the_lock_stays() {
    let gpg = Gpg::new();
    let packager = packager(&gpg);
    publish(&packager, &gpg, "2.10-3", "Tue, 17 Nov 2026 10:00:00 UTC");
    packager.lock();
    let before = packager.sandbox.read("plant/sealock.lock");
    publish(&packager, &gpg, "2.10-2", "Mon, 16 Nov 2026 10:00:00 UTC");
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
    assert_eq!(packager.sandbox.read("plant/sealock.lock"), before);
}
