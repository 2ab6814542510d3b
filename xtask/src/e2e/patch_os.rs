//! OS packages are brought to the nodes of a cluster: a worker loses its power in the middle of dpkg, the operator's command is killed while a
//! machine restarts, and the same command finishes it.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::expect::expect;
use super::rollback::expect_all_serve;
use super::upgrade::{application, begin, bring_in};
use super::watch::Watch;
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "patch-os",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "w1", "w2"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "patch-os: a release without OS packages", run: without },
    Case { name: "patch-os: the next bundle brings them", run: next_bundle },
    Case { name: "patch-os: shown, and nothing done", run: shown },
    Case { name: "patch-os: a worker loses its power in the middle of dpkg", run: power_lost },
    Case { name: "patch-os: the operator is killed while a machine restarts", run: operator_killed },
    Case { name: "patch-os: the same command finishes it", run: finished },
    Case { name: "patch-os: what is on the hosts", run: on_the_hosts },
    Case { name: "patch-os: nothing is left to do", run: nothing_to_do },
    Case { name: "patch-os: the gap holds", run: proof::gap },
    Case { name: "patch-os: reset", run: super::cases::cluster::reset },
];

const VERSIONS: [&str; 2] = ["1.0", "2.0"];
const PATCH: [&str; 4] = ["cluster", "patch-os", "--yes", "--delete-emptydir-data"];
/// What the administrator of a host has written.
const SETTINGS: &str = "etc/sealock-lab-hello.conf";
const OWN_SETTINGS: &str = "# settings of this host\n";
/// By these files a package that takes its time says that it has begun, and is told to go on.
const BEGUN: &str = "/run/sealock-lab-slow";
const GO: &str = "/run/sealock-lab-go";
/// A source of others on a host, that nobody is to ask.
const STRANGE: &str = "etc/apt/sources.list.d/strange.list";

fn without(desk: &Desk) -> Result<()> {
    let said = ["error[NOT_IN_RELEASE]", "carries no OS packages for", "spec.osPackages"];
    expect(&mut desk.station(&PATCH), 3, &said).map(drop)
}

/// The hosts have the packages as they were; the archive has newer ones, and the bundle brings them.
fn next_bundle(desk: &Desk) -> Result<()> {
    let archive = desk.lab.dir().join("outside/www/archive.lab.example/debian/pool/main/s");
    for node in desk.nodes {
        let there = desk.lab.root_of(node).join("root/debs");
        fs::create_dir_all(&there)?;
        for folder in fs::read_dir(&archive)? {
            for deb in fs::read_dir(folder?.path())? {
                let deb = deb?;
                // What the others come to need is new.
                if !deb.file_name().to_string_lossy().starts_with("sealock-lab-base") {
                    fs::copy(deb.path(), there.join(deb.file_name()))?;
                }
            }
        }
        let install = "dpkg -i /root/debs/*.deb && rm -rf /root/debs";
        story::text(&mut desk.lab.exec(node, &["sh", "-c", install]))?;
    }
    ensure!(versions(desk, "w1")? == before(), "{:?}", versions(desk, "w1")?);
    let root = desk.lab.root_of("w2");
    fs::write(root.join(SETTINGS), OWN_SETTINGS)?;
    fs::write(root.join(STRANGE), "deb [trusted=yes] http://198.51.100.10/debian stable main\n")?;
    desk.lab.publish_packages(VERSIONS[1])?;
    fs::copy(desk.lab.dir().join("outside/archive.asc"), desk.outside.join("keys/archive.asc"))?;
    let spec = fs::read_to_string(desk.written("sealock.yaml"))?;
    let set = set_name(desk)?;
    let sets = format!(
        "  osPackages:\n    - name: {set}\n      apt:\n        - uri: https://archive.lab.example/debian\n          suite: lab\n          \
         components: [main]\n          signedBy: keys/archive.asc\n      packages: [sealock-lab-hello, sealock-lab-restart, sealock-lab-slow]\n"
    );
    bring_in(desk, &format!("{}\n{sets}", spec.trim_end()))?;
    desk.lab.watch_egress()
}

/// Like `debian-12`, after the system of the nodes.
pub(super) fn set_name(desk: &Desk) -> Result<String> {
    let text = fs::read_to_string(desk.lab.root_of("cp1").join("usr/lib/os-release"))?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim_matches('"').to_owned()).with_context(|| format!("no {key} in os-release"))
    };
    Ok(format!("{}-{}", value("ID=")?, value("VERSION_ID=")?))
}

