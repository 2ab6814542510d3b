//! `sealock trust init`, `rotate` and `show`: roots of several keyholders.

use crate::packager::{Packager, json};
use crate::sandbox::{Sandbox, steady};

/// Keys as their holders make them, each with another scheme.
const KEYS: [(&str, &str); 6] = [
    ("alice", "ed25519"),
    ("bob", "ecdsa-sha2-nistp384"),
    ("carol", "rsassa-pss-sha256"),
    ("pat", "ed25519"),
    ("quinn", "ecdsa-sha2-nistp256"),
    ("rita", "ed25519"),
];

const ROLES: [&str; 16] = [
    "--root-key",
    "alice.pub.pem",
    "--root-key",
    "bob.pub.pem",
    "--root-key",
    "carol.pub.pem",
    "--publisher-key",
    "pat.pub.pem",
    "--publisher-key",
    "quinn.pub.pem",
    "--publisher-threshold",
    "2",
    "--revoker-key",
    "rita.pub.pem",
    "--root-threshold",
    "2",
];

fn new_key(sandbox: &Sandbox, name: &str, scheme: &str) {
    let file = format!("{name}.pem");
    sandbox.must(&["trust", "init", "--new-key", &file, "--scheme", scheme, "--unencrypted-keys"]);
}

fn keyholders() -> Sandbox {
    let sandbox = Sandbox::new();
    KEYS.into_iter().for_each(|(name, scheme)| new_key(&sandbox, name, scheme));
    sandbox
}

fn sign(sandbox: &Sandbox, request: &str, name: &str) -> String {
    let (key, to) = (format!("{name}.pem"), format!("{name}.signature.json"));
    sandbox.must(&["trust", "sign", request, "--key", &key, "--to", &to, "--yes"]);
    to
}

/// The first root: two of three root keys, all publishers, one revoker.
fn ceremony() -> Sandbox {
    let sandbox = keyholders();
    sandbox.must(&[&["trust", "init"][..], &ROLES].concat());
    let files = ["alice", "carol"].map(|name| sign(&sandbox, "trust/root.request.json", name));
    sandbox.must(&["trust", "sign", "trust/root.draft.json", "--add", &files[0], &files[1]]);
    sandbox
}

fn fingerprint(sandbox: &Sandbox, root: &str) -> String {
    let shown = json(&sandbox.must(&["trust", "show", root, "-o", "json"]));
    shown[0]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

#[test]
fn a_keyholder_makes_a_key_and_hands_over_its_public_half() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let args = ["trust", "init", "--new-key", "bob.pem", "--scheme", "ecdsa-sha2-nistp384", "--unencrypted-keys"];
    insta::assert_snapshot!(sandbox.see(&args));
    let key = sandbox.read("bob.pem");
    sandbox.must(&args);
    assert_eq!(sandbox.read("bob.pem"), key, "run again it makes no second key");
    assert!(sandbox.read("bob.pub.pem").starts_with("-----BEGIN PUBLIC KEY-----"));
}

#[test]
fn a_ceremony_begins_with_a_draft_and_says_what_comes_next() {
    let _steady = steady();
    let sandbox = keyholders();
    insta::assert_snapshot!("begun", sandbox.see(&[&["trust", "init"][..], &ROLES].concat()));
    assert!(!sandbox.join("trust/root.json").exists());
    let draft = sandbox.read("trust/root.draft.json");
    sandbox.must(&[&["trust", "init"][..], &ROLES].concat());
    assert_eq!(sandbox.read("trust/root.draft.json"), draft, "the draft that was sent out stays");

    let others = ["--root-key", "bob.pub.pem", "--publisher-key", "pat.pub.pem", "--no-revoker"];
    let other = sandbox.run(&[&["trust", "init"][..], &others].concat());
    assert_eq!(other.status.code(), Some(1));
    assert_eq!(sandbox.read("trust/root.draft.json"), draft);
}

