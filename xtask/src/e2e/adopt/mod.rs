//! A cluster that somebody made by hand is taken over as it runs: refused first, killed in the middle, finished, and then like any other.

mod by_hand;
mod several;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::expect::expect;
use super::upgrade::{self, NEXT, NOW};
use super::{Case, Scenario, rollback};
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS};

pub(super) use self::several::SCENARIO as SCENARIO_SEVERAL;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "adopt",
    upstream: Upstream::WithNext,
    is_long: true,
    nodes: &["cp1", "w1", "w2"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "adopt: the cluster says what it is", run: drafted },
    Case { name: "adopt: apply is not the way", run: apply_is_not_the_way },
    Case { name: "adopt: a wrong network is named, and nothing is changed", run: wrong_network },
    Case { name: "adopt: what is in force and would be lost is named", run: in_force },
    Case { name: "adopt: shown, and nothing done", run: shown },
    Case { name: "adopt: killed in the middle, everything down, and finished", run: taken_over },
    Case { name: "adopt: a cluster like any other", run: like_any_other },
    Case { name: "adopt: what stood there is aside", run: kept_aside },
    Case { name: "adopt: a further worker", run: further_worker },
    Case { name: "adopt: upgraded, and gone on with after a worker failed", run: upgraded },
    Case { name: "adopt: reset gives back what stood there", run: given_back },
    Case { name: "adopt: a cluster that is half taken over is given back", run: half_given_back },
];

const ADOPTED: [&str; 2] = ["cp1", "w1"];
const ADOPT: [&str; 3] = ["cluster", "adopt", "--yes"];
/// Where traces would be. What runs in the cluster writes elsewhere all the time.
const TRACES: &str = r#"find /etc /usr /opt /root /var/lib/sealock /run/sealock -xdev ! -type d -printf '%p %y %m %s %T@ %l\n' 2>/dev/null | sort
find /opt /root /var/lib/sealock /run/sealock -xdev -type d 2>/dev/null | sort"#;

/// A site that serves a release, and beside it a cluster that knows nothing of Sealock.
fn begin(desk: &Desk) -> Result<()> {
    site(desk)?;
    println!("--- by hand: kubeadm init, kubeadm join, a pod network and an application");
    by_hand::make(desk)
}

