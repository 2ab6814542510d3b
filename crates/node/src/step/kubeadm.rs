//! Phases of `kubeadm init`, `join` and `upgrade`, one step each with a probe of its own.
//!
//! Every phase of kubeadm may be repeated. A phase is done when the host or the cluster shows its trace *and* Sealock's mark
//! says that it ran with this configuration; a phase that only checks leaves nothing but the mark.

use std::time::Duration;

use sealock_trust::Digest;

use super::authorities::settle_signer;
use super::phases::{CONTROL_PLANE_JOIN_PHASES, INIT_PHASES, WORKER_JOIN_PHASES};
use super::requests::OUTSIDE;
use super::unit::State;
use super::{Act, KubeadmCommand, KubeadmPhase, Mode, Probe, upgrade};
use crate::context::Context;
use crate::error::StepError;
use crate::external_etcd::is_external;
use crate::host::{self, Alteration, Command, Host, HostError};
use crate::kubernetes_certificates::KUBELET_CLIENT;
use crate::wait;

/// Marks of the phases that ran.
pub(crate) const MARKS: &str = "/var/lib/sealock/node/phases";
const CONFIG_FOLDER: &str = "/run/sealock";
const TIMEOUT: Duration = Duration::from_secs(600);
/// kubeadm waits five minutes for each of four components, and as long for each that it takes back.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(3600);
/// By this kubeadm says that it has done nothing, and calls that a success.
const PASSED_OVER: &str = "Skipping upgrade of addons";
const WAIT: Duration = Duration::from_secs(240);
/// A controller manager that starts sweeps pods of nodes that are gone away within two minutes.
const SWEPT: Duration = Duration::from_secs(240);
const PKI: &[&str] = &[
    "pki/ca.crt",
    "pki/ca.key",
    "pki/apiserver.crt",
    "pki/apiserver.key",
    "pki/apiserver-kubelet-client.crt",
    "pki/apiserver-kubelet-client.key",
    "pki/front-proxy-ca.crt",
    "pki/front-proxy-ca.key",
    "pki/front-proxy-client.crt",
    "pki/front-proxy-client.key",
    "pki/sa.key",
    "pki/sa.pub",
];
/// What of it is on no host where the authorities' keys are kept outside.
const AUTHORITY_KEYS: [&str; 2] = ["pki/ca.key", "pki/front-proxy-ca.key"];
const KUBECONFIGS: &[&str] =
    &["admin.conf", "super-admin.conf", "kubelet.conf", "controller-manager.conf", "scheduler.conf"];
/// What an administrator may take away for good from a node that runs, as kubeadm advises: nothing on the host needs it.
const MAY_BE_AWAY: &str = "super-admin.conf";
const CONTROL_PLANE: &[&str] =
    &["manifests/kube-apiserver.yaml", "manifests/kube-controller-manager.yaml", "manifests/kube-scheduler.yaml"];
const STATIC_PODS: &[&str] = &[
    "manifests/etcd.yaml",
    "manifests/kube-apiserver.yaml",
    "manifests/kube-controller-manager.yaml",
    "manifests/kube-scheduler.yaml",
];
const KUBELET: &[&str] = &["/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env"];

const CREDENTIALS: &[&str] = &["kubelet.conf", KUBELET_CLIENT];
const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";

/// What a phase leaves behind.
enum Trace {
    /// Nothing but Sealock's mark.
    Mark,
    /// Files; relative ones lie in `/etc/kubernetes`.
    Files(&'static [&'static str]),
    /// kubelet's configuration, and kubelet running.
    Kubelet,
    /// A text in a file.
    Text(&'static str, &'static str),
    /// The API server answers that it is ready.
    Api,
    /// kubelet has exchanged the bootstrap token for credentials of its own, and the token is gone.
    Credentials,
    /// Objects that kubectl finds: its arguments after `get`.
    Objects(Vec<String>),
}

