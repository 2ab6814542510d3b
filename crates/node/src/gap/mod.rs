//! Tries to get out, from the node and from inside a pod's network namespace.
//!
//! A probe that hears nothing is only worth something if it would have heard an answer: each first reaches a control of the
//! same kind inside the site, the [`Responder`] at the station. Silence without a control is `unproven`, never `blocked`.

pub(crate) mod dns;
mod model;
pub(crate) mod pod;
mod responder;
mod settings;
mod sockets;

use std::thread;
use std::time::Duration;

use jiff::Timestamp;

pub use model::*;
pub use responder::{Responder, ResponderError};

use sealock_trust::format::{self, UnknownFormat};

use crate::host::{Host, HostError};
use sockets::Heard;

/// Why the gap could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum GapError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A pod's network namespace could not be entered.
    #[error("cannot enter the network namespace of pod {pod}")]
    Enter {
        /// The pod.
        pod: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A request of another version.
    #[error("the request is not of a version that is read here")]
    Format(#[source] UnknownFormat),
}

impl GapError {
    /// True where trying again cannot help.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Format(_))
    }
}

/// Carries out `request` on this machine: from its own network namespace, and from that of one pod.
pub fn probe<H: Host + Sync>(request: &GapRequest, host: &H) -> Result<GapReport, GapError> {
    format::GAP_REQUEST.check(&request.format).map_err(GapError::Format)?;
    let mut places = vec![PlaceReport { place: Place::Node, probes: from_here(request, host, None)? }];
    match pod::choose(host)? {
        None => places.push(PlaceReport { place: Place::NoPod, probes: Vec::new() }),
        Some(pod) => {
            let probes = pod::within(&pod, || from_here(request, host, Some(&pod)))??;
            places.push(PlaceReport { place: Place::Pod { namespace: pod.namespace, name: pod.name }, probes });
        }
    }
    Ok(GapReport { format: GAP_REPORT_FORMAT.to_owned(), node: request.node.clone(), at: Timestamp::now(), places })
}

/// All probes from the network namespace of the calling thread; threads that it starts are in the same one.
fn from_here<H: Host + Sync>(
    request: &GapRequest,
    host: &H,
    pod: Option<&pod::Pod>,
) -> Result<Vec<ProbeResult>, GapError> {
    let resolvers = settings::resolvers(host, pod)?;
    let mut probes: Vec<ProbeKind> = Vec::new();
    for target in &request.targets {
        probes.extend([80, 443].map(|port| ProbeKind::Tcp { address: *target, port }));
        probes.extend([53, 123, 443].map(|port| ProbeKind::Udp { address: *target, port }));
        probes.push(ProbeKind::Icmp { address: *target });
    }
    for metadata in &request.metadata {
        probes.push(ProbeKind::Metadata { address: *metadata });
    }
    for resolver in &resolvers {
        probes.extend(request.names.iter().map(|name| ProbeKind::Dns { resolver: *resolver, name: name.clone() }));
    }
    let timeout = Duration::from_millis(request.timeout_ms.into());
    let mut results = at_once(&probes, |kind| network(kind, request, timeout));
    results.extend(settings::observe(host, pod, &resolvers)?);
    Ok(results)
}

fn at_once(probes: &[ProbeKind], probe: impl Fn(&ProbeKind) -> ProbeResult + Sync) -> Vec<ProbeResult> {
    let probe = &probe;
    thread::scope(|scope| {
        let running: Vec<_> = probes.iter().map(|kind| (kind, scope.spawn(move || probe(kind)))).collect();
        let unproven =
            |kind: &ProbeKind| ProbeResult::new(kind.clone(), None, Verdict::Unproven, "the probe itself failed");
        running.into_iter().map(|(kind, handle)| handle.join().unwrap_or_else(|_| unproven(kind))).collect()
    })
}

fn network(kind: &ProbeKind, request: &GapRequest, timeout: Duration) -> ProbeResult {
    let control = control(kind, request, timeout);
    let heard = match kind {
        ProbeKind::Tcp { address, port } => sockets::tcp(*address, *port, timeout),
        ProbeKind::Metadata { address } => sockets::tcp(*address, 80, timeout),
        ProbeKind::Udp { address, port } => sockets::udp(*address, *port, timeout),
        ProbeKind::Icmp { address } => sockets::icmp(*address, timeout),
        ProbeKind::Dns { resolver, name } => return dns_result(kind, *resolver, name, timeout),
        ProbeKind::DefaultRoute | ProbeKind::Proxy | ProbeKind::Resolver | ProbeKind::TimeServer => Heard::Nothing,
    };
    let (verdict, detail) = judge(&heard, control.as_ref());
    ProbeResult::new(kind.clone(), control, verdict, detail)
}

/// An answer is a leak whatever it says: a refusal, too, came from somewhere. Silence counts only beside a control that
/// was heard; the kernel's word that there is no way counts by itself.
fn judge(heard: &Heard, control: Option<&Control>) -> (Verdict, String) {
    match heard {
        Heard::Answer(what) => (Verdict::Leak, what.clone()),
        Heard::NoRoute(what) => (Verdict::NoRoute, what.clone()),
        Heard::Prohibited(what) => (Verdict::Blocked, what.clone()),
        Heard::Nothing if control.is_some_and(|control| control.reached) => {
            (Verdict::Blocked, "no answer, and the control answered".to_owned())
        }
        Heard::Nothing => (Verdict::Unproven, "no answer, and none from the control".to_owned()),
        Heard::Failed(what) => (Verdict::Unproven, what.clone()),
    }
}

/// A control of the same kind and, where the station could open it, the same port.
fn control(kind: &ProbeKind, request: &GapRequest, timeout: Duration) -> Option<Control> {
    let (address, port, heard) = match kind {
        ProbeKind::Tcp { address, port } => {
            let (control, port) = request.controls.tcp(address, *port)?;
            (control, port, sockets::tcp(control, port, timeout))
        }
        ProbeKind::Metadata { address } => {
            let (control, port) = request.controls.tcp(address, 80)?;
            (control, port, sockets::tcp(control, port, timeout))
        }
        ProbeKind::Udp { address, port } => {
            let (control, port) = request.controls.udp(address, *port)?;
            (control, port, sockets::udp(control, port, timeout))
        }
        ProbeKind::Icmp { address } => {
            let control = request.controls.address(address)?;
            (control, 0, sockets::icmp(control, timeout))
        }
        _ => return None,
    };
    let reached = matches!(heard, Heard::Answer(_));
    Some(Control { address, port, reached })
}

fn dns_result(kind: &ProbeKind, resolver: std::net::IpAddr, name: &str, timeout: Duration) -> ProbeResult {
    let heard = dns::ask(resolver, name, timeout);
    // Whatever it says about the name: that the resolver answers is the control of a negative answer.
    let reached = matches!(heard, dns::Reply::Addresses(_) | dns::Reply::Negative(_));
    let (verdict, detail) = match heard {
        dns::Reply::Addresses(addresses) => (Verdict::Leak, format!("the resolver says {addresses}")),
        dns::Reply::Negative(code) => (Verdict::Blocked, format!("the resolver says {code}")),
        dns::Reply::Silence(what) => (Verdict::Unproven, what),
    };
    ProbeResult::new(kind.clone(), Some(Control { address: resolver, port: 53, reached }), verdict, detail)
}