fn site(desk: &Desk) -> Result<()> {
    for name in ["init", "lock", "build", "carry", "site init", "enroll", "import", "serve"] {
        let step = STEPS.iter().find(|step| step.name == name).with_context(|| format!("the story has no {name}"))?;
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    Ok(())
}

/// What an operator begins with who has only the keys of the hosts.
fn drafted(desk: &Desk) -> Result<()> {
    let before = traces(desk)?;
    let mut known = String::new();
    for (node, address) in [("cp1", "10.77.0.11"), ("w1", "10.77.0.21")] {
        let key = fs::read_to_string(desk.lab.root_of(node).join("etc/ssh/ssh_host_ed25519_key.pub"))?;
        known.push_str(&format!("{address} {}\n", key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")));
    }
    fs::write(desk.lab.root_of("station").join("root/site/known_hosts"), known)?;
    let draft = ["cluster", "adopt", "--draft", "ops@10.77.0.11", "--known-hosts", "known_hosts", "--name", "plant-7"];
    let said = [
        "site: plant-7",
        "version: v1.36.3",
        "10.77.0.11:6443",
        "10.244.0.0/16",
        "nftables",
        "name: w1",
        "SystemdCgroup: false",
    ];
    expect(&mut desk.station(&draft), 0, &said)?;
    same("a draft", &before, &traces(desk)?)
}

fn apply_is_not_the_way(desk: &Desk) -> Result<()> {
    let said = ["error[FOREIGN]", "has a cluster already", "sealock cluster adopt"];
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &said)?;
    // As an operator who looked, and goes: what apply brought is taken away before anything is compared.
    for node in ADOPTED {
        story::text(&mut desk.lab.exec(node, &["rm", "-rf", "/opt/sealock", "/run/sealock"]))?;
    }
    Ok(())
}

fn wrong_network(desk: &Desk) -> Result<()> {
    let before = traces(desk)?;
    write_spec(desk, "wrong.yaml", &[("pods: 10.244.0.0/16", "pods: 10.245.0.0/16")])?;
    let wrong = [&ADOPT[..], &["-f", "wrong.yaml"]].concat();
    let said = [
        "error[FOREIGN]",
        "1 thing is in the way",
        "spec.network.pods is 10.244.0.0/16, and the spec says 10.245.0.0/16",
    ];
    expect(&mut desk.station(&wrong), 3, &said)?;
    same("the refused adoption", &before, &traces(desk)?)
}

/// Nothing that somebody configured becomes something else unseen. What a variable is stays where it is.
fn in_force(desk: &Desk) -> Result<()> {
    by_hand::forgotten(desk, "w1")?;
    write_spec(desk, "other.yaml", &[("failCgroupV1: false", "failCgroupV1: false\n      maxPods: 250")])?;
    let other = [&ADOPT[..], &["-f", "other.yaml"]].concat();
    let said = [
        "w1: containerd's configuration is written after its start (/etc/containerd/config.toml)",
        "w1: containerd's plugins.io.containerd.nri.v1.nri.disable is true, and Sealock would write false",
        "w1: Environment of containerd.service is TOKEN, and only its unit says so",
        "cluster: spec.overrides.kubelet.maxPods is not set, and the spec says 250",
        "cp1: spec.overrides.kubelet.maxPods is not set, and the spec says 250",
    ];
    let text = expect(&mut desk.station(&other), 3, &said)?;
    ensure!(!text.contains("hidden"), "a value of the environment was told: {text}");
    by_hand::put_right(desk, "w1")
}

fn shown(desk: &Desk) -> Result<()> {
    let before = traces(desk)?;
    let said = [
        "Plan to take over cluster plant-7",
        "take a snapshot of etcd",
        "claim the node as it runs",
        "keeping aside /usr/bin/kubelet",
        "replace /etc/containerd/config.toml",
    ];
    expect(&mut desk.station(&["cluster", "adopt", "--dry-run"]), 0, &said)?;
    same("a plan", &before, &traces(desk)?)
}

fn taken_over(desk: &Desk) -> Result<()> {
    let (before, begun) = (containers(desk)?, Instant::now());
    killed_when_claimed(desk, "w1")?;
    same("taking over", &before, &containers(desk)?)?;
    let unfinished = ["taking the cluster over was begun and is not finished", "sealock cluster adopt"];
    for command in ["apply", "rescue", "upgrade"] {
        expect(&mut desk.station(&["cluster", command, "--yes"]), 1, &unfinished)?;
    }
    // Nobody answers for the cluster, and no node for itself.
    on_node(desk, "w1", "systemctl stop kubelet containerd")?;
    on_node(desk, "cp1", "systemctl stop kubelet containerd && kill -KILL $(pidof kube-apiserver)")?;
    expect(&mut desk.station(&ADOPT), 0, &["cluster plant-7 is Sealock's"])?;
    println!("      two nodes in {:.0} s", begun.elapsed().as_secs_f64());
    // Without an API server its clients end, too: they are the control plane's own.
    let of_applications = |all: BTreeMap<String, String>| {
        let planes = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
        all.into_iter().filter(|(pod, _)| !planes.iter().any(|plane| pod.contains(plane))).collect()
    };
    same("going on", &of_applications(before), &of_applications(containers(desk)?))?;
    answers(desk)
}

/// Ended when `node` is claimed; what was begun there goes on to its end.
fn killed_when_claimed(desk: &Desk, node: &str) -> Result<()> {
    let log = fs::File::create(desk.outside.join("adopt.log"))?;
    let mut child = desk.station(&ADOPT).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(600);
    let said = || fs::read_to_string(desk.outside.join("adopt.log"));
    let claim = ["test", "-e", "/var/lib/sealock/node/claim.json"];
    while !story::output(&mut desk.lab.exec(node, &claim))?.status.success() {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status} before it came to {node}:\n{}", said()?);
        }
        ensure!(Instant::now() < deadline, "after 600 s it has not come to {node}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let kill = format!("for p in $(pgrep -xf 'sealock {}'); do kill -KILL $p; done", ADOPT.join(" "));
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &kill]))?;
    ensure!(!child.wait()?.success(), "it was through before it was killed");
    let steps = "systemctl list-units --no-legend --plain --state=active,activating 'sealock-*'";
    while !on_node(desk, node, steps)?.trim().is_empty() {
        ensure!(Instant::now() < deadline, "after 600 s {node} has not ended what it was told to do");
        std::thread::park_timeout(Duration::from_millis(200));
    }
    Ok(())
}

