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
use sealock_trust::{KeySet, PublicKey, Scheme, SiteKeys};

use super::certificate;
use super::people;
use super::show::Description;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, Key, KeyName, KeyPlace, Passphrases};
use crate::station::{self, ROOT_KEY, SITE_KEY};
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
    /// The site's own key in a token, a `pkcs11:` URI, instead of a new one in a file; the station keeps the URI
    #[arg(long, value_name = "URI")]
    site_key: Option<KeyName>,
    /// The key in a token under which the site root may be replaced, likewise
    #[arg(long, value_name = "URI")]
    root_key: Option<KeyName>,
    /// What kind of keys to create: ed25519 or ecdsa-sha2-nistp256
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::Ed25519)]
    scheme: Scheme,
    /// File whose first line is the passphrase of the new keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
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
        Ok(SiteKeys::new(site.clone(), passphrases.load(&station::key_name(context, SITE_KEY))?)?)
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
    let key = |stem: &str, given: Option<&KeyName>| key(stem, given, args, passphrases, context);
    let (root, site) = (key(ROOT_KEY, args.root_key.as_ref())?, key(SITE_KEY, args.site_key.as_ref())?);
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
        retained_releases: spec.spec.retention.map(|retention| retention.releases),
    };
    Ok(SiteKeys::new(SiteRoot::create(&root_spec, &[root.as_ref()])?, site)?)
}

/// The key called `stem`: the one in a token that was given, whose URI is kept; else the one that is there, or a new one.
fn key(
    stem: &str,
    given: Option<&KeyName>,
    args: &InitArgs,
    passphrases: &Passphrases<'_>,
    context: &Context,
) -> Result<Key> {
    let kept = station::key_name(context, stem);
    let Some(given) = given else {
        if let KeyPlace::Token(_) = kept.place()? {
            return passphrases.load(&kept);
        }
        return keys::load_or_create(kept.as_path(), args.scheme, passphrases, !args.unencrypted_keys);
    };
    let folder = context.paths.keys();
    let KeyPlace::Token(uri) = given.place()? else {
        let problem = format!("{given} is a file, and --{stem}-key takes a `pkcs11:` URI");
        let place = folder.join(format!("{stem}.pem"));
        return Err(CommandError::usage(problem).hint(format!("Put the key at {}.", place.display())));
    };
    let text = format!("{uri}\n");
    if kept.as_path().exists() && !files::read_text(kept.as_path()).is_ok_and(|there| there == text) {
        let problem = format!("the station has another {stem} key already: {}", kept.as_path().display());
        return Err(CommandError::usage(problem).hint("Leave the flag away to go on with that key."));
    }
    let key = passphrases.load(given)?;
    let path = folder.join(format!("{stem}.uri"));
    if !path.exists() {
        files::create(&path, text.as_bytes(), 0o600)?;
    }
    Ok(key)
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
