//! The transcript of a root ceremony: one page of plain text, to be printed and signed by those who were there.

use std::fmt::Write as _;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::request::{RootDraft, Tally};

use super::describe::{difference, grouped};
use crate::error::Result;

/// The page. `date` is when it was written.
///
/// # Errors
/// A signature of the draft does not fit.
pub fn page(draft: &RootDraft, fingerprint: Option<&Digest>, date: Timestamp) -> Result<String> {
    let root = draft.root();
    let mut page = format!("SEALOCK ROOT CEREMONY: ROOT {}\n\n", root.version);
    let _ = writeln!(page, "date       {date}");
    let _ = writeln!(page, "tool       sealock {}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(page, "expires    {}", root.expires);
    let _ = writeln!(page, "request\n{}", lines(draft.request().digest().hex()));
    page.push_str(&match fingerprint {
        Some(fingerprint) => format!("\nROOT FINGERPRINT (SHA-256 of the file)\n\n{}\n", lines(fingerprint.hex())),
        None => "\nROOT FINGERPRINT: none yet, signatures are missing\n".to_owned(),
    });
    page.push_str("\nKEYS\n");
    for (role, keys) in root.named_roles()? {
        let _ = writeln!(page, "\n  {role}: {} of {} must sign", keys.threshold(), keys.keys().len());
        for (id, key) in keys.keys() {
            let _ = writeln!(page, "  [ ] {}\n{}", key.scheme().escape_debug(), lines(id.as_str()));
        }
    }
    if let Some(previous) = draft.previous() {
        let _ = write!(page, "\nCHANGES {}", narrow(&difference(previous, root)?));
    }
    page.push_str("\nSIGNATURES\n\n");
    for tally in draft.tally()? {
        page.push_str(&signatures(&tally));
    }
    page.push_str(STEPS);
    Ok(page)
}

/// Lines that hold a key id are broken after its eighth group, so that the page stays as wide as paper.
fn narrow(text: &str) -> String {
    let narrow = |line: &str| match line.split_at_checked(45) {
        Some((first, second)) if line.len() > 80 => format!("{first}\n      {}\n", second.trim()),
        _ => format!("{line}\n"),
    };
    text.lines().map(narrow).collect()
}

/// 64 hexadecimal characters on two lines, in groups of four.
fn lines(hex: &str) -> String {
    let (first, second) = hex.split_at_checked(32).unwrap_or((hex, ""));
    format!("      {}\n      {}", grouped(first), grouped(second))
}

fn signatures(tally: &Tally) -> String {
    let mut text = format!("  {}: {} of {} signed\n", tally.role, tally.signed.len(), tally.threshold);
    for id in &tally.signed {
        let brief = id.as_str().get(..16).unwrap_or_default();
        let _ = writeln!(text, "      {} ...", grouped(brief));
    }
    text
}

const STEPS: &str = "
STEPS

  [ ] each keyholder made the key on a machine of their own, and keeps a copy
  [ ] each key was read out by its holder and compared, all sixteen groups
  [ ] roles, thresholds and expiry above are what was agreed
  [ ] each signer saw the summary and this request digest before signing
  [ ] the fingerprint above is what sha256sum says of the file
  [ ] two pages were printed; one goes to the site, apart from the file

WITNESSES

  name ____________________________  signature ____________________________

  name ____________________________  signature ____________________________

  name ____________________________  signature ____________________________
";
