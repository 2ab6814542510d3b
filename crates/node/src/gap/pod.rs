//! A pod, and its network namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::GapError;
use crate::host::{Command, Host, HostError};

/// A pod with a network namespace of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// A process in it that sees the pod's file system, where there is one beside the sandbox.
    pub(crate) process: u32,
}

/// A pod that does not share the node's network; none if no such pod runs here.
pub(crate) fn choose(host: &dyn Host) -> Result<Option<Pod>, HostError> {
    Ok(all(host)?.into_iter().next())
}

/// One pod of each network namespace that is not the node's: first those that are more than a sandbox.
pub(crate) fn all(host: &dyn Host) -> Result<Vec<Pod>, HostError> {
    let tasks = match host.run(&ctr(&["tasks", "ls"])) {
        Ok(output) if output.status == 0 => output.stdout,
        Ok(_) | Err(HostError::NoProgram { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let ours = namespace_of("self");
    let mut pods: Vec<(PathBuf, Pod)> = Vec::new();
    let mut sandboxes: Vec<(PathBuf, Pod)> = Vec::new();
    // `TASK PID STATUS`
    for line in tasks.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(container), Some(Ok(process)), Some("RUNNING")) =
            (words.next(), words.next().map(str::parse::<u32>), words.next())
        else {
            continue;
        };
        let theirs = namespace_of(&process.to_string());
        let Some(namespace) = theirs.filter(|theirs| Some(theirs) != ours.as_ref()) else { continue };
        if pods.iter().any(|(there, _)| *there == namespace) {
            continue;
        }
        match describe(host, container, process)? {
            Some((pod, false)) => pods.push((namespace, pod)),
            Some((pod, true)) => sandboxes.push((namespace, pod)),
            None => {}
        }
    }
    sandboxes.retain(|(sandbox, _)| pods.iter().all(|(there, _)| there != sandbox));
    Ok(pods.into_iter().chain(sandboxes).map(|(_, pod)| pod).collect())
}

fn namespace_of(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

/// The pod of a container, and whether the container is its sandbox.
fn describe(host: &dyn Host, container: &str, process: u32) -> Result<Option<(Pod, bool)>, HostError> {
    let output = host.run(&ctr(&["containers", "info", container]))?;
    let Ok(info) = serde_json::from_str::<serde_json::Value>(&output.stdout) else { return Ok(None) };
    let label = |name: &str| info["Labels"][name].as_str().map(str::to_owned);
    let (Some(namespace), Some(name)) = (label("io.kubernetes.pod.namespace"), label("io.kubernetes.pod.name")) else {
        return Ok(None);
    };
    let is_sandbox = label("io.cri-containerd.kind").as_deref() == Some("sandbox");
    Ok(Some((Pod { namespace, name, process }, is_sandbox)))
}

/// Runs `work` in the network namespace of `pod`, on a thread of its own: the caller stays where it is.
pub(crate) fn within<T: Send>(pod: &Pod, work: impl FnOnce() -> T + Send) -> Result<T, GapError> {
    let failed = |source: io::Error| GapError::Enter { pod: format!("{}/{}", pod.namespace, pod.name), source };
    let namespace = File::open(format!("/proc/{}/ns/net", pod.process)).map_err(failed)?;
    thread::scope(|scope| {
        let inside = scope.spawn(move || -> Result<T, rustix::io::Errno> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        });
        match inside.join() {
            Ok(result) => result.map_err(|error| failed(error.into())),
            Err(_) => Err(failed(io::Error::other("a probe panicked"))),
        }
    })
}

fn ctr(args: &[&str]) -> Command {
    Command::new("ctr", ["--namespace", "k8s.io"].iter().chain(args).copied())
}
