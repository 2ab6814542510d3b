//! `sealock cluster backup`, `sealock cluster restore` and `sealock site recovery-key`, as far as no host is asked.

use std::os::unix::fs::PermissionsExt as _;

use crate::cluster::station;
use crate::sandbox::steady;

#[test]
fn a_recovery_key_is_its_owners_alone_and_never_written_over() {
    let sandbox = station();
    sandbox.write_private("passphrase", "correct horse");
    let recipient = sandbox.must(&["site", "recovery-key", "a.key", "--passphrase-file", "passphrase"]);
    assert!(recipient.starts_with("age1"), "{recipient}");
    let key = std::fs::read(sandbox.join("a.key")).expect("a key");
    assert!(key.starts_with(b"age-encryption.org/v1\n"), "it is encrypted");
    let mode = std::fs::metadata(sandbox.join("a.key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    insta::assert_snapshot!("not_over", sandbox.see(&["site", "recovery-key", "a.key", "--unencrypted"]));
    assert_eq!(std::fs::read(sandbox.join("a.key")).expect("a key"), key);
    sandbox.must(&["site", "recovery-key", "b.key", "--unencrypted"]);
    assert!(sandbox.read("b.key").contains("AGE-SECRET-KEY-1"));
}

#[test]
fn what_is_no_backup_is_refused_before_any_host_is_asked() {
    let _steady = steady();
    let sandbox = station();
    sandbox.must(&["site", "recovery-key", "a.key", "--unencrypted"]);
    sandbox.write("a.backup", "not one");
    insta::assert_snapshot!("no_backup", sandbox.see(&["cluster", "backup", "--check", "a.backup"]));
    sandbox.write("a.backup", vec![0; 100_000]);
    insta::assert_snapshot!("zeros", sandbox.see(&["cluster", "backup", "--check", "a.backup"]));
    insta::assert_snapshot!("missing", sandbox.see(&["cluster", "backup", "--check", "b.backup"]));
}
