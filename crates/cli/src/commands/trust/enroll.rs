//! `sealock trust enroll`

use std::path::PathBuf;

use sealock_trust::directory::TrustDirectory;
use sealock_trust::reason::Code;
use sealock_trust::{Digest, StreamPrefix, tuf};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Believe a publisher's root for a stream
///
/// The one step whose safety rests on people: the fingerprint must come by another way than the file, on paper or by
/// voice. Later roots of the publisher are believed under this one only.
#[derive(Debug, clap::Args)]
pub struct EnrollArgs {
    /// The publisher's root, the file `sealock init` names
    root: PathBuf,
    /// Its SHA-256, as it came out of band
    #[arg(long, value_name = "SHA256")]
    fingerprint: String,
    /// The streams it is believed for: this one and all below it, like `apps` for `apps/payments`; `*` for all
    #[arg(long, value_name = "PREFIX", default_value = "base")]
    stream: StreamPrefix,
}

#[derive(Serialize)]
struct Enrolled {
    stream: StreamPrefix,
    fingerprint: Digest,
}

/// No trust root is near this long.
const MAX_ROOT: u64 = 1 << 20;

pub fn run(args: &EnrollArgs, context: &Context) -> Result<()> {
    let fingerprint = parse_fingerprint(&args.fingerprint)?;
    let root = files::read(&args.root, MAX_ROOT)?;
    if context.dry_run {
        check(&root, &fingerprint)?;
    } else {
        let directory = TrustDirectory::open(&context.paths.trust())?;
        directory.enroll(&root, &fingerprint, &args.stream)?;
    }
    let enrolled = Enrolled { stream: args.stream.clone(), fingerprint };
    let text = format!("{} is believed for the stream {}", enrolled.fingerprint, enrolled.stream);
    context.ui.result(&enrolled, text)
}

/// What enrolling would refuse about the file.
fn check(root: &[u8], fingerprint: &Digest) -> Result<()> {
    let found = Digest::sha256(root);
    if found != *fingerprint {
        let problem = format!("the root has the fingerprint {found}, and {fingerprint} was given");
        return Err(CommandError::refused(Code::Fingerprint, problem));
    }
    tuf::open_root(root)?;
    Ok(())
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
