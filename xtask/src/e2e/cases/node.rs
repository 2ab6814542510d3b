//! A machine that its own operator prepares, without a station: from a copy of the store on a stick.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cluster::is_bare;
use crate::e2e::expect::expect;
use crate::story::{self, Desk};

const MACHINE: &str = "w1";
const STICK: &str = "/media/stick";
/// What these machines need differently, as in the cluster spec.
const OVERRIDES: &str = "\
minimumFreeDiskBytes: 2000000000
ignorePreflightErrors: [Mem]
kubelet: {failCgroupV1: false}
containerd:
  plugins:
    io.containerd.cri.v1.runtime:
      restrict_oom_score_adj: true
      containerd: {runtimes: {runc: {options: {SystemdCgroup: false}}}}
";
/// What the machine's operator writes for kubeadm, and for the pod network.
const KUBEADM: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 10.77.0.21, bindPort: 6443}
nodeRegistration:
  name: w1
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: Never
  ignorePreflightErrors: [SystemVerification]
  kubeletExtraArgs: [{name: node-ip, value: 10.77.0.21}]
  taints: []
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.3
controlPlaneEndpoint: 10.77.0.21:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {maxPerCore: 0, min: 0}
";
const NETWORK: &str = r#"{"cniVersion": "1.0.0", "name": "own", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

/// A stick that is damaged is refused, and a good one finishes the work; kubeadm runs on what was prepared; and all is given back.
pub fn from_a_stick(desk: &Desk) -> Result<()> {
    super::cluster::reset(desk)?;
    plug_in(desk)?;
    // A station that looks at a host leaves its binary there: so it does before, too.
    expect(&mut desk.station(&["cluster", "plan"]), 0, &[])?;
    let before = standing(desk)?;
    let site = site_root(desk)?;
    let first = [&prepare()[..], &["--site-root-digest", &site]].concat();
    refused_when_a_stranger_may_have_written_it(desk, &site)?;
    etcd_comes_from_it(desk, &site)?;
    refused_when_damaged(desk, &first)?;
    sealock(desk, &first, 0, &["steps changed this machine"])?;
    sealock(desk, &prepare(), 0, &["nothing was to be changed"])?;
    sealock(desk, &[&prepare()[..], &["--dry-run"]].concat(), 0, &["0 of", "nothing was changed", &site])?;
    expect(&mut desk.station(&["cluster", "plan"]), 3, &["error[FOREIGN]", "sealock node prepare"])?;
    drift_is_found_and_repaired(desk)?;
    kubeadm_runs(desk)?;
    let other = ["node", "status"];
    sealock(desk, &other, 0, &["a control plane", "/etc/kubernetes/pki/apiserver.crt"])?;
    sealock(desk, &["node", "reset", "--yes"], 0, &["this machine is what it was"])?;
    sealock(desk, &["node", "reset", "--yes"], 0, &["nothing was to be changed"])?;
    is_bare(desk, MACHINE)?;
    let after = standing(desk)?;
    let left: Vec<&str> = after.lines().filter(|line| !before.lines().any(|was| was == *line)).collect();
    let lost: Vec<&str> = before.lines().filter(|line| !after.lines().any(|is| is == *line)).collect();
    ensure!(left.is_empty() && lost.is_empty(), "left: {left:#?}\nlost: {lost:#?}");
    unplug(desk)
}

fn prepare() -> Vec<&'static str> {
    let words = "node prepare --kubernetes v1.36.3 --control-plane --from /media/stick/store \
                 --site-root /media/stick/site-root.json --overrides /media/stick/overrides.yaml --yes";
    words.split_whitespace().collect()
}

/// The digest of the site root, as a person writes it down at the station.
fn site_root(desk: &Desk) -> Result<String> {
    let site: Value = serde_json::from_str(&story::text(&mut desk.station(&["site", "show", "-o", "json"]))?)?;
    Ok(site["fingerprint"].as_str().context("the site has no fingerprint")?.to_owned())
}

/// All on a stick may be of one hand, and fit together: what it fits to is not believed from the stick.
fn refused_when_a_stranger_may_have_written_it(desk: &Desk, site: &str) -> Result<()> {
    let unknown = ["error[NOT_ENROLLED]", site, "--site-root-digest"];
    sealock(desk, &prepare(), 3, &unknown)?;
    let other = format!("sha256:{}", "1".repeat(64));
    sealock(desk, &[&prepare()[..], &["--site-root-digest", &other]].concat(), 3, &["error[NOT_ENROLLED]", site])?;
    is_bare(desk, MACHINE)
}

/// etcd's programs come out of the same release, and are believed as little as the rest of the stick.
fn etcd_comes_from_it(desk: &Desk, site: &str) -> Result<()> {
    let words =
        "etcd init --address 10.77.0.21 --dry-run --from /media/stick/store --site-root /media/stick/site-root.json";
    let init: Vec<&str> = words.split_whitespace().collect();
    sealock(desk, &init, 3, &["error[NOT_ENROLLED]", site])?;
    sealock(desk, &[&init[..], &["--site-root-digest", site]].concat(), 0, &["install etcd v3.", "etcdutl"])?;
    is_bare(desk, MACHINE)
}