impl Act for KubeadmPhase {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        if let Some(because) = self.missing(host, context)? {
            return Ok(Probe::not_done(because));
        }
        match host::read_text(host, &self.mark_path())? {
            Some(mark) if mark.trim() == self.config_digest() => Ok(Probe::Done),
            // kubeadm never does over what a node is made of: what may change, changes by an upgrade or a removal.
            // A member that came again on the host where the cluster began has left a mark of a way that the host never went.
            Some(_) if !self.command.is_upgrade() && began(host, self.command)? && ended(host)? => {
                Ok(Probe::foreign(format!(
                    "kubeadm {} went through with another configuration: version, networks, endpoint, labels and taints of a node \
                 stay what they were",
                    self.command.as_str()
                )))
            }
            Some(_) => Ok(Probe::not_done("it ran with another configuration")),
            None => Ok(Probe::not_done("it has not run")),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.trace(context)? {
            Trace::Api => return self.await_api(host, context),
            Trace::Credentials => return self.await_credentials(host, context),
            _ => {}
        }
        let config = context.reveal(&self.config)?;
        let path = self.config_path();
        host.alter(Alteration::MakeDirectory { path: CONFIG_FOLDER, mode: Mode::EXECUTABLE })?;
        host::write(host, &path, Mode::PRIVATE, config.as_bytes())?;
        let changes_static_pods = self.command.is_upgrade() && self.phase == "control-plane";
        if changes_static_pods {
            upgrade::put_back(host, context)?;
            upgrade::forget_copies(host)?;
        }
        let result = self.run(host, context, &path);
        // It holds secrets: it goes, whatever kubeadm said.
        let removed = host.alter(Alteration::RemoveFile { path: &path });
        result?;
        removed?;
        if changes_static_pods {
            upgrade::forget_copies(host)?;
        }
        // kubeadm's manifests name the file of the authority, which holds two while another takes its place.
        if matches!(self.phase.as_str(), "control-plane all" | "control-plane-prepare all") {
            settle_signer(host)?;
        }
        self.mark(host)
    }

    /// Takes away the files that the phase wrote. What it changed in the cluster stays: that is what compensable means.
    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let files = match self.trace(context)? {
            Trace::Files(files) => files,
            Trace::Kubelet => {
                Command::new("systemctl", ["stop", "kubelet.service"]).timeout(Duration::from_secs(120)).must(host)?;
                KUBELET
            }
            Trace::Mark | Trace::Text(..) | Trace::Api | Trace::Credentials | Trace::Objects(_) => &[],
        };
        for file in files {
            host.alter(Alteration::RemoveFile { path: &absolute(file) })?;
        }
        Ok(host.alter(Alteration::RemoveFile { path: &self.mark_path() })?)
    }
}

impl KubeadmPhase {
    /// What of the phase's trace is not there.
    pub(super) fn missing(&self, host: &dyn Host, context: &Context<'_>) -> Result<Option<String>, StepError> {
        Ok(match self.trace(context)? {
            Trace::Mark => None,
            Trace::Files(files) if files == STATIC_PODS && is_external(host)? => missing_file(host, CONTROL_PLANE)?,
            Trace::Files(files) if files == PKI && host::exists(host, OUTSIDE)? => {
                let keys = |file: &&str| !AUTHORITY_KEYS.contains(file);
                missing_file(host, &files.iter().copied().filter(keys).collect::<Vec<_>>())?
            }
            Trace::Files(files) if files == KUBECONFIGS && ended(host)? => {
                let kept = |file: &&str| *file != MAY_BE_AWAY;
                missing_file(host, &files.iter().copied().filter(kept).collect::<Vec<_>>())?
            }
            Trace::Files(files) => missing_file(host, files)?,
            Trace::Kubelet => match missing_file(host, KUBELET)? {
                None if !State::of(host, "kubelet.service")?.active => Some("kubelet is not running".to_owned()),
                None => self.earlier_token(host, context)?,
                missing => missing,
            },
            Trace::Text(path, text) => {
                let found = host::read_text(host, &absolute(path))?.is_some_and(|content| content.contains(text));
                (!found).then(|| format!("{} does not say {text}", absolute(path)))
            }
            Trace::Api => unanswered(host, &api_ready())?,
            Trace::Credentials => match missing_file(host, CREDENTIALS)? {
                None if host::exists(host, BOOTSTRAP)? => Some(format!("{BOOTSTRAP} still holds the bootstrap token")),
                missing => missing,
            },
            Trace::Objects(args) => {
                let found = unanswered(host, &kubectl(["get"].into_iter().chain(args.iter().map(String::as_str))))?;
                found.map(|_| format!("the cluster does not show {}", args.join(" ")))
            }
        })
    }

    /// Whether nobody answers for the phase's trace: kubelet, or this host's API server, is down. What is missing then may be there.
    pub(super) fn is_away(&self, host: &dyn Host, context: &Context<'_>) -> Result<bool, StepError> {
        Ok(away(host, &self.trace(context)?)?.is_some())
    }

