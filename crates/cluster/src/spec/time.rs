//! Where the hosts get their time from.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClusterSpec, SpecError, check_within};

const SERVERS: &str = "spec.time.servers";
/// Four tell which one is wrong; more than these are a mistake.
const MOST: usize = 8;

/// Where the hosts get their time from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Time {
    /// The site's time servers (NTP), like `10.77.0.2` or `ntp.plant.internal`: each host asks these and nobody else.
    pub servers: Vec<TimeServer>,
}

/// A time server: an address or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeServer(String);

impl TimeServer {
    /// Where it is an address.
    fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl fmt::Display for TimeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no time server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time server like 10.77.0.2 or ntp.plant.internal (an address or a lower-case name, without a port)"
)]
pub struct ParseTimeServerError(String);

impl FromStr for TimeServer {
    type Err = ParseTimeServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // What ends in a number is meant as an address.
        let is_name = || {
            let last = text.rsplit('.').next().unwrap_or_default();
            text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
        };
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(address.to_string())),
            Err(_) if is_name() => Ok(Self(text.to_owned())),
            Err(_) => Err(ParseTimeServerError(text.chars().take(80).collect())),
        }
    }
}

impl Serialize for TimeServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeServer {
    fn schema_name() -> Cow<'static, str> {
        "TimeServer".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-fA-F:.]+$|^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "maxLength": 253})
    }
}

pub(super) fn check(spec: &ClusterSpec) -> Result<(), SpecError> {
    let Some(time) = &spec.time else { return Ok(()) };
    if time.servers.is_empty() || time.servers.len() > MOST {
        let problem = format!("{} servers were given: name each once, 1 to {MOST}", time.servers.len());
        return Err(SpecError::new(SERVERS, problem));
    }
    let mut seen = BTreeSet::new();
    for (n, server) in time.servers.iter().enumerate() {
        let wrong = |problem: String| Err(SpecError::new(format!("{SERVERS}[{n}]"), problem));
        if !seen.insert(server) {
            return wrong(format!("{server} stands there twice"));
        }
        let Some(address) = server.address() else { continue };
        if let Err(problem) = check_address(address, spec) {
            return wrong(problem);
        }
    }
    Ok(())
}

fn check_address(address: IpAddr, spec: &ClusterSpec) -> Result<(), String> {
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(format!(
            "{address} is the same machine for each host, or none: name a machine that serves the time"
        ));
    }
    let IpAddr::V4(address) = address else { return Ok(()) };
    if address == Ipv4Addr::BROADCAST {
        return Err(format!("{address} is no machine's own address"));
    }
    check_within(address, &spec.network)?;
    // It would ask itself.
    match spec.hosts.iter().find(|host| host.address == address) {
        Some(host) => {
            Err(format!("{address} is {}, a host of the cluster, which asks these servers itself", host.name))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_server_is_an_address_or_a_name() {
        for server in ["10.77.0.2", "fd77::2", "ntp.plant.internal", "ntp"] {
            assert_eq!(server.parse::<TimeServer>().unwrap().to_string(), server);
        }
        assert_eq!("FD77:0::2".parse::<TimeServer>().unwrap().to_string(), "fd77::2");
        let long = format!("{}.internal", "a".repeat(64));
        for wrong in
            ["", "10.77.0.2:123", "10.77.0", "NTP.plant", "ntp..internal", "-ntp", "ntp iburst", "ntp\nallow", &long]
        {
            assert!(wrong.parse::<TimeServer>().is_err(), "{wrong:?}");
        }
    }
}
