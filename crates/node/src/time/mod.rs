//! Who sets the clock of a machine, and from which servers.
//!
//! Sealock brings no program for it: it tells the one that is there. What the program says of itself is read here, and the files by which it
//! is told are known here, for the step that writes them, for the gap check that reads them, and for whoever asks how the clock is kept.

pub mod chrony;
pub mod timesyncd;

use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::changes::{Changes, Subject};
use crate::host::{self, Command, Entry, Host, HostError};

/// Programs of others that set the clock, by their units, whatever the distribution calls them.
const OTHERS: [&str; 5] = ["ntp.service", "ntpd.service", "ntpsec.service", "openntpd.service", "phc2sys.service"];
const UNIT_FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The program that sets the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeDaemon {
    /// chronyd.
    Chrony,
    /// systemd-timesyncd.
    Timesyncd,
}

impl TimeDaemon {
    /// The one that is on the machine; chrony where both are.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn of(host: &dyn Host) -> Result<Option<Self>, HostError> {
        if chrony::unit(host)?.is_some() {
            return Ok(Some(Self::Chrony));
        }
        Ok(timesyncd::is_there(host)?.then_some(Self::Timesyncd))
    }
}

impl fmt::Display for TimeDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chrony => "chrony",
            Self::Timesyncd => "systemd-timesyncd",
        })
    }
}

/// How the clock of a machine is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TimeFacts {
    /// The program that can be told; nothing where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<TimeDaemon>,
    /// Units that run and set the clock, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Where the machine's own settings name servers, as `FILE: LINE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// What the program says, where it was told by Sealock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// What the program says that keeps the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    /// The server whose time it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// By how many microseconds the clock was ahead of the server's, by the program's last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_us: Option<i64>,
    /// Why the clock is not kept as it was told, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Kept {
    fn unknown(problem: String) -> Self {
        Self { server: None, ahead_us: None, problem: Some(problem) }
    }
}

/// What is not as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Others are asked, or not all of those: told anew, the program asks them.
    Asked(String),
    /// Nobody answers, or nobody is believed: no change of the host helps.
    Answered(String),
}

impl Problem {
    fn words(self) -> String {
        match self {
            Self::Asked(problem) | Self::Answered(problem) => problem,
        }
    }
}

/// One server, as the program tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As it stands in the settings.
    pub name: String,
    /// Whether it has answered lately.
    pub answers: bool,
    /// Whether the clock is set by it.
    pub is_selected: bool,
    /// Whether the others say that it tells a wrong time.
    pub is_false: bool,
    /// By how many microseconds the clock is ahead of it.
    pub ahead_us: Option<i64>,
}

/// Looks how the clock of `host` is kept. A file of settings that cannot be read is told, and is no reason to see nothing of the host.
///
/// # Errors
/// The host refuses.
pub(crate) fn observe(host: &dyn Host, changes: &Changes) -> Result<TimeFacts, HostError> {
    let daemon = TimeDaemon::of(host)?;
    let (servers, unread) = named_by(host);
    let kept =
        told(host, changes).and_then(|told| told.map(|(daemon, servers)| look(host, daemon, &servers)).transpose());
    let mut kept = kept.unwrap_or_else(|error| Some(Kept::unknown(because(&error))));
    if let Some(kept) = &mut kept {
        kept.problem = kept.problem.take().or_else(|| unread.into_iter().next());
    }
    Ok(TimeFacts { daemon, others: others(host, daemon)?, servers, kept })
}

/// Which program Sealock has told, and of which servers.
fn told(host: &dyn Host, changes: &Changes) -> Result<Option<(TimeDaemon, Vec<String>)>, HostError> {
    let is_ours = |path: &str| changes.find(&Subject::File { path: path.to_owned() }).is_some();
    if let Some(main) = chrony::MAINS.iter().find(|main| is_ours(main)) {
        let text = settings(host, main)?.unwrap_or_default();
        return Ok(Some((TimeDaemon::Chrony, chrony::ours(&text))));
    }
    if is_ours(timesyncd::DROP_IN) {
        let text = settings(host, timesyncd::DROP_IN)?.unwrap_or_default();
        return Ok(Some((TimeDaemon::Timesyncd, timesyncd::ours(&text))));
    }
    Ok(None)
}