fn on_node(desk: &Desk, node: &str, line: &str) -> Result<String> {
    story::text(&mut desk.lab.exec(node, &["sh", "-c", line]))
}

fn like_any_other(desk: &Desk) -> Result<()> {
    let before = containers(desk)?;
    expect(&mut desk.station(&ADOPT), 0, &["nothing to do", "is Sealock's already"])?;
    expect(&mut desk.station(&["cluster", "status"]), 0, &["node of plant-7", "Ready"])?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "upgrade", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "upgrade", "--components", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "certificates"]), 0, &["cp1", "apiserver"])?;
    same("looking", &before, &containers(desk)?)
}

/// What nodes use is the release's, and what they used is not lost.
fn kept_aside(desk: &Desk) -> Result<()> {
    for node in ADOPTED {
        let on_node = |line: &str| on_node(desk, node, line);
        let limit = on_node("systemctl show --property=LimitNOFILE --value containerd")?;
        ensure!(limit.trim() == "65536", "containerd of {node} may open {limit} files");
        let links = on_node("readlink /usr/bin/kubelet /usr/local/bin/containerd /usr/local/sbin/runc")?;
        ensure!(links.lines().count() == 3 && links.lines().all(|link| link.starts_with("/opt/sealock/")), "{links}");
        let runs = on_node(
            "for u in containerd kubelet; do readlink /proc/$(systemctl show -p MainPID --value $u)/exe; done",
        )?;
        ensure!(runs.lines().all(|program| program.starts_with("/opt/sealock/")), "{node} runs {runs}");
        let hosts = on_node("cat /etc/containerd/certs.d/_default/hosts.toml")?;
        ensure!(hosts.contains("site-ca.crt") && !hosts.contains("skip_verify"), "{hosts}");
        for (name, digest) in by_hand::digests()? {
            let kept = format!("sha256sum /var/lib/sealock/node/backup/{digest}");
            ensure!(on_node(&kept)?.starts_with(&digest), "{name} of {node} is not aside");
        }
    }
    let snapshots = story::text(&mut desk.lab.exec("cp1", &["ls", "/var/lib/sealock/snapshots"]))?;
    ensure!(snapshots.contains("-before-adoption.db"), "no snapshot was taken: {snapshots}");
    Ok(())
}

/// By the spec and an apply, as on a cluster that Sealock has made. Its part of the pod network is the cluster's own matter.
fn further_worker(desk: &Desk) -> Result<()> {
    let before = containers(desk)?;
    by_hand::network(desk, "w2")?;
    let host = "- {name: w2, address: 10.77.0.22, roles: [worker], ssh: {user: ops, hostKey: \"HOST-KEY-OF-w2\"}}";
    write_spec(desk, "cluster.yaml", &[("# HERE A FURTHER HOST", host)])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    story::text(&mut desk.kubectl(&["wait", "node/w2", "--for=condition=Ready", "--timeout=180s"]))?;
    expect(&mut desk.station(&["cluster", "status"]), 0, &["w2"])?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    let after = containers(desk)?;
    let lost: Vec<&String> = before.keys().filter(|pod| before.get(*pod) != after.get(*pod)).collect();
    ensure!(lost.is_empty(), "pods were started anew: {lost:?}");
    answers(desk)
}

