//! The clock of a machine with chrony or systemd-timesyncd: told of the site's servers, cut off, changed by others, and given back.

use std::io::Read;

use proptest::prelude::*;
use sealock_node::changes::Changes;
use sealock_node::host::{Alteration, Command, Entry, Host, HostError, Output};
use sealock_node::step::{Mode, TimeServers};
use sealock_node::time::{self, TimeDaemon, chrony, timesyncd};
use sealock_node::{Probe, Step, StepError};

use crate::machine::{Machine, bare};

const DEBIAN: &str = "/etc/chrony/chrony.conf";
const UNIT: &str = "/etc/systemd/system/chrony.service";
const SETTINGS: &str =
    "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\nmakestep 1 3\n";
/// What runs goes by the settings that it had at its start.
const STARTED: &str = "/var/lib/sealock/of-the-test/started";
/// Servers that do not answer.
const SILENT: &str = "/var/lib/sealock/of-the-test/silent";
const DROP_IN: &str = "/etc/systemd/timesyncd.conf.d/zz-sealock.conf";

/// A machine with a program that asks for the time whomever its settings named when it was started.
struct Clocked(Machine);

impl Clocked {
    fn with_chrony() -> Self {
        let machine = Machine::new();
        machine.put(UNIT, "[Service]\n");
        machine.put(DEBIAN, SETTINGS);
        machine.put("/etc/chrony/conf.d/README", "server in words\n");
        Self(machine)
    }

    fn running(self) -> Self {
        for verb in ["enable", "restart"] {
            self.run(&Command::new("systemctl", [verb, "chrony.service"])).unwrap();
        }
        self
    }

    fn text_or_nothing(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.path().join(&path[1..])).unwrap_or_default()
    }

    /// Of the main file alone, and with chrony's words.
    fn chronyc(&self) -> Output {
        let (started, silent) = (self.text_or_nothing(STARTED), self.text_or_nothing(SILENT));
        let server = |line: &str| {
            let name = line.strip_prefix("server ").or_else(|| line.strip_prefix("pool "))?.split(' ').next()?;
            let (state, reach) = if silent.contains(name) { ("?", 0) } else { ("*", 17) };
            Some(format!("^,{state},{name},10,6,{reach},2,0.000000120,0.000004175,0.000006746\n"))
        };
        said(&started.lines().filter_map(server).collect::<String>())
    }

    fn timedatectl(&self) -> Output {
        let started = self.text_or_nothing(STARTED);
        let servers = started.lines().filter_map(|line| line.strip_prefix("NTP=")).collect::<String>();
        let first = servers.split(' ').next().unwrap_or_default();
        said(&format!(
            "SystemNTPServers={servers}\nServerName={first}\nNTPMessage={{ Leap=0, Ignored=no, PacketCount=1 }}\n"
        ))
    }
}

fn said(stdout: &str) -> Output {
    Output { status: 0, stdout: stdout.to_owned(), stderr: String::new() }
}