#[test]
fn the_root_is_finished_when_enough_have_signed_and_then_stays() {
    let _steady = steady();
    let sandbox = keyholders();
    sandbox.must(&[&["trust", "init"][..], &ROLES].concat());
    let request = "trust/root.request.json";
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| sign(&sandbox, request, name));
    let draft = "trust/root.draft.json";
    insta::assert_snapshot!("waiting", sandbox.see(&["trust", "sign", draft, "--add", &alice]));
    assert!(!sandbox.join("trust/root.json").exists());
    insta::assert_snapshot!("finished", sandbox.see(&["trust", "sign", draft, "--add", &carol]));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"([0-9a-f]{4} ){7}[0-9a-f]{4}\b", "[EIGHT GROUPS]");
    settings.add_filter(r"([0-9a-f]{4} ){4}\.\.\.", "[FOUR GROUPS] ...");
    settings.add_filter(r"\[ \] (ed25519|ecdsa-sha2-nistp\d+|rsassa-pss-sha256)", "[ ] [SCHEME]");
    settings.bind(|| insta::assert_snapshot!("transcript", sandbox.read("trust/root.transcript.txt")));
    let root = sandbox.read("trust/root.json");
    sandbox.must(&["trust", "sign", draft, "--add", &bob]);
    assert_eq!(sandbox.read("trust/root.json"), root, "its fingerprint may be on paper");

    let print = fingerprint(&sandbox, "trust/root.json");
    sandbox.must(&["trust", "enroll", "trust/root.json", "--fingerprint", &print]);
    let spaced: String = sandbox.read("trust/root.transcript.txt");
    let plain: String = spaced.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(plain.contains(print.strip_prefix("sha256:").expect("a digest")), "the page has the whole fingerprint");
}

#[test]
fn the_page_fits_on_a_sheet_of_paper() {
    let page = ceremony().read("trust/root.transcript.txt");
    assert!(page.lines().count() <= 66 && page.lines().all(|line| line.len() <= 80), "{page}");
    assert!(page.is_ascii());
}

#[test]
fn private_root_keys_sign_at_once() {
    let sandbox = keyholders();
    let args = ["trust", "init", "one", "--root-key", "alice.pem", "--publisher-key", "pat.pub.pem", "--no-revoker"];
    assert_eq!(sandbox.run(&args).status.code(), Some(2), "it asks, and there is nobody to ask");
    let standing = json(&sandbox.must(&[&args[..], &["--yes", "-o", "json"]].concat()));
    assert_eq!(standing["finished"]["root"], "one/root.json");
}

#[test]
fn a_revokers_key_is_made_where_nobody_was_named() {
    let _steady = steady();
    let sandbox = keyholders();
    let args = ["trust", "init", "ours/trust", "--root-key", "alice.pem", "--publisher-key", "pat.pub.pem", "--yes"];
    let nobody = sandbox.run(&args);
    assert_eq!(nobody.status.code(), Some(2), "it asks for a passphrase, and there is nobody to ask");
    assert!(!sandbox.join("ours/trust/root.json").exists());
    insta::assert_snapshot!("revoker", sandbox.see(&[&args[..], &["--unencrypted-keys"]].concat()));
    let key = json(&sandbox.must(&["trust", "export", "ours/keys/revoker.pem", "-o", "json"]));
    let root = json(&sandbox.read("ours/trust/root.json"));
    assert_eq!(root["signed"]["x-sealock"]["revoker"]["keyids"], serde_json::json!([key["keyid"]]));
    // Interrupted, it goes on with the key that it made.
    std::fs::remove_file(sandbox.join("ours/trust/root.json")).expect("a root");
    sandbox.must(&args);
    assert_eq!(json(&sandbox.read("ours/trust/root.json"))["signed"], root["signed"]);
}

#[test]
fn rarely_meant_roles_are_warned_of() {
    let _steady = steady();
    let sandbox = keyholders();
    let args = [
        "trust",
        "init",
        "--root-key",
        "alice.pub.pem",
        "--root-key",
        "bob.pub.pem",
        "--publisher-key",
        "bob.pub.pem",
        "--no-revoker",
    ];
    let seen = sandbox.see(&args);
    assert!(seen.contains("root: all 2 keys must sign"), "{seen}");
    assert!(seen.contains("a root key is a publisher's key as well"), "{seen}");
    let unreachable = [&args[..], &["--publisher-threshold", "2"]].concat();
    insta::assert_snapshot!(sandbox.see(&unreachable));
}

