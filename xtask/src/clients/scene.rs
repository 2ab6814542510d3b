//! Where every row plays: a folder with images, an authority, and the login of the registry.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::layout::Layout;
use crate::registries::{Endpoint, Login};
use crate::{environment, tools};

/// The folder, the registry and what is pushed.
pub(super) struct Scene {
    folder: PathBuf,
    path: OsString,
    pub(super) endpoint: Endpoint,
    pub(super) login: Login,
    /// Images to push, as an OCI layout `images`.
    pub(super) layout: Layout,
}

impl Scene {
    /// Makes the images; `programs` are the folders that hold the clients.
    pub(super) fn new(folder: &Path, endpoint: Endpoint, programs: Vec<PathBuf>) -> Result<Self> {
        fs::create_dir_all(folder.join("home"))?;
        fs::create_dir_all(folder.join("certificates"))?;
        let ca = endpoint.ca.as_deref().context("a registry without TLS")?;
        fs::copy(ca, folder.join("certificates/ca.crt")).with_context(|| format!("cannot copy {}", ca.display()))?;
        let login = endpoint.login.clone().context("a registry that asks nobody who he is")?;
        let layout = Layout::make(&folder.join("images"))?;
        let path = tools::path_with(programs)?;
        Ok(Self { folder: folder.to_path_buf(), path, endpoint, login, layout })
    }

    /// A path in the scene's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder that was not there.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// `HOST:PORT/NAME`.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.endpoint.address)
    }

    /// `USER:PASSWORD`.
    pub(super) fn credentials(&self) -> String {
        format!("{}:{}", self.login.user, self.login.password)
    }

    /// A command in the scene's folder, with a home of its own and the registry's authority as the only one.
    pub(super) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.path("home")).env("PATH", self.path_with_system());
        command.env("SSL_CERT_FILE", self.path("certificates/ca.crt")).env("XDG_RUNTIME_DIR", self.path("home"));
        // How tools that have no flag for it find the login.
        command.env("DOCKER_CONFIG", self.path("home/.docker")).env("REGISTRY_AUTH_FILE", self.path("home/auth.json"));
        if let Some(folder) = environment::variable("TMPDIR") {
            command.env("TMPDIR", folder);
        }
        command
    }

    fn path_with_system(&self) -> OsString {
        let mut path = self.path.clone();
        path.push(":/usr/sbin:/sbin");
        path
    }

    /// Runs a program; answers what it printed.
    pub(super) fn tool(&self, program: &str, args: &[&str]) -> Result<String> {
        run(&mut self.command(program, args))
    }
}

/// Runs a command to its end; answers its standard output, or fails with all that it said.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.display().to_string())
        .collect();
    let output = command.output().with_context(|| format!("cannot run {}", words[0]))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{}: {}\n{out}{err}", words.join(" "), output.status);
    Ok(out)
}