    /// Waits for whoever answers for the phase's trace.
    pub(super) fn await_answer(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let trace = self.trace(context)?;
        if away(host, &trace)?.is_some() {
            (context.progress)("waiting for the node to run again");
            self.await_trace(host, "the node does not answer", || away(host, &trace))?;
        }
        Ok(())
    }

    fn trace(&self, context: &Context<'_>) -> Result<Trace, StepError> {
        let namespaced =
            |kind: &str, name: &str| vec!["-n".to_owned(), "kube-system".to_owned(), kind.to_owned(), name.to_owned()];
        let node = || vec!["node".to_owned(), self.node.clone()];
        Ok(match (self.command, self.phase.as_str()) {
            (_, "preflight") => Trace::Mark,
            (KubeadmCommand::UpgradeApply | KubeadmCommand::UpgradeNode, phase) => return self.upgrade_trace(phase),
            (KubeadmCommand::Init, "certs all") => Trace::Files(PKI),
            (KubeadmCommand::Init, "kubeconfig all") => Trace::Files(KUBECONFIGS),
            (KubeadmCommand::Init, "etcd local") | (KubeadmCommand::Join, "etcd-join") => {
                Trace::Files(&["manifests/etcd.yaml"])
            }
            (KubeadmCommand::Init, "control-plane all") | (KubeadmCommand::Join, "control-plane-prepare all") => {
                Trace::Files(CONTROL_PLANE)
            }
            (_, "kubelet-start") => Trace::Kubelet,
            (_, "wait-control-plane") => Trace::Api,
            (KubeadmCommand::Init, "upload-config all") => {
                Trace::Objects(namespaced("configmaps/kubeadm-config", "configmaps/kubelet-config"))
            }
            (KubeadmCommand::Init, "upload-certs") => Trace::Objects(namespaced("secret", "kubeadm-certs")),
            (KubeadmCommand::Init, "mark-control-plane") | (KubeadmCommand::Join, "control-plane-join all") => {
                Trace::Objects(node())
            }
            (KubeadmCommand::Init, "bootstrap-token") => {
                match context.secrets.find("bootstrap-token").and_then(|token| token.split_once('.')) {
                    Some((id, _)) => Trace::Objects(namespaced("secret", &format!("bootstrap-token-{id}"))),
                    None => Trace::Mark,
                }
            }
            (KubeadmCommand::Init, "kubelet-finalize all") => Trace::Text("kubelet.conf", "kubelet-client-current.pem"),
            (KubeadmCommand::Init, "addon all") => {
                Trace::Objects(namespaced("deployments/coredns", "daemonsets/kube-proxy"))
            }
            (KubeadmCommand::Init, "addon coredns") => Trace::Objects(namespaced("deployment", "coredns")),
            (KubeadmCommand::Init, "addon kube-proxy") => Trace::Objects(namespaced("daemonset", "kube-proxy")),
            (KubeadmCommand::Join, "kubelet-wait-bootstrap") => Trace::Credentials,
            (_, phase) => return Err(self.unknown(phase)),
        })
    }

    /// An upgrade finds nearly all of it there already: that it ran is what Sealock's mark says.
    fn upgrade_trace(&self, phase: &str) -> Result<Trace, StepError> {
        match phase {
            "control-plane" => Ok(Trace::Files(STATIC_PODS)),
            "kubelet-config" => Ok(Trace::Files(KUBELET)),
            "upload-config all" | "bootstrap-token" | "addon all" | "post-upgrade" => Ok(Trace::Mark),
            phase => Err(self.unknown(phase)),
        }
    }

    fn unknown(&self, phase: &str) -> StepError {
        let problem = format!("kubeadm {} has no phase {phase:?} that Sealock knows", self.command.as_str());
        StepError::Invalid { problem }
    }

    /// kubelet has no credentials yet, and would ask for them with a token that an earlier run brought, and that may have ended since.
    fn earlier_token(&self, host: &dyn Host, context: &Context<'_>) -> Result<Option<String>, HostError> {
        let (KubeadmCommand::Join, Some(token)) = (self.command, context.secrets.find("bootstrap-token")) else {
            return Ok(None);
        };
        if missing_file(host, CREDENTIALS)?.is_none() {
            return Ok(None);
        }
        let holds_it = host::read_text(host, BOOTSTRAP)?.is_some_and(|text| text.contains(token));
        Ok((!holds_it).then(|| format!("{BOOTSTRAP} does not hold the token of this run")))
    }

