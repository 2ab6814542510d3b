//! containerd's configuration, version 3, and what tells it where every registry is: the site registry.

use sealock_node::request::Registry;
use serde_json::{Value, json};

use super::{RenderError, object};
use crate::spec::{Overrides, merge};

/// Where runc is linked.
pub(crate) const RUNC: &str = "/usr/local/sbin/runc";

/// containerd's folder of registry configurations.
const REGISTRIES: &str = "/etc/containerd/certs.d";

/// The file that holds the site registry's CA.
pub(crate) const SITE_CA: &str = "/etc/containerd/certs.d/site-ca.crt";

/// The file that stands for every registry that has none of its own.
pub(crate) const DEFAULT_HOSTS: &str = "/etc/containerd/certs.d/_default/hosts.toml";

/// `config.toml`, with `sandbox` as the image of every pod's sandbox.
pub(crate) fn config(sandbox: &str, overrides: &Overrides) -> Result<String, RenderError> {
    let mut config = object(json!({
        "version": 3,
        "plugins": {
            "io.containerd.cri.v1.images": {
                "pinned_images": {"sandbox": sandbox},
                "registry": {"config_path": REGISTRIES},
            },
            "io.containerd.cri.v1.runtime": {
                "containerd": {"runtimes": {"runc": {
                    "runtime_type": "io.containerd.runc.v2",
                    "options": {"BinaryName": RUNC, "SystemdCgroup": true},
                }}},
            },
        },
    }));
    merge(&mut config, &overrides.containerd);
    toml::to_string_pretty(&Value::Object(config))
        .map_err(|source| RenderError::new("containerd's config.toml", source))
}

/// `_default/hosts.toml`: the site registry, and, as `server` names it too, no way back to the registry of the name.
pub(crate) fn hosts(registry: &Registry) -> String {
    let name = &registry.name;
    format!(
        "server = \"https://{name}\"\n\n[host.\"https://{name}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = \"{SITE_CA}\"\n"
    )
}
