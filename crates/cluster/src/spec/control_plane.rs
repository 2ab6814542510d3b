//! What an endpoint, and how many control planes, make sense.

use super::{ClusterSpec, Endpoint, Host, SpecError};

const ENDPOINT: &str = "spec.controlPlane.endpoint";
/// Where every API server listens.
pub(crate) const API_PORT: u16 = 6443;
/// What listens on a control plane besides: etcd, kubelet, scheduler, controller manager, kube-proxy.
const TAKEN: [u16; 9] = [2379, 2380, 2381, API_PORT, 10248, 10250, 10256, 10257, 10259];

pub(super) fn check(spec: &ClusterSpec) -> Result<(), SpecError> {
    let planes: Vec<&Host> = spec.hosts.iter().filter(|host| host.is_control_plane()).collect();
    if planes.is_empty() {
        return Err(SpecError::new("spec.hosts", "no host has the role control-plane"));
    }
    let endpoint = &spec.control_plane.endpoint;
    let checked = if spec.control_plane.local_proxy { local(endpoint) } else { elsewhere(endpoint, &planes) };
    checked.map_err(|problem| SpecError::new(ENDPOINT, problem))
}

/// Two of them are what is left of three until the next one comes, and nothing to begin with. With an etcd elsewhere they need no majority.
pub(crate) fn check_beginning(spec: &ClusterSpec) -> Result<(), SpecError> {
    match spec.hosts.iter().filter(|host| host.is_control_plane()).count() {
        2 if spec.etcd.external.is_none() => Err(SpecError::new(
            "spec.hosts",
            "two control planes lose etcd's majority with either of them: begin with one or three",
        )),
        _ => Ok(()),
    }
}

/// Each host has the endpoint to itself.
fn local(endpoint: &Endpoint) -> Result<(), String> {
    let port = endpoint.port();
    if endpoint.address().is_some() || !endpoint.host().contains('.') {
        let problem =
            "with localProxy the endpoint is a name that each host gets for itself, like api.plant-7.internal:7443";
        return Err(problem.into());
    }
    if port < 1024 || TAKEN.contains(&port) {
        return Err(format!(
            "port {port} belongs to others on a control plane: with localProxy take a free one from 1024, like 7443"
        ));
    }
    Ok(())
}

/// One address for all.
fn elsewhere(endpoint: &Endpoint, planes: &[&Host]) -> Result<(), String> {
    let Some(address) = endpoint.address() else { return Ok(()) };
    match (planes, planes.iter().find(|plane| plane.address == address)) {
        ([only], None) if endpoint.port() != API_PORT => {
            Err(format!("the only control plane, {}, serves port {API_PORT}", only.name))
        }
        ([_, _, ..], Some(one)) => Err(format!(
            "{address} is {}'s own: without it nobody reaches the others. Take localProxy: true with a name, or the address \
             of a load balancer",
            one.name
        )),
        _ => Ok(()),
    }
}
