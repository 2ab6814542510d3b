//! One question to a resolver (RFC 1035, section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::sockets::exchange_datagrams;

const HEADER: usize = 12;

/// What a resolver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It knows the name.
    Addresses(String),
    /// It answered that it does not.
    Negative(String),
    /// It did not answer.
    Silence(String),
}

/// Asks `resolver` for the addresses of `name`.
pub(crate) fn ask(resolver: IpAddr, name: &str, timeout: Duration) -> Reply {
    let mut id = [0; 2];
    if rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).is_err() {
        return Reply::Silence("there is no randomness".to_owned());
    }
    let id = u16::from_be_bytes(id);
    let Some(query) = query(id, name) else { return Reply::Silence(format!("{name} is not a name")) };
    let local: SocketAddr = match resolver {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let exchange = || {
        let socket = UdpSocket::bind(local)?;
        socket.connect(SocketAddr::new(resolver, 53))?;
        let mut answer = vec![0; 4096];
        let length = exchange_datagrams(&socket, &query, &mut answer, timeout)?;
        answer.truncate(length);
        Ok::<_, std::io::Error>(answer)
    };
    match exchange() {
        Ok(answer) => read(id, &answer),
        Err(error) => Reply::Silence(format!("the resolver does not answer: {error}")),
    }
}

/// A question for the IPv4 addresses of `name`; nothing if it cannot be a name.
pub(super) fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut query = Vec::with_capacity(HEADER + name.len() + 6);
    query.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question.
    query.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    Some(query)
}

fn read(id: u16, answer: &[u8]) -> Reply {
    let word = |at: usize| answer.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (Some(found), Some(flags), Some(answers)) = (word(0), word(2), word(6)) else {
        return Reply::Silence("the resolver sent less than a header".to_owned());
    };
    if found != id || flags & 0x8000 == 0 {
        return Reply::Silence("what came is no answer to the question".to_owned());
    }
    match flags & 0x000f {
        0 if answers > 0 => Reply::Addresses(format!("it knows the name ({answers} records)")),
        0 => Reply::Negative("that the name has no address".to_owned()),
        2 => Reply::Negative("that it failed (SERVFAIL)".to_owned()),
        3 => Reply::Negative("that there is no such name (NXDOMAIN)".to_owned()),
        5 => Reply::Negative("that it refuses (REFUSED)".to_owned()),
        code => Reply::Negative(format!("no (code {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_rfc_1035_says() {
        let query = query(0x1234, "a.bc").unwrap();
        assert_eq!(query, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01");
        assert_eq!(super::query(1, ""), None);
        assert_eq!(super::query(1, &"a".repeat(64)), None);
    }

    #[test]
    fn answers_are_told_apart() {
        let answer = |flags: [u8; 2], count: u8| [0, 7, flags[0], flags[1], 0, 1, 0, count, 0, 0, 0, 0];
        assert!(matches!(read(7, &answer([0x81, 0x80], 1)), Reply::Addresses(_)));
        assert!(matches!(read(7, &answer([0x81, 0x83], 0)), Reply::Negative(_)));
        assert!(matches!(read(8, &answer([0x81, 0x80], 1)), Reply::Silence(_)), "another question's answer");
        assert!(matches!(read(7, &[0, 7]), Reply::Silence(_)));
    }
}
