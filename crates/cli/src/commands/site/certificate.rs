//! The registry's certificate: of the site's own authority, or the customer's.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::spec::Site;
use sealock_server::tls::SiteCa;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::{files, time};

/// The files of the registry's certificate below the state folder.
#[derive(Clone, Debug)]
pub struct Files {
    pub authority: PathBuf,
    pub authority_key: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Files {
    pub fn new(context: &Context) -> Self {
        let folder = context.paths.state().join("tls");
        let at = |name: &str| folder.join(name);
        Self {
            authority: at("ca.crt"),
            authority_key: at("ca.key"),
            certificate: at("registry.crt"),
            key: at("registry.key"),
        }
    }
}

/// An authority of the customer's comes with a certificate, and only it does.
pub fn check(spec: &Site, given: Option<(&Path, &Path)>) -> Result<()> {
    match (&spec.spec.registry.ca, given) {
        (Some(_), None) => Err(CommandError::usage("the site spec names a certificate authority for the registry")
            .hint("Give the certificate that it issued: --certificate FILE --certificate-key FILE.")),
        (None, Some(_)) => Err(CommandError::usage("there is a certificate, but no authority that nodes could trust")
            .hint("Name the authority that issued it in the site spec: `registry: {ca: FILE}`.")),
        _ => Ok(()),
    }
}

/// Makes sure that the certificate is in place; answers the authority's certificate, PEM.
pub fn ensure(spec: &Site, file: &Path, given: Option<(&Path, &Path)>, context: &Context) -> Result<String> {
    let here = Files::new(context);
    if let Some(folder) = here.authority.parent() {
        let failed = |error| CommandError::from(error).context(format!("making the folder {}", folder.display()));
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match (&spec.spec.registry.ca, given) {
        (Some(ca), Some((certificate, key))) => {
            let ca = file.parent().unwrap_or(Path::new("")).join(ca);
            adopt(&ca, &here.authority, 0o644)?;
            adopt(key, &here.key, 0o600)?;
            adopt(certificate, &here.certificate, 0o644)?;
        }
        _ => issue(spec, &here)?,
    }
    files::read_text(&here.authority)
}

fn adopt(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    files::create(to, &files::read(from, 1 << 20)?, mode)
}

fn issue(spec: &Site, here: &Files) -> Result<()> {
    let authority = if here.authority.exists() {
        SiteCa::from_pem(&files::read_text(&here.authority)?, &files::read_text(&here.authority_key)?)?
    } else {
        let authority = SiteCa::generate(spec.metadata.name.as_str(), time::now())?;
        // The certificate last: where it stands, its key does too.
        replace_private(&here.authority_key, authority.key_pem().as_bytes())?;
        files::create(&here.authority, authority.certificate_pem().as_bytes(), 0o644)?;
        authority
    };
    if here.certificate.exists() {
        return Ok(());
    }
    let registry = &spec.spec.registry;
    let host = registry.name.split(':').next().unwrap_or_default();
    let issued = authority.issue(host, &[registry.address], time::now())?;
    replace_private(&here.key, issued.key_pem.as_bytes())?;
    files::create(&here.certificate, issued.certificate_pem.as_bytes(), 0o644)
}

/// A key without its certificate is left over from an interrupted run, and nobody knows it.
fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CommandError::from(error).context(format!("removing {}", path.display())))
        }
        _ => files::create(path, bytes, 0o600),
    }
}
