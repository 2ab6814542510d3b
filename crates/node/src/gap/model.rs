//! What is asked and what is found.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use sealock_trust::format;
use serde::{Deserialize, Serialize};

/// The format of a [`GapRequest`].
pub const GAP_REQUEST_FORMAT: &str = format::GAP_REQUEST.current;
/// The format of a [`GapReport`].
pub const GAP_REPORT_FORMAT: &str = format::GAP_REPORT.current;

/// What is to be tried from one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GapRequest {
    /// [`GAP_REQUEST_FORMAT`].
    pub format: String,
    /// The node's name.
    pub node: String,
    /// Addresses outside.
    pub targets: Vec<IpAddr>,
    /// Addresses at which clouds tell machines about themselves.
    pub metadata: Vec<IpAddr>,
    /// Names that only a resolver with a way out knows.
    pub names: Vec<String>,
    /// The site's own time servers: that a node is told of them leads nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_servers: Vec<String>,
    /// What must answer, so that silence means something.
    pub controls: Controls,
    /// How long each probe listens, in milliseconds.
    pub timeout_ms: u32,
}

impl GapRequest {
    /// The usual targets: resolvers of the public internet in both families, the metadata addresses of the large clouds, and
    /// names that every Kubernetes asks for. `extra` are further targets.
    pub fn usual(node: &str, extra: &[IpAddr], controls: Controls) -> Self {
        let addresses = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<IpAddr>>();
        let mut targets = addresses(&["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"]);
        targets.extend(extra);
        Self {
            format: GAP_REQUEST_FORMAT.to_owned(),
            node: node.to_owned(),
            targets,
            metadata: addresses(&["169.254.169.254", "fd00:ec2::254"]),
            time_servers: Vec::new(),
            names: ["registry-1.docker.io", "registry.k8s.io", "dl.k8s.io"].map(str::to_owned).into(),
            controls,
            timeout_ms: 3000,
        }
    }
}

/// What answers inside the site: one address per family, and where each port's control listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Controls {
    /// The station's addresses.
    pub addresses: Vec<IpAddr>,
    /// TCP: port of the probe to port of its control; the same one unless the station uses it for something else.
    pub tcp: BTreeMap<u16, u16>,
    /// UDP, in the same way.
    pub udp: BTreeMap<u16, u16>,
}

impl Controls {
    /// The control address of the same family as `target`.
    pub(super) fn address(&self, target: &IpAddr) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == target.is_ipv4())
    }

    pub(super) fn tcp(&self, target: &IpAddr, port: u16) -> Option<(IpAddr, u16)> {
        Some((self.address(target)?, *self.tcp.get(&port)?))
    }

    pub(super) fn udp(&self, target: &IpAddr, port: u16) -> Option<(IpAddr, u16)> {
        Some((self.address(target)?, *self.udp.get(&port)?))
    }
}

/// What was found from one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GapReport {
    /// [`GAP_REPORT_FORMAT`].
    pub format: String,
    /// The node's name.
    pub node: String,
    /// When, by the node's clock.
    pub at: Timestamp,
    /// From where, and what.
    pub places: Vec<PlaceReport>,
}

impl GapReport {
    /// Every probe that got out.
    pub fn leaks(&self) -> impl Iterator<Item = (&Place, &ProbeResult)> {
        let probes = self.places.iter().flat_map(|place| place.probes.iter().map(move |probe| (&place.place, probe)));
        probes.filter(|(_, probe)| probe.verdict == Verdict::Leak)
    }
}

/// What was found from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlaceReport {
    /// From where.
    pub place: Place,
    /// What.
    pub probes: Vec<ProbeResult>,
}

/// From where a probe was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum Place {
    /// The node's own network namespace.
    Node,
    /// A pod's.
    Pod {
        /// Its namespace in Kubernetes.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// No pod with a network namespace of its own runs on the node, so none was probed.
    NoPod,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Pod { namespace, name } => write!(f, "pod {namespace}/{name}"),
            Self::NoPod => f.write_str("no pod"),
        }
    }
}

/// One probe and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeResult {
    /// What was tried.
    pub probe: ProbeKind,
    /// The control; settings have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// The outcome.
    pub verdict: Verdict,
    /// What was heard or seen.
    pub detail: String,
}

impl ProbeResult {
    pub(super) fn new(probe: ProbeKind, control: Option<Control>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { probe, control, verdict, detail: detail.into() }
    }
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ProbeKind {
    /// A TCP connection.
    Tcp {
        /// To where.
        address: IpAddr,
        /// Its port.
        port: u16,
    },
    /// A UDP datagram that invites an answer.
    Udp {
        /// To where.
        address: IpAddr,
        /// Its port.
        port: u16,
    },
    /// An echo request.
    Icmp {
        /// To where.
        address: IpAddr,
    },
    /// A cloud's metadata service.
    Metadata {
        /// Its address.
        address: IpAddr,
    },
    /// A name of the outside, asked of a configured resolver.
    Dns {
        /// The resolver.
        resolver: IpAddr,
        /// The name.
        name: String,
    },
    /// Whether there is a default route.
    DefaultRoute,
    /// Whether proxy variables are set.
    Proxy,
    /// Which resolvers are configured.
    Resolver,
    /// Which time servers are configured.
    TimeServer,
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, port } => write!(f, "TCP {}", std::net::SocketAddr::new(*address, *port)),
            Self::Udp { address, port } => write!(f, "UDP {}", std::net::SocketAddr::new(*address, *port)),
            Self::Icmp { address } => write!(f, "ICMP {address}"),
            Self::Metadata { address } => write!(f, "metadata {address}"),
            Self::Dns { resolver, name } => write!(f, "DNS {name} at {resolver}"),
            Self::DefaultRoute => f.write_str("default route"),
            Self::Proxy => f.write_str("proxy variables"),
            Self::Resolver => f.write_str("resolvers"),
            Self::TimeServer => f.write_str("time servers"),
        }
    }
}

/// What was heard of a probe's control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Control {
    /// Where it is.
    pub address: IpAddr,
    /// Its port; 0 where there is none.
    pub port: u16,
    /// Whether it answered.
    pub reached: bool,
}

/// The outcome of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something on the way stopped it.
    Blocked,
    /// The kernel, or a router, knows no way there.
    NoRoute,
    /// A setting that could lead out is not there.
    Clear,
    /// A setting is there that a person should look at. By itself it lets nothing out.
    Noted,
    /// Nothing was heard, but nothing from the control either.
    Unproven,
    /// It got out.
    Leak,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "blocked",
            Self::NoRoute => "no route",
            Self::Clear => "clear",
            Self::Noted => "noted",
            Self::Unproven => "unproven",
            Self::Leak => "leak",
        })
    }
}
