//! `sealock diff`

use crate::packager::{Packager, SPEC, json};
use crate::sandbox::steady;
use crate::site;
use sealock_testkit::corpus;

/// Two bundles: an image moved, one came unsigned, a manifest changed.
fn two() -> Packager {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    let spec = SPEC.replace("  images:\n", "  manifests: [net.yaml]\n  images:\n");
    sandbox.write("plant/sealock.yaml", &spec);
    sandbox.write("plant/net.yaml", manifest("one"));
    packager.build();
    packager.upstream.push("docker.io/library/web:2", &corpus::images(3, 1000)[2]);
    packager.upstream.push("quay.io/team/new:v1", &corpus::images(4, 1000)[3]);
    let reason = "\\u202egnihton <script>alert(1)</script>";
    let spec = spec + &format!("    - {{ref: \"quay.io/team/new:v1\", verify: {{unsigned: \"{reason}\"}}}}\n");
    sandbox.write("plant/sealock.yaml", spec);
    sandbox.write("plant/net.yaml", manifest("two </pre><script>alert(2)</script> \u{202e}x"));
    packager.build();
    packager
}

fn manifest(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: net\ndata:\n  value: \"{value}\"\n  other: same\n")
}

const DIFF: [&str; 3] = ["diff", "plant/plant-1.tar", "plant/plant-2.tar"];

#[test]
fn two_bundles_are_compared() {
    let _steady = steady();
    // Both may be locked within one second, so the times need not differ.
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(?ms)^FACT .*?\n\n", "[FACTS]\n\n");
    let _facts = settings.bind_to_scope();
    let packager = two();
    insta::assert_snapshot!(packager.sandbox.see(&[&DIFF[..], &["--root", "plant/trust/root.json"]].concat()));
}

#[test]
fn without_a_root_it_says_that_nothing_was_verified() {
    let packager = two();
    let seen = packager.sandbox.see(&DIFF);
    assert!(seen.starts_with("exit code: 0\n") && seen.contains("NOT VERIFIED, only read"), "{seen}");
    assert!(seen.contains("nothing of this bundle is verified"), "{seen}");
}

#[test]
fn programs_and_scripts_are_served() {
    let packager = two();
    let sandbox = &packager.sandbox;
    let diff = json(&sandbox.must(&[&DIFF[..], &["-o", "json"]].concat()));
    assert_eq!((&diff["format"], &diff["differs"]), (&"diff/1.0".into(), &true.into()));
    assert_eq!(diff["old"]["trust"], "read");
    let seen = sandbox.see(&[&DIFF[..], &["--exit-code", "-q"]].concat());
    assert!(seen.starts_with("exit code: 1\n"), "{seen}");
    let same = ["diff", "plant/plant-1.tar", "plant/plant-1.tar", "--exit-code"];
    assert!(sandbox.must(&same).contains("nothing differs"));
}

#[test]
fn locks_are_compared_too() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    packager.lock();
    std::fs::copy(sandbox.join("plant/sealock.lock"), sandbox.join("old.lock")).expect("a copy");
    packager.upstream.push("docker.io/library/web:2", &corpus::images(3, 1000)[2]);
    packager.lock();
    let seen = sandbox.must(&["diff", "old.lock", "plant/sealock.lock"]);
    assert!(seen.contains("a lock, which nobody signs") && seen.contains("docker.io/library/web:2"), "{seen}");
}

#[test]
fn releases_are_compared_at_the_station() {
    let packager = two();
    let sandbox = &packager.sandbox;
    site::spec(sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let sum = sealock_trust::Digest::sha256(&std::fs::read(sandbox.join("plant/trust/root.json")).expect("a root"));
    sandbox.must(&["trust", "enroll", "plant/trust/root.json", "--fingerprint", &sum.to_string()]);
    sandbox.must(&["import", "plant/plant-1.tar"]);
    let seen = sandbox.must(&["diff", "current", "plant/plant-2.tar"]);
    assert!(seen.contains("signed by this site") && seen.contains("VERIFIED, every byte"), "{seen}");
    assert!(seen.contains("quay.io/team/new:v1"), "{seen}");
    sandbox.must(&["import", "plant/plant-2.tar"]);
    let releases = json(&sandbox.must(&["diff", "1", "current", "-o", "json"]));
    assert_eq!((&releases["old"]["source"], &releases["new"]["trust"]), (&"release".into(), &"site".into()));
    assert_eq!(releases["transfer"]["shared"]["blobs"].as_u64().map(|blobs| blobs > 0), Some(true));
}

/// Attack 55: escapes and markup in names and texts.
#[test]
fn nothing_in_a_bundle_steers_the_terminal_or_the_page() {
    let packager = two();
    let sandbox = &packager.sandbox;
    let text = sandbox.must(&[&DIFF[..], &["--html", "review.html"]].concat());
    let html = sandbox.read("review.html");
    for shown in [&text, &html, &sandbox.must(&[&DIFF[..], &["-o", "json"]].concat())] {
        let hostile = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
        assert!(!shown.contains(hostile), "{shown}");
        assert!(shown.contains("u{202e}"), "{shown}");
    }
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(2)"), "{html}");
    assert!(text.contains("<script>alert(1)"), "text is no markup, and is shown as it is: {text}");
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let packager = two();
    let sandbox = &packager.sandbox;
    sandbox.must(&[&DIFF[..], &["--html", "review.html"]].concat());
    let html = sandbox.read("review.html");
    assert!(html.contains("default-src 'none'") && html.contains("prefers-color-scheme: dark"), "{html}");
    for outside in ["http://", "https://", "src=", "href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_damaged_bundle_is_refused_and_names_the_side() {
    let packager = two();
    let sandbox = &packager.sandbox;
    let mut bytes = std::fs::read(sandbox.join("plant/plant-2.tar")).expect("a bundle");
    let at = bytes.len() - 2000;
    bytes[at] ^= 1;
    sandbox.write("damaged.tar", bytes);
    let seen = sandbox.see(&["diff", "plant/plant-1.tar", "damaged.tar", "--root", "plant/trust/root.json"]);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("reading damaged.tar"), "{seen}");
    let missing = sandbox.see(&["diff", "plant/plant-1.tar", "current"]);
    assert!(missing.contains("this machine is not a station"), "{missing}");
}
