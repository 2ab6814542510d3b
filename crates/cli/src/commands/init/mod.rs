//! `sealock init`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_bundle::names::{BundleName, SiteId, Stream};
use sealock_trust::request::RootDraft;
use sealock_trust::tuf::RootSpec;
use sealock_trust::{Digest, PublicKey, Scheme, StreamPrefix};
use serde::Serialize;

use crate::commands::trust::roles;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::keys::{self, Key, KeyName, KeyPlace, Passphrases};

/// Start a bundle: starter spec, keys and trust root
///
/// Writes a commented `sealock.yaml`, creates the keys of root, publisher and revoker, and the trust root that carries their
/// public halves. Says which file must travel to the site by hand, and the fingerprint to carry on paper. Run again it
/// finishes what was cut off, and overwrites nothing.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder to start in
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// What the bundle is called [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The stream the bundles belong to
    #[arg(long, value_name = "STREAM", default_value = "base")]
    stream: String,
    /// The site the bundles are for
    #[arg(long, value_name = "ID", default_value = "my-site")]
    site: String,
    /// Existing publisher keys instead of a new one: files, private or public, or `pkcs11:` URIs
    #[arg(short, long = "key", value_name = "KEY")]
    keys: Vec<KeyName>,
    /// How many publisher keys must sign a bundle
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    threshold: u32,
    /// Existing root keys, private, instead of a new one: files or `pkcs11:` URIs
    #[arg(long = "root-key", value_name = "KEY")]
    root_keys: Vec<KeyName>,
    /// Existing revoker keys, private or public, instead of a new one: files or `pkcs11:` URIs; any one of them may revoke
    #[arg(long = "revoker-key", value_name = "KEY")]
    revoker_keys: Vec<KeyName>,
    /// What kind of keys to create: ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 or rsassa-pss-sha256
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::Ed25519)]
    scheme: Scheme,
    /// Days until the trust root must be renewed
    #[arg(long, value_name = "DAYS", default_value_t = 1095)]
    expires_in: u32,
    /// File whose first line is the passphrase of the new keys, or the PIN of tokens
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Keep the keys unencrypted: whoever reads the file can sign
    #[arg(long)]
    unencrypted_keys: bool,
}

/// What was made, and what is to be carried by hand.
#[derive(Serialize)]
struct Outcome {
    /// Files that were written; those that were there already are left out.
    written: Vec<PathBuf>,
    /// The trust root: the file that travels by hand, once.
    root: PathBuf,
    /// SHA-256 of that file, to be carried another way: on paper, or by voice.
    fingerprint: Digest,
}

pub fn run(args: &InitArgs, context: &Context) -> Result<()> {
    let plan = Plan::new(args)?;
    if context.dry_run {
        return show_plan(&plan, context);
    }
    let mut written = Vec::new();
    plan.make_folders()?;
    let root = match plan.existing_root()? {
        Some(root) => root,
        None => make_root(args, &plan, context, &mut written)?,
    };
    for (path, text) in [(&plan.spec, plan.starter()), (&plan.ignore, IGNORED.to_owned())] {
        if !path.exists() {
            files::create(path, text.as_bytes(), 0o644)?;
            written.push(path.clone());
        }
    }
    let outcome = Outcome { written, root: plan.root.clone(), fingerprint: Digest::sha256(&root) };
    context.ui.result(&outcome, describe(&outcome, &plan, &args.stream))
}

/// What must not get into git: private keys and what can be made again.
const IGNORED: &str = "/keys/*.pem\n/.sealock/\n*.tar\n*.tar.partial*\n";

/// Where things go.
struct Plan {
    folder: PathBuf,
    spec: PathBuf,
    ignore: PathBuf,
    root: PathBuf,
    root_key: PathBuf,
    publisher_key: PathBuf,
    revoker_key: PathBuf,
    name: BundleName,
    stream: Stream,
    site: SiteId,
}

impl Plan {
    fn new(args: &InitArgs) -> Result<Self> {
        // Paths are shown: without a `./` in front they read better, and can still be pasted.
        let folder: PathBuf = args.folder.components().collect();
        let folder = if folder == Path::new(".") { PathBuf::new() } else { folder };
        let of_folder = || {
            let absolute = std::path::absolute(Path::new(".").join(&folder)).ok()?;
            Some(label(absolute.file_name()?.to_str()?))
        };
        let name = args.name.clone().or_else(of_folder).unwrap_or_default();
        let given = |error: &dyn std::fmt::Display, flag: &str| CommandError::usage(format!("{flag}: {error}"));
        Ok(Self {
            spec: folder.join("sealock.yaml"),
            ignore: folder.join(".gitignore"),
            root: folder.join("trust/root.json"),
            root_key: folder.join("keys/root.pem"),
            publisher_key: folder.join("keys/publisher.pem"),
            revoker_key: folder.join("keys/revoker.pem"),
            name: name.parse().map_err(|error| given(&error, "--name"))?,
            stream: args.stream.parse().map_err(|error| given(&error, "--stream"))?,
            site: args.site.parse().map_err(|error| given(&error, "--site"))?,
            folder,
        })
    }

    fn make_folders(&self) -> Result<()> {
        for folder in [self.folder.join("keys"), self.folder.join("trust")] {
            std::fs::create_dir_all(&folder).map_err(|error| {
                CommandError::from(error).context(format!("making the folder {}", folder.display()))
            })?;
        }
        Ok(())
    }

