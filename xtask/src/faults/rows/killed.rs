//! `kill -9` of what carries out the steps, and of whole machines, at points that the journal tells.

use anyhow::Result;

use super::{JOINER, again, bare, joining};
use crate::e2e::until;
use crate::faults::applying::Applying;
use crate::faults::journal::At::{self, Begun, Done, Intent};
use crate::faults::journal::Since;
use crate::story::Desk;

/// Over the whole way from bare hosts to a cluster: right after a run has begun, right after an intent (before or in the effect), and right
/// after a done (before the next step).
const POINTS: &[(&str, At)] = &[
    ("cp1", Begun),
    ("cp1", Intent("claim")),
    ("cp1", Done("component/containerd")),
    ("cp1", Intent("containerd/unit")),
    ("cp1", Intent("images")),
    ("cp1", Done("kubelet/unit")),
    ("cp1", Intent("kubeadm/init/certs-all")),
    ("cp1", Done("kubeadm/init/certs-all")),
    ("cp1", Intent("kubeadm/init/kubelet-start")),
    ("cp1", Intent("kubeadm/init/wait-control-plane")),
    ("cp1", Intent("kubeadm/init/upload-config-all")),
    ("cp1", Done("kubeadm/init/bootstrap-token")),
    ("cp1", Intent("kubeadm/init/addon-all")),
    ("w1", Intent("kubeadm/join/preflight")),
    ("w1", Intent("kubeadm/join/kubelet-start")),
    ("w1", Intent("kubeadm/join/kubelet-wait-bootstrap")),
];

// The table says how many.
const _: () = assert!(POINTS.len() == 16);

/// Killed at each point, and begun again by the same command.
pub(in crate::faults) fn at_every_point(desk: &Desk) -> Result<()> {
    bare(desk)?;
    let begun = [("cp1", Since::now(desk, "cp1")?), ("w1", Since::now(desk, "w1")?)];
    for (node, at) in POINTS {
        let since = match at {
            // A run begins each time.
            Begun => &Since::now(desk, node)?,
            _ => begun.iter().find(|(name, _)| name == node).map_or(&begun[0].1, |(_, since)| since),
        };
        let mut apply = Applying::begin(desk)?;
        apply.kill_runner(desk, node, since, *at)?;
        apply.fails(&["ended without a result", "Run the same command again"])?;
    }
    again(desk)
}

/// The joiner's power goes while images are fetched.
pub(in crate::faults) fn power_of_the_joiner(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.until(&since, Intent("images"))?;
    desk.lab.kill_machine(JOINER)?;
    println!("      its journal ends with: {}", since.last()?);
    desk.lab.boot_machine(JOINER)?;
    apply.fails(&[JOINER])?;
    again(desk)
}

/// The control plane's power goes while another node joins it. The command may be told of it, or come through.
pub(in crate::faults) fn power_of_the_control_plane(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.until(&since, Intent("kubeadm/join/kubelet-start"))?;
    desk.lab.kill_machine("cp1")?;
    desk.lab.boot_machine("cp1")?;
    let (code, _) = apply.end()?;
    println!("      the first command ended with {code}");
    until("the API server answers", || {
        Ok(crate::story::output(&mut desk.kubectl(&["get", "--raw=/readyz", "--request-timeout=5s"]))?.status.success())
    })?;
    again(desk)
}