#[test]
fn a_rotation_takes_both_thresholds_and_shows_what_changes() {
    let _steady = steady();
    let sandbox = ceremony();
    new_key(&sandbox, "sam", "ecdsa-sha2-nistp256");
    let pat = json(&sandbox.must(&["trust", "export", "pat.pem", "-o", "json"]));
    let pat = pat["keyid"].as_str().expect("a key id").get(..8).expect("eight").to_owned();
    let args = [
        "trust",
        "rotate",
        "--publisher-key",
        &pat,
        "--publisher-key",
        "sam.pub.pem",
        "--root-key",
        "bob.pub.pem",
        "--root-key",
        "carol.pub.pem",
        "--root-threshold",
        "1",
        "--expires-in",
        "400",
    ];
    let standing = json(&sandbox.must(&[&args[..], &["-o", "json"]].concat()));
    assert_eq!(standing["roles"].as_array().map(Vec::len), Some(2));
    let (draft, request) = ("trust/2.root.draft.json", "trust/2.root.request.json");
    let shown = sandbox.see(&["trust", "sign", request, "--dry-run"]);
    assert!(shown.contains("from root 1 to root 2") && shown.contains("root: threshold 2 -> 1"), "{shown}");

    let bob = sign(&sandbox, request, "bob");
    sandbox.must(&["trust", "sign", draft, "--add", &bob]);
    assert!(!sandbox.join("trust/2.root.json").exists(), "root 1 asks for two");
    let stranger = sandbox.run(&["trust", "sign", request, "--key", "pat.pem", "--yes"]);
    assert_eq!(stranger.status.code(), Some(3));
    let alice = sign(&sandbox, request, "alice");
    sandbox.must(&["trust", "sign", draft, "--add", &alice]);
    let page = sandbox.read("trust/2.root.transcript.txt");
    assert!(page.contains("CHANGES from root 1 to root 2") && page.lines().all(|line| line.len() <= 80), "{page}");
    let seen = sandbox.see(&["trust", "show", "trust/root.json", "trust/2.root.json"]);
    insta::assert_snapshot!("chain", sorted_keys(&seen));
}

/// Keys stand in the order of their ids, which differs from run to run: lines that differ in nothing else are sorted.
fn sorted_keys(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    // Keys of a role end with their scheme; those of a difference do not, and stand in an order of their own.
    let is_key = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() == 17 && words.last().is_some_and(|last| last.len() > 4)
    };
    let scheme = |line: &str| line.split_whitespace().last().unwrap_or_default().to_owned();
    let mut start = 0;
    while start < lines.len() {
        let count = lines[start..].iter().take_while(|line| is_key(line)).count();
        lines[start..start + count].sort_by_key(|line| scheme(line));
        start += count.max(1);
    }
    lines.join("\n")
}

#[test]
fn a_site_follows_a_rotation_by_itself_and_the_old_publisher_key_is_worth_nothing() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    let print = fingerprint(sandbox, "plant/trust/root.json");
    new_key(sandbox, "sam", "ecdsa-sha2-nistp384");
    let rotate = [
        "trust",
        "rotate",
        "--root",
        "plant/trust/root.json",
        "--root-key",
        "plant/keys/root.pem",
        "--publisher-key",
        "sam.pub.pem",
        "--yes",
    ];
    sandbox.must(&rotate);
    packager.lock();
    let stale = sandbox.run(&["build", "--lock", "plant/sealock.lock", "--key", "plant/keys/publisher.pem"]);
    assert_eq!(stale.status.code(), Some(2), "the old key is no publisher's any more");
    sandbox.must(&["build", "--lock", "plant/sealock.lock", "--key", "sam.pem"]);
    let verify = [
        "verify",
        "plant/plant-1.tar",
        "--site",
        "plant-7",
        "--root",
        "plant/trust/root.json",
        "--fingerprint",
        &print,
    ];
    sandbox.must(&verify);

    sandbox.must(&[
        "build",
        "--lock",
        "plant/sealock.lock",
        "--to",
        "old.tar",
        "--root",
        "plant/trust/root.json",
        "--key",
        "plant/keys/publisher.pem",
    ]);
    let by_newest = ["verify", "old.tar", "--site", "plant-7", "--root", "plant/trust/2.root.json"];
    let seen = sandbox.see(&by_newest);
    assert!(seen.starts_with("exit code: 3\n"), "{seen}");
}

#[test]
fn a_root_that_exists_is_rotated_and_not_made_anew() {
    let sandbox = ceremony();
    std::fs::remove_file(sandbox.join("trust/root.draft.json")).expect("a draft");
    insta::assert_snapshot!(sandbox.see(&[&["trust", "init"][..], &ROLES].concat()));
}
