//! systemd-timesyncd: a drop-in of ours that comes behind all others.

use super::{Source, has_unit, microseconds};
use crate::host::{Command, Host, HostError};

/// Its unit.
pub const UNIT: &str = "systemd-timesyncd.service";
/// Where Sealock names servers. Of all drop-ins the last one counts, by name.
pub const DROP_IN: &str = "/etc/systemd/timesyncd.conf.d/zz-sealock.conf";

const MAIN: &str = "/etc/systemd/timesyncd.conf";
const FOLDERS: [&str; 3] =
    ["/etc/systemd/timesyncd.conf.d", "/run/systemd/timesyncd.conf.d", "/usr/lib/systemd/timesyncd.conf.d"];
const SETTINGS: [&str; 2] = ["NTP", "FallbackNTP"];

pub(crate) fn is_there(host: &dyn Host) -> Result<bool, HostError> {
    has_unit(host, UNIT)
}

/// The content of [`DROP_IN`]: what others have named before counts no more.
pub fn drop_in(servers: &[String]) -> String {
    format!("# By Sealock: the time of this site.\n[Time]\nNTP=\nNTP={}\nFallbackNTP=\n", servers.join(" "))
}

/// The servers that a drop-in of ours names.
pub fn ours(text: &str) -> Vec<String> {
    let named = text.lines().filter_map(|line| line.strip_prefix("NTP="));
    named.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// All files by which it may be told of servers.
pub(crate) fn all_files(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut files = vec![MAIN.to_owned()];
    for folder in FOLDERS {
        let names = host.list(folder)?.into_iter().filter(|name| name.ends_with(".conf"));
        files.extend(names.map(|name| format!("{folder}/{name}")));
    }
    Ok(files)
}

/// The lines of a file that name servers.
pub(crate) fn servers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| {
        let named = line.split_once('=').filter(|(name, _)| SETTINGS.contains(&name.trim()));
        named.is_some_and(|(_, value)| !value.trim().is_empty())
    })
}

/// The servers that it asks; why it does not say, where it does not.
pub(crate) fn sources(host: &dyn Host) -> Result<Result<Vec<Source>, String>, HostError> {
    let output = match host.run(&Command::new("timedatectl", ["show-timesync", "--all"])) {
        Err(HostError::NoProgram { program }) => return Ok(Err(format!("there is no {program}"))),
        output => output?,
    };
    if output.status != 0 {
        return Ok(Err(format!("systemd-timesyncd does not say how it is: {}", output.complaint())));
    }
    Ok(Ok(read(&output.stdout)))
}

/// Reads what `timedatectl show-timesync` prints. Servers that come by other ways than its settings are among them.
pub fn read(text: &str) -> Vec<Source> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim()
    };
    let (asked, message) = (value("ServerName"), value("NTPMessage"));
    let keys = ["LinkNTPServers", "SystemNTPServers", "RuntimeNTPServers", "FallbackNTPServers"];
    let mut names: Vec<&str> = keys.iter().flat_map(|key| value(key).split_whitespace()).collect();
    names.extend(Some(asked).filter(|asked| !asked.is_empty() && !names.contains(asked)));
    let answered = Answer::of(message);
    let source = |name: &str| {
        let answer = answered.as_ref().filter(|_| name == asked);
        Source {
            name: name.to_owned(),
            answers: answer.is_some(),
            is_selected: answer.is_some(),
            is_false: answer.is_some_and(|answer| answer.is_ignored),
            ahead_us: answer.and_then(|answer| answer.ahead_us),
        }
    };
    names.into_iter().map(source).collect()
}

/// The last answer of the server that is asked.
struct Answer {
    is_ignored: bool,
    ahead_us: Option<i64>,
}

impl Answer {
    /// Of `{ Leap=0, Version=4, Mode=4, Stratum=2, …, Ignored=no, PacketCount=1, Jitter=0 }`.
    fn of(message: &str) -> Option<Self> {
        let fields = message.strip_prefix('{')?.strip_suffix('}')?;
        let value = |key: &str| {
            let field = fields.split(", ").find_map(|field| field.trim().strip_prefix(key)?.strip_prefix('='));
            field.unwrap_or_default().trim()
        };
        let count: u64 = value("PacketCount").parse().ok()?;
        // It does not say by how much the clock was off.
        let ahead_us = value("Offset").strip_suffix('s').and_then(microseconds);
        (count > 0).then(|| Self { is_ignored: value("Ignored") == "yes", ahead_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 252 says it.
    const SAID: &str = "LinkNTPServers=\nSystemNTPServers=10.77.0.2 ntp.plant.internal\nRuntimeNTPServers=\nFallbackNTPServers=\n\
        ServerName=10.77.0.2\nServerAddress=10.77.0.2\nRootDistanceMaxUSec=5s\nPollIntervalUSec=1min 4s\n\
        NTPMessage={ Leap=0, Version=4, Mode=4, Stratum=10, Precision=-25, RootDelay=0, RootDispersion=0, Reference=7F7F0101, \
        OriginateTimestamp=Fri 2026-11-27 20:00:00 UTC, Ignored=no, PacketCount=1, Jitter=0 }\nFrequency=0\n";

    #[test]
    fn the_server_that_is_asked_has_answered_or_not() {
        let sources = read(SAID);
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["10.77.0.2", "ntp.plant.internal"]);
        assert!(sources[0].answers && sources[0].is_selected && !sources[1].answers);
        let silent = SAID.lines().filter(|line| !line.starts_with("NTPMessage")).collect::<Vec<_>>().join("\n");
        assert!(read(&silent).iter().all(|source| !source.answers));
    }

    #[test]
    fn a_server_that_came_with_the_address_is_one_that_is_asked() {
        let by_dhcp = SAID.replace("LinkNTPServers=\n", "LinkNTPServers=192.0.2.1\n");
        assert_eq!(read(&by_dhcp)[0].name, "192.0.2.1");
        assert!(read("").is_empty());
    }

    #[test]
    fn a_drop_in_names_its_servers_and_no_others() {
        let servers = ["10.77.0.2", "ntp.plant.internal"].map(str::to_owned);
        let text = drop_in(&servers);
        assert_eq!(ours(&text), servers);
        assert_eq!(super::servers(&text).collect::<Vec<_>>(), ["NTP=10.77.0.2 ntp.plant.internal"]);
        assert_eq!(super::servers("[Time]\n#NTP=a\nFallbackNTP = b\n").collect::<Vec<_>>(), ["FallbackNTP = b"]);
    }
}
