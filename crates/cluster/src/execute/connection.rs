//! One connection to one host: commands as root, with what they read and write.

use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssh::{KnownHosts, Session, SessionBuilder, Stdio};
use sealock_trust::Digest;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{ExecuteError, SshSettings, host_key};
use crate::spec::Host;

/// How long a command may take that only looks or writes something small.
pub(super) const QUICK: Duration = Duration::from_secs(60);

/// No command answers with more, in bytes: the host may be somebody else's by now.
const MAX_ANSWER: u64 = 64 << 20;

/// What ssh is told besides: nothing may widen the pin, and the station's own settings (jump hosts, agents, tokens) hold.
const CONFIG: &str = "GlobalKnownHostsFile /dev/null\n\
    VerifyHostKeyDNS no\n\
    UpdateHostKeys no\n\
    CheckHostIP no\n\
    KnownHostsCommand none\n\
    ServerAliveCountMax 3\n\
    Include ~/.ssh/config\n\
    Include /etc/ssh/ssh_config\n";

/// A connection to a host, on which commands run as root.
#[derive(Debug)]
pub struct Connection {
    host: Host,
    settings: SshSettings,
    session: Session,
    // Holds known_hosts, configuration and socket for as long as the session lives.
    _folder: TempDir,
    /// What of the station's own was found on the host since it was connected to, by path and digest.
    brought: Mutex<Option<(String, Digest)>>,
}

impl Connection {
    /// Connects, and makes sure that commands can run as root.
    ///
    /// # Errors
    /// [`ExecuteError::HostKey`], [`ExecuteError::Unreachable`], [`ExecuteError::Login`] or [`ExecuteError::Sudo`].
    pub async fn open(host: &Host, settings: &SshSettings) -> Result<Self, ExecuteError> {
        let folder = runtime_folder(&settings.runtime_dir)?;
        let known_hosts = folder.path().join("known_hosts");
        host_key::pin(host, &known_hosts, settings.connect_timeout).await?;
        let session = match builder(host, settings, folder.path())?.connect(host.address.to_string()).await {
            Ok(session) => session,
            Err(source) => {
                let user = host.ssh.user.clone();
                let refused = ExecuteError::Login { host: host.name.to_string(), user, source: Box::new(source) };
                return Err(host_key::explain(host, settings.connect_timeout).await.unwrap_or(refused));
            }
        };
        let (host, settings, brought) = (host.clone(), settings.clone(), Mutex::default());
        let connection = Self { host, settings, session, _folder: folder, brought };
        connection.check_root().await?;
        Ok(connection)
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        self.host.name.as_str()
    }

    /// The host's address on the segment that the nodes share.
    pub(super) fn address(&self) -> std::net::Ipv4Addr {
        self.host.address
    }

    /// Whether the file at `path` was seen to have `digest` since the host was connected to.
    pub(super) fn has_brought(&self, path: &str, digest: &Digest) -> bool {
        let brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        brought.as_ref().is_some_and(|(there, what)| there == path && what == digest)
    }

    /// Notes that the file at `path` has this digest; or with nothing, that it is gone.
    pub(super) fn note_brought(&self, what: Option<(&str, &Digest)>) {
        let what = what.map(|(path, digest)| (path.to_owned(), digest.clone()));
        *self.brought.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// The content of a file that only root may read.
    ///
    /// # Errors
    /// As every command.
    pub(crate) async fn read_root_file(&self, path: &str) -> Result<Vec<u8>, ExecuteError> {
        self.script("exec cat \"$1\"", &[path], b"").await
    }

    /// Runs kubectl with the rights of the cluster's administrator; only on control plane hosts.
    ///
    /// # Errors
    /// As every command.
    pub(crate) async fn admin_kubectl(&self, arguments: &[&str]) -> Result<Vec<u8>, ExecuteError> {
        let script = "exec /usr/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 10s \"$@\"";
        self.script(script, arguments, b"").await
    }

    /// Whether the host finds an IPv4 address under `name`, wherever it looks.
    ///
    /// # Errors
    /// As every command.
    pub(crate) async fn knows(&self, name: &str) -> Result<bool, ExecuteError> {
        let script = "getent ahostsv4 \"$1\" > /dev/null && echo yes || test $? = 2";
        Ok(self.script(script, &[name], b"").await?.starts_with(b"yes"))
    }

    /// This connection, or a new one where it was lost.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(crate) async fn alive(self: &Arc<Self>) -> Result<Arc<Self>, ExecuteError> {
        match self.session.check().await {
            Ok(()) => Ok(Arc::clone(self)),
            Err(_) => self.reopen().await.map(Arc::new),
        }
    }

