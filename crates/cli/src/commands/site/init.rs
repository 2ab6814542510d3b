//! `sealock site init`

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sealock_bundle::document::load_document;
use sealock_bundle::spec::{EnrolledRoot, Site};
use sealock_store::Store;
use sealock_trust::directory::{Candidate, Enrolment, TrustDirectory};
use sealock_trust::site::{Registry, SiteRoot, SiteRootSpec};
use sealock_trust::{KeySet, PublicKey, Scheme, Signer, SiteKeys};

use super::certificate;
use super::people;
use super::show::Description;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, Passphrases};
use crate::station::{ROOT_KEY, SITE_KEY};
use crate::{files, time};

/// Make this machine the station of a site
///
/// Creates the site's keys and root, the store, and the registry's certificate authority, as the site spec says, and
/// enrols the publishers' roots that it names. Interrupted, it goes on where it stopped.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The site spec (kind: Site)
    #[arg(short, long, value_name = "FILE", default_value = "site.yaml")]
    file: PathBuf,
    /// The registry's certificate and the ones above it, PEM, where the spec names a certificate authority
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    certificate: Option<PathBuf>,
    /// The private key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    /// What kind of keys to create: ed25519 or ecdsa-sha2-nistp256
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::Ed25519)]
    scheme: Scheme,
    /// File whose first line is the passphrase of the new keys
    #[arg(long, value_name = "FILE", conflicts_with = "unencrypted_keys")]
    passphrase_file: Option<PathBuf>,
    /// Keep the keys unencrypted: whoever reads the file can sign
    #[arg(long)]
    unencrypted_keys: bool,
}

pub fn run(args: &InitArgs, context: &Context) -> Result<()> {
    let spec: Site = load_document(&args.file, &files::read_text(&args.file)?)?;
    let given = args.certificate.as_deref().zip(args.certificate_key.as_deref());
    certificate::check(&spec, given)?;
    if context.dry_run {
        let text = format!("would make the site {} in {}", spec.metadata.name, context.paths.state().display());
        return context.ui.result(&serde_json::json!({"site": spec.metadata.name}), text);
    }
    make_private(&context.paths.keys())?;
    let directory = TrustDirectory::open(&context.paths.trust())?;
    let ca = certificate::ensure(&spec, &args.file, given, context)?;
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let site = match directory.site_root()? {
        Some(present) => same_site(present, &spec)?,
        None => {
            let site = create(args, &spec, ca, &passphrases, context)?;
            directory.keep_site_root(&site)?;
            site.root().clone()
        }
    };
    let store = Store::init(&context.paths.store())?;
    enroll(&spec, &args.file, &directory, || {
        let key = passphrases.load(&context.paths.keys().join(SITE_KEY))?;
        Ok(SiteKeys::new(site.clone(), Box::new(key))?)
    })?;
    let release = store.current_number()?;
    people::warn_if_too_few(&site, context);
    let description = Description::new(&site, release);
    context.ui.done(format_args!("{} is the station of the site {}", context.paths.state().display(), site.id()));
    context.ui.result(&description, description.text())
}

fn make_private(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| CommandError::from(error).context(format!("making the folder {}", folder.display())))
}

fn same_site(present: SiteRoot, spec: &Site) -> Result<SiteRoot> {
    if present.id().as_str() == spec.metadata.name.as_str() {
        return Ok(present);
    }
    let problem = format!("this is the station of the site {} already, not of {}", present.id(), spec.metadata.name);
    Err(CommandError::failed(problem).hint("A station serves one site. Use another machine, or --state-dir DIR."))
}

fn create(
    args: &InitArgs,
    spec: &Site,
    ca: String,
    passphrases: &Passphrases<'_>,
    context: &Context,
) -> Result<SiteKeys> {
    let key = |name: &str| {
        let path = context.paths.keys().join(name);
        keys::load_or_create(&path, args.scheme, passphrases, !args.unencrypted_keys)
    };
    let (root, site) = (key(ROOT_KEY)?, key(SITE_KEY)?);
    let registry = &spec.spec.registry;
    let root_spec = SiteRootSpec {
        id: spec
            .metadata
            .name
            .as_str()
            .parse()
            .map_err(|error| CommandError::usage(format!("metadata.name: {error}")))?,
        issued: time::now(),
        classification: spec.spec.classification.clone(),
        root: KeySet::new([root.public_key().clone()], 1)?,
        site: KeySet::new([site.public_key().clone()], 1)?,
        approver: approvers(spec, &args.file)?,
        registry: Registry {
            name: registry.name.clone(),
            address: SocketAddr::new(registry.address, port_of(&registry.name)?).to_string(),
            ca,
        },
        stale_grace_days: spec.spec.expiry.map(|expiry| expiry.stale_grace.count()),
    };
    Ok(SiteKeys::new(SiteRoot::create(&root_spec, &[&root])?, Box::new(site))?)
}

fn approvers(spec: &Site, file: &Path) -> Result<Option<KeySet>> {
    if spec.spec.approvers.is_empty() {
        return Ok(None);
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let key = |path: &PathBuf| {
        let path = folder.join(path);
        let key = PublicKey::from_pem(&files::read_text(&path)?);
        key.map_err(|error| CommandError::from(error).context(format!("reading the public key {}", path.display())))
    };
    let keys = spec.spec.approvers.iter().map(key).collect::<Result<Vec<_>>>()?;
    Ok(Some(KeySet::new(keys, 1)?))
}

/// The port in `name[:port]`, 443 where there is none.
pub fn port_of(name: &str) -> Result<u16> {
    match name.split_once(':') {
        None => Ok(443),
        Some((_, port)) => {
            port.parse().map_err(|_| CommandError::usage(format!("`{port}` is not a port, in `{name}`")))
        }
    }
}

/// The site's keys are asked for only where there is something new to seal.
fn enroll(spec: &Site, file: &Path, directory: &TrustDirectory, keys: impl FnOnce() -> Result<SiteKeys>) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let known = directory.enrolments()?;
    let is_known = |root: &&EnrolledRoot| {
        let names = Enrolment::names_of(&root.names);
        known.iter().any(|one| one.prefix == root.prefix && one.fingerprint == root.fingerprint && one.names == names)
    };
    let new: Vec<_> = spec.spec.roots.iter().filter(|root| !is_known(root)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let site = keys()?;
    for root in new {
        let bytes = files::read(&folder.join(&root.root), 1 << 20)?;
        let candidate = Candidate {
            root: &bytes,
            fingerprint: &root.fingerprint,
            prefix: &root.prefix,
            from_sequence: root.from_sequence,
            names: &root.names,
        };
        directory.enroll(&candidate, Some(&site))?;
    }
    Ok(())
}
