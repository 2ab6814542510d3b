//! Whether the cluster's services are reached from a node, after kube-proxy there has become another one.
//!
//! What a new kube-proxy makes of the rules that an older one left is not always whole, and it does not say so: where a service is not
//! reached, kube-proxy is started once more on this node, and looked at again.
//!
//! Behind a gap a node often has no route that services would go by, and what brings the pod network gives it none: then it is a pod on the node
//! that looks.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::gap::{dns, pod};
use crate::host::{Host, HostError};
use crate::step::containers::{self, ctr};
use crate::step::{Act, Probe};
use crate::wait;

const KUBE_PROXY: &str = "kube-proxy";
const ONE: Duration = Duration::from_secs(3);
/// How many pods look, each for some seconds.
const PODS: usize = 5;
const BETWEEN: Duration = Duration::from_secs(1);
/// How long kube-proxy has by itself, and then once more.
const PATIENCE: [Duration; 2] = [Duration::from_secs(45), Duration::from_secs(120)];

/// Reaches the API server and the DNS of the cluster by their service addresses, from this node, through a kube-proxy of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServicesAnswer {
    /// The image that kube-proxy is to run.
    pub kube_proxy: String,
    /// The address of the API server's service.
    pub api: Ipv4Addr,
    /// The address of the DNS service.
    pub dns: Ipv4Addr,
    /// A name that the DNS knows.
    pub name: String,
}

impl fmt::Display for ServicesAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reach the API server at {} and the DNS at {} from here", self.api, self.dns)
    }
}

