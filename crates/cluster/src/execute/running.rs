//! Asks a cluster that others made what it is. Everything here only reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Connection, ExecuteError, of_all};
use crate::adoption::{HostTold, Told, containerd};

/// kubectl wherever somebody has put it, with the rights of the cluster's administrator. It keeps nothing of what it was told.
const KUBECTL: &str = r#"PATH="$PATH:/usr/local/bin:/usr/bin:/opt/bin:/usr/local/sbin"
exec kubectl --kubeconfig /etc/kubernetes/admin.conf --cache-dir /dev/null/none --request-timeout 10s "$@""#;
/// The server alone: the rest are secrets.
const SERVER: &str = "sed -n 's/^ *server: */server: /p' /etc/kubernetes/admin.conf | head -n 1";
const IMAGES: &str = r#"jsonpath={range .items[*]}{range .spec.initContainers[*]}{.image}{"\n"}{end}{range .spec.containers[*]}{.image}{"\n"}{end}{end}"#;
/// The part of the control plane, and its image.
const PARTS: &str =
    r#"jsonpath={range .items[*]}{.metadata.labels.component}{" "}{.spec.containers[0].image}{"\n"}{end}"#;
/// A runc that is only named is looked for where containerd looks, whose shims call it. One that is not found says nothing.
const RUNC: &str = r#"pid=$(systemctl show --property=MainPID --value containerd.service)
[ "${pid:-0}" -gt 0 ] || exit 0
PATH=$(tr '\0' '\n' < "/proc/$pid/environ" | sed -n 's/^PATH=//p')
export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
{ "$1" --version 2>/dev/null || true; } | { read -r line && echo "$line" || true; }"#;
/// The containerd that runs says what it makes of the configuration in the file `$1`.
const CONTAINERD: &str = r#"pid=$(systemctl show --property=MainPID --value containerd.service)
[ "${pid:-0}" -gt 0 ] || exit 0
exec "/proc/$pid/exe" --config "$1" config dump"#;
/// The same of the configuration on standard input, which is a pipe to it, whatever it is to the shell.
const CONTAINERD_OURS: &str = r#"pid=$(systemctl show --property=MainPID --value containerd.service)
[ "${pid:-0}" -gt 0 ] || exit 0
cat | "/proc/$pid/exe" --config /dev/stdin config dump"#;
/// When containerd was started, and when each file was written, in seconds. `$@` are patterns of files.
const FILES: &str = r#"[ "$#" -gt 0 ] || exit 0
started=$(systemctl show --property=ExecMainStartTimestampMonotonic --value containerd.service)
boot=$(sed -n 's/^btime //p' /proc/stat)
echo "started $(( boot + started / 1000000 ))"
for pattern in "$@"; do
  for file in $pattern; do
    if [ -e "$file" ]; then stat -L -c '%Y %n' "$file"; fi
  done
done"#;
const COMMAND: &str = r#"pid=$(systemctl show --property=MainPID --value "$1")
[ "${pid:-0}" -gt 0 ] || exit 0
tr '\0' '\n' < "/proc/$pid/cmdline""#;
// Most of what is asked for below need not be there: what is not says nothing, and is no failure.
const UNIT: &str = r#"systemctl cat --no-pager "$1" 2>/dev/null || true"#;
const KUBELET_CONFIG: &str = "cat /var/lib/kubelet/config.yaml 2>/dev/null || true";
/// Values stay where they are: they may be secrets.
const SYSCONFIG: &str =
    "sed -n 's/^ *\\([A-Za-z_][A-Za-z_0-9]*\\)=.*/\\1/p' /etc/sysconfig/kubelet 2>/dev/null || true";
const DROP_INS: &str = "systemctl show --property=DropInPaths kubelet.service containerd.service";
const FLAGS: &str = "cat /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet 2>/dev/null || true";
const REGISTRIES: &str = "ls -A /etc/containerd/certs.d 2>/dev/null || true";

/// What the cluster of the control plane `plane` says of itself, and the hosts of `connections` of themselves. Their containerd is asked
/// what it would make of the configuration `ours`, too.
///
/// # Errors
/// The first command that failed.
pub(crate) async fn tell(
    plane: &Connection,
    connections: &[Arc<Connection>],
    ours: &str,
) -> Result<Told, ExecuteError> {
    let get = async |words: &[&str]| plane.script(KUBECTL, &[&["get"], words].concat(), b"").await;
    let of_system = ["-n", "kube-system", "-o", "json", "--ignore-not-found"];
    let hosts =
        connections.iter().map(async |one| Ok::<_, ExecuteError>((one.host().to_owned(), host(one, ours).await?)));
    let hosts: BTreeMap<String, HostTold> = of_all(hosts).await?.into_iter().collect();
    Ok(Told {
        kubeadm: get(&[&["configmap", "kubeadm-config"], &of_system[..4]].concat()).await?,
        kube_proxy: get(&[&["configmap", "kube-proxy"], &of_system[..]].concat()).await?,
        kubelet: get(&[&["configmap", "kubelet-config"], &of_system[..4]].concat()).await?,
        version: get(&["--raw", "/version"]).await?,
        control_plane: text(
            &get(&[&of_system[..2], &["pods", "-l", "tier=control-plane", "-o", PARTS]].concat()).await?,
        ),
        nodes: get(&["nodes", "-o", "json"]).await?,
        images: text(&get(&["pods", "--all-namespaces", "-o", IMAGES]).await?),
        server: text(&plane.script(SERVER, &[], b"").await?),
        authority: plane.read_root_file("/etc/kubernetes/pki/ca.crt").await?,
        hosts,
    })
}

async fn host(connection: &Connection, ours: &str) -> Result<HostTold, ExecuteError> {
    let ask = async |script: &str, words: &[&str]| connection.script(script, words, b"").await.map(|said| text(&said));
    let containerd_command = ask(COMMAND, &["containerd.service"]).await?;
    let config = containerd::config_of(&containerd_command);
    let dump = ask(CONTAINERD, &[&config]).await?;
    let files: Vec<String> = std::iter::once(config).chain(containerd::imports_of(&dump)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).filter(|_| !dump.is_empty()).collect();
    Ok(HostTold {
        runc: ask(RUNC, &[&containerd::runc_of(&dump)]).await?,
        containerd_command,
        containerd_ours: text(&connection.script(CONTAINERD_OURS, &[], ours.as_bytes()).await?),
        containerd_files: ask(FILES, &files).await?,
        containerd: dump,
        containerd_unit: ask(UNIT, &["containerd.service"]).await?,
        kubelet_unit: ask(UNIT, &["kubelet.service"]).await?,
        drop_ins: ask(DROP_INS, &[]).await?,
        kubelet: ask(COMMAND, &["kubelet.service"]).await?,
        kubelet_flags: ask(FLAGS, &[]).await?,
        kubelet_variables: ask(SYSCONFIG, &[]).await?,
        kubelet_config: ask(KUBELET_CONFIG, &[]).await?,
        registries: ask(REGISTRIES, &[]).await?,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