fn sealock(desk: &Desk, args: &[&str], code: i32, sentences: &[&str]) -> Result<String> {
    expect(&mut desk.lab.exec(MACHINE, &[&["/media/stick/sealock"], args].concat()), code, sentences)
}

/// The station's store, its site root and the inside binary, as a person copies them.
fn plug_in(desk: &Desk) -> Result<()> {
    let station = desk.lab.root_of("station").join("var/lib/sealock");
    desk.carry(&station.join("store"), MACHINE, &format!("{STICK}/store"))?;
    desk.carry(&station.join("trust/site-root.json"), MACHINE, &format!("{STICK}/site-root.json"))?;
    desk.carry(&desk.binaries.inside, MACHINE, &format!("{STICK}/sealock"))?;
    for (name, text) in [("overrides.yaml", OVERRIDES), ("kubeadm.yaml", KUBEADM), ("10-own.conflist", NETWORK)] {
        fs::write(on_stick(desk, name), text)?;
    }
    Ok(())
}

fn unplug(desk: &Desk) -> Result<()> {
    Ok(fs::remove_dir_all(on_stick(desk, ""))?)
}

fn on_stick(desk: &Desk, name: &str) -> PathBuf {
    desk.lab.root_of(MACHINE).join("media/stick").join(name)
}

/// One byte of kubelet is another one: nothing of it is installed.
fn refused_when_damaged(desk: &Desk, prepare: &[&str]) -> Result<()> {
    let blob = kubelet(desk)?;
    let file = OpenOptions::new().read(true).write(true).open(&blob).context("kubelet on the stick")?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4096)?;
    file.write_all_at(&[byte[0] ^ 1], 4096)?;
    let refused = sealock(desk, prepare, 3, &["error[DIGEST]"]);
    file.write_all_at(&byte, 4096)?;
    refused?;
    let installed = desk.lab.root_of(MACHINE).join("usr/bin/kubelet");
    ensure!(fs::symlink_metadata(&installed).is_err(), "a damaged kubelet was installed");
    Ok(())
}

/// The blob that kubelet is, on the stick.
fn kubelet(desk: &Desk) -> Result<PathBuf> {
    let release: Value = serde_json::from_str(&story::text(&mut desk.station(&["release", "show", "-o", "json"]))?)?;
    let references = release["references"].as_array().context("no references")?;
    let is_it = |one: &&Value| one["name"].as_str().is_some_and(|name| name.contains("/kubelet:"));
    let digest = references.iter().find(is_it).and_then(|one| one["digest"].as_str()).context("no kubelet")?;
    let blob = |digest: &str| on_stick(desk, "store/blobs").join(digest.replace(':', "/"));
    let manifest: Value = serde_json::from_slice(&fs::read(blob(digest))?)?;
    Ok(blob(manifest["layers"][0]["digest"].as_str().context("kubelet has no layer")?))
}

fn drift_is_found_and_repaired(desk: &Desk) -> Result<()> {
    sealock(desk, &["node", "status"], 0, &["no node yet", "kube-apiserver:v1.36.3", "containerd", "runs"])?;
    let change = "rm /usr/bin/kubectl; systemctl stop containerd.service; sysctl -qw net.ipv4.ip_forward=0";
    story::text(&mut desk.lab.exec(MACHINE, &["sh", "-c", change]))?;
    let said = ["/usr/bin/kubectl is not there", "containerd.service does not run", "net.ipv4.ip_forward is 0"];
    sealock(desk, &["node", "status"], 1, &said)?;
    sealock(desk, &prepare(), 0, &["steps changed this machine"])?;
    sealock(desk, &["node", "status"], 0, &[]).map(drop)
}

/// By hand, as kubeadm's own documents say.
fn kubeadm_runs(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec(MACHINE, &["kubeadm", "init", "--config", "/media/stick/kubeadm.yaml"]))?;
    let network = "mkdir -p /etc/cni/net.d && cp /media/stick/10-own.conflist /etc/cni/net.d/";
    story::text(&mut desk.lab.exec(MACHINE, &["sh", "-c", network]))?;
    let ready = "kubectl --kubeconfig /etc/kubernetes/admin.conf get node w1 \
                 -o 'jsonpath={.status.conditions[?(@.type==\"Ready\")].status}'";
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let said = story::output(&mut desk.lab.exec(MACHINE, &["sh", "-c", ready]))?;
        if said.stdout == b"True" {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the node is not Ready after 180 s: {}", String::from_utf8_lossy(&said.stderr));
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// What stands on the machine, but for what its own services write.
fn standing(desk: &Desk) -> Result<String> {
    let look = "find /etc /opt /usr /root /var/lib /var/log/pods /var/log/containers \
                \\( -path /var/lib/sealock -o -path /var/lib/systemd -o -path /var/lib/private \\) -prune \
                -o -type f -printf '%M %U %s %p\\n' -o -printf '%M %U %l %p\\n' 2>/dev/null | sort; \
                find /etc -type f -exec sha256sum {} + | sort -k 2; sysctl net.ipv4.ip_forward; nft list tables";
    story::text(&mut desk.lab.exec(MACHINE, &["sh", "-c", look]))
}
