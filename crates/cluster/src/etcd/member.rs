//! Members of an etcd cluster, as etcd lists them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::proto;

/// A member's id, written in hexadecimal as etcd's own tools write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for MemberId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for MemberId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemberId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Given by etcd.
    pub id: MemberId,
    /// Empty until the member has started for the first time.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    pub client_urls: Vec<String>,
    /// It receives everything and has no vote.
    pub learner: bool,
}

impl Member {
    /// Whether it has ever started: until then etcd knows neither its name nor its client URLs.
    pub fn has_started(&self) -> bool {
        !self.name.is_empty()
    }

    /// Whether it has `url` among its peer URLs, however the host's name is written.
    pub fn has_peer_url(&self, url: &str) -> bool {
        self.peer_urls.iter().any(|known| same_url(known, url))
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.has_started() { self.name.as_str() } else { "unstarted" };
        write!(f, "{name} ({})", self.id)
    }
}

impl From<proto::Member> for Member {
    fn from(member: proto::Member) -> Self {
        Self {
            id: MemberId(member.id),
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
            learner: member.is_learner,
        }
    }
}

/// Who belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// Tells this cluster from any other.
    pub cluster: MemberId,
    /// Sorted by id.
    pub members: Vec<Member>,
}

impl Membership {
    pub(super) fn new(cluster: u64, members: Vec<proto::Member>) -> Self {
        let mut members: Vec<Member> = members.into_iter().map(Member::from).collect();
        members.sort_by_key(|member| member.id);
        Self { cluster: MemberId(cluster), members }
    }

    /// The member with this id.
    pub fn find(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The member that a person calls `text`: by name, id or peer URL. None where several are called so.
    pub fn called(&self, text: &str) -> Option<&Member> {
        let id = text.parse::<MemberId>().ok();
        let is_it = |member: &&Member| member.name == text || Some(member.id) == id || member.has_peer_url(text);
        let mut found = self.members.iter().filter(is_it);
        found.next().filter(|_| found.next().is_none())
    }

    /// The member that has this peer URL.
    pub fn at(&self, peer_url: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.has_peer_url(peer_url))
    }

    /// Members with a vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.learner)
    }

    /// The member without a vote, if there is one.
    pub fn learner(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.learner)
    }
}

/// An alarm that a member raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Whose.
    pub member: MemberId,
    /// Of what.
    pub kind: AlarmKind,
}

/// What an alarm says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// The database has reached its quota: nothing is written until there is room and the alarm is taken back.
    NoSpace,
    /// The member's data differs from the others'.
    Corrupt,
    /// An alarm that this version does not know.
    Other,
}

impl AlarmKind {
    pub(super) fn of(alarm: i32) -> Self {
        match proto::AlarmType::try_from(alarm) {
            Ok(proto::AlarmType::Nospace) => Self::NoSpace,
            Ok(proto::AlarmType::Corrupt) => Self::Corrupt,
            Ok(proto::AlarmType::None) | Err(_) => Self::Other,
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
            Self::Other => "unknown",
        })
    }
}

/// Two URLs that mean the same place: a trailing slash and the case of scheme and host say nothing.
fn same_url(a: &str, b: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').to_ascii_lowercase();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str, url: &str) -> proto::Member {
        proto::Member { id, name: name.into(), peer_urls: vec![url.into()], ..proto::Member::default() }
    }

    #[test]
    fn a_member_is_called_by_name_id_or_peer_url_and_never_by_a_name_that_two_have() {
        let membership = Membership::new(
            7,
            vec![
                member(0xb, "m2", "https://10.0.0.2:2380"),
                member(0xa, "m1", "https://10.0.0.1:2380"),
                member(0xc, "m1", "https://10.0.0.3:2380"),
            ],
        );
        assert_eq!(membership.called("m2").unwrap().id, MemberId(0xb));
        assert_eq!(membership.called("c").unwrap().id, MemberId(0xc));
        assert_eq!(membership.called("HTTPS://10.0.0.1:2380/").unwrap().id, MemberId(0xa));
        assert_eq!(membership.called("m1"), None);
        assert_eq!(membership.members[0].id, MemberId(0xa), "sorted");
    }
}
