//! The administrator's kubeconfig at the station: it names an API server that the station reaches.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{OperatorError, files};
use crate::plan::{Plan, PlannedHost};
use crate::spec::{API_PORT, Role};

const CONNECT: Duration = Duration::from_secs(2);

/// As the control plane host has it that speaks for the cluster, but where only hosts have the endpoint: then with the address of that host.
pub(super) fn for_station(admin: &str, plan: &Plan) -> String {
    match (&plan.local_endpoint, plan.speaker()) {
        (Some(endpoint), Some(speaker)) => admin.replace(&server(endpoint), &server(&api_of(speaker))),
        _ => admin.to_owned(),
    }
}

/// Makes the kubeconfig at `path` name another control plane, where it names one that takes no connections and another does.
///
/// # Errors
/// The file cannot be read or written.
pub fn keep_reachable(path: &Path, plan: &Plan) -> Result<(), OperatorError> {
    let Some(content) = files::read(path)? else { return Ok(()) };
    let content = String::from_utf8_lossy(&content);
    let planes: Vec<String> =
        plan.hosts.iter().filter(|host| host.roles.contains(&Role::ControlPlane)).map(api_of).collect();
    let Some(named) = planes.iter().find(|plane| content.contains(&server(plane))) else { return Ok(()) };
    if answers(named) {
        return Ok(());
    }
    match planes.iter().find(|plane| *plane != named && answers(plane)) {
        Some(other) => files::save_private(path, content.replace(&server(named), &server(other)).as_bytes()),
        None => Ok(()),
    }
}

fn server(endpoint: &str) -> String {
    format!("server: https://{endpoint}\n")
}

fn api_of(host: &PlannedHost) -> String {
    format!("{}:{API_PORT}", host.address)
}

fn answers(api: &str) -> bool {
    let address = api.rsplit_once(':').and_then(|(address, _)| address.parse::<IpAddr>().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&SocketAddr::new(address, API_PORT), CONNECT).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::inventory::Binding;

    fn plane(name: &str, address: &str) -> PlannedHost {
        let binding = Binding {
            machine_id: name.into(),
            architecture: "amd64".into(),
            cluster: None,
            joined: false,
            components: Default::default(),
            owned: Default::default(),
            foreign: Default::default(),
        };
        let roles = vec![Role::ControlPlane];
        PlannedHost { name: name.into(), address: address.into(), roles, pods: String::new(), binding }
    }

    fn plan(local_endpoint: Option<&str>) -> Plan {
        Plan {
            local_endpoint: local_endpoint.map(Into::into),
            speaker: "cp1".into(),
            hosts: vec![plane("cp1", "127.0.77.11"), plane("cp2", "127.0.77.12")],
            ..crate::plan::example()
        }
    }

    const ADMIN: &str = "clusters:\n- cluster:\n    server: https://api.plant-7.internal:7443\n  name: plant-7\n";

    #[test]
    fn the_station_is_told_an_address_where_only_hosts_have_the_endpoint() {
        let told = for_station(ADMIN, &plan(Some("api.plant-7.internal:7443")));
        assert!(told.contains("    server: https://127.0.77.11:6443\n"), "{told}");
        assert_eq!(for_station(ADMIN, &plan(None)), ADMIN);
    }

    #[test]
    fn a_control_plane_that_is_gone_is_not_named_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (path, plan) = (folder.path().join("kubeconfig"), plan(Some("api.plant-7.internal:7443")));
        let before = for_station(ADMIN, &plan);
        files::save_private(&path, before.as_bytes()).unwrap();
        keep_reachable(&path, &plan).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before, "nobody answers: there is nothing better");
        let _second = TcpListener::bind(("127.0.77.12", API_PORT)).unwrap();
        keep_reachable(&path, &plan).unwrap();
        let after = std::fs::read_to_string(&path).unwrap();
        assert!(after.contains("    server: https://127.0.77.12:6443\n"), "{after}");
        keep_reachable(&folder.path().join("none"), &plan).unwrap();
    }
}
