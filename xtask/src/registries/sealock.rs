//! `sealock serve`, at a station of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Endpoint, Launch, Login, Options};

/// Which build of `sealock` serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// As the tests build it.
    Debug,
    /// As it is shipped: what is measured.
    Release,
}

impl Build {
    /// Builds it, and says where it is.
    pub fn program(self, root: &Path) -> Result<PathBuf> {
        let mut args = vec!["build", "--quiet", "--package", "sealock-cli", "--message-format"];
        args.push("json-render-diagnostics");
        if self == Self::Release {
            args.push("--release");
        }
        let output = Command::new("cargo").args(args).current_dir(root).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "sealock does not build");
        let messages = String::from_utf8(output.stdout)?;
        crate::story::executable(&messages).map(PathBuf::from).context("cargo built no executable")
    }
}

/// The settings by which a run is kept from this machine's own.
fn envs(folder: &Path, state: &Path) -> Vec<(&'static str, String)> {
    // The last one as the unit of `serve --unit` has it.
    [
        ("HOME", folder.display().to_string()),
        ("SEALOCK_STATE_DIR", state.display().to_string()),
        ("MALLOC_ARENA_MAX", "4".to_owned()),
    ]
    .into()
}

/// Makes a site where there is none. It serves over TLS only, with the site's own authority; who pushes always says who that is.
pub(super) fn prepare(
    (program, state): (&Path, Option<&Path>),
    folder: &Path,
    endpoint: &mut Endpoint,
    options: Options,
) -> Result<Launch> {
    let state = match state {
        Some(state) => state.to_path_buf(),
        None => new_site(program, folder)?,
    };
    endpoint.ca = Some(state.join("tls/ca.crt"));
    let login = Login::of_the_tasks();
    let access = access(folder, &login, options)?.display().to_string();
    let mut args = ["serve", "--listen", &endpoint.address, "--access", &access].map(str::to_owned).to_vec();
    args.extend(options.lease.into_iter().flat_map(|lease| ["--lease".to_owned(), format!("{}s", lease.as_secs())]));
    endpoint.login = Some(login);
    Ok(Launch { program: program.to_path_buf(), args, envs: envs(folder, &state) })
}

/// One user does everything, and others pull where nobody is asked who they are; tags move, and what is pushed may refer to what is not there, as the suite wants it.
fn access(folder: &Path, login: &Login, options: Options) -> Result<PathBuf> {
    fs::write(folder.join("users"), format!("{}:{}\n", login.user, super::distribution::HASH))?;
    let user = &login.user;
    let anonymous = if options.login { "pull: []" } else { "pull: ['**'], catalog: true" };
    let challenge = if options.bearer { "bearer" } else { "basic" };
    let text = format!(
        "apiVersion: sealock/v1alpha1\nkind: Registry\nmetadata: {{name: registry.bench}}\nspec:\n  \
         htpasswd: users\n  login: {{challenge: {challenge}}}\n  anonymous: {{{anonymous}}}\n  grants:\n    \
         - {{subjects: ['user/{user}'], repositories: ['**'], actions: [pull, push, delete, catalog]}}\n  rules:\n    \
         - {{repositories: ['**'], mutableTags: ['*'], sparse: true}}\n    \
         - {{repositories: ['bench.example/**'], mutableTags: ['*']}}\n"
    );
    let file = folder.join("registry.yaml");
    fs::write(&file, text)?;
    Ok(file)
}

fn new_site(program: &Path, folder: &Path) -> Result<PathBuf> {
    let site = "apiVersion: sealock/v1alpha1\nkind: Site\nmetadata: {name: bench}\nspec:\n  \
         registry: {name: registry.bench, address: 127.0.0.1}\n";
    fs::write(folder.join("site.yaml"), site)?;
    let state = folder.join("state");
    let mut command = Command::new(program);
    command.args(["site", "init", "--unencrypted-keys", "--quiet"]).current_dir(folder).envs(envs(folder, &state));
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "site init: {}", String::from_utf8_lossy(&output.stderr));
    Ok(state)
}

/// `sealock store VERB`, if this build has it.
pub(super) fn store_command(program: &Path, envs: &[(&'static str, String)], verb: &[&str]) -> Option<Command> {
    says(program, &["store", verb.first()?, "--help"])?;
    let mut command = Command::new(program);
    command.arg("store").args(verb).arg("--quiet").envs(envs.iter().map(|(name, value)| (*name, value)));
    Some(command)
}

/// What the program prints, where it knows what is asked.
fn says(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
