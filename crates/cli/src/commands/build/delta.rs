//! `sealock build --since RECEIPT`: what the delta is made from.

use std::path::{Path, PathBuf};

use sealock_bundle::delta::{Baseline, Bases, Shelf, WantList};
use sealock_bundle::manifest::MAX_BYTES;
use sealock_bundle::{Archive, Lock, Manifest};
use sealock_trust::site::SiteRoot;
use sealock_trust::{SiteId, receipt};

use super::built;
use crate::commands::source;
use crate::error::{CommandError, Result};
use crate::files;

/// No receipt is near this long.
const MAX_RECEIPT: u64 = 4 << 20;
/// No site root is near this long.
const MAX_ROOT: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct DeltaArgs {
    /// Make a delta: leave out what this receipt of the site says is there already
    #[arg(long, value_name = "RECEIPT")]
    since: Option<PathBuf>,
    /// The root of the site that signed the receipt [default: trust/sites/SITE.json beside the lock, where `trust enroll --site` puts it]
    #[arg(long, value_name = "FILE", requires = "since")]
    site_root: Option<PathBuf>,
    /// An earlier bundle that the site holds, its manifest.json, or a folder of these; those built here are known by themselves.
    /// A layer that changed is carried as a patch on an older one that such a bundle has, where that saves something
    #[arg(long = "base", value_name = "PATH", requires = "since")]
    bases: Vec<PathBuf>,
    /// Carry every layer whole
    #[arg(long, requires = "since")]
    no_patches: bool,
    /// A want-list of the site: carry what is in it all the same
    #[arg(long, value_name = "FILE", requires = "since")]
    want: Option<PathBuf>,
}

/// What is to be built.
pub struct Plan {
    /// The manifest, of a delta that without patches.
    pub manifest: Manifest,
    /// What patches are made from, where there are any to make.
    pub patching: Option<Patching>,
}

/// What patches are made from.
pub struct Patching {
    pub baseline: Baseline,
    pub bases: Bases,
    pub want: Option<WantList>,
    /// Earlier bundles that are at hand.
    pub shelf: Shelf,
}

/// What is to be built from the `lock` at `path`.
pub fn plan(args: &DeltaArgs, lock: &Lock, path: &Path, folder: &Path) -> Result<Plan> {
    let Some(since) = &args.since else {
        return Ok(Plan { manifest: Manifest::from_lock(lock)?, patching: None });
    };
    let bytes = files::read(since, MAX_RECEIPT)?;
    let reading = |error: CommandError| error.context(format!("the receipt {} is not believed", since.display()));
    let site = receipt::claimed_site(&bytes).map_err(|error| reading(error.into()))?;
    let root = site_root(args, &site, folder)?;
    let baseline = Baseline::open(&bytes, &root).map_err(|error| reading(error.into()))?;
    let bases = bases(args, &baseline, path)?;
    let want = args.want.as_deref().map(read_want).transpose()?;
    let shelf = shelf(args, &baseline, &bases, folder)?;
    let manifest = match shelf.is_empty() {
        true => baseline.manifest(lock, &bases, want.as_ref()),
        false => baseline.unpatched(lock, &bases, want.as_ref()),
    };
    let manifest = manifest
        .map_err(|error| CommandError::from(error).context(format!("there is no delta since {}", since.display())))?;
    let patching = (!shelf.is_empty()).then_some(Patching { baseline, bases, want, shelf });
    Ok(Plan { manifest, patching })
}

/// The bundles whose layers are at hand: those that were given, and those that were built here and not carried away.
fn shelf(args: &DeltaArgs, baseline: &Baseline, bases: &Bases, folder: &Path) -> Result<Shelf> {
    let mut shelf = Shelf::default();
    if args.no_patches {
        return Ok(shelf);
    }
    let is_bundle = |path: &&PathBuf| !path.is_dir() && path.extension().is_none_or(|ending| ending != "json");
    for path in args.bases.iter().filter(is_bundle) {
        shelf.add(source::open(path)?)?;
    }
    for digest in &baseline.receipt().held {
        let Some(manifest) = bases.get(digest) else { continue };
        let path = folder.join(file_name(manifest));
        // What else may be called so is not what was built.
        if let Some(archive) = Archive::open(&path).ok().filter(|archive| archive.manifest_digest() == *digest) {
            shelf.add(archive)?;
        }
    }
    Ok(shelf)
}

/// What is built: `plant-7-2.tar`, or as a delta for a site `plant-7-2-delta-SITE.tar`.
pub fn file_name(manifest: &Manifest) -> String {
    let (name, sequence) = (&manifest.name, manifest.sequence);
    match &manifest.base {
        None => format!("{name}-{sequence}.tar"),
        Some(base) => format!("{name}-{sequence}-delta-{}.tar", base.site),
    }
}

fn site_root(args: &DeltaArgs, site: &SiteId, folder: &Path) -> Result<SiteRoot> {
    let path = args.site_root.clone().unwrap_or_else(|| folder.join("trust/sites").join(format!("{site}.json")));
    if !path.exists() {
        let problem = format!("the receipt is from the site {site}, and its root is not at {}", path.display());
        return Err(CommandError::usage(problem).hint(
            "`sealock trust enroll --site SITE-ROOT --fingerprint SHA256` puts it there; or give it with --site-root FILE.",
        ));
    }
    let root = SiteRoot::open(&files::read(&path, MAX_ROOT)?);
    root.map_err(|error| CommandError::from(error).context(format!("the site root {} is not believed", path.display())))
}

fn bases(args: &DeltaArgs, baseline: &Baseline, lock: &Path) -> Result<Bases> {
    let mut bases = Bases::default();
    let kept = built::manifests(lock);
    for digest in &baseline.receipt().held {
        let path = kept.join(format!("{}.json", digest.hex()));
        if path.exists() && add_manifest(&mut bases, &path)? != *digest {
            let problem = format!("{} is not the manifest that its name says", path.display());
            return Err(CommandError::failed(problem).hint("Restore it from version control, or remove it."));
        }
    }
    for path in &args.bases {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                let path = entry?.path();
                if path.extension().is_some_and(|ending| ending == "json") {
                    add_manifest(&mut bases, &path)?;
                }
            }
        } else if path.extension().is_some_and(|ending| ending == "json") {
            add_manifest(&mut bases, path)?;
        } else {
            add(&mut bases, path, source::open(path)?.manifest_bytes())?;
        }
    }
    Ok(bases)
}

fn add_manifest(bases: &mut Bases, path: &Path) -> Result<sealock_trust::Digest> {
    add(bases, path, &files::read(path, MAX_BYTES)?)
}

fn add(bases: &mut Bases, path: &Path, bytes: &[u8]) -> Result<sealock_trust::Digest> {
    let added = bases.add(bytes);
    added.map_err(|error| CommandError::from(error).context(format!("{} is not the base of a delta", path.display())))
}

fn read_want(path: &Path) -> Result<WantList> {
    let list = WantList::from_bytes(&files::read(path, built::MAX_LOCK)?);
    list.map_err(|error| CommandError::from(error).context(format!("{} cannot be read", path.display())))
}
