//! Clusters: hosts that refuse, runs that are cut off, and the way back.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::e2e::expect::expect;
use crate::e2e::until;
use crate::story::{self, Desk, proof};

/// A second apply finds nothing to do.
pub fn apply_again(desk: &Desk) -> Result<()> {
    let before = uids(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    ensure!(uids(desk)? == before, "the second apply replaced something");
    Ok(())
}

fn uids(desk: &Desk) -> Result<String> {
    let fields =
        "-o=jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}";
    story::text(&mut desk.kubectl(&["get", "pods", "-n", "kube-system", fields]))
}

/// What somebody changed on hosts is named; `apply` brings it back, but for what somebody else wrote.
pub fn drift(desk: &Desk) -> Result<()> {
    let diff = ["cluster", "diff"];
    expect(&mut desk.station(&diff), 0, &["is what its spec says"])?;
    let change = "sysctl -qw net.ipv4.ip_forward=0; systemctl stop containerd.service; rm /usr/bin/kubeadm";
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", change]))?;
    let unpin =
        "ctr -n k8s.io images label $(ctr -n k8s.io images list -q | grep -m 1 '/etcd:') io.cri-containerd.pinned=";
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", unpin]))?;
    let said = ["net.ipv4.ip_forward is 0", "containerd.service", "/usr/bin/kubeadm", "is not pinned", "cluster apply"];
    expect(&mut desk.station(&diff), 1, &said)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["steps changed something"])?;
    expect(&mut desk.station(&diff), 0, &["is what its spec says"])?;
    let hosts = "/etc/containerd/certs.d/_default/hosts.toml";
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", &format!("cp {hosts} /root/kept; echo '# mine' >> {hosts}")]))?;
    let in_the_way = expect(&mut desk.station(&diff), 1, &["in the way", hosts, "content that Sealock did not write"]);
    story::text(&mut desk.lab.exec("w1", &["cp", "/root/kept", hosts]))?;
    in_the_way.map(drop)
}

/// A host whose key is another one than the spec says is not spoken to.
pub fn wrong_host_key(desk: &Desk) -> Result<()> {
    let spec = spec(desk)?;
    let key =
        spec.split("hostKey: \"").nth(1).and_then(|rest| rest.split('"').next()).context("no hostKey in the spec")?;
    let wrong = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    write_spec(desk, "wrong-key.yaml", &spec.replacen(key, wrong, 1))?;
    expect(&mut desk.station(&["cluster", "plan", "-f", "wrong-key.yaml"]), 3, &["error[HOST_KEY]", wrong]).map(drop)
}

/// A user who may not become root is told so.
pub fn no_sudo(desk: &Desk) -> Result<()> {
    write_spec(desk, "no-sudo.yaml", &spec(desk)?.replace("user: ops", "user: nosudo"))?;
    expect(&mut desk.station(&["cluster", "plan", "-f", "no-sudo.yaml"]), 4, &["sudo"]).map(drop)
}

/// A host that does not answer is named.
pub fn unreachable(desk: &Desk) -> Result<()> {
    write_spec(desk, "unreachable.yaml", &spec(desk)?.replace("10.77.0.21", "10.77.0.99"))?;
    expect(&mut desk.station(&["cluster", "plan", "-f", "unreachable.yaml"]), 4, &["10.77.0.99"]).map(drop)
}

/// Hosts that carry a cluster are not taken for another.
pub fn existing_cluster(desk: &Desk) -> Result<()> {
    write_spec(desk, "other.yaml", &spec(desk)?.replacen("name: plant-7", "name: other", 1))?;
    expect(&mut desk.station(&["cluster", "apply", "--yes", "-f", "other.yaml"]), 3, &["error[FOREIGN]", "plant-7"])
        .map(drop)
}

/// Reset returns the hosts to what they were.
pub fn reset(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    for node in desk.nodes {
        is_bare(desk, node)?;
    }
    Ok(())
}

