//! Settings files.

use crate::sandbox::Sandbox;

#[test]
fn an_unknown_setting_is_refused_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write("home/.config/sealock/config.yaml", "retries: 3\nmirors: {}\n");
    insta::assert_snapshot!(sandbox.see(&["version"]));
}

#[test]
fn a_named_settings_file_must_exist() {
    insta::assert_snapshot!(Sandbox::new().see(&["--config", "missing.yaml", "version"]), @"
    exit code: 1
    --- stderr
    error: reading the settings file missing.yaml
      Caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn a_file_of_comments_is_fine() {
    let sandbox = Sandbox::new();
    sandbox.write("home/.config/sealock/config.yaml", "# nothing yet\n");
    sandbox.must(&["version"]);
}
