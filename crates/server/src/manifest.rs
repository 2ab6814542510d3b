//! `sealock serve` as a pod: for sites whose registry stands on a node.

use std::net::SocketAddr;
use std::path::Path;

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
    /// Where Prometheus asks.
    pub metrics: Option<SocketAddr>,
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
    let metrics = manifest.metrics.map_or_else(String::new, |address| format!(", --metrics, \"{address}\""));
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
      command: [/sealock, --state-dir, \"{state}\", serve, --listen, \"{listen}\"{metrics}]
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
  volumes:
    - {{name: binary, hostPath: {{path: \"{binary}\", type: File}}}}
    - {{name: state, hostPath: {{path: \"{state}\", type: Directory}}}}
    - {{name: run, hostPath: {{path: /run/sealock, type: DirectoryOrCreate}}}}
"
    )
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
            metrics: Some("10.77.0.21:9464".parse().unwrap()),
        });
        insta::assert_snapshot!(text);
    }
}