fn shown(desk: &Desk) -> Result<()> {
    let show = ["cluster", "patch-os", "--dry-run", "--delete-emptydir-data"];
    let said = [
        "sealock-lab-hello 1.0 to 2.0: cp1, w1, w2",
        "sealock-lab-base 1.0 (new): cp1, w1, w2",
        "Plan to bring OS packages of release 2 to cluster plant-7",
        "empty node w1",
        "restart the machine if a package asks for it",
        "change 4 OS packages",
    ];
    expect(&mut desk.station(&show), 0, &said)?;
    let named = [&show[..], &["--node", "w2", "--reboot", "never"]].concat();
    let one = expect(&mut desk.station(&named), 0, &["sealock-lab-hello 1.0 to 2.0: w2\n"])?;
    ensure!(!one.contains("restart the machine") && !one.contains("empty node w1"), "more than asked for:\n{one}");
    // Its scratch space would be lost with a pod that is evicted.
    let without = ["cluster", "patch-os", "--yes"];
    expect(&mut desk.station(&without), 3, &["emptyDir", "--delete-emptydir-data"])?;
    expect(&mut desk.station(&["cluster", "diff"]), 1, &["4 OS packages wait", "cluster patch-os"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    for node in desk.nodes {
        ensure!(versions(desk, node)? == before(), "{node} was changed: {:?}", versions(desk, node)?);
    }
    Ok(())
}

/// The control plane is through, and restarted; on the first worker a package is being configured when the power goes.
fn power_lost(desk: &Desk) -> Result<()> {
    for node in ["cp1", "w2"] {
        story::text(&mut desk.lab.exec(node, &["touch", GO]))?;
    }
    let started = boot(desk, "cp1")?;
    let watch = Watch::begin(desk, "w2", "application", &application(desk)?)?;
    let mut patching = Running::start(desk)?;
    patching.until(desk, "a package is configured on w1", |desk| {
        let there = desk.lab.exec("w1", &["test", "-e", BEGUN]).output()?;
        Ok(there.status.success())
    })?;
    desk.lab.kill_machine("w1")?;
    desk.lab.boot_machine("w1")?;
    story::text(&mut desk.lab.exec("w1", &["touch", GO]))?;
    patching.ends(4, "the same command again")?;
    watch.end(desk)?.ensure_answered()?;
    ensure!(boot(desk, "cp1")? != started, "cp1 was not restarted");
    ensure!(versions(desk, "cp1")? == after(), "cp1 has {:?}", versions(desk, "cp1")?);
    let audit = story::text(&mut desk.lab.exec("w1", &["dpkg", "--audit"]))?;
    ensure!(audit.contains("sealock-lab-slow"), "dpkg was not cut off on w1: {audit:?}");
    ensure!(versions(desk, "w2")? == before(), "w2 came before w1 was through");
    let others = ["was begun and is not finished", "cluster patch-os"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 1, &others)?;
    expect(&mut desk.station(&["cluster", "rollback", "--yes"]), 1, &others)?;
    expect(&mut desk.station(&["cluster", "upgrade", "--components", "--yes"]), 1, &others).map(drop)
}

/// The first worker was started anew since its packages asked for it, and is given back; it is killed as soon as the machine of the second one is down.
fn operator_killed(desk: &Desk) -> Result<()> {
    let [cut_off, started] = ["w1", "w2"].map(|node| boot(desk, node));
    let (cut_off, started) = (cut_off?, started?);
    let watch = Watch::begin(desk, "w1", "application", &application(desk)?)?;
    let mut patching = Running::start(desk)?;
    patching.until(desk, "w2 restarts", |desk| Ok(boot(desk, "w2").ok().as_ref() != Some(&started)))?;
    patching.kill(desk)?;
    ensure!(boot(desk, "w1")? == cut_off, "w1 was restarted a second time");
    watch.end(desk)?.ensure_answered()
}

fn finished(desk: &Desk) -> Result<()> {
    let show = ["cluster", "patch-os", "--dry-run", "--delete-emptydir-data"];
    let plan = expect(&mut desk.station(&show), 0, &["Plan to bring OS packages"])?;
    for node in ["cp1", "w1"] {
        ensure!(
            !plan.contains(&format!("empty node {node} ")),
            "{node} is through, and would be emptied again:\n{plan}"
        );
    }
    let watch = Watch::begin(desk, "w1", "application", &application(desk)?)?;
    let begun = Instant::now();
    expect(&mut desk.station(&PATCH), 0, &["have the OS packages of release 2"])?;
    println!("      the rest in {:.0} s", begun.elapsed().as_secs_f64());
    watch.end(desk)?.ensure_answered()
}

fn on_the_hosts(desk: &Desk) -> Result<()> {
    expect_all_serve(desk)?;
    proof::application_answers(desk)?;
    for node in desk.nodes {
        ensure!(versions(desk, node)? == after(), "{node} has {:?}", versions(desk, node)?);
        let on_node = |args: &[&str]| story::text(&mut desk.lab.exec(node, args));
        ensure!(on_node(&["dpkg", "--audit"])?.is_empty(), "packages on {node} are half done");
        ensure!(on_node(&["sealock-lab-hello"])?.contains(VERSIONS[1]), "the program on {node} is the old one");
        on_node(&["test", "!", "-e", "/run/reboot-required"]).with_context(|| format!("{node} asks for a restart"))?;
    }
    let settings = fs::read_to_string(desk.lab.root_of("w2").join(SETTINGS))?;
    ensure!(settings == OWN_SETTINGS, "the settings of w2 are now {settings:?}");
    ensure!(desk.lab.root_of("w2").join(STRANGE).exists(), "the host's own sources were changed");
    // A kernel that comes up may find no way for something of its own: what counts is what went by the cable.
    let left: Vec<String> = desk.lab.egress()?.into_iter().filter(|seen| seen.contains("frames")).collect();
    ensure!(left.is_empty(), "something got out: {}", left.join("; "));
    Ok(())
}

fn nothing_to_do(desk: &Desk) -> Result<()> {
    let before: Vec<String> = desk.nodes.iter().map(|node| boot(desk, node)).collect::<Result<_>>()?;
    expect(&mut desk.station(&PATCH), 0, &["nothing to do", "the OS packages of release 2"])?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    expect(&mut desk.station(&["cluster", "status"]), 0, &[])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    let after: Vec<String> = desk.nodes.iter().map(|node| boot(desk, node)).collect::<Result<_>>()?;
    ensure!(before == after, "a machine was restarted");
    Ok(())
}

/// Which start of the machine it is in.
fn boot(desk: &Desk, machine: &str) -> Result<String> {
    story::text(&mut desk.lab.exec(machine, &["cat", "/proc/sys/kernel/random/boot_id"]))
}

/// The versions of the lab's packages on a node that are installed whole.
fn versions(desk: &Desk, node: &str) -> Result<BTreeMap<String, String>> {
    let show = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n", "sealock-lab-*"];
    let said = story::text(&mut desk.lab.exec(node, &show))?;
    let pair = |line: &str| {
        let mut words = line.split(' ');
        let (package, version, status) = (words.next()?, words.next()?, words.next()?);
        (status == "ii").then(|| (package.to_owned(), version.to_owned()))
    };
    Ok(said.lines().filter_map(pair).collect())
}

fn before() -> BTreeMap<String, String> {
    ["sealock-lab-hello", "sealock-lab-restart", "sealock-lab-slow"]
        .map(|name| (name.to_owned(), VERSIONS[0].to_owned()))
        .into()
}

fn after() -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = before().into_keys().map(|name| (name, VERSIONS[1].to_owned())).collect();
    all.insert("sealock-lab-base".to_owned(), "1.0".to_owned());
    all
}

/// The operator's command while it runs.
struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    fn start(desk: &Desk) -> Result<Self> {
        let path = desk.outside.join("patch-os.log");
        let log = fs::File::create(&path)?;
        let child = desk.station(&PATCH).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { child, log: path })
    }

    fn until(&mut self, desk: &Desk, what: &str, is_so: impl Fn(&Desk) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(900);
        while !is_so(desk)? {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before {what}:\n{}", fs::read_to_string(&self.log)?);
            }
            ensure!(Instant::now() < deadline, "after 900 s it is not so: {what}\n{}", fs::read_to_string(&self.log)?);
            std::thread::park_timeout(Duration::from_millis(200));
        }
        Ok(())
    }

    fn ends(mut self, code: i32, sentence: &str) -> Result<()> {
        let status = self.child.wait()?;
        let said = fs::read_to_string(&self.log)?;
        ensure!(status.code() == Some(code), "it ended with {status}, not with {code}:\n{said}");
        ensure!(said.contains(sentence), "it does not say {sentence:?}:\n{said}");
        Ok(())
    }

    fn kill(mut self, desk: &Desk) -> Result<()> {
        let kill = format!("for p in $(pgrep -xf 'sealock {}'); do kill -KILL $p; done", PATCH.join(" "));
        story::text(&mut desk.lab.exec("station", &["sh", "-c", &kill]))?;
        ensure!(!self.child.wait()?.success(), "it was through before it was killed");
        until("w2 answers again", || Ok(boot(desk, "w2").is_ok()))
    }
}
