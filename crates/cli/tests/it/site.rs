//! `sealock site`

use std::net::TcpListener;

use crate::sandbox::{Sandbox, steady};

/// A site spec whose registry listens on a port of loopback that is free now.
pub fn spec(sandbox: &Sandbox, id: &str) -> u16 {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let text = format!(
        "apiVersion: sealock/v1alpha1\nkind: Site\nmetadata: {{name: {id}}}\n\
         spec:\n  registry: {{name: 'registry.lab:{port}', address: 127.0.0.1}}\n"
    );
    sandbox.write("site.yaml", text);
    port
}

#[test]
fn a_station_is_made_and_shown() {
    let sandbox = Sandbox::new();
    let port = spec(&sandbox, "plant-7");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(r":{port}\b"), ":[PORT]");
    settings.bind(|| {
        let _steady = steady();
        insta::assert_snapshot!(sandbox.see(&["site", "init", "--unencrypted-keys"]));
        insta::assert_snapshot!("shown", sandbox.see(&["site", "show"]));
    });
}

#[test]
fn a_second_run_changes_nothing_and_needs_no_passphrase() {
    let sandbox = Sandbox::new();
    spec(&sandbox, "plant-7");
    sandbox.write_private("passphrase", "correct horse");
    sandbox.must(&["site", "init", "--passphrase-file", "passphrase"]);
    let before = sandbox.must(&["site", "show", "-o", "json"]);
    sandbox.must(&["site", "init"]);
    assert_eq!(before, sandbox.must(&["site", "show", "-o", "json"]));
}

#[test]
fn an_interrupted_run_is_finished() {
    let sandbox = Sandbox::new();
    spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let ca = sandbox.read("state/tls/ca.crt");
    for lost in ["state/trust/site-root.json", "state/tls/registry.crt"] {
        std::fs::remove_file(sandbox.join(lost)).expect(lost);
    }
    std::fs::remove_dir_all(sandbox.join("state/store")).expect("a store");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    assert_eq!(ca, sandbox.read("state/tls/ca.crt"));
    sandbox.must(&["site", "show"]);
}

#[test]
fn a_station_stays_the_station_of_its_site() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    spec(&sandbox, "plant-8");
    insta::assert_snapshot!(sandbox.see(&["site", "init", "--unencrypted-keys"]));
}

#[test]
fn an_unknown_field_is_refused_with_place_and_nearest_name() {
    let sandbox = Sandbox::new();
    let text = "apiVersion: sealock/v1alpha1\nkind: Site\nmetadata: {name: plant-7}\nspec:\n  regsitry: {}\n";
    sandbox.write("site.yaml", text);
    insta::assert_snapshot!(sandbox.see(&["site", "init"]));
}

#[test]
fn the_registry_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    for key in ["tls/ca.key", "tls/registry.key", "keys/site.pem", "keys/root.pem"] {
        let mode = std::fs::metadata(sandbox.join("state").join(key)).expect(key).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn elsewhere_it_says_how_to_make_a_station() {
    insta::assert_snapshot!(Sandbox::new().see(&["site", "show"]));
}