/// Swap on one host, a small disk on the other: both are told at once, before anything is changed.
///
/// There is one kernel beneath the machines, so one of them gets its own view of swap as lxcfs would give it.
pub fn unfit_hosts(desk: &Desk) -> Result<()> {
    let swaps = "printf 'Filename Type Size Used Priority\n/swap.img file 2097148 0 -2\n' > /run/swaps \
                 && mount --bind /run/swaps /proc/swaps";
    let disk = "mount -t tmpfs -o size=64M small /var/lib";
    story::text(&mut desk.lab.exec("cp1", &["sh", "-c", swaps]))?;
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", disk]))?;
    let said = ["error[PREFLIGHT]", "cp1: swap is on (2047 MiB)", "swapoff", "w1: only", "are free below /var/lib"];
    let refused = [
        expect(&mut desk.station(&["cluster", "plan"]), 3, &said),
        expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &said),
    ];
    story::text(&mut desk.lab.exec("cp1", &["umount", "/proc/swaps"]))?;
    story::text(&mut desk.lab.exec("w1", &["umount", "/var/lib"]))?;
    for outcome in refused {
        outcome?;
    }
    in_the_way(desk)?;
    let spec = fs::read_to_string(in_site(desk, "cluster.yaml"))?;
    fs::write(in_site(desk, "nameless.yaml"), spec.replace("endpoint: \"10.77.0.11:", "endpoint: \"nowhere.lab:"))?;
    let unknown = ["error[PREFLIGHT]", "cp1: it does not know nowhere.lab", "w1: it does not know", "/etc/hosts"];
    expect(&mut desk.station(&["cluster", "plan", "-f", "nameless.yaml"]), 3, &unknown)?;
    for node in desk.nodes {
        is_bare(desk, node)?;
    }
    Ok(())
}

/// Who listens where kubelet will is named and refused; a filter that drops what passes through is told.
fn in_the_way(desk: &Desk) -> Result<()> {
    let come = "systemd-run --quiet --unit=in-the-way nc -l -k 10250 \
                && nft 'add table inet site; add chain inet site through { type filter hook forward priority 0; policy drop; }'";
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", come]))?;
    let listened = "ss -Hltn | grep -q ':10250 '";
    until("somebody listens on w1", || {
        Ok(story::output(&mut desk.lab.exec("w1", &["sh", "-c", listened]))?.status.success())
    })?;
    let taken = ["error[PREFLIGHT]", "w1: somebody else listens on TCP ports that Kubernetes needs: 10250 (nc)"];
    let refused = expect(&mut desk.station(&["cluster", "plan"]), 3, &taken);
    story::text(&mut desk.lab.exec("w1", &["systemctl", "stop", "in-the-way.service"]))?;
    let filter = ["w1: chain through of table inet site drops what it does not accept"];
    let told = expect(&mut desk.station(&["cluster", "plan", "--brief"]), 0, &filter);
    story::text(&mut desk.lab.exec("w1", &["nft", "delete", "table", "inet", "site"]))?;
    refused.and(told).map(drop)
}

fn in_site(desk: &Desk, name: &str) -> PathBuf {
    desk.lab.root_of("station").join("root/site").join(name)
}

/// A budget holds a pod on its node, and is named; without it the node is emptied, and gets its pods back.
pub fn drain(desk: &Desk) -> Result<()> {
    let budget = ["create", "poddisruptionbudget", "keep", "-n", "demo", "--min-available=1"];
    let selector = ["--selector=app.kubernetes.io/name=podinfo"];
    story::text(&mut desk.kubectl(&[&budget[..], &selector].concat()))?;
    let data = ["what is in its emptyDir data goes with it", "nothing was changed", "--delete-emptydir-data"];
    let held = expect(&mut desk.station(&["cluster", "drain", "w1"]), 3, &data);
    let dry_run = ["cluster", "drain", "w1", "--delete-emptydir-data", "--dry-run"];
    let planned = expect(&mut desk.station(&dry_run), 0, &["evicted", "of a DaemonSet"]);
    let kept = ["w1 is not empty after 30 s", "demo/podinfo-", "budget keep wants 1 healthy, and 1 are"];
    let drain = ["cluster", "drain", "w1", "--delete-emptydir-data", "--timeout"];
    let refused = expect(&mut desk.station(&[&drain[..], &["30"]].concat()), 1, &kept);
    story::text(&mut desk.kubectl(&["delete", "poddisruptionbudget", "keep", "-n", "demo"]))?;
    held.and(planned).and(refused)?;
    expect(&mut desk.station(&[&drain[..], &["90"]].concat()), 0, &["w1 is empty"])?;
    let left = proof::kubectl_json(desk, &["get", "pods", "-A", "--field-selector=spec.nodeName=w1"])?;
    let is_daemon = |pod: &Value| pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet";
    ensure!(left["items"].as_array().is_some_and(|pods| pods.iter().all(is_daemon)), "w1 still has others: {left}");
    expect(&mut desk.station(&["cluster", "uncordon", "w1"]), 0, &["w1 takes new pods"])?;
    let status = ["rollout", "status", "-n", "demo", "deployment/podinfo", "--timeout=90s"];
    story::text(&mut desk.kubectl(&status))?;
    proof::application_answers(desk)
}