    /// kubeadm's own phase takes no configuration: it would ask the internet for a version, and guess the node's address.
    fn await_api(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        (context.progress)("waiting for the API server");
        self.await_trace(host, "the API server is not ready", || unanswered(host, &api_ready()))?;
        self.mark(host)
    }

    /// kubeadm's own phase, called alone, wants the administrator's credentials on a worker.
    fn await_credentials(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        (context.progress)("waiting for kubelet's credentials");
        self.await_trace(host, "kubelet has no credentials of its own", || missing_file(host, CREDENTIALS))?;
        // It holds the bootstrap token, which has done its work.
        host.alter(Alteration::RemoveFile { path: BOOTSTRAP })?;
        self.mark(host)
    }

    /// kubeadm leaves the add-ons as they are while an API server of an older version is listed, and that of a control plane that was taken
    /// out a moment ago is, until the cluster has swept its pods away.
    fn run(&self, host: &dyn Host, context: &Context<'_>, config: &str) -> Result<(), StepError> {
        let mut is_told = false;
        let ran = wait::until(SWEPT, Duration::from_secs(2), || {
            // kubeadm repeats tokens and keys on its output; errors end in the journal and at the operator.
            let said = self.command(config).must(host);
            let said = said.map_err(|error| error.hiding(|text| context.secrets.hide(text)))?;
            let passed_over = self.command.is_upgrade() && said.contains(PASSED_OVER);
            if passed_over && !std::mem::replace(&mut is_told, true) {
                (context.progress)("an API server of the older version is listed: waiting until it is gone");
            }
            Ok::<_, StepError>((!passed_over).then_some(()))
        })?;
        ran.ok_or_else(|| {
            let because = "kubeadm has passed kube-proxy and CoreDNS over: an API server still shows the older version";
            StepError::NotHeld { because: because.to_owned() }
        })
    }

    fn await_trace(
        &self,
        host: &dyn Host,
        what: &str,
        missing: impl Fn() -> Result<Option<String>, HostError>,
    ) -> Result<(), StepError> {
        let mut last = String::new();
        let ready = wait::until(WAIT, Duration::from_millis(500), || {
            let problem = missing()?;
            let there = problem.is_none();
            last = problem.unwrap_or_default();
            Ok::<_, StepError>(there.then_some(()))
        })?;
        if ready.is_some() {
            return Ok(());
        }
        let log = Command::new("journalctl", ["-u", "kubelet.service", "-n", "8", "-o", "cat", "--no-pager"]);
        let log = host.run(&log).map(|output| output.complaint()).unwrap_or_default();
        let state = format!("{last}; kubelet says: {log}");
        Err(StepError::Late { what: what.to_owned(), seconds: WAIT.as_secs(), state })
    }

    fn mark(&self, host: &dyn Host) -> Result<(), StepError> {
        self.mark_as(host, &self.config_digest())
    }

    /// The phase counts as run with the configuration of this digest.
    pub(super) fn mark_as(&self, host: &dyn Host, config: &str) -> Result<(), StepError> {
        host.alter(Alteration::MakeDirectory { path: MARKS, mode: Mode::new(0o700) })?;
        Ok(host::write(host, &self.mark_path(), Mode::FILE, config.as_bytes())?)
    }

    fn command(&self, config: &str) -> Command {
        let words = |text: &'static str| text.split(' ');
        let args =
            words(self.command.as_str()).chain(["phase"]).chain(self.phase.split(' ')).chain(["--config", config]);
        let more = match (self.command, self.phase.as_str()) {
            // Without the flag the phase does nothing.
            (_, "upload-certs") => Some("--upload-certs"),
            // It would ask, and there is nobody.
            (KubeadmCommand::UpgradeApply, "preflight") => Some("--yes"),
            _ => None,
        };
        let limit = if self.command.is_upgrade() { UPGRADE_TIMEOUT } else { TIMEOUT };
        Command::new("kubeadm", args.chain(more)).timeout(limit)
    }

    fn name(&self) -> String {
        name_of(self.command, &self.phase)
    }

    pub(super) fn mark_path(&self) -> String {
        mark_of(self.command, &self.phase)
    }

    fn config_path(&self) -> String {
        format!("{CONFIG_FOLDER}/kubeadm-{}.yaml", self.name())
    }

    fn config_digest(&self) -> String {
        Digest::sha256(self.config.as_bytes()).to_string()
    }
}

fn name_of(command: KubeadmCommand, phase: &str) -> String {
    format!("{} {phase}", command.as_str()).replace(' ', "-")
}

