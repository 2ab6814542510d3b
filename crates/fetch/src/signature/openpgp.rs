//! OpenPGP signatures, as far as they are read here: keyrings, what `gpgv` reports, and the provenance files of charts.
//!
//! The signatures themselves are checked by `gpgv` (GnuPG), which knows nothing but the keyring that it is given.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use serde_json::Value;

use super::{Unfit, rule_file};
use crate::error::FetchError;
use crate::source::helm;

/// Keyrings of whole distributions have less.
const KEYRING_LIMIT: u64 = 4 << 20;
/// A signature, or a provenance file, is larger nowhere.
pub(crate) const SIGNATURE_LIMIT: u64 = 1 << 20;

const KEYS: &str = "PGP PUBLIC KEY BLOCK";
const CLEAR_TEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// The keys that a rule names.
pub(crate) struct Keyring {
    /// The file, as it lies there.
    pub(crate) digest: Digest,
    /// Its name.
    pub(crate) file: PathBuf,
    /// The keys without armour, which is all that `gpgv` reads.
    pub(crate) keys: Vec<u8>,
}

impl Keyring {
    /// Reads `file`, with or without armour.
    pub(crate) fn read(file: PathBuf) -> Result<Self, FetchError> {
        let unfit = |reason: String| FetchError::RuleFile { path: file.clone(), reason };
        let bytes = rule_file::read(&file, "read the keyring", KEYRING_LIMIT)?;
        let keys = match std::str::from_utf8(&bytes).ok().filter(|text| text.contains("-----BEGIN")) {
            Some(text) => unarmoured(text).map_err(unfit)?,
            None => bytes.clone(),
        };
        // RFC 9580, section 4.2: a packet begins with the highest bit set, and a keyring with a public key (tag 6).
        if !keys.first().is_some_and(|first| matches!(first, 0x98..=0x9b | 0xc6)) {
            return Err(unfit("it holds no OpenPGP public keys".to_owned()));
        }
        Ok(Self { digest: Digest::sha256(&bytes), file, keys })
    }
}

/// The packets of every block of keys in `text` (RFC 9580, section 6.2). The CRC behind a block is not needed: no damage is
/// taken for a key.
fn unarmoured(text: &str) -> Result<Vec<u8>, String> {
    let (begin, end) = (format!("-----BEGIN {KEYS}-----"), format!("-----END {KEYS}-----"));
    let mut keys = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        if line.starts_with("-----BEGIN ") && line != begin {
            return Err(format!("it holds something other than public keys: {line:?}"));
        }
        if line != begin {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        // Header fields end with an empty line.
        let body = block.iter().position(|line| line.is_empty()).map_or(0, |empty| empty + 1);
        let body: String = block.iter().skip(body).filter(|line| !line.starts_with('=')).copied().collect();
        keys.extend(BASE64_STANDARD.decode(body).map_err(|error| format!("its armour is damaged: {error}"))?);
    }
    Ok(keys)
}

/// Whether a signature that holds is all that `status`, the lines of `gpgv --status-fd`, reports: the fingerprint of the
/// primary key that made it.
pub(crate) fn judge(status: &str) -> Result<String, Unfit> {
    let reports = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
    let mut signer = None;
    let mut good = 0;
    for report in reports {
        let mut words = report.split_ascii_whitespace();
        match words.next().unwrap_or_default() {
            "GOODSIG" => good += 1,
            "VALIDSIG" => signer = words.last().map(str::to_owned),
            "BADSIG" => return Err(Unfit::new(Code::Sig, "the signature does not fit the content")),
            "ERRSIG" => return Err(Unfit::new(Code::Sig, unchecked(&words.collect::<Vec<_>>()))),
            "EXPSIG" => return Err(Unfit::new(Code::Expired, "the signature has expired")),
            "EXPKEYSIG" => return Err(Unfit::new(Code::Expired, "the key that signed has expired")),
            "REVKEYSIG" => return Err(Unfit::new(Code::Revoked, "the key that signed was revoked by its owner")),
            "NODATA" => return Err(Unfit::new(Code::Format, "it holds no OpenPGP signature")),
            _ => {}
        }
    }
    match signer.filter(|_| good == 1) {
        Some(fingerprint) => Ok(fingerprint),
        None => Err(Unfit::new(Code::Format, "it does not hold exactly one OpenPGP signature")),
    }
}