/// Hosts are prepared before the hour of the cluster, which loses its connections then, is killed, and still ends well.
pub fn interrupted_apply(desk: &Desk) -> Result<()> {
    let prepare = ["cluster", "apply", "--phase", "prepare", "--yes"];
    expect(&mut desk.station(&prepare), 0, &["the hosts of cluster plant-7 are prepared"])?;
    expect(&mut desk.station(&prepare), 0, &["nothing to do", "are prepared"])?;
    let none = "test -x /usr/bin/kubelet && test ! -e /etc/kubernetes/admin.conf && test ! -e /var/lib/etcd";
    for node in desk.nodes {
        story::text(&mut desk.lab.exec(node, &["sh", "-c", none])).with_context(|| format!("{node} is prepared"))?;
    }
    let mut apply = desk.station(&["cluster", "apply", "--yes"]);
    let mut child = apply.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    wait_for(desk, "cp1", "test -e /etc/kubernetes/manifests/etcd.yaml", "etcd's manifest")?;
    drop_connections(desk, "cp1")?;
    wait_for(desk, "cp1", "kubectl --kubeconfig=/etc/kubernetes/admin.conf get --raw=/readyz", "a ready API server")?;
    let kill = "for p in $(pgrep -xf 'sealock cluster apply --yes'); do kill -KILL $p; done";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", kill]))?;
    child.wait()?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &[])?;
    expect(&mut desk.station(&["app", "apply"]), 0, &[])?;
    proof::application_answers(desk)
}

/// Ends the SSH sessions that the station has on a host.
pub fn drop_connections(desk: &Desk, node: &str) -> Result<()> {
    let kill = "for p in $(pgrep -f '^sshd: ops'); do kill -KILL $p; done";
    story::text(&mut desk.lab.exec(node, &["sh", "-c", kill])).map(drop)
}

/// Nothing of Kubernetes is left on a node.
pub fn is_bare(desk: &Desk, node: &str) -> Result<()> {
    let look = "ls -d /etc/kubernetes /etc/containerd /etc/cni /opt/cni /var/lib/kubelet /var/lib/etcd /usr/bin/kubelet \
                /usr/local/bin/containerd /etc/systemd/system/kubelet.service 2>/dev/null; \
                pgrep -a 'kube|etcd|containerd'; nft list tables | grep -v '^$'; ip route show proto static; true";
    let left = story::text(&mut desk.lab.exec(node, &["sh", "-c", look]))?;
    ensure!(left.trim().is_empty(), "reset left on {node}:\n{left}");
    Ok(())
}

fn wait_for(desk: &Desk, node: &str, probe: &str, what: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !story::output(&mut desk.lab.exec(node, &["sh", "-c", probe]))?.status.success() {
        if Instant::now() > deadline {
            bail!("{node} shows no {what} after 180 s");
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    Ok(())
}

fn spec(desk: &Desk) -> Result<String> {
    Ok(fs::read_to_string(desk.lab.root_of("station").join("root/site/cluster.yaml"))?)
}

fn write_spec(desk: &Desk, name: &str, text: &str) -> Result<()> {
    Ok(fs::write(desk.lab.root_of("station").join("root/site").join(name), text)?)
}
