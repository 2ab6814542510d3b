//! A node that an upgrade has changed becomes again what was kept of it.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::kept::{self, KeptFile, Record};
use super::manifests::await_api;
use crate::changes::Changes;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host, HostError};
use crate::step::kubeadm::MARKS;
use crate::step::{Act, Mode, Probe, component_is_intact, containers, unit};
use crate::wait;

const CONTAINERD: &str = "containerd.service";
const KUBELET: &str = "kubelet.service";
/// By these containerd is what it is.
const CONTAINERD_READS: [&str; 3] =
    ["/usr/local/bin/containerd", "/etc/containerd/config.toml", "/etc/systemd/system/containerd.service"];
/// What these were started with, as is known of every unit.
pub(super) const CONTAINERD_STARTED: &str = "/var/lib/sealock/node/units/containerd.service.json";
pub(super) const KUBELET_STARTED: &str = "/var/lib/sealock/node/units/kubelet.service.json";
const MANIFESTS: &str = "/etc/kubernetes/manifests/";
/// In the order in which one needs the other.
const STATIC_PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// How long kubelet has to stay the same process to count as one that runs.
const STEADY: Duration = Duration::from_secs(5);
const STARTS: Duration = Duration::from_secs(60);
const PODS: Duration = Duration::from_secs(300);
const BETWEEN: Duration = Duration::from_millis(500);

/// Makes the node what was kept of it before an upgrade changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TakenBack {
    /// The name under which it was kept: nothing else is put back.
    pub since: String,
}

impl fmt::Display for TakenBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put back programs, units, settings and static pods of before ({})", self.since)
    }
}

