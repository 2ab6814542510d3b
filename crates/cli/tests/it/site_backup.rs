//! `sealock site backup` and `sealock site restore`: a station is lost, and another machine takes its place.

use serde_json::Value;

use crate::packager::Packager;
use crate::revocations::station_of_two;
use crate::sandbox::{Sandbox, steady};

const BUNDLE: &str = "plant/plant-1.tar";

/// A station with a release, its backup `a.backup`, and what opens it, `a.key`.
fn backed_up() -> (Packager, String) {
    let packager = station_of_two();
    let sandbox = &packager.sandbox;
    sandbox.must(&["import", BUNDLE]);
    sandbox.write("settings/config.yaml", "# of the station\n");
    let recipient = sandbox.must(&["site", "recovery-key", "a.key", "--unencrypted"]);
    let backup = ["site", "backup", "--to", "a.backup", "--settings-dir", "settings", "--recipient", recipient.trim()];
    let told: Value = serde_json::from_str(&sandbox.must(&[&backup[..], &["-o", "json"]].concat())).expect("JSON");
    let digest = told["digest"].as_str().expect("a digest").to_owned();
    (packager, digest)
}

fn lose(sandbox: &Sandbox) {
    for folder in ["state", "settings"] {
        std::fs::remove_dir_all(sandbox.join(folder)).expect("a folder");
    }
}

fn restore<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["site", "restore", "a.backup", "--recovery-key", "a.key", "--settings-dir", "settings"][..], more].concat()
}

#[test]
fn a_lost_station_is_there_again_and_takes_nothing_new_before_two_people_have_settled_it() {
    let _steady = steady();
    let (packager, digest) = backed_up();
    let sandbox = &packager.sandbox;
    let before = sandbox.must(&["release", "show", "-o", "json"]);
    lose(sandbox);

    let named = restore(&["--digest", &digest, "--yes"]);
    let dry = sandbox.see(&[&named[..], &["--dry-run"]].concat());
    assert!(dry.contains("would make this machine the station of the site plant-7") && !sandbox.join("state").exists());
    let seen = sandbox.see(&named);
    for said in ["this machine is the station of the site plant-7", "store scrub --heal", "site resolve-state"] {
        assert!(seen.contains(said), "{said:?} is not in {seen}");
    }
    assert_eq!(sandbox.read("settings/config.yaml"), "# of the station\n");
    assert_eq!(sandbox.must(&["release", "show", "-o", "json"]), before);
    // The layers come from the bundle, which nobody has to settle.
    assert!(!sandbox.run(&["store", "check"]).status.success(), "the layers cannot be there");
    sandbox.must(&["store", "scrub", "--heal", BUNDLE]);
    sandbox.must(&["store", "check"]);

    assert!(sandbox.see(&["import", BUNDLE]).contains("error[STATE_REGRESSION]"));
    // Twice is once; and whatever else is changed, imports stay frozen.
    assert!(sandbox.see(&named).contains("error[FOREIGN]"));
    let recipient = sandbox.must(&["site", "recovery-key", "b.key", "--unencrypted"]);
    let again = ["site", "backup", "--to", "b.backup", "--settings-dir", "settings", "--recipient", recipient.trim()];
    assert!(sandbox.see(&again).contains("the backup holds an older trust state"));
    let root: Value =
        serde_json::from_str(&sandbox.must(&["trust", "show", "plant/trust/root.json", "-o", "json"])).expect("JSON");
    let fingerprint = root[0]["fingerprint"].as_str().expect("a fingerprint");
    for names in ["one", "two", "three"] {
        let enroll = ["trust", "enroll", "plant/trust/root.json", "--stream", "more", "--names", names];
        sandbox.must(&[&enroll[..], &["--fingerprint", fingerprint]].concat());
        assert!(sandbox.see(&["import", BUNDLE]).contains("error[STATE_REGRESSION]"), "after {names}");
    }
    let settle = ["site", "resolve-state", "settle.json", "--reason", "the machine burnt", "--key", "one.pem"];
    sandbox.must(&settle);
    sandbox.must(&["site", "resolve-state", "settle.json", "--add", "--yes", "--key", "two.pem"]);
    sandbox.must(&["import", BUNDLE]);
}

#[test]
fn the_site_root_that_was_kept_elsewhere_says_whose_backup_it_is() {
    let _steady = steady();
    let (packager, _) = backed_up();
    let sandbox = &packager.sandbox;
    std::fs::copy(sandbox.join("state/trust/site-root.json"), sandbox.join("kept.json")).expect("a site root");
    let check = ["site", "backup", "--check", "a.backup"];
    assert!(sandbox.must(&check).contains("not opened"));
    assert!(
        sandbox.must(&[&check[..], &["--recovery-key", "a.key"]].concat()).contains("all of it is what was signed")
    );
    lose(sandbox);
    let unnamed = sandbox.see(&restore(&["--yes"]));
    assert!(unnamed.starts_with("exit code: 2\n") && unnamed.contains("--site-root <FILE>"), "{unnamed}");
    let wrong = format!("sha256:{}", "0".repeat(64));
    assert!(sandbox.see(&restore(&["--yes", "--digest", &wrong])).contains("error[DIGEST]"));
    sandbox.must(&["site", "recovery-key", "b.key", "--unencrypted"]);
    let other = ["site", "restore", "a.backup", "--recovery-key", "b.key", "--site-root", "kept.json", "--yes"];
    assert!(sandbox.see(&other).contains("it was encrypted for others"));
    assert!(!sandbox.join("state").exists(), "something was left");
    sandbox.must(&restore(&["--site-root", "kept.json", "--yes"]));
}

#[test]
fn nobody_but_a_recipient_can_open_it_so_there_has_to_be_one() {
    let packager = station_of_two();
    let sandbox = &packager.sandbox;
    let seen = sandbox.see(&["site", "backup", "--to", "a.backup"]);
    assert!(seen.contains("at least one recipient") && seen.contains("recovery-key"), "{seen}");
    assert!(!sandbox.join("a.backup").exists());
    sandbox.write("zeros.backup", vec![0; 100_000]);
    let seen = sandbox.see(&["site", "backup", "--check", "zeros.backup"]);
    assert!(seen.contains("error[FORMAT]"), "{seen}");
}
