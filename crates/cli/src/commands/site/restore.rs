//! `sealock site restore`

use std::path::PathBuf;

use sealock_cluster::backup::station::{Places, StationBackup, StationManifest, restore};
use sealock_trust::Digest;
use sealock_trust::site::SiteRoot;
use serde::Serialize;

use super::backup::bundles;
use crate::commands::backup_file::identities;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::paths::SETTINGS_DIR;

/// Make this machine the station of a site again, from a backup of it
///
/// The machine must be no station. Which backup is meant is said by its digest, as `sealock site backup` printed it, or by the site root that
/// was kept elsewhere: an enrolled publisher has it, and each node, in /var/lib/sealock/node. What the site did after the backup is not in it:
/// imports are frozen until two people settle that with `sealock site resolve-state`. Everything else works at once. Layers come from
/// the bundles: `sealock store scrub --heal BUNDLE`. Run again it finishes what was cut off.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The key that opens it: a file of `sealock site recovery-key` or `age-keygen`
    #[arg(long, value_name = "FILE")]
    recovery_key: PathBuf,
    /// File whose first line is the passphrase of that key
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    meant: Meant,
    /// The folder of the station's settings
    #[arg(long, value_name = "DIR", default_value = SETTINGS_DIR)]
    settings_dir: PathBuf,
}

/// Which backup is meant, said from outside of it.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Meant {
    /// The backup's digest, as `site backup` printed it
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// The site root, kept elsewhere
    #[arg(long, value_name = "FILE")]
    site_root: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    digest: &'a Digest,
    manifest: &'a StationManifest,
    /// Settings that stand beside others, which were there already and differ.
    beside: Vec<PathBuf>,
}

/// No site root is longer; in bytes.
const MAX_ROOT: u64 = 1 << 20;

pub fn run(args: &RestoreArgs, context: &Context) -> Result<()> {
    let backup = open(args)?;
    let manifest = backup.manifest();
    let identities = identities(&args.recovery_key, args.passphrase_file.as_deref(), context)?;
    backup.read(&identities)?;
    let (site, taken) = (&manifest.site, manifest.taken);
    let state = context.paths.state();
    if context.dry_run {
        let text = format!(
            "would make this machine the station of the site {site} as it was at {taken}: {} files, in {} and {}",
            manifest.files,
            state.display(),
            args.settings_dir.display()
        );
        return context.ui.result(&Outcome { digest: backup.digest(), manifest, beside: Vec::new() }, text);
    }
    context.ui.confirm(&format!("Make this machine the station of the site {site}, as it was at {taken}?"))?;
    let restored = restore(&backup, &identities, &Places { state, settings: &args.settings_dir })?;
    for path in &restored.beside {
        context.ui.warn(format_args!("another file is in its place: {} was written beside it", path.display()));
    }
    if !manifest.bundles.is_empty() {
        context.ui.note(format_args!(
            "the layers come from the bundles {}: `sealock store scrub --heal BUNDLE…`",
            bundles(manifest)
        ));
    }
    context.ui.note(format_args!(
        "imports are frozen until two people settle what the site may have done since: `sealock site resolve-state`"
    ));
    let text = format!("this machine is the station of the site {site}, as it was at {taken}");
    context.ui.result(&Outcome { digest: backup.digest(), manifest, beside: restored.beside }, text)
}

fn open(args: &RestoreArgs) -> Result<StationBackup> {
    let root = args.meant.site_root.as_ref().map(|path| -> Result<SiteRoot> {
        let opened = SiteRoot::open(&files::read_carried(path, MAX_ROOT)?);
        opened.map_err(|error| CommandError::from(error).context(format!("reading {}", path.display())))
    });
    let backup = match (root.transpose()?, &args.meant.digest) {
        (Some(root), _) => StationBackup::open(&args.backup, &root)?,
        (None, Some(digest)) => StationBackup::named(&args.backup, digest)?,
        (None, None) => return Err(CommandError::usage("which backup is meant has to be said")),
    };
    match &args.meant.digest {
        Some(named) if named != backup.digest() => {
            Err(CommandError::usage(format!("the backup's digest is {}, and {named} was named", backup.digest())))
        }
        _ => Ok(backup),
    }
}
