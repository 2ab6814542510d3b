//! `sealock trust delegate`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_trust::tuf::{DelegatedRole, Delegations, open_root};
use sealock_trust::{KeyId, KeySet, NamePrefix, RoleName};
use serde::Serialize;

use super::target::MAX_DOCUMENT;
use super::{describe, roles, target, vendors};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::keys::{self, KeyName, Passphrases};

/// Let a vendor vouch for its own artifacts, and show who does
///
/// The publisher's own step, in its folder. Artifacts whose names begin with `--names` then need the signatures of the vendor's
/// keys beside the publisher's: `lock` takes the delegation up, `build` writes a signing request for the vendor, and a site
/// refuses what the vendor has not signed. Nobody else can vouch for these names. Without a vendor it lists all of them.
#[derive(Debug, clap::Args)]
pub struct DelegateArgs {
    /// The vendor's name: a DNS label
    vendor: Option<RoleName>,
    /// A key of the vendor, public; a file or a `pkcs11:` URI; once or more
    #[arg(short, long = "key", value_name = "KEY", requires_all = ["vendor", "names"])]
    keys: Vec<KeyName>,
    /// How many of its keys must sign [default: more than half]
    #[arg(long, value_name = "COUNT", requires = "keys")]
    threshold: Option<u32>,
    /// What the names of its artifacts begin with, in whole words: `quay.io/acme` for `quay.io/acme/app:v1`; once or more
    #[arg(long, value_name = "PREFIX", requires_all = ["vendor", "keys"])]
    names: Vec<NamePrefix>,
    /// Take the vendor's delegation back: the publisher alone vouches for these names again
    #[arg(long, requires = "vendor", conflicts_with = "keys")]
    remove: bool,
    /// Where the delegations stand
    #[arg(long, value_name = "FILE", default_value = "trust/delegations.json")]
    file: PathBuf,
}

/// One vendor, as it is shown.
#[derive(Serialize)]
struct Vendor {
    name: RoleName,
    threshold: u32,
    keys: Vec<KeyId>,
    names: Vec<NamePrefix>,
}

impl Vendor {
    fn of(role: &DelegatedRole) -> Self {
        let DelegatedRole { name, keyids, threshold, paths, .. } = role;
        let names = NamePrefix::of_patterns(paths);
        Self { name: name.clone(), threshold: *threshold, keys: keyids.clone(), names }
    }
}

#[derive(Serialize)]
struct Changed {
    file: PathBuf,
    /// False where it was so already.
    changed: bool,
    vendors: Vec<Vendor>,
}

pub fn run(args: &DelegateArgs, context: &Context) -> Result<()> {
    let mut delegations = vendors::delegations(&args.file)?.unwrap_or_default();
    let Some(vendor) = &args.vendor else {
        return list(&delegations, context);
    };
    let changed = if args.remove {
        delegations.revoke(vendor)
    } else if args.keys.is_empty() {
        return show(vendor, &delegations, context);
    } else {
        add(vendor, args, &mut delegations, context)?
    };
    if changed && !context.dry_run {
        let folder = args.file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder)?;
        files::replace(&args.file, &delegations.to_bytes()?)?;
    }
    let verb = match (changed, context.dry_run) {
        (false, _) => "is unchanged",
        (true, true) => "would be written",
        (true, false) => "is written",
    };
    let next = if changed { ": `sealock lock` takes it up" } else { "" };
    let text = format!("{}{} {verb}{next}", text(&delegations), args.file.display());
    let vendors = delegations.roles.iter().map(Vendor::of).collect();
    context.ui.result(&Changed { file: args.file.clone(), changed, vendors }, text)
}

fn add(vendor: &RoleName, args: &DelegateArgs, delegations: &mut Delegations, context: &Context) -> Result<bool> {
    let passphrases = Passphrases::new(context, None);
    let keys = args.keys.iter().map(|path| keys::public_key(path, &passphrases)).collect::<Result<_>>()?;
    let keys = roles::role("--threshold", keys, args.threshold)?;
    warn(&keys, &args.file, context)?;
    delegations.delegate(vendor, &keys, &args.names).map_err(|error| {
        CommandError::usage(error.to_string())
            .hint("`sealock trust delegate` lists who is there; `--remove` makes room.")
    })
}

/// A vendor who is the publisher adds no second opinion.
fn warn(keys: &KeySet, file: &Path, context: &Context) -> Result<()> {
    let folder = file.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    if let Some(newest) = target::root_chain(folder).last() {
        let root = open_root(&files::read(newest, MAX_DOCUMENT)?)?;
        if vendors::share(keys, &root.publisher_keys()?) {
            context.ui.warn("one of the vendor's keys is a publisher's key as well: one person then signs for both");
        }
    }
    let count = keys.keys().len();
    if count > 1 && usize::try_from(keys.threshold()).is_ok_and(|threshold| threshold == count) {
        context.ui.warn(format_args!("all {count} keys of the vendor must sign, so one lost key stops it"));
    }
    Ok(())
}

fn list(delegations: &Delegations, context: &Context) -> Result<()> {
    if delegations.roles.is_empty() {
        context.ui.note("nothing is delegated: the publisher alone vouches for every artifact");
    }
    let vendors: Vec<Vendor> = delegations.roles.iter().map(Vendor::of).collect();
    context.ui.result(&vendors, text(delegations))
}

fn show(vendor: &RoleName, delegations: &Delegations, context: &Context) -> Result<()> {
    let Some(only) = delegations.only(vendor) else {
        return Err(CommandError::usage(format!("nothing is delegated to a vendor {vendor}"))
            .hint("Give its keys and names: --key FILE --names PREFIX."));
    };
    context.ui.result(&only.roles.iter().map(Vendor::of).collect::<Vec<_>>(), text(&only))
}

fn text(delegations: &Delegations) -> String {
    delegations.roles.iter().map(|role| describe_role(role, delegations)).collect()
}

/// A delegation as a person reads it.
pub fn describe_role(role: &DelegatedRole, delegations: &Delegations) -> String {
    let names = beginnings(role);
    let mut text = format!("vendor {}: {} of {} for {names}\n", role.name, role.threshold, role.keyids.len());
    for id in &role.keyids {
        let scheme = delegations.keys.get(id).map(|key| key.scheme().escape_debug().to_string()).unwrap_or_default();
        let _ = writeln!(text, "  {}  {scheme}", describe::grouped(id.as_str()));
    }
    text
}

/// What the names of the role's artifacts begin with; its patterns as they are, where they are not made from such.
pub fn beginnings(role: &DelegatedRole) -> String {
    match role.prefixes() {
        Some(prefixes) => prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        None => role.paths.iter().map(|path| format!("{path:?}")).collect::<Vec<_>>().join(" "),
    }
}