    fn existing_root(&self) -> Result<Option<Vec<u8>>> {
        if self.root.exists() { files::read(&self.root, 1 << 20).map(Some) } else { Ok(None) }
    }

    fn starter(&self) -> String {
        include_str!("starter.yaml")
            .replace("{name}", self.name.as_str())
            .replace("{stream}", self.stream.as_str())
            .replace("{site}", self.site.as_str())
    }
}

fn make_root(args: &InitArgs, plan: &Plan, context: &Context, written: &mut Vec<PathBuf>) -> Result<Vec<u8>> {
    let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
    let root_keys = signers(&args.root_keys, &plan.root_key, args, &passphrases, written)?;
    let publishers = publics(&args.keys, &plan.publisher_key, args, &passphrases, written)?;
    let revokers = publics(&args.revoker_keys, &plan.revoker_key, args, &passphrases, written)?;
    let root_publics: Vec<_> = root_keys.iter().map(|key| key.public_key().clone()).collect();
    let root_threshold = u32::try_from(root_publics.len()).unwrap_or(u32::MAX);
    let spec = RootSpec {
        expires: roles::expiry(args.expires_in),
        root: roles::role("--root-key", root_publics, Some(root_threshold))?,
        publisher: roles::role("--threshold", publishers, Some(args.threshold))?,
        revoker: Some(roles::role("--revoker-key", revokers, Some(1))?),
    };
    let mut draft = RootDraft::new(None, &spec)?;
    draft.sign(&keys::signers(&root_keys))?;
    let root = draft.finished()?.ok_or_else(|| CommandError::internal("the root's own keys do not suffice for it"))?;
    keep_uri(args, plan, written)?;
    files::create(&plan.root, &root, 0o644)?;
    written.push(plan.root.clone());
    Ok(root)
}

/// Where the one publisher key is in a token, its URI stands where `build` looks for the key.
fn keep_uri(args: &InitArgs, plan: &Plan, written: &mut Vec<PathBuf>) -> Result<()> {
    let [name] = args.keys.as_slice() else { return Ok(()) };
    let KeyPlace::Token(uri) = name.place()? else { return Ok(()) };
    let path = plan.publisher_key.with_extension("uri");
    if !path.exists() {
        files::create(&path, format!("{uri}\n").as_bytes(), 0o644)?;
        written.push(path);
    }
    Ok(())
}

/// The given private keys, or the one at `usual`, which is made where it is missing.
fn signers(
    given: &[KeyName],
    usual: &Path,
    args: &InitArgs,
    passphrases: &Passphrases<'_>,
    written: &mut Vec<PathBuf>,
) -> Result<Vec<Key>> {
    if !given.is_empty() {
        return given.iter().map(|name| passphrases.load(name)).collect();
    }
    let is_new = !usual.exists();
    let key = keys::load_or_create(usual, args.scheme, passphrases, !args.unencrypted_keys)?;
    written.extend(is_new.then(|| usual.to_owned()));
    Ok(vec![key])
}

/// The public halves of the given keys, or of the one at `usual`, which is made where it is missing.
fn publics(
    given: &[KeyName],
    usual: &Path,
    args: &InitArgs,
    passphrases: &Passphrases<'_>,
    written: &mut Vec<PathBuf>,
) -> Result<Vec<PublicKey>> {
    if !given.is_empty() {
        return given.iter().map(|name| keys::public_key(name, passphrases)).collect();
    }
    let made = signers(&[], usual, args, passphrases, written)?;
    Ok(made.iter().map(|key| key.public_key().clone()).collect())
}

/// `text` as a DNS label.
fn label(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = text.chars().map(legal).take(63).collect();
    label.trim_matches('-').to_owned()
}

fn show_plan(plan: &Plan, context: &Context) -> Result<()> {
    let all = [&plan.root_key, &plan.publisher_key, &plan.revoker_key, &plan.root, &plan.spec, &plan.ignore];
    let missing: Vec<&PathBuf> = all.into_iter().filter(|path| !path.exists()).collect();
    let lines: Vec<String> = missing.iter().map(|path| format!("would write {}", path.display())).collect();
    context.ui.result(&missing, if lines.is_empty() { "nothing to do".to_owned() } else { lines.join("\n") })
}

fn describe(outcome: &Outcome, plan: &Plan, stream: &str) -> String {
    let mut text = String::new();
    for path in &outcome.written {
        let _ = writeln!(text, "wrote {}", path.display());
    }
    let (root, fingerprint) = (outcome.root.display(), outcome.fingerprint.to_string());
    // What its artifacts are called is not known yet; the site asks for it all the same.
    let has_every_name = stream.parse::<StreamPrefix>().is_ok_and(|stream| stream.has_every_name());
    let names = if has_every_name { "" } else { " --names PREFIX..." };
    let _ = write!(
        text,
        "\nCarry {root} to the site by hand, and its fingerprint on paper:\n\n  {fingerprint}\n\n\
         At the station:\n\n  sealock trust enroll root.json --stream {stream}{names} --fingerprint {fingerprint}\n\n\
         Next: edit sealock.yaml, then `sealock lock` and `sealock build`."
    );
    if outcome.written.contains(&plan.revoker_key) {
        let _ = write!(
            text,
            "\n\nGive {} to whoever is to revoke, apart from the other keys: it is needed on the day when one of those is lost\n\
             or something harmful was carried (`sealock trust revoke`), and signs nothing else.",
            plan.revoker_key.display()
        );
    }
    text
}