/// The control plane is new, and kubelet of a worker does not start as the next version: the worker becomes again what it was when it was taken
/// over. The only member of etcd has gone on by then, so the whole does not; it goes on once the fault is mended.
fn upgraded(desk: &Desk) -> Result<()> {
    upgrade::next_bundle(desk)?;
    upgrade::write_version(desk, NOW, NEXT)?;
    let condition = format!("! readlink /usr/bin/kubelet | grep -q {NEXT}");
    rollback::put_in_the_way(desk, "w1", rollback::KUBELET_IN_THE_WAY, &condition)?;
    let failed = worker_fails(desk);
    // Also where it was not seen: the cases after this one have nothing to do with it.
    rollback::take_out_of_the_way(desk, "w1", rollback::KUBELET_IN_THE_WAY)?;
    failed?;
    expect(&mut desk.station(&upgrade::UPGRADE), 0, &[NEXT])?;
    rollback::expect_versions(desk, &[NEXT; 3])?;
    rollback::expect_pods_of(desk, "cp1", NEXT)?;
    like_any_other(desk)?;
    kept_aside(desk)?;
    answers(desk)
}

fn worker_fails(desk: &Desk) -> Result<()> {
    let said = ["host w1: step kubelet/unit failed", "w1 became again what it was before"];
    expect(&mut desk.station(&upgrade::UPGRADE), 4, &said)?;
    rollback::expect_versions(desk, &[NEXT, NOW, NOW])?;
    kept_aside(desk)?;
    expect(&mut desk.station(&rollback::ROLLBACK), 3, &["error[ONE_WAY]", "etcd"]).map(drop)
}

/// The cluster ends, and the machines have again what somebody put there by hand.
fn given_back(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    ADOPTED.iter().try_for_each(|node| is_as_before(desk, node))
}

/// Programs, files and units are what they were, and nothing of the cluster is left.
fn is_as_before(desk: &Desk, node: &str) -> Result<()> {
    for (path, digest) in by_hand::digests()? {
        let found = story::text(&mut desk.lab.exec(node, &["sha256sum", &path]))?;
        ensure!(found.starts_with(&digest), "{path} of {node} is not what it was");
    }
    let units = on_node(desk, node, "systemctl is-enabled containerd kubelet; systemctl is-active containerd")?;
    ensure!(units.split_whitespace().eq(["enabled", "enabled", "active"]), "units of {node}: {units}");
    let left = "ls -d /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/cni /var/log/pods /opt/sealock /var/lib/sealock/snapshots \
        /etc/systemd/system/containerd.service.d 2>/dev/null || true";
    let left = on_node(desk, node, left)?;
    ensure!(left.is_empty(), "{node} has still {left}");
    let runs = on_node(desk, node, "ctr --namespace k8s.io containers ls -q")?;
    ensure!(runs.is_empty(), "containers of {node}: {runs}");
    Ok(())
}