impl Host for Clocked {
    fn inspect(&self, path: &str) -> Result<Entry, HostError> {
        self.0.inspect(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>, HostError> {
        self.0.open(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
        self.0.list(path)
    }

    fn write(&self, path: &str, mode: Mode, content: &mut dyn Read) -> Result<(), HostError> {
        self.0.write(path, mode, content)
    }

    fn alter(&self, alteration: Alteration<'_>) -> Result<(), HostError> {
        self.0.alter(alteration)
    }

    fn run(&self, command: &Command) -> Result<Output, HostError> {
        match command.program.as_str() {
            "chronyc" => return Ok(self.chronyc()),
            "timedatectl" => return Ok(self.timedatectl()),
            _ => {}
        }
        let output = self.0.run(command)?;
        if command.program == "systemctl" && command.args.first().is_some_and(|verb| verb == "restart") {
            let file = if command.args[1] == "chrony.service" { DEBIAN } else { DROP_IN };
            self.0.put(STARTED, &self.text_or_nothing(file));
        }
        Ok(output)
    }
}

fn step(daemon: TimeDaemon) -> Step {
    let servers = ["10.77.0.2", "ntp.plant.internal"].map(str::to_owned).into();
    Step::new("time", TimeServers { servers, daemon, timeout_seconds: 1 })
}

fn by_chrony() -> Step {
    step(TimeDaemon::Chrony)
}

fn apply(step: &Step, host: &Clocked) -> Result<(), StepError> {
    bare(|context| {
        if step.probe(host, context)? != Probe::Done {
            step.apply(host, context)?;
        }
        step.verify(host, context)
    })
}

fn probe(step: &Step, host: &Clocked) -> Probe {
    bare(|context| step.probe(host, context)).unwrap()
}

fn undo(step: &Step, host: &Clocked) -> Result<(), StepError> {
    bare(|context| step.undo(host, context))
}

#[test]
fn chrony_asks_the_sites_servers_and_nobody_else_until_it_is_given_back() {
    let host = Clocked::with_chrony().running();
    host.0.put("/etc/chrony/conf.d/ours.conf", "server 192.0.2.1\nminsources 2\n");
    let before = host.0.tree();
    assert_eq!(
        probe(&by_chrony(), &host),
        Probe::not_done("by /etc/chrony/conf.d/ours.conf the time is not from 10.77.0.2, ntp.plant.internal alone")
    );
    apply(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.text("/etc/chrony/conf.d/ours.conf"), "#sealock# server 192.0.2.1\nminsources 2\n");
    assert!(
        host.0.text(DEBIAN).contains("#sealock# pool 2.debian") && host.0.text(STARTED).contains("server 10.77.0.2 ")
    );
    host.0.calls();
    apply(&by_chrony(), &host).unwrap();
    assert!(!host.0.calls().iter().any(|call| call.contains("restart")), "a second time changes nothing");
    undo(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.tree(), before);
    assert!(host.0.is_active("chrony.service") && host.0.text(STARTED) == SETTINGS, "it asks whom it asked before");
}

#[test]
fn a_chrony_that_did_not_run_does_not_run_afterwards() {
    let host = Clocked::with_chrony();
    apply(&by_chrony(), &host).unwrap();
    assert!(host.0.is_active("chrony.service"));
    undo(&by_chrony(), &host).unwrap();
    assert!(!host.0.is_active("chrony.service"));
}

#[test]
fn a_chrony_is_enabled_and_runs_afterwards_as_it_did_before() {
    let unit = "chrony.service";
    for (is_enabled, is_active) in [(true, true), (true, false), (false, true), (false, false)] {
        let host = Clocked::with_chrony();
        for verb in [is_enabled.then_some("enable"), is_active.then_some("restart")].into_iter().flatten() {
            host.run(&Command::new("systemctl", [verb, unit])).unwrap();
        }
        apply(&by_chrony(), &host).unwrap();
        assert!(host.0.is_enabled(unit) && host.0.is_active(unit));
        // Told again when somebody has stopped it: what it was at first counts.
        host.run(&Command::new("systemctl", ["disable", "--now", unit])).unwrap();
        apply(&by_chrony(), &host).unwrap();
        undo(&by_chrony(), &host).unwrap();
        assert_eq!((host.0.is_enabled(unit), host.0.is_active(unit)), (is_enabled, is_active));
    }
}

#[test]
fn a_chrony_that_somebody_took_away_keeps_nobody_from_the_end() {
    let host = Clocked::with_chrony().running();
    host.0.put("/etc/chrony/conf.d/ours.conf", "server 192.0.2.1\n");
    apply(&by_chrony(), &host).unwrap();
    std::fs::remove_dir_all(host.0.path().join("etc/chrony")).unwrap();
    std::fs::remove_file(host.0.path().join(&UNIT[1..])).unwrap();
    undo(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.text(DEBIAN), SETTINGS);
    Changes::load(&host).unwrap().undo_all(&host).unwrap();
    assert_eq!(host.0.text("/etc/chrony/conf.d/ours.conf"), "server 192.0.2.1\n");
    assert_eq!(Changes::load(&host).unwrap().iter().count(), 0);
}

#[test]
fn a_server_that_does_not_answer_is_told_after_a_while_and_waited_for_again() {
    let host = Clocked::with_chrony().running();
    host.0.put(SILENT, "10.77.0.2 ntp.plant.internal");
    let error = apply(&by_chrony(), &host).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the clock is not kept by the site's time servers after 1 s: no answer to chrony from 10.77.0.2, ntp.plant.internal (UDP port 123)"
    );
    assert!(!error.is_refusal());
    host.0.put(SILENT, "10.77.0.2");
    apply(&by_chrony(), &host).unwrap();
}

#[test]
fn a_node_whose_servers_are_silent_is_left_alone() {
    let host = Clocked::with_chrony().running();
    apply(&by_chrony(), &host).unwrap();
    host.0.put(SILENT, "10.77.0.2 ntp.plant.internal");
    let silent = "no answer to chrony from 10.77.0.2, ntp.plant.internal (UDP port 123)";
    host.0.calls();
    assert_eq!(probe(&by_chrony(), &host), Probe::not_done(silent));
    assert!(matches!(apply(&by_chrony(), &host), Err(StepError::Late { .. })));
    assert!(!host.0.calls().iter().any(|call| call.contains("restart")), "an answer does not come by a start");
    host.0.put("/etc/kubernetes/kubelet.conf", "");
    assert_eq!(probe(&by_chrony(), &host), Probe::Done);
    // Who is asked counts there, too.
    host.0.put(DEBIAN, &format!("{}server 192.0.2.1\n", host.0.text(DEBIAN)));
    apply(&by_chrony(), &host).unwrap();
    assert!(host.0.calls().iter().any(|call| call.contains("restart")));
    host.0.put(STARTED, "server 192.0.2.1\n");
    assert_eq!(probe(&by_chrony(), &host), Probe::not_done("chrony asks 192.0.2.1 for the time, too"));
    apply(&by_chrony(), &host).unwrap();
    assert_eq!(probe(&by_chrony(), &host), Probe::Done);
}

#[test]
fn what_somebody_adds_is_taken_over_and_whom_he_names_is_put_out_of_use() {
    let host = Clocked::with_chrony().running();
    apply(&by_chrony(), &host).unwrap();
    let ours = host.0.text(DEBIAN);
    host.0.put(DEBIAN, &format!("maxslewrate 100\n{ours}"));
    assert_eq!(
        probe(&by_chrony(), &host),
        Probe::not_done("/etc/chrony/chrony.conf has lines that somebody has added since")
    );
    apply(&by_chrony(), &host).unwrap();
    assert!(host.0.text(DEBIAN).starts_with("maxslewrate 100\n"));
    host.0.put(DEBIAN, &format!("{ours}server 192.0.2.1\n"));
    apply(&by_chrony(), &host).unwrap();
    assert!(host.0.text(DEBIAN).contains("#sealock# server 192.0.2.1\n"));
    undo(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.text(DEBIAN), SETTINGS);
}

#[test]
fn files_outside_of_etc_are_not_changed_and_what_cannot_be_followed_is_not_guessed() {
    let host = Clocked::with_chrony().running();
    host.0.put(DEBIAN, "include /opt/vendor/time.conf\n");
    host.0.put("/opt/vendor/time.conf", "pool pool.vendor.example\n");
    let Probe::Foreign { found } = probe(&by_chrony(), &host) else { panic!("it is changed") };
    assert!(found.starts_with("/opt/vendor/time.conf names servers of time"), "{found}");
    host.0.put(DEBIAN, "include /etc/chrony/?/*.conf\n");
    assert!(matches!(probe(&by_chrony(), &host), Probe::Unknown { .. }));
    host.0.put(DEBIAN, "include /etc/chrony/with-*.conf\ninclude /etc/chrony/missing.conf\n");
    host.0.put("/etc/chrony/with-servers.conf", "peer 192.0.2.1\n");
    apply(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.text("/etc/chrony/with-servers.conf"), "#sealock# peer 192.0.2.1\n");
}

#[test]
fn how_lines_end_makes_no_file_one_that_names_servers() {
    let host = Clocked::with_chrony().running();
    host.0.put(DEBIAN, "include /opt/vendor/time.conf\r\ninclude /etc/chrony/ours.conf\r\nmakestep 1 3");
    host.0.put("/opt/vendor/time.conf", "maxslewrate 100\r\nrtcsync");
    host.0.put("/etc/chrony/ours.conf", "server 192.0.2.1\r\nminsources 1");
    let before = host.0.tree();
    apply(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.text("/opt/vendor/time.conf"), "maxslewrate 100\r\nrtcsync");
    assert_eq!(host.0.text("/etc/chrony/ours.conf"), "#sealock# server 192.0.2.1\r\nminsources 1");
    let main = host.0.text(DEBIAN);
    assert!(
        main.starts_with("include /opt/vendor/time.conf\r\n") && main.contains("makestep 1 3\n# Sealock"),
        "{main}"
    );
    assert_eq!(probe(&by_chrony(), &host), Probe::Done);
    undo(&by_chrony(), &host).unwrap();
    assert_eq!(host.0.tree(), before);
}

#[test]
fn cut_off_at_any_change_it_is_finished_and_given_back() {
    for changes in 0..40 {
        let host = Clocked::with_chrony();
        host.0.put("/etc/chrony/conf.d/ours.conf", "server 192.0.2.1\n");
        let before = host.0.tree();
        host.0.fail_after(changes);
        let done = apply(&by_chrony(), &host).is_ok();
        host.0.heal();
        apply(&by_chrony(), &host).unwrap();
        host.0.fail_after(changes);
        let undone = undo(&by_chrony(), &host).is_ok();
        host.0.heal();
        undo(&by_chrony(), &host).unwrap();
        assert_eq!(host.0.tree(), before, "after {changes} changes");
        assert!(!host.0.is_active("chrony.service"), "after {changes} changes");
        if done && undone {
            return;
        }
    }
    panic!("it was never through");
}

#[test]
fn timesyncd_is_told_by_a_file_that_comes_last() {
    let machine = Machine::new();
    machine.put("/etc/systemd/system/systemd-timesyncd.service", "[Service]\n");
    // Its folder goes by a record of its own, when the host is given back.
    machine.put("/etc/systemd/timesyncd.conf.d/90-site.conf", "[Time]\nNTP=192.0.2.1\n");
    let host = Clocked(machine);
    let before = host.0.tree();
    apply(&step(TimeDaemon::Timesyncd), &host).unwrap();
    assert!(host.0.text(DROP_IN).contains("\nNTP=\nNTP=10.77.0.2 ntp.plant.internal\nFallbackNTP=\n"));
    assert!(host.0.is_active("systemd-timesyncd.service"));
    undo(&step(TimeDaemon::Timesyncd), &host).unwrap();
    assert_eq!(host.0.tree(), before);
    assert!(!host.0.is_active("systemd-timesyncd.service"));
}

/// Lines as they stand in settings of chrony, and in what programs say, whole and in pieces.
fn words() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("server 192.0.2.1 iburst".to_owned()),
        Just("  Pool a".to_owned()),
        Just("#sealock# peer b".to_owned()),
        Just("sourcedir /run/chrony-dhcp".to_owned()),
        Just("# Sealock: end.".to_owned()),
        Just(chrony::with_servers("", &["10.77.0.9".to_owned()])),
        Just("^,*,10.77.0.2,10,6,17,15,0.0000026,0.1,0.1".to_owned()),
        Just("NTPMessage={ Leap=0, Ignored=no, PacketCount=1, Offset=-1.5s }".to_owned()),
        Just("ServerName=\u{e9}".to_owned()),
        "\\PC{0,40}",
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn whatever_stands_in_settings_told_twice_is_told_once(text in words()) {
        let servers = ["10.77.0.2", "ntp.plant.internal"].map(str::to_owned);
        let told = chrony::with_servers(&text, &servers);
        prop_assert_eq!(chrony::with_servers(&told, &servers), told.clone());
        prop_assert_eq!(chrony::ours(&told), servers);
    }

    #[test]
    fn whatever_programs_say_is_read(text in words()) {
        let servers = ["10.77.0.2".to_owned()];
        let _ = time::problem(TimeDaemon::Chrony, &chrony::read(&text), &servers);
        let _ = time::problem(TimeDaemon::Timesyncd, &timesyncd::read(&text), &servers);
        let _ = time::is_of_site(&text, &servers);
    }
}
