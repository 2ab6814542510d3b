//! Files that start etcd: a systemd unit, or the manifest of a static pod.

use sealock_trust::Digest;
use serde_json::json;

use super::error::MachineError;
use super::settings::Settings;

/// The unit's name.
pub(super) const UNIT: &str = "etcd.service";
/// The manifest's name in kubelet's folder.
pub(super) const MANIFEST: &str = "etcd.yaml";

/// Where the others answer, one endpoint a line, while this machine's member is taken away: asked when its own etcd has ended.
pub(super) const OTHERS: &str = "/var/lib/sealock/node/etcd-others";

/// The command line that starts the member.
pub(super) fn command_line(settings: &Settings) -> String {
    format!("{}/etcd --config-file {}", settings.bin, settings.config)
}

pub(super) fn unit(settings: &Settings) -> String {
    // Where somebody keeps etcd in a home folder, the folder has to be seen.
    let places = [&settings.data, &settings.config, &settings.pki, &settings.bin];
    let at_home = places.iter().any(|place| ["/home/", "/root/"].iter().any(|home| place.starts_with(home)));
    let protect_home = if at_home { "no" } else { "yes" };
    format!(
        "[Unit]
Description=etcd, member {}
Documentation=https://etcd.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={}
Restart=always
RestartSec=5
LimitNOFILE=65536
Nice=-10
IOSchedulingClass=best-effort
IOSchedulingPriority=2
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome={protect_home}
ProtectSystem=full

[Install]
WantedBy=multi-user.target
",
        settings.name,
        command_line(settings)
    )
}

/// The manifest names the digest of the configuration: where that changes, kubelet starts etcd again.
pub(super) fn manifest(settings: &Settings, image: &str, config: &str) -> Result<String, MachineError> {
    let annotations = json!({"sealock/config": Digest::sha256(config.as_bytes()).to_string()});
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let folder =
        |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}});
    let file = |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path, "type": "File"}});
    let probe = |path: &str, failures: u32| {
        let get = json!({"host": "127.0.0.1", "port": settings.metrics_port, "scheme": "HTTP", "path": path});
        json!({"httpGet": get, "periodSeconds": 10, "timeoutSeconds": 15, "failureThreshold": failures})
    };
    let container = json!({
        "name": "etcd",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["etcd", "--config-file", settings.config],
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
        "livenessProbe": probe("/livez", 8),
        "startupProbe": probe("/readyz", 24),
        "volumeMounts": [
            mount("data", &settings.data), mount("pki", &settings.pki), mount("config", &settings.config),
        ],
    });
    let labels = json!({"component": "etcd", "tier": "control-plane"});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "etcd", "namespace": "kube-system", "labels": labels, "annotations": annotations},
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "containers": [container],
            "volumes": [
                folder("data", &settings.data), folder("pki", &settings.pki), file("config", &settings.config),
            ],
        },
    });
    let failed = |problem: String| MachineError::Config { path: MANIFEST.to_owned(), problem };
    serde_saphyr::to_string(&pod).map_err(|error| failed(error.to_string()))
}
