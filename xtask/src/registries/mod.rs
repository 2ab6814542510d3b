//! Registries to work against: our own and its peers, on loopback, each over a folder of its own.

pub mod body;
pub mod client;
mod distribution;
mod nginx;
pub mod random;
mod sealock;
mod tls;
pub mod upload;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use sealock::Build;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long what our collector finds waits: as short as can be, so that what it takes wrongly is missed.
const GRACE: &str = "1s";

/// Who pushes where a registry asks who it is.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl Login {
    /// The one user that the registries of the tasks know; [`distribution`] holds the hash of the same password.
    pub fn of_the_tasks() -> Self {
        Self { user: "sealock".to_owned(), password: distribution::PASSWORD.to_owned() }
    }
}

/// How to reach a registry.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `HOST:PORT`.
    pub address: String,
    /// The authority of its certificate, PEM; none where it speaks plain HTTP.
    pub ca: Option<PathBuf>,
    /// Who pushes; none where everybody may.
    pub login: Option<Login>,
}

impl Endpoint {
    /// `https://HOST:PORT`, or `http://`.
    pub fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Which program serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sealock serve` over a station's state folder that was prepared before, or over a fresh one.
    Sealock {
        /// The program.
        program: PathBuf,
        /// A state folder that exists; none for a new site without a release.
        state: Option<PathBuf>,
    },
    /// distribution 3, the lab's part.
    Distribution,
    /// Debian's docker-registry (distribution 2).
    DockerRegistry,
    /// nginx over files that lie as a registry's paths do: the ceiling of what a server can do.
    Nginx {
        /// The folder that holds `v2/`.
        files: PathBuf,
    },
}

/// How a registry is to be run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Over TLS, with an authority of its own.
    pub tls: bool,
    /// Whether it asks who pushes and pulls.
    pub login: bool,
    /// Whether ours sends those who log in for a token, as most registries do; else it takes name and password with each request.
    pub bearer: bool,
    /// For how long ours promises what it answers for, in whole seconds; for an hour where there is nothing.
    pub lease: Option<Duration>,
    /// The one core that it may use.
    pub core: Option<usize>,
}

/// A registry that runs until it is dropped.
pub struct Registry {
    child: Child,
    launch: Launch,
    folder: PathBuf,
    /// How to reach it.
    pub endpoint: Endpoint,
    /// What it is.
    pub kind: Kind,
}

/// How a program is started, so that it can be started again.
struct Launch {
    program: PathBuf,
    args: Vec<String>,
    envs: Vec<(&'static str, String)>,
}

impl Registry {
    /// Starts `kind` over a fresh `folder`, and waits until it answers.
    pub fn start(root: &Path, kind: Kind, folder: &Path, options: Options) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let tls = options.tls.then(|| tls::issue(folder)).transpose()?;
        let mut endpoint = Endpoint {
            address,
            ca: tls.as_ref().map(|files| files.ca.clone()),
            login: options.login.then(Login::of_the_tasks),
        };
        let launch = match &kind {
            Kind::Sealock { program, state } => {
                sealock::prepare((program, state.as_deref()), folder, &mut endpoint, options)?
            }
            Kind::Distribution => {
                let program = crate::tools::part(root, "registry")?.join("registry");
                distribution::prepare(&program, folder, &endpoint, tls.as_ref())?
            }
            Kind::DockerRegistry => {
                distribution::prepare(Path::new("/usr/bin/docker-registry"), folder, &endpoint, tls.as_ref())?
            }
            Kind::Nginx { files } => nginx::prepare(files, folder, &endpoint, tls.as_ref())?,
        };
        let launch = launch.pinned(options.core);
        let child = launch.start(folder)?;
        let registry = Self { child, launch, folder: folder.to_path_buf(), endpoint, kind };
        registry.wait(PATIENCE)?;
        Ok(registry)
    }

    /// The process that serves.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL and starts it again over the same data; answers after how long it answered again.
    ///
    /// # Errors
    /// It does not answer within `patience`.
    pub fn kill_and_restart(&mut self, patience: Duration) -> Result<Duration> {
        self.child.kill()?;
        self.child.wait()?;
        let begun = Instant::now();
        self.child = self.launch.start(&self.folder)?;
        self.wait(patience)?;
        Ok(begun.elapsed())
    }

    fn wait(&self, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            match client::blocking(client::ready(&self.endpoint)) {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > patience => {
                    let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    bail!("no registry answers at {} after {patience:?}: {error:#}\n{log}", self.endpoint.url());
                }
                Err(_) => std::thread::park_timeout(Duration::from_millis(2)),
            }
        }
    }

    /// The program that collects this registry's garbage while it serves, if it has one.
    pub fn garbage_collector(&self) -> Option<Command> {
        match &self.kind {
            Kind::Sealock { program, .. } => {
                sealock::store_command(program, &self.launch.envs, &["gc", "--yes", "--grace", GRACE])
            }
            Kind::Distribution | Kind::DockerRegistry => {
                let mut command = Command::new(self.launch.program_itself());
                command.args(["garbage-collect", "--delete-untagged"]).arg(self.folder.join("config.yml"));
                command.env("OTEL_TRACES_EXPORTER", "none");
                Some(command)
            }
            Kind::Nginx { .. } => None,
        }
    }

    /// The program that reads all this registry's blobs to find rotten ones, if it has one.
    pub fn scrubber(&self) -> Option<Command> {
        match &self.kind {
            Kind::Sealock { program, .. } => sealock::store_command(program, &self.launch.envs, &["scrub"]),
            _ => None,
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Ours, by its handle; nothing to do about one that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Launch {
    /// The same program, on one core only.
    fn pinned(mut self, core: Option<usize>) -> Self {
        if let Some(core) = core {
            let program = self.program.display().to_string();
            self.args.splice(0..0, ["-c".to_owned(), core.to_string(), program]);
            self.program = PathBuf::from("taskset");
        }
        self
    }

    /// The program, whether taskset starts it or not.
    fn program_itself(&self) -> &Path {
        if self.program == Path::new("taskset") { Path::new(&self.args[2]) } else { &self.program }
    }

    fn start(&self, folder: &Path) -> Result<Child> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        // setpriv(1) and taskset(1) replace themselves, so the process is the server. It ends with us, however we end.
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&self.program)
            .args(&self.args)
            .envs(self.envs.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("cannot run {}", self.program_itself().display()))
    }
}
