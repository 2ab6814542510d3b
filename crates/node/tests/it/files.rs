//! Files, folders, names and kernel settings.

use std::collections::BTreeMap;

use sealock_node::host::{Alteration, Host as _};
use sealock_node::step::{Directory, File, HostsEntry, KernelModule, Mode, Sysctl};
use sealock_node::{Probe, Step, StepError};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::machine::{Machine, apply, probe, undo};

fn file(content: &str, replaces: Option<&str>) -> Step {
    let replaces = replaces.map(|text| Digest::sha256(text.as_bytes()));
    Step::new(
        "f",
        File { path: "/etc/some/where/file.conf".into(), content: content.into(), mode: Mode::PRIVATE, replaces },
    )
}

#[test]
fn a_file_is_written_once_changed_by_us_and_taken_back_with_its_folders() {
    let machine = Machine::new();
    let before = machine.tree();
    apply(&file("one", None), &machine).unwrap();
    let once = machine.tree();
    apply(&file("one", None), &machine).unwrap();
    assert_eq!(machine.tree(), once);
    apply(&file("two", None), &machine).unwrap();
    assert_eq!(machine.text("/etc/some/where/file.conf"), "two");
    undo(&file("two", None), &machine);
    undo(&Step::new("d", Directory { path: "/etc/some/where".into(), mode: Mode::EXECUTABLE }), &machine);
    undo(&Step::new("d", Directory { path: "/etc/some".into(), mode: Mode::EXECUTABLE }), &machine);
    assert_eq!(machine.tree(), before);
}

/// Killed while it wrote, a run leaves the half of it beside the file.
#[test]
fn what_a_run_that_was_killed_has_half_written_goes_with_the_file() {
    let machine = Machine::new();
    let before = machine.tree();
    apply(&file("one", None), &machine).unwrap();
    machine.put("/etc/some/where/file.conf.sealock-new", "tw");
    undo(&file("one", None), &machine);
    for path in ["/etc/some/where", "/etc/some"] {
        undo(&Step::new("d", Directory { path: path.into(), mode: Mode::EXECUTABLE }), &machine);
    }
    assert_eq!(machine.tree(), before);
    // Also where the file itself never came to be.
    machine.put("/var/lib/sealock/node/image.tar.sealock-new", "half of it");
    machine.alter(Alteration::RemoveFile { path: "/var/lib/sealock/node/image.tar" }).unwrap();
    assert!(!machine.path().join("var/lib/sealock/node/image.tar.sealock-new").exists());
}

#[test]
fn a_file_that_sealock_did_not_write_is_refused_and_stays() {
    let machine = Machine::new();
    machine.put("/etc/some/where/file.conf", "the owner's");
    let error = apply(&file("ours", None), &machine).unwrap_err();
    assert!(matches!(error, StepError::Foreign { .. }), "{error}");
    assert_eq!(error.code(), Some(Code::Foreign));
    assert_eq!(machine.text("/etc/some/where/file.conf"), "the owner's");
}

#[test]
fn a_file_that_the_plan_replaces_is_kept_and_given_back() {
    let machine = Machine::new();
    machine.put("/etc/some/where/file.conf", "the owner's");
    let before = machine.tree();
    let step = file("ours", Some("the owner's"));
    apply(&step, &machine).unwrap();
    assert_eq!(machine.text("/etc/some/where/file.conf"), "ours");
    undo(&step, &machine);
    assert_eq!(machine.tree(), before);
}

#[test]
fn what_someone_changed_after_us_is_drift_and_foreign() {
    let machine = Machine::new();
    apply(&file("ours", None), &machine).unwrap();
    machine.put("/etc/some/where/file.conf", "edited by hand");
    assert!(matches!(probe(&file("ours", None), &machine), Probe::Foreign { .. }));
}

#[test]
fn a_path_with_detours_is_not_valid() {
    let machine = Machine::new();
    for path in ["etc/x", "/etc/../x", "/etc/./x", "/etc/x/"] {
        let step = Step::new("f", File { path: path.into(), content: String::new(), mode: Mode::FILE, replaces: None });
        assert!(matches!(apply(&step, &machine), Err(StepError::Invalid { .. })), "{path}");
    }
}

#[test]
fn a_name_is_added_moved_and_taken_away_and_the_owners_lines_stay() {
    let machine = Machine::new();
    let entry =
        |address: &str| Step::new("h", HostsEntry { address: address.into(), names: vec!["registry.lab".into()] });
    apply(&entry("10.77.0.2"), &machine).unwrap();
    apply(&entry("10.77.0.3"), &machine).unwrap();
    assert_eq!(machine.text("/etc/hosts"), "127.0.0.1 localhost\n10.77.0.3 registry.lab # sealock\n");
    undo(&entry("10.77.0.3"), &machine);
    assert_eq!(machine.text("/etc/hosts"), "127.0.0.1 localhost\n");
    machine.put("/etc/hosts", "192.0.2.1 registry.lab\n");
    assert!(matches!(probe(&entry("10.77.0.2"), &machine), Probe::Foreign { .. }));
    assert_eq!(probe(&entry("192.0.2.1"), &machine), Probe::Done);
}

#[test]
fn a_kernel_setting_is_set_kept_for_the_next_boot_and_given_back() {
    let machine = Machine::new();
    let before = machine.tree();
    let settings = |settings: &[(&str, &str)]| {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Step::new("s", Sysctl { settings: settings.collect::<BTreeMap<_, _>>() })
    };
    let step = settings(&[("net.ipv4.ip_forward", "1")]);
    apply(&step, &machine).unwrap();
    assert_eq!(machine.text("/proc/sys/net/ipv4/ip_forward"), "1\n");
    assert!(machine.text("/etc/sysctl.d/90-sealock.conf").ends_with("net.ipv4.ip_forward = 1\n"));
    undo(&step, &machine);
    undo(&Step::new("d", Directory { path: "/etc/sysctl.d".into(), mode: Mode::EXECUTABLE }), &machine);
    assert_eq!(machine.tree(), before);
    assert!(matches!(probe(&settings(&[("net.none", "1")]), &machine), Probe::Unknown { .. }));
    assert!(matches!(apply(&settings(&[("../etc", "1")]), &machine), Err(StepError::Invalid { .. })));
}

#[test]
fn a_module_that_is_there_needs_no_modprobe_and_one_that_is_not_fails_by_name() {
    let machine = Machine::new();
    let modules = |name: &str| Step::new("m", KernelModule { modules: vec![name.into()] });
    apply(&modules("overlay"), &machine).unwrap();
    let error = apply(&modules("br_netfilter"), &machine).unwrap_err();
    assert_eq!(error.to_string(), "the program modprobe is not on this host");
}
