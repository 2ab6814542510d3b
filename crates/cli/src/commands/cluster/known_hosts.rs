//! Keys of hosts out of a `known_hosts` file. ssh-keygen reads it: names in it may be hashed.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use sealock_cluster::spec::Pin;

use crate::error::{CommandError, Result};

/// From the kind that is pinned first to that which is pinned last.
const PREFERENCE: [&str; 3] = ["ssh-ed25519", "ecdsa-", "ssh-rsa"];

/// The key of the host that is reached at `address` and `port`, or is called `name`.
///
/// # Errors
/// ssh-keygen is not there, or cannot read the file.
pub fn find(file: &Path, (address, port): (Ipv4Addr, u16), name: &str) -> Result<Option<Pin>> {
    for host in [address.to_string(), name.to_owned()] {
        let host = if port == 22 { host } else { format!("[{host}]:{port}") };
        if let Some(pin) = best(&search(file, &host)?) {
            return Ok(Some(pin));
        }
    }
    Ok(None)
}

fn search(file: &Path, host: &str) -> Result<String> {
    let output = Command::new("ssh-keygen").arg("-F").arg(host).arg("-f").arg(file).output();
    let output = output.map_err(|error| CommandError::from(error).context("running `ssh-keygen`"))?;
    // It ends with 1 where there is no such host.
    match output.status.code() {
        Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(CommandError::failed(said).context(format!("looking for {host} in {}", file.display())))
        }
    }
}

/// The best of the keys that ssh-keygen found, but for those that are marked as revoked.
fn best(found: &str) -> Option<Pin> {
    let lines = || found.lines().filter(|line| !line.starts_with('#'));
    let revoked: Vec<Pin> = lines().filter_map(|line| key(line.strip_prefix("@revoked ")?)).collect();
    let pins = lines().filter(|line| !line.starts_with('@')).filter_map(key);
    let pins: Vec<Pin> = pins.filter(|pin| !revoked.contains(pin)).collect();
    let of_kind = |kind: &str| pins.iter().find(|pin| pin.to_string().starts_with(kind)).cloned();
    PREFERENCE.into_iter().find_map(of_kind)
}

/// The key in `NAMES KIND BASE64`.
fn key(line: &str) -> Option<Pin> {
    line.split_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqAz38D5ZnMmZHqhYJHVpC3qEcKwVFVXfkGGCCfDmYv";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQ==";

    #[test]
    fn the_best_key_is_pinned_and_never_a_revoked_one() {
        let both = format!("# Host 10.77.0.21 found: line 1\n10.77.0.21 {RSA}\n|1|AAAA=|BBBB= {ED25519} w1\n");
        assert_eq!(best(&both), ED25519.parse().ok());
        assert_eq!(best(&format!("{both}@revoked * {ED25519}\n")), RSA.parse().ok());
        assert_eq!(best(&format!("@cert-authority *.plant {ED25519}\n")), None);
    }
}