impl Act for ServicesAnswer {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let proxies = match containers::running(host, KUBE_PROXY) {
            Ok(proxies) => proxies,
            Err(StepError::Host(HostError::NoProgram { .. })) => return Ok(Probe::not_done("containerd is not there")),
            Err(error) => return Err(error),
        };
        for proxy in &proxies {
            if containers::image_of(host, proxy)?.as_ref() == Some(&self.kube_proxy) {
                return Ok(self.silent(host)?.map_or(Probe::Done, Probe::not_done));
            }
        }
        Ok(Probe::not_done(format!("{} does not run here", self.kube_proxy)))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let [by_itself, once_more] = PATIENCE;
        if self.wait(by_itself, host, context)?.is_none() {
            return Ok(());
        }
        (context.progress)("services are not reached: starting kube-proxy once more");
        for id in containers::running(host, KUBE_PROXY)? {
            // One that has just ended by itself is no failure. kubelet starts it again.
            host.run(&ctr(["tasks", "kill", "--signal", "SIGTERM", &id]))?;
        }
        let Some(state) = self.wait(once_more, host, context)? else { return Ok(()) };
        let what = "the cluster's services are not reached from this node".to_owned();
        Err(StepError::Late { what, seconds: once_more.as_secs(), state })
    }

    /// Looking changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl ServicesAnswer {
    /// Waits until all is reached. What was not, after that time.
    fn wait(&self, limit: Duration, host: &dyn Host, context: &Context<'_>) -> Result<Option<String>, StepError> {
        let mut last = None;
        let reached = wait::until(limit, BETWEEN, || {
            last = match self.probe(host, context)? {
                Probe::Done => None,
                probe => Some(probe.to_string()),
            };
            Ok::<_, StepError>(last.is_none().then_some(()))
        })?;
        Ok(if reached.is_some() { None } else { last })
    }

    /// What is not reached from here; nothing where neither the node nor a pod on it has a way that could be looked along.
    fn silent(&self, host: &dyn Host) -> Result<Option<String>, HostError> {
        if !self.has_no_route() {
            return Ok(self.unreached());
        }
        let mut first = None;
        // A policy may keep one of them from others, and one may just have ended: that one of them reaches all is what counts.
        for pod in pod::all(host)?.iter().take(PODS) {
            match pod::within(pod, || self.unreached()).unwrap_or_else(|error| Some(error.to_string())) {
                None => return Ok(None),
                problem => first = first.or(problem),
            }
        }
        Ok(first)
    }

    fn api(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.api), 443)
    }

    fn has_no_route(&self) -> bool {
        let asked = TcpStream::connect_timeout(&self.api(), ONE);
        asked.is_err_and(|error| error.kind() == ErrorKind::NetworkUnreachable)
    }

    /// What is not reached from the network namespace of this thread.
    fn unreached(&self) -> Option<String> {
        let api = self.api();
        if let Err(error) = TcpStream::connect_timeout(&api, ONE) {
            return Some(format!("the API server is not reached at {api}: {error}"));
        }
        match dns::ask(IpAddr::V4(self.dns), &self.name, ONE) {
            dns::Reply::Addresses(_) => None,
            dns::Reply::Negative(said) | dns::Reply::Silence(said) => {
                Some(format!("the DNS at {} does not say what {} is: {said}", self.dns, self.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::{TcpListener, UdpSocket};
    use std::process;

    use super::*;
    use crate::gap::pod::{Pod, within};
    use crate::host::{Alteration, Command, Entry, Local, Output};
    use crate::step::Mode;

    const NAME: &str = "step::upgrade::services::tests::where_a_node_has_no_route_a_pod_on_it_looks";

    /// A node on which containerd runs what is there.
    struct Node {
        /// The processes of pods with networks of their own.
        pods: Vec<u32>,
    }

    impl Host for Node {
        fn inspect(&self, path: &str) -> Result<Entry, HostError> {
            Local::new().inspect(path)
        }
        fn open(&self, path: &str) -> Result<Box<dyn Read>, HostError> {
            Local::new().open(path)
        }
        fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
            Local::new().list(path)
        }
        fn write(&self, _: &str, _: Mode, _: &mut dyn Read) -> Result<(), HostError> {
            panic!("looking writes nothing")
        }
        fn alter(&self, _: Alteration<'_>) -> Result<(), HostError> {
            panic!("looking changes nothing")
        }
        fn run(&self, command: &Command) -> Result<Output, HostError> {
            let stdout = match command.args.last().map(String::as_str) {
                Some("ls") => {
                    let pods: String = self.pods.iter().map(|process| format!("tools {process} RUNNING\n")).collect();
                    format!("TASK PID STATUS\nkube-proxy {} RUNNING\n{pods}", process::id())
                }
                _ => r#"{"Labels": {"io.kubernetes.pod.namespace": "demo", "io.kubernetes.pod.name": "tools"}}"#
                    .to_owned(),
            };
            Ok(Output { status: 0, stdout, stderr: String::new() })
        }
    }

    /// A process in a network of its own, in which there is loopback with these addresses, and no route.
    fn alone(addresses: &[&str]) -> process::Child {
        let script = "ip link set lo up && for a; do ip address add $a dev lo; done && echo up && exec sleep 60";
        let mut command = process::Command::new("unshare");
        command.args(["--net", "sh", "-c", script, "sh"]).args(addresses).stdout(process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "up\n", "a network namespace needs ip (Debian package iproute2)");
        child
    }

    /// Says one address for each name that is asked for, as long as the process lives.
    fn answer_names(socket: UdpSocket) {
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                // The same message with "response" and one answer: the name asked for, A, IN, a minute, four bytes (RFC 1035).
                let mut answer = question[..length].to_vec();
                answer[2] |= 0x80;
                answer[7] = 1;
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 96, 0, 1]);
                socket.send_to(&answer, from).unwrap();
            }
        });
    }

    #[test]
    fn where_a_node_has_no_route_a_pod_on_it_looks() {
        if !rustix::process::geteuid().is_root() {
            let mut again = process::Command::new("unshare");
            again.args(["--user", "--map-root-user"]).arg(std::env::current_exe().unwrap()).args(["--exact", NAME]);
            assert!(again.status().unwrap().success(), "this needs root or user namespaces");
            return;
        }
        let step = ServicesAnswer {
            kube_proxy: "registry.k8s.io/kube-proxy:v1.37.2".into(),
            api: [10, 96, 0, 1].into(),
            dns: [10, 96, 0, 10].into(),
            name: "kubernetes.default.svc.cluster.local".into(),
        };
        let (mut node, mut pod) = (alone(&[]), alone(&["10.96.0.1/32", "10.96.0.10/32"]));
        let place = |process: u32| Pod { namespace: "demo".into(), name: "tools".into(), process };
        let looked =
            |pods: &[u32]| within(&place(node.id()), || step.silent(&Node { pods: pods.into() }).unwrap()).unwrap();
        assert_eq!(looked(&[]), None, "nobody there asks for a service");
        let refused = looked(&[pod.id()]).unwrap();
        assert!(refused.contains("the API server is not reached at 10.96.0.1:443: Connection refused"), "{refused}");
        let server = within(&place(pod.id()), || TcpListener::bind("10.96.0.1:443").unwrap()).unwrap();
        let refused = looked(&[pod.id()]).unwrap();
        assert!(refused.contains("the DNS at 10.96.0.10 does not say"), "{refused}");
        answer_names(within(&place(pod.id()), || UdpSocket::bind("10.96.0.10:53").unwrap()).unwrap());
        // One that a policy keeps from others does not speak for the node.
        let mut kept = alone(&[]);
        assert_eq!(looked(&[kept.id(), pod.id()]), None);
        assert!(looked(&[kept.id()]).unwrap().contains("Network is unreachable"));
        drop(server);
        for child in [&mut node, &mut pod, &mut kept] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