/// With what was given back a cluster is made again, and left in the middle of being taken over.
fn half_given_back(desk: &Desk) -> Result<()> {
    by_hand::cluster(desk)?;
    story::text(&mut desk.kubectl(&["wait", "nodes", "--all", "--for=condition=Ready", "--timeout=240s"]))?;
    write_spec(desk, "cluster.yaml", &[])?;
    killed_when_claimed(desk, "cp1")?;
    on_node(desk, "cp1", "systemctl stop kubelet && kill -KILL $(pidof kube-apiserver)")?;
    expect(&mut desk.station(&["cluster", "adopt", "--dry-run"]), 0, &["Plan to take over cluster plant-7"])?;
    let of_worker = "systemctl is-active kubelet containerd; sha256sum /usr/bin/kubelet /etc/containerd/config.toml \
        /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt; find /var/lib/sealock /opt/sealock \\( -name claim.json -o -name sealock \\) -type f 2>/dev/null || true";
    let before = on_node(desk, "w1", of_worker)?;
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &["w1: claimed for nobody, and left as they are"])?;
    is_as_before(desk, "cp1")?;
    let after = on_node(desk, "w1", of_worker)?;
    ensure!(
        after.starts_with("active\nactive\n") && !after.contains("/opt/sealock"),
        "w1 has changed: {before}\n{after}"
    );
    let files = |text: &str| text.lines().filter(|line| line.len() > 64).map(str::to_owned).collect::<Vec<_>>();
    ensure!(files(&before) == files(&after), "w1 has changed: {before}\n{after}");
    Ok(())
}

/// The spec as the operator writes it, with changes, into a file at the station.
fn write_spec(desk: &Desk, name: &str, changes: &[(&str, &str)]) -> Result<()> {
    story::outside::cluster_spec(desk, "cluster.yaml")?;
    let home = desk.lab.root_of("station").join("root/site");
    let mut text = fs::read_to_string(home.join("cluster.yaml"))?;
    for (from, to) in changes {
        ensure!(text.contains(from), "the spec has no {from}");
        text = text.replace(from, to);
    }
    for node in desk.nodes {
        let key = fs::read_to_string(desk.lab.root_of(node).join("etc/ssh/ssh_host_ed25519_key.pub"))?;
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        text = text.replace(&format!("HOST-KEY-OF-{node}"), &key.join(" "));
    }
    Ok(fs::write(home.join(name), text)?)
}

fn traces(desk: &Desk) -> Result<BTreeMap<String, String>> {
    let on_node = |node: &&str| Ok(((*node).to_owned(), story::text(&mut desk.lab.exec(node, &["sh", "-c", TRACES]))?));
    ADOPTED.iter().map(on_node).collect()
}

/// Every container of every pod: which pod, how often started, and as what.
fn containers(desk: &Desk) -> Result<BTreeMap<String, String>> {
    let pods = story::text(&mut desk.kubectl(&["get", "pods", "--all-namespaces", "-o", "json"]))?;
    let pods: Value = serde_json::from_str(&pods)?;
    let pods = pods["items"].as_array().context("no pods")?;
    ensure!(pods.len() >= 9, "only {} pods run", pods.len());
    let told = |pod: &Value| {
        let states = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let states = states.iter().map(|one| format!("{} {} {}", one["name"], one["restartCount"], one["containerID"]));
        let name = format!("{}/{}", pod["metadata"]["namespace"], pod["metadata"]["name"]);
        (name, format!("{} {}", pod["metadata"]["uid"], states.collect::<Vec<_>>().join(", ")))
    };
    Ok(pods.iter().map(told).collect())
}

fn same(what: &str, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<()> {
    for (name, was) in before {
        let is = after.get(name).map(String::as_str).unwrap_or_default();
        let (was, is): (BTreeSet<&str>, BTreeSet<&str>) = (was.lines().collect(), is.lines().collect());
        let (gone, new) = (was.difference(&is).next(), is.difference(&was).next());
        ensure!(gone.is_none() && new.is_none(), "{what} has changed {name}: {gone:?} became {new:?}");
    }
    ensure!(before.len() == after.len(), "{what} has changed how many there are: {} and {}", before.len(), after.len());
    Ok(())
}

/// The application, asked through its pod's own address from the other node.
fn answers(desk: &Desk) -> Result<()> {
    let address = ["get", "pods", "-n", "demo", "-l", "app=web", "-o=jsonpath={.items[0].status.podIP}"];
    let address = story::text(&mut desk.kubectl(&address))?;
    story::text(&mut desk.lab.exec("cp1", &["curl", "-sSf", "-m", "5", &format!("http://{address}/")])).map(drop)
}