fn mark_of(command: KubeadmCommand, phase: &str) -> String {
    format!("{MARKS}/{}", name_of(command, phase))
}

/// Whether `phase` of `command` has run with the configuration of this digest.
pub(crate) fn ran_with(
    host: &dyn Host,
    command: KubeadmCommand,
    phase: &str,
    config: &Digest,
) -> Result<bool, HostError> {
    let mark = host::read_text(host, &mark_of(command, phase))?;
    Ok(mark.is_some_and(|mark| mark.trim() == config.to_string()))
}

/// From now on `phase` of `command` counts as one that did not run.
pub(crate) fn forget(host: &dyn Host, command: KubeadmCommand, phase: &str) -> Result<(), HostError> {
    host.alter(Alteration::RemoveFile { path: &mark_of(command, phase) })
}

/// The marks that the phases of `command` have left on the host.
pub(crate) fn marks(host: &dyn Host, command: KubeadmCommand) -> Result<Vec<String>, HostError> {
    let prefix = format!("{}-", name_of(command, "").trim_end_matches('-'));
    let names = host.list(MARKS)?;
    Ok(names.iter().filter(|name| name.starts_with(&prefix)).map(|name| format!("{MARKS}/{name}")).collect())
}

/// Whether the first phase of `command` has run on the host.
pub(crate) fn began(host: &dyn Host, command: KubeadmCommand) -> Result<bool, HostError> {
    host::exists(host, &mark_of(command, "preflight"))
}

/// Whether the last phase of any way into a cluster has run on the host.
pub(crate) fn ended(host: &dyn Host) -> Result<bool, HostError> {
    let is_control_plane = host::exists(host, "/etc/kubernetes/manifests/kube-apiserver.yaml")?;
    let ways = [
        (KubeadmCommand::Init, INIT_PHASES),
        (KubeadmCommand::Join, if is_control_plane { CONTROL_PLANE_JOIN_PHASES } else { WORKER_JOIN_PHASES }),
    ];
    for (command, phases) in ways {
        if let Some(last) = phases.last()
            && host::exists(host, &mark_of(command, last))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// kubectl with the rights of the cluster's administrator; only on control plane hosts.
pub(crate) fn kubectl<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    unlimited_kubectl(["--request-timeout", "10s"].into_iter().chain(args))
}

/// Whoever only looks at a host leaves nothing in root's home: kubectl goes without where it cannot keep anything.
pub(super) const NO_CACHE: &str = "/dev/null/none";

/// The same for what takes as long as it takes.
pub(crate) fn unlimited_kubectl<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let flags = ["--kubeconfig", "/etc/kubernetes/admin.conf", "--cache-dir", NO_CACHE];
    Command::new("kubectl", flags.into_iter().chain(args))
}

/// Speaks to the API server of this very host: behind the endpoint others may answer.
pub(crate) const OWN_API: [&str; 4] = ["--server", "https://127.0.0.1:6443", "--tls-server-name", "kubernetes"];

pub(crate) fn api_ready() -> Command {
    kubectl(OWN_API.into_iter().chain(["get", "--raw", "/readyz"]))
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/etc/kubernetes/{path}") }
}

fn missing_file(host: &dyn Host, files: &[&str]) -> Result<Option<String>, HostError> {
    for file in files {
        let path = absolute(file);
        if !host::exists(host, &path)? {
            return Ok(Some(format!("{path} is not there")));
        }
    }
    Ok(None)
}

/// Why nobody answers for `trace`; nothing where somebody does, or nobody has to.
fn away(host: &dyn Host, trace: &Trace) -> Result<Option<String>, HostError> {
    match trace {
        Trace::Kubelet if missing_file(host, KUBELET)?.is_some() => Ok(None),
        Trace::Kubelet => {
            let runs = State::of(host, "kubelet.service")?.active;
            Ok((!runs).then(|| "kubelet is not running".to_owned()))
        }
        Trace::Api | Trace::Objects(_) => unanswered(host, &api_ready()),
        Trace::Mark | Trace::Files(_) | Trace::Text(..) | Trace::Credentials => Ok(None),
    }
}

fn unanswered(host: &dyn Host, command: &Command) -> Result<Option<String>, HostError> {
    match host.run(command) {
        Ok(output) if output.status == 0 => Ok(None),
        Ok(output) => Ok(Some(output.complaint())),
        Err(HostError::NoProgram { program }) => Ok(Some(format!("the program {program} is not on this host"))),
        Err(error) => Err(error),
    }
}
