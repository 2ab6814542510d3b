//! The pod network that comes built in.
//!
//! A CNI configuration for the ptp and host-local plugins, and `sealock-network.service`, which sets the routes and the
//! masquerade at every boot, before containerd and kubelet.

use std::net::Ipv4Addr;

use super::act::{apply_parts, probe_parts, undo_parts};
use super::{Act, File, Mode, Probe, RoutedNetwork, StepKind, Unit};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host, HostError};

const CONFLIST: &str = "/etc/cni/net.d/10-sealock.conflist";
const ROUTES: &str = "/etc/sealock/network/routes";
const ROUTES_REMOVE: &str = "/etc/sealock/network/routes-remove";
const MASQUERADE: &str = "/etc/sealock/network/masquerade.nft";
const UNIT: &str = "sealock-network.service";
const TABLE: &str = "sealock-network";

impl Act for RoutedNetwork {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        let parts = probe_parts(&self.parts(host)?, host, context)?;
        if !parts.is_done() {
            return Ok(parts);
        }
        for peer in &self.peers {
            let route = Command::new("ip", ["-4", "route", "show", &peer.pods]).must(host)?;
            if !route.contains(&format!("via {} ", peer.address)) {
                return Ok(Probe::not_done(format!("there is no route to {} via {}", peer.pods, peer.address)));
            }
        }
        if !Command::new("nft", ["list", "table", "ip", TABLE]).succeeds(host)? {
            return Ok(Probe::not_done(format!("nftables has no table {TABLE}")));
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        let parts = self.parts(host)?;
        apply_parts(&parts, host, context)?;
        // All files as they should be, and yet a route is gone: someone took it away by hand.
        if !self.probe(host, context)?.is_done() {
            Command::new("systemctl", ["restart", UNIT]).must(host)?;
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        undo_parts(&self.parts(host)?, host, context)
    }
}

impl RoutedNetwork {
    fn check(&self) -> Result<(), StepError> {
        let address = |text: &str| text.parse::<Ipv4Addr>().is_ok();
        let range = |text: &str| {
            let parts = text.split_once('/').map(|(base, length)| (base.parse::<Ipv4Addr>(), length.parse::<u8>()));
            matches!(parts, Some((Ok(_), Ok(0..=32))))
        };
        let ranges = [&self.pods, &self.cluster_pods, &self.services].into_iter().all(|text| range(text));
        let peers = self.peers.iter().all(|peer| address(&peer.address) && range(&peer.pods));
        if address(&self.address) && ranges && peers && (576..=65_535).contains(&self.mtu) {
            return Ok(());
        }
        Err(StepError::Invalid { problem: "the routed pod network takes IPv4 addresses and ranges".to_owned() })
    }

    fn parts(&self, host: &dyn Host) -> Result<Vec<StepKind>, StepError> {
        let routes = self.routes(service_route(host, self)?.as_deref());
        let remove: String = routes.lines().map(|line| format!("{}\n", line.replacen("replace", "del", 1))).collect();
        let file = |path: &str, content: String| {
            StepKind::File(File { path: path.to_owned(), content, mode: Mode::FILE, replaces: None })
        };
        let unit = Unit {
            name: UNIT.to_owned(),
            content: unit_text(),
            drop_ins: Default::default(),
            running: true,
            restart_on: vec![ROUTES.to_owned(), MASQUERADE.to_owned()],
            replaces: Default::default(),
        };
        Ok(vec![
            file(ROUTES, routes),
            file(ROUTES_REMOVE, remove),
            file(MASQUERADE, self.masquerade()),
            unit.into(),
            // Last: from here on containerd calls the node's network ready.
            file(CONFLIST, self.conflist()),
        ])
    }

    fn conflist(&self) -> String {
        let conflist = serde_json::json!({
            "cniVersion": "1.0.0",
            "name": "sealock",
            "plugins": [
                {
                    "type": "ptp",
                    "mtu": self.mtu,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        format!("{conflist:#}\n")
    }

    fn routes(&self, service_device: Option<&str>) -> String {
        // A pod address that nobody has must not wander off to a default route. Every pod that lives has a longer prefix.
        let mut text = format!("route replace blackhole {}\n", self.cluster_pods);
        for peer in &self.peers {
            text.push_str(&format!("route replace {} via {}\n", peer.pods, peer.address));
        }
        if let Some(device) = service_device {
            text.push_str(&format!("route replace {} dev {device} src {}\n", self.services, self.address));
        }
        text
    }

    fn masquerade(&self) -> String {
        let pods = &self.cluster_pods;
        // The first two lines make the file repeatable: a table must exist to be deleted.
        format!(
            "table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n\tchain postrouting {{\n\t\t\
             type nat hook postrouting priority srcnat; policy accept;\n\t\t\
             ip saddr {pods} ip daddr != {pods} masquerade\n\t}}\n}}\n"
        )
    }
}

fn unit_text() -> String {
    format!(
        "[Unit]\n\
         Description=Sealock pod network: routes and masquerade\n\
         After=network-online.target nftables.service\n\
         Wants=network-online.target\n\
         Before=containerd.service kubelet.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=sysctl -q -w net.ipv4.ip_forward=1\n\
         ExecStart=ip -batch {ROUTES}\n\
         ExecStart=nft -f {MASQUERADE}\n\
         ExecStop=-ip -force -batch {ROUTES_REMOVE}\n\
         ExecStop=-nft delete table ip {TABLE}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// The device for the service route; none where a default route already does that job.
fn service_route(host: &dyn Host, network: &RoutedNetwork) -> Result<Option<String>, StepError> {
    let default = Command::new("ip", ["-4", "route", "show", "default"]).must(host)?;
    if !default.trim().is_empty() {
        return Ok(None);
    }
    let device = device_of(host, &network.address)?;
    let missing =
        || StepError::Unknown { because: format!("no interface of this host has address {}", network.address) };
    device.map(Some).ok_or_else(missing)
}

/// The interface that has `address`.
fn device_of(host: &dyn Host, address: &str) -> Result<Option<String>, HostError> {
    let text = Command::new("ip", ["-4", "-o", "address", "show"]).must(host)?;
    // `2: eth0    inet 10.77.0.11/24 brd … scope global eth0 …`
    let device = text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let device = words.next()?.split('@').next()?;
        let found = words.skip_while(|word| *word != "inet").nth(1)?;
        (found.split('/').next() == Some(address)).then(|| device.to_owned())
    });
    Ok(device)
}