/// Whether among what `status` reports there is a signature that holds, and none that does not: the fingerprints of the
/// primary keys of those that do. Signatures that cannot be checked, or no longer count, stand beside it as if they were not there.
pub(crate) fn judge_several(status: &str) -> Result<Vec<String>, Unfit> {
    let (mut signers, mut good, mut valid) = (BTreeSet::new(), 0, 0);
    let mut reason = Unfit::new(Code::Format, "it holds no OpenPGP signature");
    for report in status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")) {
        let words: Vec<&str> = report.split_ascii_whitespace().collect();
        let (kind, words) = words.split_first().map_or(("", &[][..]), |(kind, words)| (*kind, words));
        match kind {
            "GOODSIG" => good += 1,
            // Behind those of expired and revoked keys this stands as well.
            "VALIDSIG" if good > valid => {
                if is_weak(words) {
                    return Err(Unfit::new(Code::Alg, "it is signed by an algorithm that is too weak"));
                }
                valid += 1;
                signers.extend(words.last().map(|signer| (*signer).to_owned()));
            }
            "BADSIG" => return Err(Unfit::new(Code::Sig, "the signature does not fit the content")),
            "REVKEYSIG" => return Err(Unfit::new(Code::Revoked, "the key that signed was revoked by its owner")),
            "ERRSIG" => reason = Unfit::new(Code::Sig, unchecked(words)),
            "EXPSIG" => reason = Unfit::new(Code::Expired, "the signature has expired"),
            "EXPKEYSIG" => reason = Unfit::new(Code::Expired, "the key that signed has expired"),
            _ => {}
        }
    }
    if signers.is_empty() || good != valid { Err(reason) } else { Ok(signers.into_iter().collect()) }
}

/// Whether the digest algorithm, the eighth word of `VALIDSIG`, is none of SHA-2 (RFC 9580, section 9.5).
fn is_weak(words: &[&str]) -> bool {
    !words.get(7).is_some_and(|algorithm| ["8", "9", "10", "11"].contains(algorithm))
}

/// Why a signature could not be checked: the sixth word of `ERRSIG` (GnuPG, doc/DETAILS).
fn unchecked(words: &[&str]) -> String {
    let key = words.first().copied().unwrap_or("?");
    match words.get(5).copied() {
        Some("5") => format!("the signature by the key {key} is made with an algorithm that is too weak, or unknown"),
        Some("9") => format!("the key {key} signed it, which is not in the keyring"),
        _ => format!("the signature by the key {key} is of a kind that is not checked"),
    }
}

/// Whether `signature` is a clear-signed text and nothing beside it: whatever stands around it is signed by nobody.
pub(crate) fn is_clear_text(signature: &[u8]) -> bool {
    let text = String::from_utf8_lossy(signature);
    text.starts_with(CLEAR_TEXT) && text.matches("-----BEGIN PGP ").count() == 2
}

/// Whether the signed text of a provenance file (Helm, "Helm Provenance and Integrity") is about this archive.
pub(crate) fn is_about_chart(text: &str, file: &str, archive: &Digest, metadata: &Value) -> Result<(), Unfit> {
    let text = text.replace("\r\n", "\n");
    let Some((about, sums)) = text.split_once("\n...\n") else {
        return Err(Unfit::new(Code::Format, "what is signed is no provenance of a chart"));
    };
    let read = |part: &str| helm::values_of(part).map_err(|error| Unfit::new(Code::Format, first_line(&error)));
    let (about, sums) = (read(about)?, read(sums)?);
    for field in ["name", "version"] {
        if about.get(field) != metadata.get(field) {
            let said = about.get(field).map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(Unfit::new(Code::Subject, format!("it was signed with the {field} {said}")));
        }
    }
    let signed = sums.get("files").and_then(|files| files.get(file)).and_then(Value::as_str);
    match signed {
        Some(signed) if signed == archive.to_string() => Ok(()),
        Some(signed) => Err(Unfit::new(Code::Subject, format!("it was signed for {signed}, and this is {archive}"))),
        None => Err(Unfit::new(Code::Subject, format!("it was not signed for {file}"))),
    }
}

fn first_line(error: &serde_saphyr::Error) -> String {
    format!("what is signed cannot be read: {}", error.to_string().lines().next().unwrap_or_default())
}

