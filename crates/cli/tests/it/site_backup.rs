//! `sealock site backup` and `sealock site restore`: a station is lost, and another machine takes its place.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::packager::Packager;
use crate::revocations::station_of_two;
use crate::sandbox::{Sandbox, steady};
use crate::strace::{making_of, signalled};

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

/// How long it took, and the name of a record.
fn filters() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"took( +)\d+\.\d s", "took$1[SECONDS]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d{6}Z-[0-9a-f]{12}(_\d+)?\.json", "[RECORD].json");
    settings.add_filter(r"\d+ min before", "[MINUTES] before");
    settings.bind_to_scope()
}

/// The record of the drill whose result `told` is, opened as an auditor would who has the site root.
fn record(sandbox: &Sandbox, told: &Value) -> Value {
    let kept = told["kept"].as_str().expect("a path");
    let root = std::fs::read(sandbox.join("state/trust/site-root.json")).expect("a site root");
    let site = sealock_trust::SiteRoot::open(&root).expect("a site root");
    let signed = std::fs::read(sandbox.join(kept)).expect("a record");
    let evidence = sealock_cluster::backup::drill::Evidence::open(&signed, &site).expect("signed by the site");
    serde_json::to_value(evidence).expect("JSON")
}

#[test]
fn a_drill_of_a_stations_backup_leaves_a_signed_record_whatever_it_comes_to_and_nothing_else() {
    let _steady = steady();
    let (packager, digest) = backed_up();
    let sandbox = &packager.sandbox;
    std::fs::create_dir(sandbox.join("scratch")).expect("a folder");
    let drill = ["site", "drill", ".", "--recovery-key", "a.key", "--scratch", "scratch"];
    assert!(sandbox.see(&[&drill[..], &["--dry-run"]].concat()).contains("would drill ./a.backup"));
    assert!(!sandbox.join("state/evidence/station/drills").exists());
    let told: Value = serde_json::from_str(&sandbox.must(&[&drill[..], &["-o", "json"]].concat())).expect("JSON");
    let kept = record(sandbox, &told);
    assert_eq!((&kept["record"]["verdict"], &kept["record"]["backup"]["digest"]), (&"passed".into(), &digest.into()));
    let count = || std::fs::read_dir(sandbox.join("scratch")).expect("a folder").count();
    assert_eq!(count(), 0, "something was left");

    let shown = || {
        serde_json::from_str::<Value>(&sandbox.must(&["site", "show", "-o", "json"])).expect("JSON")["backups"].clone()
    };
    assert_eq!(shown()["backup"]["digest"], told["record"]["backup"]["digest"]);
    assert_eq!(shown()["drill"]["at"], told["record"]["begun"]);
    assert!(shown().get("failedDrill").is_none());

    let mut bytes = std::fs::read(sandbox.join("a.backup")).expect("a backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    sandbox.write("b.backup", bytes);
    let damaged = ["site", "drill", "b.backup", "--recovery-key", "a.key", "--scratch", "scratch"];
    let _filters = filters();
    insta::assert_snapshot!("drill_failed", sandbox.see(&damaged));
    sandbox.must(&["site", "recovery-key", "c.key", "--unencrypted"]);
    let closed = ["site", "drill", "a.backup", "--recovery-key", "c.key", "--scratch", "scratch"];
    let output = sandbox.run(&closed);
    assert_eq!(output.status.code(), Some(3));
    insta::assert_snapshot!("drill_closed", sandbox.see(&closed));
    assert_eq!(count(), 0, "something was left");
    let drills = std::fs::read_dir(sandbox.join("state/evidence/station/drills")).expect("records").count();
    assert_eq!(drills, 4, "no record takes another one's place");
    assert_eq!(shown()["drill"]["at"], told["record"]["begun"]);
    let warned = sandbox.see(&["site", "show"]);
    assert!(warned.contains("the last drill of a backup of the station, 0 min ago, failed"), "{warned}");
}

/// The signal comes while the folder for what is opened is made.
#[test]
fn a_drill_that_is_interrupted_leaves_nothing_of_what_it_opened_and_no_record() {
    let (packager, _) = backed_up();
    let sandbox = &packager.sandbox;
    std::fs::create_dir(sandbox.join("scratch")).expect("a folder");
    let drill = ["site", "drill", "a.backup", "--recovery-key", "a.key", "--scratch", "scratch"];
    let call = making_of(sandbox, &drill, "sealock-drill-");
    let count = |folder: &str| std::fs::read_dir(sandbox.join(folder)).expect("a folder").count();
    // What one has left that was killed.
    std::fs::create_dir_all(sandbox.join("scratch/sealock-drill-killed/station")).expect("a folder");
    sandbox.write("scratch/sealock-drill-killed/station/key", "a key");
    for signal in ["SIGINT", "SIGTERM", "SIGHUP"] {
        let output = sandbox.command_under(&signalled(&call, signal), &drill).output();
        let output = output.unwrap_or_else(|error| panic!("strace (Debian package strace) is needed here: {error}"));
        let said = sandbox.seen(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the drill was interrupted"), "{said}");
        assert_eq!(count("scratch"), 0, "{signal}");
        assert_eq!(count("state/evidence/station/drills"), 1, "it has kept a record");
    }
    sandbox.must(&drill);
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

/// A station, its folder `kept` with three backups of it, and the arguments of one more.
fn with_a_folder() -> (Packager, Vec<String>) {
    let packager = station_of_two();
    let sandbox = &packager.sandbox;
    sandbox.write("settings/config.yaml", "# of the station\n");
    let recipient = sandbox.must(&["site", "recovery-key", "a.key", "--unencrypted"]);
    let words = ["site", "backup", "--settings-dir", "settings", "--recipient", recipient.trim(), "--to"];
    let backup: Vec<String> = words.map(str::to_owned).to_vec();
    sandbox.write("kept/notes.txt", "call the plant");
    for name in ["kept/1.backup", "kept/2.backup", "kept/3.backup"] {
        sandbox.must(&with(&backup, &[name]));
    }
    the_clock_goes_on();
    (packager, backup)
}

fn with<'a>(words: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    words.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

/// Backups are told apart by seconds.
fn the_clock_goes_on() {
    let begun = jiff::Timestamp::now().as_second();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while jiff::Timestamp::now().as_second() == begun {
        assert!(std::time::Instant::now() < deadline, "the clock stands still");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

fn files_in(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(sandbox.join(folder)).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_keeps_so_many_backups_and_whatever_is_no_backup_of_this_station() {
    let _steady = steady();
    let (packager, backup) = with_a_folder();
    let sandbox = &packager.sandbox;
    let mut bytes = std::fs::read(sandbox.join("kept/1.backup")).expect("a backup");
    bytes[70_000] ^= 1;
    sandbox.write("kept/damaged.backup", bytes);
    sandbox.write("kept/plant-7-station-2020-01-01T000000Z.backup", "it only has the name");

    let dry = sandbox.see(&with(&backup, &["kept/", "--keep-last", "1", "--dry-run"]));
    for said in ["would remove kept/1.backup", "would remove kept/3.backup", "1 backup would be in kept"] {
        assert!(dry.contains(said), "{said:?} is not in {dry}");
    }
    assert_eq!(files_in(sandbox, "kept").len(), 6, "a dry run changes nothing");

    let told: Value = serde_json::from_str(&sandbox.must(&with(&backup, &["kept/", "--keep-last", "1", "-o", "json"])))
        .expect("JSON");
    assert_eq!(told["kept"]["backups"], 1);
    assert_eq!(told["kept"]["removed"].as_array().map(Vec::len), Some(3));
    let made = told["file"].as_str().and_then(|file| file.strip_prefix("kept/")).expect("a file in the folder");
    assert!(made.starts_with("plant-7-station-20") && made.ends_with("Z.backup"), "{made}");
    let mut left = vec!["damaged.backup", made, "notes.txt", "plant-7-station-2020-01-01T000000Z.backup"];
    left.sort_unstable();
    assert_eq!(files_in(sandbox, "kept"), left);
    sandbox.must(&["site", "backup", "--check", &format!("kept/{made}"), "--recovery-key", "a.key"]);
}

#[test]
fn what_is_kept_is_told_and_needs_a_folder() {
    let _steady = steady();
    let (packager, backup) = with_a_folder();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("no_folder", sandbox.see(&with(&backup, &["kept/new.backup", "--keep-last", "1"])));
    insta::assert_snapshot!("keep_none", sandbox.see(&with(&backup, &["kept/", "--keep-last", "0"])));
    let missing = sandbox.see(&with(&backup, &["not-mounted/", "--keep-daily", "7"]));
    assert!(
        missing.contains("cannot make a file in not-mounted") && !sandbox.join("not-mounted").exists(),
        "{missing}"
    );
    let seen = sandbox.see(&with(&backup, &["kept", "--keep-daily", "7", "--keep-weekly", "4"]));
    assert!(seen.contains("kept        1 backup in kept; 3 removed"), "all are of one day: {seen}");
}

/// The service and the timer that the guide shows: systemd takes them, and the command in them is one.
#[test]
fn the_units_of_the_guide_are_units() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/backup-and-restore.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let units: Vec<&str> = guide.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [service, timer] = units[..] else { panic!("the guide shows {} units", units.len()) };

    let (packager, _) = with_a_folder();
    let sandbox = &packager.sandbox;
    // Not installed here; and of the folder it needs not be true.
    sandbox.write("sealock-backup@.service", service.replace("/usr/local/bin/sealock", "/bin/true"));
    sandbox.write("sealock-backup@.timer", timer);
    let mut verify = Command::new("systemd-analyze");
    verify.current_dir(sandbox.join("")).args([
        "verify",
        "./sealock-backup@site.service",
        "./sealock-backup@site.timer",
    ]);
    let verified = verify.output().expect("systemd-analyze, from the package systemd");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");

    let recipient = sandbox.must(&["site", "recovery-key", "b.key", "--unencrypted"]);
    let command = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let command = command.replace("age1ry7…", recipient.trim()).replace("/backup/", "kept/");
    for noun in ["site", "cluster"] {
        let command = command.replace("%i", noun);
        let words: Vec<&str> = command.split(' ').skip(1).chain(["--dry-run"]).collect();
        let code = sandbox.run(&words).status.code();
        // No cluster spec is here, and only that is missing.
        assert_eq!(code, Some(if noun == "site" { 0 } else { 1 }), "{}", sandbox.see(&words));
    }
}
