//! The disk of images gets tight, and kubelet collects.

use anyhow::{Result, ensure};

use super::{JOINER, shell, with_a_cluster};
use crate::e2e::until;
use crate::story::Desk;

/// An image of the release that no pod runs, and that nobody pinned.
const UNPINNED: &str = "docker.io/library/debian-tools:12";

/// Lets kubelet find every disk too full, and calm down at once when it is told otherwise.
const TIGHTEN: &str = "set -e
cp -a /var/lib/kubelet/config.yaml /root/kubelet-config
sed -i -e 's/imagefs.available: .*/imagefs.available: 99%/' -e 's/nodefs.available: .*/nodefs.available: 99%/' \
  -e 's/^imageMinimumGCAge: .*/imageMinimumGCAge: 1s/' -e 's/^evictionPressureTransitionPeriod: .*/evictionPressureTransitionPeriod: 1s/' /var/lib/kubelet/config.yaml
cmp -s /var/lib/kubelet/config.yaml /root/kubelet-config && exit 1
systemctl restart kubelet.service";

const LOOSEN: &str = "set -e
if [ -e /root/kubelet-config ]; then mv /root/kubelet-config /var/lib/kubelet/config.yaml; fi
systemctl restart kubelet.service";

/// What nobody pinned goes; what the cluster needs stays.
pub(in crate::faults) fn images(desk: &Desk) -> Result<()> {
    with_a_cluster(desk)?;
    let pull = format!("ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d {UNPINNED} >/dev/null");
    shell(desk, JOINER, &pull)?;
    let before = names(desk)?;
    ensure!(before.iter().any(|name| name == UNPINNED), "{UNPINNED} is not there: {before:?}");
    shell(desk, JOINER, TIGHTEN)?;
    let collected = until("kubelet collects", || Ok(!names(desk)?.iter().any(|name| name == UNPINNED)));
    shell(desk, JOINER, LOOSEN)?;
    collected?;
    let after = names(desk)?;
    let lost: Vec<&String> =
        before.iter().filter(|name| name.contains("registry.k8s.io/") && !after.contains(name)).collect();
    ensure!(lost.is_empty(), "kubelet took what is pinned: {lost:?}");
    Ok(())
}

fn names(desk: &Desk) -> Result<Vec<String>> {
    Ok(shell(desk, JOINER, "ctr -n k8s.io images list -q")?.lines().map(str::to_owned).collect())
}