/// What `daemon` says of its servers, held against those that it was told of.
fn look(host: &dyn Host, daemon: TimeDaemon, servers: &[String]) -> Result<Kept, HostError> {
    let sources = match sources(host, daemon)? {
        Ok(sources) => sources,
        Err(problem) => return Ok(Kept::unknown(problem)),
    };
    let selected = sources.iter().find(|source| source.is_selected);
    Ok(Kept {
        server: selected.map(|source| source.name.clone()),
        ahead_us: selected.and_then(|source| source.ahead_us),
        problem: problem(daemon, &sources, servers).map(Problem::words),
    })
}

/// Why the clock of `host` is not kept by `daemon` from `servers` and from nobody else, where it is not.
pub(crate) fn problem_of(
    host: &dyn Host,
    daemon: TimeDaemon,
    servers: &[String],
) -> Result<Option<Problem>, HostError> {
    Ok(match sources(host, daemon)? {
        Ok(sources) => problem(daemon, &sources, servers),
        Err(problem) => Some(Problem::Asked(problem)),
    })
}

fn sources(host: &dyn Host, daemon: TimeDaemon) -> Result<Result<Vec<Source>, String>, HostError> {
    match daemon {
        TimeDaemon::Chrony => chrony::sources(host),
        TimeDaemon::Timesyncd => timesyncd::sources(host),
    }
}

/// Why the clock is not kept by `servers` and by nobody else, where it is not.
pub fn problem(daemon: TimeDaemon, sources: &[Source], servers: &[String]) -> Option<Problem> {
    not_asked(daemon, sources, servers).map(Problem::Asked).or_else(|| {
        let is_believed = |source: &Source| source.answers && !source.is_false;
        if sources.iter().any(is_believed) {
            return None;
        }
        let names = servers.join(", ");
        Some(Problem::Answered(match sources.iter().any(|source| source.answers) {
            true => format!("{daemon} does not believe what {names} says of the time"),
            false => format!("no answer to {daemon} from {names} (UDP port 123)"),
        }))
    })
}

/// Whom else it asks, or whom it does not ask.
fn not_asked(daemon: TimeDaemon, sources: &[Source], servers: &[String]) -> Option<String> {
    let is_wanted = |source: &&Source| servers.iter().any(|server| is_same(server, &source.name));
    let strange: Vec<String> = sources
        .iter()
        .filter(|source| !is_wanted(source))
        .map(|source| source.name.escape_debug().to_string())
        .collect();
    if !strange.is_empty() {
        return Some(format!("{daemon} asks {} for the time, too", strange.join(", ")));
    }
    let is_asked = |server: &&String| sources.iter().any(|source| is_same(server, &source.name));
    // timesyncd tells of the one server that it asks just now.
    let missing = match daemon {
        TimeDaemon::Chrony => servers.iter().find(|server| !is_asked(server)),
        TimeDaemon::Timesyncd => servers.first().filter(|_| sources.is_empty()),
    };
    missing.map(|server| format!("{daemon} does not ask {server} for the time"))
}

/// Whether two names mean the same server: addresses are written in more than one way.
pub fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.')),
    }
}

/// Whether a line of [`TimeFacts::servers`] names servers of `site` and nobody else.
pub fn is_of_site(line: &str, site: &[String]) -> bool {
    let (_, setting) = line.split_once(": ").unwrap_or_default();
    let named = named_in(setting);
    !named.is_empty() && named.iter().all(|name| site.iter().any(|server| is_same(server, name)))
}