impl Act for TakenBack {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(match Record::load(host)? {
            Some(record) if record.since == self.since => Probe::not_done("an upgrade was begun here"),
            _ => Probe::Done,
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        take_back(host, context, &self.since)
    }

    /// What leads to the newer version again is an upgrade.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Puts back what was kept under the name `since`. Cut off anywhere, the same again goes on: what was kept is forgotten last.
pub(super) fn take_back(host: &dyn Host, context: &Context<'_>, since: &str) -> Result<(), StepError> {
    let Some(record) = Record::load(host)?.filter(|record| record.since == since) else { return Ok(()) };
    check_programs(host, &record)?;
    // First, so that an upgrade that is begun again in between does all of its phases anew.
    put_back_marks(host, &record)?;
    put_back_running_pods(host, context, &record)?;
    forget_start(host, &record)?;
    put_back_links(host, &record)?;
    put_back_files(host, &record)?;
    start(host, context, &record)?;
    await_static_pods(host, context, &record)?;
    Ok(host.alter(Alteration::RemoveFile { path: &kept::path() })?)
}

/// Nothing runs again whose digest does not hold.
fn check_programs(host: &dyn Host, record: &Record) -> Result<(), StepError> {
    for target in record.links.values() {
        if !component_is_intact(host, target)? {
            let because = format!("{target} is missing or damaged: there is no program of before to go back to");
            return Err(StepError::Unknown { because });
        }
    }
    Ok(())
}

fn put_back_marks(host: &dyn Host, record: &Record) -> Result<(), StepError> {
    for name in host.list(MARKS)?.iter().filter(|name| !record.marks.contains_key(*name)) {
        host.alter(Alteration::RemoveFile { path: &format!("{MARKS}/{name}") })?;
    }
    for (name, mark) in &record.marks {
        let path = format!("{MARKS}/{name}");
        if host::read_text(host, &path)?.as_ref() != Some(mark) {
            host::write(host, &path, Mode::FILE, mark.as_bytes())?;
        }
    }
    Ok(())
}

/// One static pod after the other, as kubeadm does it, while kubelet runs: a kubelet that is started anew while it stops them waits for an API
/// server that waits for etcd, which waits for kubelet. What does not come up so, or where kubelet ends meanwhile, is left to the kubelet of
/// before.
fn put_back_running_pods(host: &dyn Host, context: &Context<'_>, record: &Record) -> Result<(), StepError> {
    for name in STATIC_PODS {
        let path = format!("{MANIFESTS}{name}.yaml");
        let Some(Some(kept)) = record.files.get(&path) else { continue };
        if host::read_text(host, &path)?.as_ref() == Some(&kept.content) {
            continue;
        }
        if !unit::is_active(host, KUBELET)? {
            return Ok(());
        }
        put_back_file(host, &path, Some(kept))?;
        let goes_on = || unit::is_active(host, KUBELET);
        let runs = comes_up(host, context, (name, &kept.content), goes_on)?;
        if !runs || (path == API_SERVER && await_api(host).is_err()) {
            (context.progress)(&format!("{name} of before does not serve yet: kubelet of before is to start it"));
            return Ok(());
        }
    }
    Ok(())
}

/// Where something changes of what containerd reads, what it was started with is forgotten first: cut off behind that, the next attempt
/// starts it anew.
fn forget_start(host: &dyn Host, record: &Record) -> Result<(), StepError> {
    for path in CONTAINERD_READS {
        let is_as_kept = match (record.links.get(path), record.files.get(path)) {
            (Some(target), _) => is_linked(host, path, target)?,
            (None, Some(kept)) => is_as_kept(host, path, kept.as_ref())?,
            (None, None) => true,
        };
        if !is_as_kept {
            return Ok(host.alter(Alteration::RemoveFile { path: CONTAINERD_STARTED })?);
        }
    }
    Ok(())
}

fn put_back_links(host: &dyn Host, record: &Record) -> Result<(), StepError> {
    for (path, target) in &record.links {
        if !is_linked(host, path, target)? {
            host.alter(Alteration::Link { path, target })?;
        }
    }
    Ok(())
}

/// All but what is known of starts: that comes with them.
fn put_back_files(host: &dyn Host, record: &Record) -> Result<(), StepError> {
    for (path, kept) in
        record.files.iter().filter(|(path, _)| ![CONTAINERD_STARTED, KUBELET_STARTED].contains(&path.as_str()))
    {
        if !is_as_kept(host, path, kept.as_ref())? {
            put_back_file(host, path, kept.as_ref())?;
        }
    }
    Ok(())
}

fn is_linked(host: &dyn Host, path: &str, target: &str) -> Result<bool, HostError> {
    Ok(host.inspect(path)? == (host::Entry::Link { target: target.to_owned() }))
}

fn is_as_kept(host: &dyn Host, path: &str, kept: Option<&KeptFile>) -> Result<bool, HostError> {
    Ok(host::read_text(host, path)?.as_ref() == kept.map(|kept| &kept.content))
}

fn put_back_file(host: &dyn Host, path: &str, kept: Option<&KeptFile>) -> Result<(), StepError> {
    let Some(KeptFile { mode, content }) = kept else {
        return Ok(host.alter(Alteration::RemoveFile { path })?);
    };
    let mut changes = Changes::load(host)?;
    // What Sealock wrote, it has to know for its own again.
    let digest = sealock_trust::Digest::sha256(content.as_bytes());
    if changes.wrote(path, &digest) {
        changes.before_file(host, path, &digest)?;
    }
    Ok(host::write(host, path, *mode, content.as_bytes())?)
}

/// containerd where it was started with something else, and kubelet in any case: whatever it was, it may have given up.
fn start(host: &dyn Host, context: &Context<'_>, record: &Record) -> Result<(), StepError> {
    Command::new("systemctl", ["daemon-reload"]).must(host)?;
    let started = |path: &str| record.files.get(path).and_then(Option::as_ref);
    if !is_as_kept(host, CONTAINERD_STARTED, started(CONTAINERD_STARTED))? || !unit::is_active(host, CONTAINERD)? {
        (context.progress)("starting containerd of before");
        unit::start_after_failures(host, CONTAINERD)?;
        put_back_file(host, CONTAINERD_STARTED, started(CONTAINERD_STARTED))?;
    }
    (context.progress)("starting kubelet of before");
    unit::start_after_failures(host, KUBELET)?;
    put_back_file(host, KUBELET_STARTED, started(KUBELET_STARTED))?;
    await_kubelet(host)
}

fn await_kubelet(host: &dyn Host) -> Result<(), StepError> {
    let mut same: Option<(String, Instant)> = None;
    let runs = wait::until(STARTS, BETWEEN, || {
        let process = process_of(host, KUBELET)?;
        let since = match (&process, &same) {
            (Some(process), Some((before, since))) if before == process => *since,
            _ => Instant::now(),
        };
        same = process.map(|process| (process, since));
        Ok::<_, StepError>((same.is_some() && since.elapsed() >= STEADY).then_some(()))
    })?;
    let late = || StepError::Late {
        what: "kubelet of before does not stay up".into(),
        seconds: STARTS.as_secs(),
        state: "`journalctl -u kubelet` on this host says why".into(),
    };
    runs.ok_or_else(late)
}

/// The unit's main process, while systemd calls it active.
fn process_of(host: &dyn Host, name: &str) -> Result<Option<String>, HostError> {
    let shown = Command::new("systemctl", ["show", "--property=ActiveState,MainPID", "--", name]).must(host)?;
    let is_active = shown.lines().any(|line| line == "ActiveState=active");
    let process = shown.lines().find(|line| line.starts_with("MainPID=")).unwrap_or_default();
    Ok(is_active.then(|| process.to_owned()))
}

/// Waits until each static pod runs the image that its manifest names, and the API server serves.
fn await_static_pods(host: &dyn Host, context: &Context<'_>, record: &Record) -> Result<(), StepError> {
    for name in STATIC_PODS {
        let Some(Some(kept)) = record.files.get(&format!("{MANIFESTS}{name}.yaml")) else { continue };
        if !comes_up(host, context, (name, &kept.content), || Ok(true))? {
            let state = "`journalctl -u kubelet` on this host says why".to_owned();
            return Err(StepError::Late {
                what: format!("{name} of before does not run"),
                seconds: PODS.as_secs(),
                state,
            });
        }
    }
    match record.files.get(API_SERVER) {
        Some(Some(_)) => await_api(host),
        _ => Ok(()),
    }
}

/// Whether the static pod runs the image that its manifest names before the time is over, or there is nobody who starts it.
fn comes_up(
    host: &dyn Host,
    context: &Context<'_>,
    (name, manifest): (&str, &str),
    goes_on: impl Fn() -> Result<bool, HostError>,
) -> Result<bool, StepError> {
    let Some(image) = image_in(manifest) else { return Ok(true) };
    (context.progress)(&format!("waiting for {image}"));
    let came = wait::until(PODS, BETWEEN, || {
        let runs = runs(host, name, image)?;
        Ok::<_, StepError>((runs || !goes_on()?).then_some(runs))
    })?;
    Ok(came.unwrap_or(false))
}

fn runs(host: &dyn Host, container: &str, image: &str) -> Result<bool, StepError> {
    for id in containers::running(host, container)? {
        if containers::image_of(host, &id)?.as_deref() == Some(image) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The image of a manifest as kubeadm writes it: each static pod has one container.
fn image_in(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| line.trim_start().strip_prefix("image: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_a_static_pod_is_found_in_its_manifest() {
        let manifest = "spec:\n  containers:\n  - command:\n    - etcd\n    image: registry.k8s.io/etcd:3.6.8-0\n    imagePullPolicy: IfNotPresent\n";
        assert_eq!(image_in(manifest), Some("registry.k8s.io/etcd:3.6.8-0"));
        assert_eq!(image_in("spec: {}"), None);
    }
}
