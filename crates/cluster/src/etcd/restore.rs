//! A restore, rehearsed: before anything is touched, the snapshot is restored into a temporary folder by etcd's own program, and
//! an etcd is started over it on loopback, and read.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Purpose};
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::client::{Endpoints, Etcd};
use super::connection::{Connection, Credentials, KeyCount};
use super::error::{CallError, EtcdError};
use super::snapshot::{self, Snapshot};
use crate::scratch::{self, Scratch};

/// By how much a restore raises the revision: more than any cluster writes between its last snapshot and its end, so that no
/// revision is given out twice (etcd's own advice).
pub const BUMP: u64 = 1_000_000_000;
const NAME: &str = "rehearsal";
const PREFIX: &str = ".sealock-rehearsal-";
/// Has a program end with the one that started it, also where that one is killed.
const SETPRIV: &str = "/usr/bin/setpriv";
/// 8 GiB from and to a slow disk.
const RESTORES: Duration = Duration::from_secs(1800);
const STARTS: Duration = Duration::from_secs(120);
const OUTPUT: u64 = 1 << 20;

/// etcd's own programs, of the version that will run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `etcd`
    pub etcd: PathBuf,
    /// `etcdutl`
    pub etcdutl: PathBuf,
}

/// What `etcdutl` says of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase", deserialize = "camelCase"))]
pub struct Content {
    /// The newest revision in it.
    pub revision: i64,
    /// How many revisions of keys it holds.
    pub total_key: i64,
    /// Bytes.
    pub total_size: i64,
    /// The version of its storage; empty before 3.6.
    #[serde(default)]
    pub version: String,
}

/// A restore that was rehearsed, and worked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What is in it.
    pub content: Content,
    /// What the etcd over the restored data answered.
    pub read: KeyCount,
    /// That etcd's version.
    pub version: String,
    /// How long restoring and starting took, in milliseconds.
    pub took_ms: u64,
}

/// What is rehearsed, and where.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The snapshot.
    pub snapshot: &'a Path,
    /// The digest that it must have, where somebody wrote it down.
    pub digest: Option<&'a Digest>,
    /// Where there is room for the database, twice over.
    pub scratch: &'a Path,
    /// By how much the revision is raised.
    pub bump: u64,
}

/// Restores a snapshot in a temporary folder, starts an etcd over it, and reads it.
///
/// # Errors
/// The snapshot is not whole; it cannot be restored; or the etcd over it does not say what the snapshot says.
pub async fn rehearse(programs: &Programs, wanted: &Wanted<'_>) -> Result<Rehearsal, EtcdError> {
    Ok(rehearse_and(programs, wanted, async |_| Ok(())).await?.0)
}

/// As [`rehearse`]; before the etcd over the restored data is ended, `look` reads what it wants to know.
///
/// # Errors
/// As [`rehearse`], and what `look` says.
pub async fn rehearse_and<T>(
    programs: &Programs,
    wanted: &Wanted<'_>,
    look: impl AsyncFnOnce(&Connection) -> Result<T, CallError>,
) -> Result<(Rehearsal, T), EtcdError> {
    let Wanted { snapshot: path, scratch, bump, .. } = *wanted;
    let snapshot = snapshot::check(path, wanted.digest)?;
    let content = content(programs, path).await?;
    let started = Instant::now();
    // All that a cluster held lies in what rehearsals that were killed have left; but nobody who restores waits for it to be gone.
    if let Err(error) = scratch::clear(scratch, PREFIX) {
        tracing::warn!(%error, folder = %scratch.display(), "what an earlier rehearsal left stays");
    }
    let folder = Scratch::new(scratch, PREFIX).map_err(EtcdError::io("make a folder in", scratch))?;
    let scene = Scene::new(folder)?;
    scene.restore(programs, path, bump).await?;
    let (read, version, seen) = scene.read(programs, look).await?;
    let expected = content.revision.saturating_add(i64::try_from(bump).unwrap_or(i64::MAX));
    if read.revision < expected {
        let problem = format!("stands at revision {}, and the snapshot promises {expected}", read.revision);
        return Err(EtcdError::Rehearsal { problem });
    }
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok((Rehearsal { snapshot, content, read, version, took_ms }, seen))
}

/// What `etcdutl snapshot status` says of the snapshot at `path`.
///
/// # Errors
/// The program is missing, or says no.
pub async fn content(programs: &Programs, path: &Path) -> Result<Content, EtcdError> {
    let mut command = ending_with_us(&programs.etcdutl);
    command.args(["snapshot", "status", "--write-out", "json"]).arg(path);
    let said = run(&programs.etcdutl, command).await?;
    let failed = |said: String| EtcdError::Program { program: "etcdutl snapshot status".into(), said };
    serde_json::from_slice(&said).map_err(|error| failed(format!("its answer is not understood: {error}")))
}

/// A folder for everything, and two ports on loopback.
struct Scene {
    folder: Scratch,
    client: SocketAddr,
    peer: SocketAddr,
    credentials: Credentials,
}