    /// A new connection in the place of this one, tried until the time for it is over.
    ///
    /// # Errors
    /// As [`Connection::open`], where the last attempt failed; a changed host key at once.
    pub(super) async fn reopen(&self) -> Result<Self, ExecuteError> {
        self.open_anew(self.settings.reconnect_timeout).await
    }

    /// The same, tried until `time` is over.
    ///
    /// # Errors
    /// As [`Connection::reopen`].
    pub(super) async fn open_anew(&self, time: Duration) -> Result<Self, ExecuteError> {
        Self::open_within(&self.host, &self.settings, time).await
    }

    /// As [`Connection::open`], tried until `time` is over.
    ///
    /// # Errors
    /// As [`Connection::open`], where the last attempt failed; a changed host key at once.
    pub(super) async fn open_within(host: &Host, settings: &SshSettings, time: Duration) -> Result<Self, ExecuteError> {
        let deadline = tokio::time::Instant::now() + time;
        let mut attempts = tokio::time::interval(Duration::from_secs(1));
        attempts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            attempts.tick().await;
            match Self::open(host, settings).await {
                Err(error) if error.is_retryable() && tokio::time::Instant::now() < deadline => {
                    tracing::info!(host = host.name.as_str(), %error, "connecting again");
                }
                outcome => return outcome,
            }
        }
    }

    /// Which start of its machine the host is in.
    ///
    /// # Errors
    /// As every command.
    pub(super) async fn boot(&self) -> Result<String, ExecuteError> {
        let said = self.script("exec cat /proc/sys/kernel/random/boot_id", &[], b"").await?;
        Ok(String::from_utf8_lossy(said.trim_ascii()).into_owned())
    }

    /// Whether all runs on the host that shall run. On its way down a machine says something else, or nothing.
    ///
    /// # Errors
    /// As every command.
    pub(super) async fn is_up(&self) -> Result<bool, ExecuteError> {
        // It fails wherever it says anything but `running`: what it says counts.
        let said = self.script("systemctl is-system-running 2>/dev/null || true", &[], b"").await?;
        Ok([&b"running"[..], b"degraded"].contains(&said.trim_ascii()))
    }

    /// Runs a shell script as root, with `arguments` as `$1`, `$2`, …, and gives back its standard output.
    ///
    /// # Errors
    /// It failed, did not end in time, or the connection was lost.
    pub(super) async fn script(&self, script: &str, arguments: &[&str], stdin: &[u8]) -> Result<Vec<u8>, ExecuteError> {
        self.script_within(script, arguments, stdin, QUICK).await
    }

    /// As [`Connection::script`], with another limit of time and any reader as standard input.
    pub(super) async fn script_within(
        &self,
        script: &str,
        arguments: &[&str],
        stdin: impl AsyncRead + Unpin,
        limit: Duration,
    ) -> Result<Vec<u8>, ExecuteError> {
        let output = tokio::time::timeout(limit, self.output(script, arguments, stdin)).await;
        let output = output.map_err(|_| self.late(script, limit))??;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(self.failed(script, &output))
    }

    async fn output(
        &self,
        script: &str,
        arguments: &[&str],
        mut stdin: impl AsyncRead + Unpin,
    ) -> Result<Output, ExecuteError> {
        let mut child = self.spawn(script, arguments).await?;
        let mut pipe = child.stdin().take();
        let feed = async {
            if let Some(pipe) = &mut pipe {
                // A command that does not read all of it ends by itself, and says why.
                let _ = tokio::io::copy(&mut stdin, pipe).await;
                let _ = pipe.shutdown().await;
            }
            drop(pipe.take());
        };
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let ((), stdout, stderr) = tokio::join!(feed, bounded(stdout), bounded(stderr));
        let io = |source| self.lost(openssh::Error::ChildIo(source));
        let (stdout, stderr) = (stdout.map_err(io)?, stderr.map_err(io)?);
        if [&stdout, &stderr].iter().any(|bytes| bytes.len() as u64 > MAX_ANSWER) {
            return Err(ExecuteError::Flood { host: self.host.name.to_string(), limit: MAX_ANSWER });
        }
        let status = child.wait().await.map_err(|source| self.lost(source))?;
        Ok(Output { status, stdout, stderr })
    }

    /// Starts a shell script as root, with all three standard streams as pipes.
    pub(super) async fn spawn(
        &self,
        script: &str,
        arguments: &[&str],
    ) -> Result<openssh::Child<&Session>, ExecuteError> {
        let mut command = if self.host.ssh.user == "root" {
            self.session.command("sh")
        } else {
            let mut sudo = self.session.command("sudo");
            sudo.args(["-n", "--", "sh"]);
            sudo
        };
        command.args(["-c", script, "sh"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().await.map_err(|source| self.lost(source))
    }

    async fn check_root(&self) -> Result<(), ExecuteError> {
        match self.script("id -u", &[], b"").await {
            Ok(said) if said.trim_ascii() == b"0" => Ok(()),
            Ok(said) => Err(self.no_sudo(format!("its user id is {}", String::from_utf8_lossy(said.trim_ascii())))),
            Err(ExecuteError::Command { said, .. }) => Err(self.no_sudo(said)),
            Err(error) => Err(error),
        }
    }

    fn no_sudo(&self, said: String) -> ExecuteError {
        ExecuteError::Sudo { host: self.host().into(), user: self.host.ssh.user.clone(), said }
    }

    fn failed(&self, script: &str, output: &Output) -> ExecuteError {
        self.said(script, output.status.code(), &output.stderr)
    }

    /// A command that ended with something else than 0.
    pub(super) fn said(&self, script: &str, code: Option<i32>, stderr: &[u8]) -> ExecuteError {
        ExecuteError::Command { host: self.host().into(), command: first_line(script), code, said: last_words(stderr) }
    }

    /// A command that took too long.
    pub(super) fn late(&self, script: &str, limit: Duration) -> ExecuteError {
        ExecuteError::Late { host: self.host().into(), command: first_line(script), seconds: limit.as_secs() }
    }

    pub(super) fn not_understood(&self, command: &str, source: serde_json::Error) -> ExecuteError {
        ExecuteError::Answer { host: self.host().into(), command: command.into(), source }
    }

    pub(super) fn lost(&self, source: openssh::Error) -> ExecuteError {
        ExecuteError::Lost { host: self.host().into(), source: Box::new(source) }
    }
}

/// What comes out of a pipe, up to the first byte too many.
pub(super) async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_ANSWER + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn runtime_folder(parent: &Path) -> Result<TempDir, ExecuteError> {
    let failed = |source| ExecuteError::Io { action: "make a folder in", path: parent.into(), source };
    std::fs::create_dir_all(parent).map_err(failed)?;
    tempfile::Builder::new().prefix("ssh").rand_bytes(6).tempdir_in(parent).map_err(failed)
}

fn builder(host: &Host, settings: &SshSettings, folder: &Path) -> Result<SessionBuilder, ExecuteError> {
    let config = folder.join("config");
    std::fs::write(&config, CONFIG).map_err(|source| ExecuteError::Io {
        action: "write",
        path: config.clone(),
        source,
    })?;
    let mut builder = SessionBuilder::default();
    builder
        .user(host.ssh.user.clone())
        .port(host.ssh.port)
        .known_hosts_check(KnownHosts::Strict)
        .user_known_hosts_file(folder.join("known_hosts"))
        .config_file(config)
        .connect_timeout(settings.connect_timeout)
        .server_alive_interval(Duration::from_secs(5))
        .control_directory(folder);
    if let Some(identity) = host.ssh.identity_file.as_ref().map(Into::into).or_else(|| settings.identity_file.clone()) {
        builder.keyfile(identity);
    }
    Ok(builder)
}

fn first_line(script: &str) -> String {
    script.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(100).collect()
}

/// The last lines of what a command wrote to standard error.
pub(crate) fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let start = lines.len().saturating_sub(3);
    lines[start..].join("; ").chars().take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ssh takes the first value that it finds: what pins the key has to stand before the station's own settings.
    #[tokio::test]
    async fn a_host_that_answers_without_end_fills_no_memory() {
        let flood = bounded(Some(tokio::io::repeat(b'x'))).await.unwrap();
        assert_eq!(flood.len() as u64, MAX_ANSWER + 1);
        assert_eq!(bounded(Some(&b"facts"[..])).await.unwrap(), b"facts");
    }

    #[test]
    fn the_stations_own_settings_cannot_widen_the_pin() {
        let includes = CONFIG.find("Include").unwrap();
        for pinning in ["GlobalKnownHostsFile /dev/null\n", "KnownHostsCommand none\n", "VerifyHostKeyDNS no\n"] {
            assert!(CONFIG.find(pinning).unwrap() < includes, "{pinning}");
        }
        assert!(!CONFIG.contains("Host "), "a block would end at the next one, and hide what follows");
    }

    #[test]
    fn what_a_command_said_is_told_in_few_words() {
        let noise = format!("first\n{}\n\n  second  \nthird\nfourth\n", "x".repeat(10_000));
        assert_eq!(last_words(noise.as_bytes()), "second; third; fourth");
        assert_eq!(last_words("é".repeat(10_000).as_bytes()).chars().count(), 600);
        assert_eq!(last_words(b"\xff\n"), "\u{fffd}");
        assert_eq!(last_words(b""), "");
        assert_eq!(first_line("\n  set -e\nrm -rf x"), "set -e");
    }
}
