//! Brings this very binary to a host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_node::step::RESTORES;
use sealock_trust::{Algorithm, Digest, Hasher};

use super::{Connection, ExecuteError};

/// Long enough for a slow wire.
const UPLOAD: Duration = Duration::from_secs(900);

/// Prints the digest of `$1`, or nothing where it is not there.
const DIGEST_THERE: &str = r#"if [ -f "$1" ]; then sha256sum "$1" | cut -d' ' -f1; fi"#;

/// Takes standard input as `$1` if it has the digest `$2`: renamed into place, so that what runs keeps its own.
const TAKE: &str = r#"set -e
mkdir -p "$(dirname "$1")"
new=$(mktemp "$1.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 129' HUP
trap 'exit 143' TERM
cat > "$new"
if [ "$(sha256sum "$new" | cut -d' ' -f1)" != "$2" ]; then exit 65; fi
chmod 0755 "$new"
mv -f "$new" "$1"
trap - EXIT
sync -f "$1" 2>/dev/null || sync"#;

/// Keeps standard input, which has `$2` bytes, as `$1`, in place of what was there; the same again changes nothing. A station that dies on the way
/// ends what it sends as one does that has sent all.
const KEEP: &str = r#"set -e
mkdir -p "$(dirname "$1")"
new=$(mktemp "$1.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 129' HUP
trap 'exit 143' TERM
cat > "$new"
if [ "$(wc -c < "$new")" -ne "$2" ]; then exit 65; fi
if [ "$(cat "$1" 2>/dev/null)" = "$(cat "$new")" ]; then exit 0; fi
sync "$new"
mv -f "$new" "$1"
trap - EXIT
sync -f "$1" 2>/dev/null || sync"#;

/// The exit code by which [`TAKE`] says that the digest is wrong, and [`KEEP`] that not all came (`EX_DATAERR`).
const WRONG_DIGEST: i32 = 65;

/// A binary to bring to hosts.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    digest: Digest,
    version: String,
}

impl Binary {
    /// The binary at `path`, which calls itself `version`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path, version: &str) -> Result<Self, ExecuteError> {
        use std::io::Read;

        let failed = |source| ExecuteError::Io { action: "read", path: path.into(), source };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        Ok(Self { path: path.into(), digest: hasher.finish(), version: version.into() })
    }

    /// Where it stands on a host.
    pub fn path_there(&self) -> String {
        format!("/opt/sealock/sealock/{}/sealock", self.version)
    }
}

/// Makes sure that `binary` is on the host, and gives back its path there. Nothing is sent where it is there already, and nobody asks twice
/// over one connection: each task of a plan comes by here. Who can put another file there meanwhile is root on that host.
///
/// # Errors
/// The host has another processor, no room, or what arrived is damaged.
pub(super) async fn deliver(connection: &Connection, binary: &Binary) -> Result<String, ExecuteError> {
    let path = binary.path_there();
    if !connection.has_brought(&path, &binary.digest) {
        bring(connection, binary, &path).await?;
        connection.note_brought(Some((&path, &binary.digest)));
    }
    Ok(path)
}

async fn bring(connection: &Connection, binary: &Binary, path: &str) -> Result<(), ExecuteError> {
    let there = connection.script(DIGEST_THERE, &[path], b"").await?;
    if there.trim_ascii() == binary.digest.hex().as_bytes() {
        return Ok(());
    }
    check_machine(connection).await?;
    let failed = |source| ExecuteError::Io { action: "read", path: binary.path.clone(), source };
    let file = tokio::fs::File::open(&binary.path).await.map_err(failed)?;
    match connection.script_within(TAKE, &[path, binary.digest.hex()], file, UPLOAD).await {
        Err(ExecuteError::Command { code: Some(WRONG_DIGEST), .. }) => {
            Err(ExecuteError::Delivery { host: connection.host().into(), path: path.to_owned() })
        }
        outcome => outcome.map(drop),
    }
}

/// Takes away what of backups was unpacked on a host.
pub(crate) async fn forget_backups(connection: &Connection) -> Result<(), ExecuteError> {
    let script = r#"set -e
for one in "$1"/*; do
  name="${one##*/}"
  case "${name%.new}" in *[!0-9a-f]*) ;; *) rm -rf --one-file-system "$one" ;; esac
done"#;
    connection.script(script, &[RESTORES], b"").await.map(drop)
}

/// Takes away from a host that was given back what was brought to it. Its journal and fence stay: they are evidence.
pub(crate) async fn take_back(connection: &Connection) -> Result<(), ExecuteError> {
    let script = r#"rm -rf /opt/sealock/sealock /run/sealock
rmdir /opt/sealock 2>/dev/null || true"#;
    connection.note_brought(None);
    connection.script(script, &[], b"").await.map(|_| ())
}

/// The same, on a host that nobody has claimed: on others the binary belongs to what runs there.
pub(crate) async fn take_back_unclaimed(connection: &Connection) -> Result<(), ExecuteError> {
    let claimed = "if [ -e /var/lib/sealock/node/claim.json ]; then echo claimed; fi";
    match connection.script(claimed, &[], b"").await?.trim_ascii() {
        b"" => take_back(connection).await,
        _ => Ok(()),
    }
}

/// Puts what the site signed of its trust state where [`sealock_node::facts`] finds it.
pub(crate) async fn leave_mirror(connection: &Connection, mirror: &[u8]) -> Result<(), ExecuteError> {
    let words = [sealock_node::facts::TRUST_MIRROR, &mirror.len().to_string()];
    connection.script(KEEP, &words, mirror).await.map(|_| ())
}

async fn check_machine(connection: &Connection) -> Result<(), ExecuteError> {
    let said = connection.script("uname -m", &[], b"").await?;
    let found = String::from_utf8_lossy(said.trim_ascii()).into_owned();
    let wanted = std::env::consts::ARCH;
    if found == wanted {
        return Ok(());
    }
    Err(ExecuteError::Machine { host: connection.host().into(), found, wanted })
}

#[cfg(test)]
mod tests {
    use super::super::local::shell;
    use super::*;

    #[test]
    fn what_is_kept_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("node/trust-mirror.json");
        for content in [b"first".as_slice(), b"second", b"second"] {
            let length = content.len().to_string();
            assert!(shell(KEEP, &[there.to_str().unwrap(), &length], content).status.success());
            assert_eq!(std::fs::read(&there).unwrap(), content);
        }
        assert_eq!(shell(KEEP, &[there.to_str().unwrap(), "5"], b"thi").status.code(), Some(65), "it was cut short");
        assert_eq!(std::fs::read(&there).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(there.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_binary_is_taken_whole_or_not_at_all_wherever_it_shall_stand() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("it's $(touch owned) `x`;/v 1/sealock");
        let path = there.to_str().unwrap();
        let digest = Digest::sha256(b"a binary");
        assert_eq!(shell(DIGEST_THERE, &[path], b"").stdout, b"");
        let torn = shell(TAKE, &[path, digest.hex()], b"a bin");
        assert_eq!(torn.status.code(), Some(WRONG_DIGEST));
        assert_eq!(std::fs::read_dir(there.parent().unwrap()).unwrap().count(), 0);
        assert!(shell(TAKE, &[path, digest.hex()], b"a binary").status.success());
        assert_eq!(std::fs::read(&there).unwrap(), b"a binary");
        assert_eq!(shell(DIGEST_THERE, &[path], b"").stdout.trim_ascii(), digest.hex().as_bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