/// Units of others that set the clock, and run.
fn others(host: &dyn Host, daemon: Option<TimeDaemon>) -> Result<Vec<String>, HostError> {
    let mut units = OTHERS.to_vec();
    units.extend((daemon == Some(TimeDaemon::Chrony)).then_some(timesyncd::UNIT));
    let show = ["show", "--property=Id,ActiveState", "--"].into_iter().chain(units.iter().copied());
    let said = match host.run(&Command::new("systemctl", show)) {
        Ok(output) => output.stdout,
        Err(HostError::NoProgram { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut active: Vec<String> = said
        .split("\n\n")
        .filter(|unit| unit.lines().any(|line| line == "ActiveState=active"))
        .filter_map(|unit| unit.lines().find_map(|line| line.strip_prefix("Id=")))
        // Under another name it may be the one that is told.
        .filter(|id| units.contains(id))
        .map(str::to_owned)
        .collect();
    active.sort_unstable();
    active.dedup();
    Ok(active)
}

/// Every line of the machine's settings that names a server of time, as `FILE: LINE`; and what cannot be read, which may name others.
pub(crate) fn configured(host: &dyn Host) -> Vec<String> {
    let (found, unread) = named_by(host);
    found.into_iter().chain(unread).collect()
}

/// The same, what cannot be read by itself.
fn named_by(host: &dyn Host) -> (Vec<String>, Vec<String>) {
    // ntpd has the same words as chrony.
    let of_ntp = ["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"].map(str::to_owned).into();
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for (files, is_timesyncd) in
        [(chrony::all_files(host), false), (timesyncd::all_files(host), true), (Ok(of_ntp), false)]
    {
        let files: Vec<String> = files.unwrap_or_else(|error| {
            unread.push(because(&error));
            Vec::new()
        });
        for path in files {
            match settings(host, &path) {
                Ok(text) => {
                    let text = text.unwrap_or_default();
                    let lines: Vec<&str> = if is_timesyncd {
                        timesyncd::servers(&text).collect()
                    } else {
                        chrony::servers(&text).collect()
                    };
                    found.extend(lines.iter().map(|line| format!("{path}: {line}")));
                }
                Err(error) => unread.push(because(&error)),
            }
        }
    }
    (found, unread)
}

/// The text of a file of settings; nothing where none is there, or what is there is no file.
///
/// # Errors
/// It is too large, or the host refuses.
pub(crate) fn settings(host: &dyn Host, path: &str) -> Result<Option<String>, HostError> {
    if !matches!(host.inspect(path)?, Entry::File { .. } | Entry::Link { .. }) {
        return Ok(None);
    }
    match host::read_text(host, path) {
        Err(HostError::Io { source, .. }) if source.kind() == ErrorKind::IsADirectory => Ok(None),
        text => text,
    }
}

/// What happened, and why.
fn because(error: &HostError) -> String {
    match error {
        HostError::Io { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    }
}

/// The servers that a line of settings names: `server NAME …`, or `NTP=NAME NAME`.
fn named_in(setting: &str) -> Vec<&str> {
    if let Some((_, value)) = setting.split_once('=').filter(|(key, _)| !key.trim().contains(char::is_whitespace)) {
        return value.split_whitespace().collect();
    }
    setting.split_whitespace().skip(1).take(1).collect()
}

/// Whether a unit of this name is there, and not one that nothing may start.
fn has_unit(host: &dyn Host, name: &str) -> Result<bool, HostError> {
    for folder in UNIT_FOLDERS {
        match host.inspect(&format!("{folder}/{name}"))? {
            Entry::Link { target } if target == "/dev/null" => return Ok(false),
            Entry::File { .. } | Entry::Link { .. } => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// A number of seconds with a fraction, in microseconds.
fn microseconds(seconds: &str) -> Option<i64> {
    let negative = seconds.starts_with('-');
    let (whole, fraction) = seconds.trim_start_matches(['-', '+']).split_once('.').unwrap_or((seconds, ""));
    let whole: i64 = whole.trim_start_matches(['-', '+']).parse().ok()?;
    let digits = fraction.get(..fraction.len().min(6))?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: i64 = format!("{digits:0<6}").parse().ok()?;
    let all = whole.checked_mul(1_000_000)?.checked_add(fraction)?;
    Some(if negative { -all } else { all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StepError;

    fn source(name: &str, answers: bool) -> Source {
        Source { name: name.into(), answers, is_selected: answers, is_false: false, ahead_us: None }
    }

    #[test]
    fn the_clock_is_kept_where_those_servers_are_asked_and_one_answers() {
        let servers = ["10.77.0.2", "fd77::2"].map(str::to_owned);
        let says = |sources: &[Source]| problem(TimeDaemon::Chrony, sources, &servers).map(Problem::words);
        assert_eq!(says(&[source("10.77.0.2", true), source("fd77:0::2", false)]), None);
        assert_eq!(
            says(&[source("10.77.0.2", true), source("fd77::2", false), source("2.debian.pool.ntp.org", false)])
                .unwrap(),
            "chrony asks 2.debian.pool.ntp.org for the time, too"
        );
        assert_eq!(says(&[source("10.77.0.2", true)]).unwrap(), "chrony does not ask fd77::2 for the time");
        let silent = [source("10.77.0.2", false), source("fd77::2", false)];
        assert_eq!(says(&silent).unwrap(), "no answer to chrony from 10.77.0.2, fd77::2 (UDP port 123)");
        let lies = [Source { is_false: true, ..source("10.77.0.2", true) }, source("fd77::2", false)];
        assert_eq!(says(&lies).unwrap(), "chrony does not believe what 10.77.0.2, fd77::2 says of the time");
        // timesyncd asks one of them at a time.
        assert_eq!(problem(TimeDaemon::Timesyncd, &[source("fd77::2", true)], &servers), None);
        let silent = problem(TimeDaemon::Timesyncd, &[source("fd77::2", false)], &servers);
        assert!(matches!(silent, Some(Problem::Answered(_))), "{silent:?}");
        let untold = problem(TimeDaemon::Timesyncd, &[], &servers);
        assert_eq!(untold, Some(Problem::Asked("systemd-timesyncd does not ask 10.77.0.2 for the time".into())));
    }

    #[test]
    fn seconds_are_read_to_the_microsecond() {
        assert_eq!(microseconds("-0.000000120"), Some(0));
        assert_eq!(microseconds("-0.000120999"), Some(-120));
        assert_eq!(microseconds("90000.5"), Some(90_000_500_000));
        assert_eq!(microseconds("3"), Some(3_000_000));
        for wrong in ["", "-", ".", "1.x", "one", "99999999999999999999", "1.\u{e9}\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(microseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn settings_that_cannot_be_read_hide_nothing_else_of_the_host() {
        let root = tempfile::tempdir().unwrap();
        let host = host::Local::rooted(root.path());
        let put = |path: &str, text: &str| {
            let place = root.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        };
        for folder in
            ["etc/chrony.d/old", "etc/chrony/conf.d/x.conf", "etc/systemd/timesyncd.conf.d/y.conf", "etc/ntp.conf"]
        {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        put("etc/chrony/chrony.conf", "include /etc/chrony.d/*\nconfdir /etc/chrony/conf.d\npool a\n");
        put("etc/chrony.d/mine", "server 192.0.2.1\n");
        let mut changes = Changes::load(&host).unwrap();
        let seen = observe(&host, &changes).unwrap();
        assert_eq!(seen.servers, ["/etc/chrony/chrony.conf: pool a", "/etc/chrony.d/mine: server 192.0.2.1"]);
        assert_eq!((configured(&host), seen.kept), (seen.servers, None));
        assert!(chrony::edits(&host, &["10.77.0.2".into()]).is_ok());

        put("etc/chrony.d/large", &"# much\n".repeat(1 << 18));
        let large = "/etc/chrony.d/large is larger than 1048576 bytes";
        let seen = observe(&host, &changes).unwrap();
        assert_eq!((seen.servers.len(), seen.kept), (2, None));
        assert_eq!(configured(&host)[2..], [large]);
        let edits = chrony::edits(&host, &["10.77.0.2".into()]);
        assert!(matches!(&edits, Err(StepError::Unknown { because }) if because == large), "{edits:?}");

        put("etc/chrony/chrony.conf", &"# much\n".repeat(1 << 18));
        changes.before_file(&host, chrony::MAINS[0], &sealock_trust::Digest::sha256(b"")).unwrap();
        let kept = observe(&host, &changes).unwrap().kept.unwrap();
        assert_eq!(kept.problem.unwrap(), "/etc/chrony/chrony.conf is larger than 1048576 bytes");
    }
}
