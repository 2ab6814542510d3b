//! distribution 3 and Debian's docker-registry, which is distribution 2: one configuration for both.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::tls::Files;
use super::{Endpoint, Launch};

/// The password of the one user. It guards nothing but servers on loopback that live for a run.
pub(super) const PASSWORD: &str = "across-the-gap";

/// Its bcrypt hash, the only kind that either takes, at the least cost there is: what is measured is the registry.
pub(super) const HASH: &str = "$2b$04$B8bE7Kx/fnhkyAaX.C4uTuj6FtgummCrnE2aFVIILhk9Fo7LETzOW";

pub(super) fn prepare(program: &Path, folder: &Path, endpoint: &Endpoint, tls: Option<&Files>) -> Result<Launch> {
    let config = folder.join("config.yml");
    fs::write(&config, configuration(folder, endpoint, tls)?)?;
    Ok(Launch {
        program: program.to_path_buf(),
        args: vec!["serve".to_owned(), config.display().to_string()],
        envs: vec![("OTEL_TRACES_EXPORTER", "none".to_owned())],
    })
}

fn configuration(folder: &Path, endpoint: &Endpoint, tls: Option<&Files>) -> Result<String> {
    let mut text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp:\n  addr: \"{}\"\n",
        folder.join("data").display(),
        endpoint.address,
    );
    if let Some(files) = tls {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        text.push_str(&format!("  tls: {{certificate: {certificate}, key: {key}}}\n"));
    }
    if let Some(login) = &endpoint.login {
        let users = folder.join("htpasswd");
        fs::write(&users, format!("{}:{HASH}\n", login.user))?;
        text.push_str(&format!("auth: {{htpasswd: {{realm: bench, path: {}}}}}\n", users.display()));
    }
    Ok(text)
}
