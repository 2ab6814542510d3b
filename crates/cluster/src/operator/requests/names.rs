//! By which names and addresses others may call the servers of a host.

use serde_json::Value;

use crate::spec::{Cluster, Host};

/// What kubeadm writes into the certificates of servers on `host`, as the spec has it, beside what every control plane has.
pub(super) fn names_of_servers(cluster: &Cluster, host: &Host) -> Vec<String> {
    let spec = cluster.spec();
    let network = &spec.network;
    let mut names = vec![
        host.address.to_string(),
        spec.control_plane.endpoint.host().to_owned(),
        format!("kubernetes.default.svc.{}", network.dns_domain),
    ];
    names.extend(network.services.hosts().next().map(|first| first.to_string()));
    names.extend(spec.control_plane.cert_sans.iter().cloned());
    let own = &spec.overrides.cluster_configuration;
    for (below, of) in [("apiServer", "/certSANs"), ("etcd", "/local/serverCertSANs"), ("etcd", "/local/peerCertSANs")]
    {
        let more = own.get(below).and_then(|patch| patch.pointer(of)).and_then(Value::as_array);
        names.extend(more.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned));
    }
    names
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_server_is_called_by_what_the_spec_says_and_by_nothing_else() {
        let text = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
            kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"api.plant-7.internal:6443\", certSANs: [api.plant-7]}\n  \
            hosts:\n    - {name: cp1, address: 10.77.0.11, roles: [control-plane], ssh: {user: ops, \
            hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n  \
            overrides: {clusterConfiguration: {etcd: {local: {peerCertSANs: [peer.plant-7]}}}}\n";
        let cluster = Cluster::load(Path::new("cluster.yaml"), text).unwrap();
        let wanted = [
            "10.77.0.11",
            "api.plant-7.internal",
            "kubernetes.default.svc.cluster.local",
            "10.96.0.1",
            "api.plant-7",
            "peer.plant-7",
        ];
        assert_eq!(names_of_servers(&cluster, &cluster.hosts()[0]), wanted);
    }
}
