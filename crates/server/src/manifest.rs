//! `sealock serve` as a pod: for sites whose registry stands on a node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::unit::ARENAS;

/// What differs from site to site.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    /// The node that has the state folder.
    pub node: &'a str,
    /// The binary on that node: an absolute path. It is static, so it runs in any image.
    pub binary: &'a Path,
    /// The state folder on that node: an absolute path.
    pub state: &'a Path,
    /// An image of the release, by its full name; nothing of it is run.
    pub image: &'a str,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Arguments behind `serve`.
    pub arguments: &'a [String],
    /// What it needs of the node beside its state folder.
    pub folders: &'a [Folder],
}

/// A folder of the node, which the pod has under the same path.
#[derive(Clone, Debug)]
pub struct Folder {
    /// As the manifest calls it: a DNS label.
    pub name: &'static str,
    /// An absolute path.
    pub path: PathBuf,
    /// Whether the pod only reads there.
    pub read_only: bool,
}

/// A namespace with one hardened pod (Kubernetes 1.35 and newer).
///
/// It runs in the node's network, so that the site's registry has one address whoever serves it, and is the last to be
/// evicted: whatever else is to run on the node is pulled from it.
pub fn manifest(manifest: &Manifest<'_>) -> String {
    let Manifest { node, binary, state, image, listen, .. } = manifest;
    let (binary, state) = (binary.display(), state.display());
    let port = listen.port();
    let host = listen.ip();
    let arguments: String = manifest.arguments.iter().map(|argument| format!(", {}", text(argument))).collect();
    let mounts: String = manifest.folders.iter().map(Folder::mount).collect();
    let volumes: String = manifest.folders.iter().map(Folder::volume).collect();
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata:
  name: sealock-system
  labels: {{pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: v1
kind: Pod
metadata:
  name: sealock-serve
  namespace: sealock-system
  labels: {{app.kubernetes.io/name: sealock-serve}}
spec:
  nodeName: {node}
  hostNetwork: true
  priorityClassName: system-node-critical
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  tolerations: [{{operator: Exists}}]
  securityContext: {{runAsUser: 0, runAsGroup: 0, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: serve
      image: {image}
      imagePullPolicy: IfNotPresent
      command: [/sealock, --state-dir, \"{state}\", serve{arguments}]
      env: [{{name: MALLOC_ARENA_MAX, value: \"{ARENAS}\"}}]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {{drop: [ALL], add: [NET_BIND_SERVICE]}}
      resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{memory: 512Mi}}}}
      livenessProbe: {{httpGet: {{scheme: HTTPS, host: \"{host}\", port: {port}, path: /healthz}}, periodSeconds: 10, failureThreshold: 6}}
      readinessProbe: {{httpGet: {{scheme: HTTPS, host: \"{host}\", port: {port}, path: /readyz}}, periodSeconds: 5}}
      volumeMounts:
        - {{name: binary, mountPath: /sealock, readOnly: true}}
        - {{name: state, mountPath: \"{state}\"}}
        - {{name: run, mountPath: /run/sealock}}
{mounts}  volumes:
    - {{name: binary, hostPath: {{path: \"{binary}\", type: File}}}}
    - {{name: state, hostPath: {{path: \"{state}\", type: Directory}}}}
    - {{name: run, hostPath: {{path: /run/sealock, type: DirectoryOrCreate}}}}
{volumes}"
    )
}

impl Folder {
    fn mount(&self) -> String {
        let Self { name, read_only, .. } = self;
        format!(
            "        - {{name: {name}, mountPath: {}, readOnly: {read_only}}}\n",
            text(&self.path.to_string_lossy())
        )
    }

    fn volume(&self) -> String {
        // What is read must be there: an empty folder would say that there are no rules.
        let kind = if self.read_only { "Directory" } else { "DirectoryOrCreate" };
        let path = text(&self.path.to_string_lossy());
        format!("    - {{name: {}, hostPath: {{path: {path}, type: {kind}}}}}\n", self.name)
    }
}

/// A text in YAML, which reads all of JSON's.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_as_it_is_written() {
        let text = manifest(&Manifest {
            node: "w1",
            binary: Path::new("/opt/sealock/sealock/0.1.0/sealock"),
            state: Path::new("/var/lib/sealock"),
            image: "registry.k8s.io/pause:3.10.2",
            listen: "10.77.0.21:443".parse().unwrap(),
            arguments: &["--listen", "10.77.0.21:443", "--access", "/etc/sealock/registry.yaml"].map(str::to_owned),
            folders: &[
                Folder { name: "access", path: "/etc/sealock".into(), read_only: true },
                Folder { name: "access-log", path: "/var/log/sealock".into(), read_only: false },
            ],
        });
        insta::assert_snapshot!(text);
    }
}
