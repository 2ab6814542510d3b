//! What runs on a host: the contract between the station and `sealock node …` there.
//!
//! | command | standard input | standard output |
//! |---|---|---|
//! | `sealock node observe` | – | one [`sealock_node::HostFacts`] as JSON |
//! | `sealock node probe --request FILE --site-root FILE --release FILE` | – | one [`sealock_node::Event`] per line; nothing is changed |
//! | `sealock node run --request FILE --site-root FILE --release FILE` | secrets as one JSON object, or nothing | one [`sealock_node::Event`] per line |
//!
//! `run` runs in a transient systemd unit of its own. Its request, its events and what it writes to standard error stand
//! in a folder below [`RUNS`], in memory: what has to survive a reboot is the node's journal.

use std::sync::Arc;
use std::time::Duration;

use sealock_node::request::Secrets;
use sealock_node::{HostFacts, RunRequest};
use sealock_trust::Digest;
use sealock_trust::format::{self, Format};
use zeroize::Zeroizing;

use super::connection::QUICK;
use super::{Binary, Connection, ExecuteError, deliver};

/// Where a host keeps what belongs to a run.
pub(super) const RUNS: &str = "/run/sealock/runs";

/// As long as a node may take to be emptied, and all that kubeadm may take.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Takes standard input as files in the folder `$1`: each further argument up to `--` is the name of one and its length. What stands after that is
/// left to what follows. One command brings all: each is a process at the station and a session on the host.
///
/// It is cut from a file, and not from a pipe, of which programs may read more than they are asked to write. A station that dies on the way ends
/// what it sends as one does that has sent all: so much as was announced comes, or nothing is begun with it.
const PUT: &str = r#"set -e
umask 077
mkdir -p "$1"
cd "$1"
trap 'rm -f .all .new secrets' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
cat > .all
shift
all=0
for one in "$@"; do
  if [ "$one" = -- ]; then break; fi
  all=$((all + ${one#*:}))
done
if [ "$(wc -c < .all)" -ne "$all" ]; then
  echo "$(wc -c < .all) of $all bytes came" >&2
  exit 65
fi
from=1
while [ "$1" != -- ]; do
  tail -c +"$from" .all | head -c "${1#*:}" > .new
  mv -f .new "${1%%:*}"
  from=$((from + ${1#*:}))
  shift
done
shift
rm .all
"#;

/// The exit code by which [`PUT`] says that not all came (`EX_DATAERR`).
#[cfg(test)]
const SHORT: i32 = 65;

/// Then lets `$1` look at the steps of the request in `$2`, which goes away again, and with it what was left by looks that were cut off.
const PROBE: &str = r#"cd /
find "$(dirname "$2")" -maxdepth 1 -name "probe-*" -mmin +720 -exec rm -rf {} + 2>/dev/null || true
trap 'rm -rf "$2"' EXIT
"$1" node probe --request "$2/request" --site-root "$2/site-root" --release "$2/release""#;

/// Which units of tasks still run, of whatever plan?
const RUNNING: &str = r#"systemctl list-units --plain --no-legend --state=active,activating,deactivating "sealock-*-????????????-*.service" |
  cut -d' ' -f1"#;

/// Goes on until the unit `$1` has ended.
const OUTLAST: &str = r#"pid=$(systemctl show --property=MainPID --value "$1" 2>/dev/null || echo 0)
if [ "${pid:-0}" -gt 0 ]; then exec tail -s 0.2 --pid="$pid" -f /dev/null; fi"#;

/// Then starts `$3 node run` as the unit `$1` with the folder `$2`. The secrets stand in memory only, and not longer than
/// it takes to open them.
const START: &str = r#": > events
systemctl reset-failed "$1" 2>/dev/null || true
systemd-run --quiet --collect --unit="$1" --description="Sealock steps" \
  --property=Type=exec --property=StandardInput=file:"$2/secrets" \
  --property=StandardOutput=append:"$2/events" --property=StandardError=file:"$2/errors" \
  "$3" node run --request "$2/request" --site-root "$2/site-root" --release "$2/release""#;

/// Writes what stands in the events of `$2` from byte `$3` on, and goes on for as long as the unit `$1` runs.
pub(super) const FOLLOW: &str = r#"pid=$(systemctl show --property=MainPID --value "$1" 2>/dev/null || echo 0)
if [ "${pid:-0}" -gt 0 ]; then exec tail -s 0.1 --pid="$pid" -f -c +"$3" "$2/events"; fi
exec tail -c +"$3" "$2/events""#;

/// What every run on a host needs besides its request.
#[derive(Clone, Debug)]
pub struct Kit {
    /// The binary.
    pub binary: Binary,
    /// The site root's file.
    pub site_root: Vec<u8>,
    /// The signed release's file.
    pub release: Vec<u8>,
    /// Secrets that the station has by itself, and that are not made on a host.
    pub held: Arc<Secrets>,
}

/// A host with the binary on it.
#[derive(Debug)]
pub(super) struct Remote<'a> {
    pub(super) connection: &'a Connection,
    sealock: String,
}

impl<'a> Remote<'a> {
    /// Brings the binary to the host.
    pub(super) async fn prepare(connection: &'a Connection, binary: &Binary) -> Result<Self, ExecuteError> {
        let sealock = deliver::deliver(connection, binary).await?;
        Ok(Self { connection, sealock })
    }

    /// What the host says about itself.
    pub(super) async fn facts(&self) -> Result<HostFacts, ExecuteError> {
        let answer = self.connection.script("exec \"$1\" node observe", &[&self.sealock], b"").await?;
        self.check(format::HOST_FACTS, &answer, "sealock node observe")?;
        serde_json::from_slice(&answer).map_err(|source| self.not_understood("sealock node observe", source))
    }

    /// The host answers with the binary that was brought to it; that another version answers is not to be expected, and
    /// not to be guessed at.
    pub(super) fn check(&self, format: &'static Format, answer: &[u8], command: &str) -> Result<(), ExecuteError> {
        format.look(answer).map_err(|source| ExecuteError::Version {
            host: self.connection.host().into(),
            command: command.to_owned(),
            source,
        })
    }

    /// What the host says about the steps of `request`, which are those of so many tasks: lines of events.
    pub(super) async fn probe(
        &self,
        (request, tasks): (&RunRequest, usize),
        name: &str,
        kit: &Kit,
    ) -> Result<Vec<u8>, ExecuteError> {
        let folder = folder(name);
        let parcel = Parcel::new(request, kit, None)?;
        let limit = (5 * QUICK).saturating_mul(u32::try_from(tasks).unwrap_or(u32::MAX)).min(LONGEST);
        let (script, words) = parcel.with(PROBE, &folder, &[&self.sealock, &folder]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.connection.script_within(&script, &words, &parcel.bytes[..], limit).await
    }

    /// Units of tasks that still run, from an earlier attempt.
    pub(super) async fn running(&self) -> Result<Vec<String>, ExecuteError> {
        let answer = self.connection.script(RUNNING, &[], b"").await?;
        Ok(String::from_utf8_lossy(&answer).lines().map(ToOwned::to_owned).collect())
    }

    /// Waits until `unit` has ended.
    pub(super) async fn outlast(&self, unit: &str) -> Result<(), ExecuteError> {
        self.connection.script_within(OUTLAST, &[unit], &b""[..], LONGEST).await.map(drop)
    }

    /// Starts the steps of `request` as `unit`.
    pub(super) async fn start(
        &self,
        unit: &str,
        request: &RunRequest,
        kit: &Kit,
        secrets: &[u8],
    ) -> Result<(), ExecuteError> {
        let folder = folder(unit);
        let parcel = Parcel::new(request, kit, Some(secrets))?;
        let (script, words) = parcel.with(START, &folder, &[unit, &folder, &self.sealock]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.connection.script(&script, &words, &parcel.bytes).await.map(drop)
    }

    pub(super) fn not_understood(&self, command: &str, source: serde_json::Error) -> ExecuteError {
        self.connection.not_understood(command, source)
    }
}

/// Files on their way to a host, one after the other.
struct Parcel {
    files: Vec<(&'static str, usize)>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Parcel {
    fn new(request: &RunRequest, kit: &Kit, secrets: Option<&[u8]>) -> Result<Self, ExecuteError> {
        let request = encode(request)?;
        let mut files = vec![("request", &request[..]), ("site-root", &kit.site_root), ("release", &kit.release)];
        files.extend(secrets.map(|secrets| ("secrets", secrets)));
        // Of its final length from the start, so that no copy with secrets in it is left behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(files.iter().map(|(_, content)| content.len()).sum()));
        files.iter().for_each(|(_, content)| bytes.extend_from_slice(content));
        Ok(Self { files: files.into_iter().map(|(name, content)| (name, content.len())).collect(), bytes })
    }

    /// [`PUT`] into `folder` and then `script` with `words`: all of the script, and all of its arguments.
    fn with(&self, script: &str, folder: &str, words: &[&str]) -> (String, Vec<String>) {
        let files = self.files.iter().map(|(name, length)| format!("{name}:{length}"));
        let words = words.iter().map(ToString::to_string);
        let all = std::iter::once(folder.to_owned()).chain(files).chain(["--".to_owned()]).chain(words);
        (format!("{PUT}{script}"), all.collect())
    }
}

/// Forgets a run that is over.
pub(super) async fn forget(connection: &Connection, unit: &str) -> Result<(), ExecuteError> {
    connection.script(r#"rm -rf "$1""#, &[&folder(unit)], b"").await.map(|_| ())
}

/// The folder of a run.
pub(super) fn folder(unit: &str) -> String {
    format!("{RUNS}/{unit}")
}

/// The systemd unit of the `n`th task of a plan: the same however often the plan is begun, so that an operator who comes
/// back finds what is still running.
pub(super) fn unit(purpose: &str, plan: &Digest, n: usize) -> String {
    let short = &plan.hex()[..12];
    format!("sealock-{purpose}-{short}-{n}")
}

fn encode(request: &RunRequest) -> Result<Vec<u8>, ExecuteError> {
    serde_json::to_vec(request).map_err(|error| ExecuteError::InvalidPlan { problem: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::super::local::shell;
    use super::*;

    #[test]
    fn a_run_is_named_by_its_plan_and_task_alone() {
        let plan = Digest::sha256(b"a plan");
        assert_eq!(unit("apply", &plan, 3), unit("apply", &plan, 3));
        assert_ne!(unit("apply", &plan, 3), unit("apply", &plan, 4));
        assert_ne!(unit("apply", &plan, 3), unit("reset", &plan, 3));
        let folder = folder(&unit("apply", &plan, 3));
        assert!(folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-".contains(&byte)), "{folder}");
    }

    #[test]
    fn where_nothing_ran_nothing_is_waited_for() {
        let unit = unit("apply", &Digest::sha256(b"a plan that never ran"), 3);
        assert_eq!(shell(RUNNING, &[], b"").stdout, b"");
        assert!(shell(OUTLAST, &[&unit], b"").status.success());
    }

    #[test]
    fn what_is_sent_at_once_arrives_as_the_files_that_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("it's");
        let large = vec![b'x'; 300_000];
        let sent = [b"one\0\n".as_slice(), b"", &large, b"hidden"].concat();
        let words =
            [there.to_str().unwrap(), "request:5", "site-root:0", "release:300000", "secrets:6", "--", "a", "b"];
        let after = format!("{PUT}echo $# \"$1\"; cat secrets; ls -A");
        let said = shell(&after, &words, &sent).stdout;
        assert_eq!(String::from_utf8(said).unwrap(), "2 a\nhiddenrelease\nrequest\nsecrets\nsite-root\n");
        assert_eq!(std::fs::read(there.join("request")).unwrap(), b"one\0\n");
        assert_eq!(std::fs::read(there.join("site-root")).unwrap(), b"");
        assert_eq!(std::fs::read(there.join("release")).unwrap(), large);
        assert!(
            !there.join("secrets").exists() && !there.join(".all").exists(),
            "secrets are left where nothing was started"
        );
    }

    /// The secrets come last: a run would begin without them.
    #[test]
    fn what_comes_short_or_long_is_begun_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("a-run");
        let words = [there.to_str().unwrap(), "request:5", "secrets:6", "--", "a"];
        let after = format!("{PUT}echo begun");
        for sent in [b"".as_slice(), b"one", b"one\0\n", b"one\0\nhidde", b"one\0\nhidden!"] {
            let said = shell(&after, &words, sent);
            assert_eq!((said.status.code(), &*said.stdout), (Some(SHORT), b"".as_slice()), "{sent:?}");
            let told = String::from_utf8(said.stderr).unwrap();
            assert_eq!(told.trim_ascii(), format!("{} of 11 bytes came", sent.len()));
            assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0, "something stays");
        }
        assert_eq!(shell(&after, &words, b"one\0\nhidden").stdout, b"begun\n");
    }

    /// A full disk, or a host that goes down: the one file that is being cut may hold secrets.
    #[test]
    fn what_is_ended_between_two_files_leaves_none_of_them_half() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("a-run");
        let words = [there.to_str().unwrap(), "request:5", "secrets:6", "--"];
        let ended = PUT.replace("  mv -f", "  kill -TERM $$\n  mv -f");
        assert_ne!(ended, PUT);
        assert_eq!(shell(&ended, &words, b"one\0\nhidden").status.code(), Some(143));
        assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0, "something stays");
    }

    /// A connection that was lost is followed again from the first byte that was not understood yet.
    #[test]
    fn a_run_that_is_over_is_read_from_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let put = shell(PUT, &[&format!("{path}/it's"), "events:8", "--"], b"one\ntwo\n");
        assert!(put.status.success());
        let follow = |from: &str| shell(FOLLOW, &["sealock-no-such-unit", &format!("{path}/it's"), from], b"").stdout;
        assert_eq!(follow("1"), b"one\ntwo\n");
        assert_eq!(follow("5"), b"two\n");
        assert_eq!(follow("9"), b"");
    }
}
