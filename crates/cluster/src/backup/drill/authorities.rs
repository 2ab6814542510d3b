//! Whether the authorities in a backup can issue again what a control plane needs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_node::certificates::{Authority, Facts, is_pair};
use zeroize::Zeroizing;

use crate::backup::{BackupError, KUBERNETES};

/// The authorities, without the ending of their files.
const AUTHORITIES: [&str; 3] = ["pki/ca", OF_ETCD, "pki/front-proxy-ca"];
/// Not in a backup of a cluster whose etcd is external.
const OF_ETCD: &str = "pki/etcd/ca";

/// The small files of a backup, by their paths in it.
pub(super) type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Whether each authority has its key, unless none has, is one, and holds at `now`; and whether the cluster's is the one that nodes were told of.
///
/// # Errors
/// One does not.
pub(super) fn check(files: &Files, ca_hash: &str, now: Timestamp) -> Result<String, BackupError> {
    let (mut said, has_keys) = (Vec::new(), AUTHORITIES.iter().any(|name| is_there(files, name, "key")));
    for name in AUTHORITIES.into_iter().filter(|name| *name != OF_ETCD || holds(files, name)) {
        let wrong = |why: String| BackupError::drill(format!("{KUBERNETES}{name}.crt: {why}"));
        let certificate = text(files, &format!("{name}.crt"))?;
        let facts = Facts::of(certificate).map_err(|error| wrong(error.to_string()))?;
        if has_keys {
            let key = text(files, &format!("{name}.key"))?;
            Authority::from_pem(certificate, key).map_err(|error| wrong(error.to_string()))?;
        } else if !facts.authority {
            return Err(wrong("it is no authority's".to_owned()));
        }
        if facts.not_after <= now || facts.not_before > now {
            return Err(wrong(format!("it holds from {} until {}", facts.not_before, facts.not_after)));
        }
        if name == AUTHORITIES[0] {
            let found = facts.key_hash().map_err(|error| wrong(error.to_string()))?.to_string();
            if found != ca_hash {
                return Err(wrong(format!("its key has the hash {found}, and the cluster's has {ca_hash}")));
            }
        }
        said.push(format!("{} until {}", facts.name, facts.not_after.strftime("%Y-%m-%d")));
    }
    let keys = if has_keys { "each with its key" } else { "whose keys stay with somebody else" };
    Ok(format!("{}, {keys}", said.join(", ")))
}

/// Whether the tokens of service accounts can be signed and checked.
///
/// # Errors
/// The two keys are not each other's.
pub(super) fn check_service_accounts(files: &Files) -> Result<String, BackupError> {
    match is_pair(text(files, "pki/sa.key")?, text(files, "pki/sa.pub")?) {
        Ok(true) => Ok("the private and the public key are each other's".into()),
        Ok(false) => Err(BackupError::drill("the keys of service accounts are not each other's")),
        Err(error) => Err(BackupError::drill(format!("the keys of service accounts: {error}"))),
    }
}

/// Whether any of an authority is there.
fn holds(files: &Files, name: &str) -> bool {
    ["crt", "key"].iter().any(|end| is_there(files, name, end))
}

fn is_there(files: &Files, name: &str, end: &str) -> bool {
    files.contains_key(&format!("{KUBERNETES}{name}.{end}"))
}

fn text<'a>(files: &'a Files, below: &str) -> Result<&'a str, BackupError> {
    let path = format!("{KUBERNETES}{below}");
    let found = files.get(&path).and_then(|bytes| std::str::from_utf8(bytes).ok());
    found.ok_or_else(|| BackupError::drill(format!("{path} is no text")))
}