impl Scene {
    /// The data of a cluster is in it for a while: nobody but its own authority's client reads it over the network.
    fn new(folder: Scratch) -> Result<Self, EtcdError> {
        let (client, peer) = free_ports().map_err(EtcdError::io("find a free port for", folder.path()))?;
        let now = Timestamp::now();
        let authority = Authority::generate("rehearsal", now)?;
        let names = [Ipv4Addr::LOCALHOST.to_string()];
        for (file, purpose) in [("server", Purpose::Server), ("client", Purpose::Client)] {
            let issued = authority.issue(purpose, file, &names, (now, 2))?;
            for (ending, text) in [("crt", issued.certificate.as_str()), ("key", issued.key.as_str())] {
                let path = folder.path().join(format!("{file}.{ending}"));
                write_private(&path, text).map_err(EtcdError::io("write", path))?;
            }
        }
        let path = folder.path().join("ca.crt");
        write_private(&path, authority.certificate()).map_err(EtcdError::io("write", path))?;
        let read = |name: &str| {
            let path = folder.path().join(name);
            fs::read_to_string(&path).map_err(EtcdError::io("read", path))
        };
        let credentials = Credentials {
            ca: authority.certificate().to_owned(),
            certificate: read("client.crt")?,
            key: read("client.key")?.into(),
        };
        Ok(Self { folder, client, peer, credentials })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn peer_url(&self) -> String {
        format!("https://{}", self.peer)
    }

    async fn restore(&self, programs: &Programs, snapshot: &Path, bump: u64) -> Result<(), EtcdError> {
        let mut command = ending_with_us(&programs.etcdutl);
        command.args(["snapshot", "restore", "--name", NAME, "--initial-cluster-token", NAME]);
        command.arg("--initial-cluster").arg(format!("{NAME}={}", self.peer_url()));
        command.arg("--initial-advertise-peer-urls").arg(self.peer_url());
        command.arg("--data-dir").arg(self.path("data"));
        if bump > 0 {
            command.args(["--mark-compacted", "--bump-revision"]).arg(bump.to_string());
        }
        command.arg(snapshot);
        run(&programs.etcdutl, command).await.map(drop)
    }

    async fn read<T>(
        &self,
        programs: &Programs,
        look: impl AsyncFnOnce(&Connection) -> Result<T, CallError>,
    ) -> Result<(KeyCount, String, T), EtcdError> {
        let mut etcd = self.start(programs)?;
        let endpoint = format!("https://{}", self.client).parse()?;
        let cluster = Etcd::new(&Endpoints { seeds: vec![endpoint], credentials: Some(self.credentials.clone()) })?;
        let what = "the restored etcd does not serve";
        let missing = |survey: &super::Survey| survey.states.first().and_then(|state| state.problem.clone());
        let ended = async {
            let _ = etcd.wait().await;
        };
        let served = tokio::select! {
            served = cluster.await_survey(what, STARTS, missing) => served.map(drop),
            () = ended => Err(self.died("it ended")),
        };
        if let Err(EtcdError::Late { state, .. }) = &served {
            return Err(self.died(state));
        }
        served?;
        let status = cluster.first_seed().status().await?;
        let keys = cluster.first_seed().count_keys().await?;
        let seen = look(cluster.first_seed()).await?;
        // Dropped it is killed anyway; waited for it has let go of the folder that is removed next.
        let _ = etcd.kill().await;
        Ok((keys, status.version, seen))
    }

    fn start(&self, programs: &Programs) -> Result<Child, EtcdError> {
        let log = self.path("log");
        let file = fs::File::create(&log).map_err(EtcdError::io("write", log))?;
        let client = format!("https://{}", self.client);
        let mut command = ending_with_us(&programs.etcd);
        command.args(["--name", NAME, "--initial-cluster-token", NAME, "--log-level", "warn"]);
        command.arg("--data-dir").arg(self.path("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &self.peer_url(), "--initial-advertise-peer-urls", &self.peer_url()]);
        for prefix in ["", "peer-"] {
            command.arg(format!("--{prefix}client-cert-auth"));
            for (flag, name) in [("cert-file", "server.crt"), ("key-file", "server.key"), ("trusted-ca-file", "ca.crt")]
            {
                command.arg(format!("--{prefix}{flag}")).arg(self.path(name));
            }
        }
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).kill_on_drop(true);
        command.spawn().map_err(EtcdError::io("run", &programs.etcd))
    }

    fn died(&self, what: &str) -> EtcdError {
        let log = fs::read(self.path("log")).unwrap_or_default();
        let said = format!("{what}; {}", end_of(&log));
        EtcdError::Program { program: "etcd over the restored data".into(), said }
    }
}

/// A command that runs `program`, and ends when this process does. What a terminal sends to all that run in it, like Ctrl-C, reaches this process alone:
/// that a program has ended by it would be taken for its failure.
fn ending_with_us(program: &Path) -> Command {
    let mut command = if Path::new(SETPRIV).exists() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.process_group(0);
    command
}

async fn run(program: &Path, mut command: Command) -> Result<Vec<u8>, EtcdError> {
    let name = || program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(RESTORES, command.output()).await;
    let late = |_| EtcdError::Program { program: name(), said: format!("it did not end in {} s", RESTORES.as_secs()) };
    let output = output.map_err(late)?.map_err(EtcdError::io("run", program))?;
    if !output.status.success() || output.stdout.len() as u64 > OUTPUT {
        return Err(EtcdError::Program { program: name(), said: end_of(&output.stderr) });
    }
    Ok(output.stdout)
}

/// The last lines of what a program wrote.
fn end_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}

fn free_ports() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let two = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((one.local_addr()?, two.local_addr()?))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
