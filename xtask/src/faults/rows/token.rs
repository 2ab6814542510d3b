//! Bootstrap tokens that end in the middle of a join.

use anyhow::Result;

use super::{JOINER, again, joining, shell};
use crate::faults::journal::At::{Done, Intent};
use crate::story::Desk;

/// Ends every token, as the controller does with those whose time is over.
const END: &str = "export KUBECONFIG=/etc/kubernetes/admin.conf; \
                   kubectl -n kube-system delete secrets --field-selector type=bootstrap.kubernetes.io/token";

/// The join was cut off before kubeadm used its token.
pub(in crate::faults) fn before_use(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.kill_runner(desk, JOINER, &since, Intent("kubeadm/join/preflight"))?;
    shell(desk, "cp1", END)?;
    apply.fails(&["ended without a result"])?;
    again(desk)
}

/// kubelet has got a token, loses its power before it has shown it, and comes back when it has ended.
pub(in crate::faults) fn in_kubelets_hands(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    // Not even the first question of kubelet comes through.
    apply.until(&since, Done("kubeadm/join/kubelet-start"))?;
    desk.lab.kill_machine(JOINER)?;
    let exchanged = desk.lab.root_of(JOINER).join("var/lib/kubelet/pki/kubelet-client-current.pem");
    println!("      kubelet had {} credentials when its power went", if exchanged.is_symlink() { "its" } else { "no" });
    shell(desk, "cp1", END)?;
    desk.lab.boot_machine(JOINER)?;
    apply.fails(&[JOINER])?;
    again(desk)
}
