//! `sealock trust enroll`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_trust::directory::{Candidate, Enrolment, TrustDirectory};
use sealock_trust::reason::Code;
use sealock_trust::site::SiteRoot;
use sealock_trust::{Digest, NamePrefix, StreamPrefix, tuf};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::keys::Passphrases;
use crate::station::Station;

/// Believe a publisher's root for a stream; outside, believe a site's root for its receipts
///
/// The one step whose safety rests on people: the fingerprint must come by another way than the file, on paper or by
/// voice. Later roots are believed under this one only.
#[derive(Debug, clap::Args)]
pub struct EnrollArgs {
    /// The publisher's root, the file `sealock init` names; with --site the site's, `trust/site-root.json` at the station
    root: PathBuf,
    /// Its SHA-256, as it came out of band
    #[arg(long, value_name = "SHA256")]
    fingerprint: String,
    /// The streams it is believed for: this one and all below it, like `apps` for `apps/payments`; `*` for all
    #[arg(long, value_name = "PREFIX", default_value = "base")]
    stream: StreamPrefix,
    /// What the names of its artifacts begin with, in whole words, like `quay.io/acme`; once or more. Others are refused then.
    /// Needed for every stream but `base` and `*`, so that nobody claims another's names; `*` allows all. What a bundle `shop`
    /// makes itself is below `attestations/shop` and `manifests/shop`
    #[arg(long, value_name = "PREFIX")]
    names: Vec<NamePrefix>,
    /// It is the root of a site, and this is the outside: its receipts are believed, for `build --since`
    #[arg(long, conflicts_with_all = ["stream", "names", "from_sequence"])]
    site: bool,
    /// With --site: where it is kept, as SITE.json
    #[arg(long, value_name = "DIR", default_value = "trust/sites", requires = "site")]
    to: PathBuf,
    /// The sequence with which its streams begin at this site, as the publisher said it: no older one is taken then, and
    /// the first may be as far ahead of it as any. Else a first bundle has a sequence of 1000 at most
    #[arg(long, value_name = "SEQUENCE")]
    from_sequence: Option<u64>,
    /// File whose first line is the passphrase of the site's keys, which seal what the site remembers, or the PIN of their token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct EnrolledSite {
    site: String,
    version: u64,
    fingerprint: Digest,
    path: PathBuf,
}

#[derive(Serialize)]
struct Enrolled {
    stream: StreamPrefix,
    /// What the names of its artifacts begin with; none where they are free.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<NamePrefix>,
    fingerprint: Digest,
}

/// No trust root is near this long.
const MAX_ROOT: u64 = 1 << 20;

pub fn run(args: &EnrollArgs, context: &Context) -> Result<()> {
    let fingerprint = parse_fingerprint(&args.fingerprint)?;
    let root = files::read(&args.root, MAX_ROOT)?;
    if args.site {
        return enroll_site(args, &root, &fingerprint, context);
    }
    if args.names.is_empty() && !args.stream.has_every_name() {
        let problem =
            format!("a root for the streams {} needs --names: what its artifacts' names begin with", args.stream);
        return Err(CommandError::usage(problem).hint(
            "Otherwise it could bring, say, an image of the base under its own digest. `--names '*'` allows all.",
        ));
    }
    if context.dry_run {
        check(&root, &fingerprint)?;
    } else {
        // Before there is a site there is no key to seal with; `site init` seals what was enrolled until then.
        let passphrases = Passphrases::new(context, args.passphrase_file.as_deref());
        let site = Station::find(context)?.map(|station| station.keys(context, &passphrases)).transpose()?;
        let directory = TrustDirectory::open(&context.paths.trust())?;
        let candidate = Candidate {
            root: &root,
            fingerprint: &fingerprint,
            prefix: &args.stream,
            from_sequence: args.from_sequence,
            names: &args.names,
        };
        directory.enroll(&candidate, site.as_ref())?;
    }
    let names = Enrolment::names_of(&args.names);
    let enrolled = Enrolled { stream: args.stream.clone(), names, fingerprint };
    let mut text = format!("{} is believed for the stream {}", enrolled.fingerprint, enrolled.stream);
    if !enrolled.names.is_empty() {
        let names: Vec<&str> = enrolled.names.iter().map(NamePrefix::as_str).collect();
        let _ = write!(text, ", and for the names below {}", names.join(", "));
    }
    context.ui.result(&enrolled, text)
}

/// Keeps a site's root in the packager's folder, where it is committed and reviewed like the publisher's own.
fn enroll_site(args: &EnrollArgs, bytes: &[u8], fingerprint: &Digest, context: &Context) -> Result<()> {
    check_fingerprint(bytes, fingerprint)?;
    let root = SiteRoot::open(bytes)?;
    let path = args.to.join(format!("{}.json", root.id()));
    if path.exists() {
        follow(&path, &root)?;
    }
    if !context.dry_run {
        std::fs::create_dir_all(&args.to)?;
        files::replace(&path, bytes)?;
    }
    let text = format!("receipts of the site {} are believed: {}", root.id(), path.display());
    let (site, version) = (root.id().to_string(), root.version());
    let enrolled = EnrolledSite { site, version, fingerprint: fingerprint.clone(), path };
    context.ui.result(&enrolled, text)
}

/// The same root again, or the one that its keys let follow.
fn follow(path: &Path, root: &SiteRoot) -> Result<()> {
    let present = SiteRoot::open(&files::read(path, MAX_ROOT)?)?;
    if present == *root {
        return Ok(());
    }
    present.accept_next(root.as_bytes()).map(drop).map_err(|error| {
        CommandError::from(error)
            .context(format!("another root of this site is enrolled in {}", path.display()))
            .hint("Where the site was made anew, remove that file first.")
    })
}

/// What enrolling would refuse about the file.
fn check(root: &[u8], fingerprint: &Digest) -> Result<()> {
    check_fingerprint(root, fingerprint)?;
    tuf::open_root(root)?;
    Ok(())
}

fn check_fingerprint(root: &[u8], fingerprint: &Digest) -> Result<()> {
    let found = Digest::sha256(root);
    if found == *fingerprint {
        return Ok(());
    }
    let problem = format!("the root has the fingerprint {found}, and {fingerprint} was given");
    Err(CommandError::refused(Code::Fingerprint, problem))
}

/// A SHA-256 as people have it on paper: with or without `sha256:`, in any case, with blanks for legibility.
pub fn parse_fingerprint(text: &str) -> Result<Digest> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let hex = plain.strip_prefix("sha256:").unwrap_or(&plain);
    format!("sha256:{hex}")
        .parse()
        .map_err(|error| CommandError::usage(format!("`{text}` is not a fingerprint: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_stands_on_paper() {
        let digest = Digest::sha256(b"");
        let hex = digest.hex();
        let spaced = format!("{} {}", &hex[..32], &hex[32..]).to_uppercase();
        for text in [hex, &digest.to_string(), &spaced] {
            assert_eq!(parse_fingerprint(text).expect("a fingerprint"), digest, "{text}");
        }
        assert!(parse_fingerprint(&hex[1..]).is_err());
    }
}