/// What a person calls the keys of `file`.
pub(crate) fn by(file: &Path) -> String {
    format!("the OpenPGP keys in {}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "64FCF3FDF046636FC7E7B79799D0B8C318AEA493";

    fn judged(reports: &[&str]) -> Result<String, Code> {
        let lines: String = reports.iter().map(|report| format!("[GNUPG:] {report}\n")).collect();
        judge(&lines).map_err(|unfit| unfit.code)
    }

    #[test]
    fn one_good_signature_and_nothing_else_holds() {
        let good = "GOODSIG 99D0B8C318AEA493 Team <t@example.org>";
        let valid = format!("VALIDSIG {FINGERPRINT} 2026-11-26 1795660932 0 4 0 22 8 01 {FINGERPRINT}");
        assert_eq!(judged(&["NEWSIG", good, &valid]), Ok(FINGERPRINT.to_owned()));
        for (reports, code) in [
            (&[good, &valid, "BADSIG 99D0B8C318AEA493 x"][..], Code::Sig),
            (&[good, &valid, good, &valid], Code::Format),
            (&[&valid], Code::Format),
            (&[good], Code::Format),
            (&[], Code::Format),
            (&["NODATA 3"], Code::Format),
            (&["ERRSIG 99D0B8C318AEA493 22 8 01 1795660932 9 -"], Code::Sig),
            (&["EXPKEYSIG 99D0B8C318AEA493 x", &valid], Code::Expired),
            (&["EXPSIG 99D0B8C318AEA493 x", &valid], Code::Expired),
            (&["REVKEYSIG 99D0B8C318AEA493 x", &valid], Code::Revoked),
        ] {
            assert_eq!(judged(reports), Err(code), "{reports:?}");
        }
        // A name cannot forge a report: gpgv writes one line for each, and escapes line ends.
        assert_eq!(judged(&["NEWSIG x%0a[GNUPG:] GOODSIG", &valid]), Err(Code::Format));
    }

    #[test]
    fn of_several_signatures_one_is_enough_and_a_bad_one_too_many() {
        let several = |reports: &[&str]| {
            let lines: String = reports.iter().map(|report| format!("[GNUPG:] {report}\n")).collect();
            judge_several(&lines).map_err(|unfit| unfit.code)
        };
        let valid = |key: &str| format!("VALIDSIG {key}F 2026-11-26 1795660932 0 4 0 22 8 01 {key}");
        let (a, b) = (valid("AA"), valid("BB"));
        let unknown = "ERRSIG 99D0B8C318AEA493 22 8 01 1795660932 9 -";
        assert_eq!(several(&["NEWSIG", "GOODSIG x A", &a, "NEWSIG", unknown]), Ok(vec!["AA".to_owned()]));
        assert_eq!(several(&["GOODSIG y B", &b, "GOODSIG x A", &a]), Ok(vec!["AA".to_owned(), "BB".to_owned()]));
        assert_eq!(several(&["GOODSIG x A", &a, "GOODSIG x A", &a]), Ok(vec!["AA".to_owned()]));
        assert_eq!(several(&["EXPKEYSIG y B", &b, "GOODSIG x A", &a]), Ok(vec!["AA".to_owned()]));
        for (reports, code) in [
            (&["GOODSIG x A", &a, "BADSIG y B"][..], Code::Sig),
            (&["GOODSIG x A", &a, "REVKEYSIG y B", &b], Code::Revoked),
            (&["EXPKEYSIG x A", &a], Code::Expired),
            (&["EXPSIG x A", &a], Code::Expired),
            (&[unknown], Code::Sig),
            (&["GOODSIG x A"], Code::Format),
            (&[&a], Code::Format),
            (&[], Code::Format),
            (&["GOODSIG x A", &a.replace(" 8 01", " 2 01")], Code::Alg),
        ] {
            assert_eq!(several(reports), Err(code), "{reports:?}");
        }
    }

    #[test]
    fn what_surrounds_a_signed_text_is_noticed() {
        let signed = format!("{CLEAR_TEXT}\nHash: SHA256\n\nx\n-----BEGIN PGP SIGNATURE-----\n");
        assert!(is_clear_text(signed.as_bytes()));
        assert!(!is_clear_text(format!("before\n{signed}").as_bytes()));
        assert!(!is_clear_text(format!("{signed}{signed}").as_bytes()));
        assert!(!is_clear_text(b"\xa3\x01"));
    }

    #[test]
    fn a_provenance_is_of_one_archive_only() {
        let archive = Digest::sha256(b"archive");
        let metadata = serde_json::json!({"name": "app", "version": "1.2.3"});
        let about = |text: &str| is_about_chart(text, "app-1.2.3.tgz", &archive, &metadata).map_err(|unfit| unfit.code);
        let text = format!("name: app\nversion: 1.2.3\n\n...\nfiles:\n  app-1.2.3.tgz: {archive}\n");
        assert_eq!(about(&text), Ok(()));
        assert_eq!(about(&text.replace('\n', "\r\n")), Ok(()));
        assert_eq!(about(&text.replace("name: app", "name: other")), Err(Code::Subject));
        assert_eq!(about(&text.replace("version: 1.2.3", "version: 1.2.4")), Err(Code::Subject));
        assert_eq!(about(&text.replace("  app-", "  other-")), Err(Code::Subject));
        assert_eq!(about(&text.replace(archive.hex(), Digest::sha256(b"x").hex())), Err(Code::Subject));
        assert_eq!(about("name: app"), Err(Code::Format));
        assert_eq!(about("a: [\n...\n]"), Err(Code::Format));
    }

    #[test]
    fn armour_is_taken_off() {
        let block = format!("-----BEGIN {KEYS}-----\nComment: x\n\nmDMEZ\nw==\n=OEho\n-----END {KEYS}-----\n");
        assert_eq!(unarmoured(&format!("a note\n{block}")).unwrap(), BASE64_STANDARD.decode("mDMEZw==").unwrap());
        assert_eq!(unarmoured(&format!("{block}{block}")).unwrap().len(), 8);
        assert!(unarmoured(&block.replace("mDMEZ", "mDM*Z")).unwrap_err().contains("damaged"));
        assert!(unarmoured(&block.replace("PUBLIC", "PRIVATE")).unwrap_err().contains("PRIVATE"));
    }
}
