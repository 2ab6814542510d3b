//! Asks a cluster that others made what it is. Everything here only reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Connection, ExecuteError, of_all};
use crate::adoption::{HostTold, Told};

/// kubectl wherever somebody has put it, with the rights of the cluster's administrator. It keeps nothing of what it was told.
const KUBECTL: &str = r#"PATH="$PATH:/usr/local/bin:/usr/bin:/opt/bin:/usr/local/sbin"
exec kubectl --kubeconfig /etc/kubernetes/admin.conf --cache-dir /dev/null/none --request-timeout 10s "$@""#;
/// The server alone: the rest are secrets.
const SERVER: &str = "sed -n 's/^ *server: */server: /p' /etc/kubernetes/admin.conf | head -n 1";
const IMAGES: &str = r#"jsonpath={range .items[*]}{range .spec.initContainers[*]}{.image}{"\n"}{end}{range .spec.containers[*]}{.image}{"\n"}{end}{end}"#;
const RUNC: &str = r#"PATH="/usr/local/sbin:/usr/local/bin:$PATH:/usr/sbin:/usr/bin"
runc --version 2>/dev/null | head -n 1 || true"#;
/// The containerd that runs says how it is configured, with the words it was started by.
const CONTAINERD: &str = r#"pid=$(systemctl show --property=MainPID --value containerd.service)
[ "${pid:-0}" -gt 0 ] || exit 0
xargs -0 sh -c 'shift; exec "$0" "$@" config dump' "/proc/$pid/exe" < "/proc/$pid/cmdline""#;
const KUBELET: &str = r#"pid=$(systemctl show --property=MainPID --value kubelet.service)
[ "${pid:-0}" -gt 0 ] || exit 0
tr '\0' '\n' < "/proc/$pid/cmdline""#;
const DROP_INS: &str = "systemctl show --property=DropInPaths kubelet.service containerd.service";
const FLAGS: &str = "cat /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet 2>/dev/null || true";
const REGISTRIES: &str = "ls -A /etc/containerd/certs.d 2>/dev/null || true";

/// What the cluster of the control plane `plane` says of itself, and the hosts of `connections` of themselves.
///
/// # Errors
/// The first command that failed.
pub(crate) async fn tell(plane: &Connection, connections: &[Arc<Connection>]) -> Result<Told, ExecuteError> {
    let get = async |words: &[&str]| plane.script(KUBECTL, &[&["get"], words].concat(), b"").await;
    let of_system = ["-n", "kube-system", "-o", "json", "--ignore-not-found"];
    let hosts = connections.iter().map(async |one| Ok::<_, ExecuteError>((one.host().to_owned(), host(one).await?)));
    let hosts: BTreeMap<String, HostTold> = of_all(hosts).await?.into_iter().collect();
    Ok(Told {
        kubeadm: get(&[&["configmap", "kubeadm-config"], &of_system[..4]].concat()).await?,
        kube_proxy: get(&[&["configmap", "kube-proxy"], &of_system[..]].concat()).await?,
        nodes: get(&["nodes", "-o", "json"]).await?,
        images: text(&get(&["pods", "--all-namespaces", "-o", IMAGES]).await?),
        server: text(&plane.script(SERVER, &[], b"").await?),
        authority: plane.read_root_file("/etc/kubernetes/pki/ca.crt").await?,
        hosts,
    })
}

async fn host(connection: &Connection) -> Result<HostTold, ExecuteError> {
    let ask = async |script: &str| connection.script(script, &[], b"").await.map(|said| text(&said));
    Ok(HostTold {
        runc: ask(RUNC).await?,
        containerd: ask(CONTAINERD).await?,
        drop_ins: ask(DROP_INS).await?,
        kubelet: ask(KUBELET).await?,
        kubelet_flags: ask(FLAGS).await?,
        registries: ask(REGISTRIES).await?,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
