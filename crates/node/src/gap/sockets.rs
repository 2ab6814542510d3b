//! Probes that send something.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer, of whatever kind.
    Answer(String),
    /// The kernel, or a router, knows no way there.
    NoRoute(String),
    /// Something said that it may not be.
    Prohibited(String),
    /// Nothing.
    Nothing,
    /// The probe itself could not be made.
    Failed(String),
}

pub(super) fn tcp(address: IpAddr, port: u16, timeout: Duration) -> Heard {
    match TcpStream::connect_timeout(&SocketAddr::new(address, port), timeout) {
        Ok(_) => Heard::Answer("the connection was accepted".to_owned()),
        Err(error) => of_error(&error),
    }
}

pub(super) fn udp(address: IpAddr, port: u16, timeout: Duration) -> Heard {
    let local: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let exchange = || {
        let socket = UdpSocket::bind(local)?;
        socket.connect(SocketAddr::new(address, port))?;
        exchange_datagrams(&socket, &invitation(port), &mut [0; 1500], timeout)
    };
    match exchange() {
        Ok(length) => Heard::Answer(format!("{length} bytes came back")),
        Err(error) => of_error(&error),
    }
}

/// How often a datagram is sent before silence counts: any network loses one now and then.
const DATAGRAMS: u32 = 3;

/// Sends a datagram and waits for one that comes back; sends it again while there is silence and time.
pub(super) fn exchange_datagrams(
    socket: &UdpSocket,
    question: &[u8],
    answer: &mut [u8],
    timeout: Duration,
) -> io::Result<usize> {
    socket.set_read_timeout(Some(timeout / DATAGRAMS))?;
    let mut outcome = Err(io::ErrorKind::TimedOut.into());
    for _ in 0..DATAGRAMS {
        socket.send(question)?;
        outcome = socket.recv(answer);
        match &outcome {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    outcome
}

/// A datagram that a server of the port's usual kind answers.
fn invitation(port: u16) -> Vec<u8> {
    match port {
        53 => super::dns::query(0x5ea1, "registry-1.docker.io").unwrap_or_default(),
        // NTP, version 4, client (RFC 5905, section 7.3).
        123 => [&[0x23][..], &[0; 47]].concat(),
        // A QUIC long header of a version that forces negotiation (RFC 9000, section 6), padded as an Initial is.
        443 => [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0][..], &[0; 1185]].concat(),
        _ => b"sealock".to_vec(),
    }
}

pub(super) fn icmp(address: IpAddr, timeout: Duration) -> Heard {
    match echo(address, timeout) {
        Ok(true) => Heard::Answer("an echo reply came back".to_owned()),
        Ok(false) => Heard::Nothing,
        Err(error) => of_error(&error),
    }
}

/// Sends one echo request and waits for its reply (RFC 792, RFC 4443).
fn echo(address: IpAddr, timeout: Duration) -> io::Result<bool> {
    let (family, protocol, request_type) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let socket = UdpSocket::from(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?);
    socket.connect(SocketAddr::new(address, 0))?;
    let mut token = [0; 8];
    rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())?;
    let request = echo_request(request_type, token);
    socket.send(&request)?;
    let deadline = Instant::now() + timeout;
    let mut buffer = [0; 1500];
    loop {
        let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return Ok(false);
        };
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) if is_reply(address, &buffer[..length], &token) => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
}

fn echo_request(kind: u8, token: [u8; 8]) -> [u8; 16] {
    let mut request = [0; 16];
    request[0] = kind;
    request[8..].copy_from_slice(&token);
    // The kernel fills in the checksum of ICMPv6, where it covers the addresses, and takes ours for ICMP.
    let sum: u32 = request.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !(folded as u16 + (folded >> 16) as u16);
    request[2..4].copy_from_slice(&checksum.to_be_bytes());
    request
}

fn is_reply(address: IpAddr, packet: &[u8], token: &[u8; 8]) -> bool {
    let (reply_type, message) = match address {
        // A raw socket hands over the IPv4 header too.
        IpAddr::V4(_) => {
            let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
            (0, packet.get(header..).unwrap_or_default())
        }
        IpAddr::V6(_) => (129, packet),
    };
    message.first() == Some(&reply_type) && message.get(8..16) == Some(token)
}

fn of_error(error: &io::Error) -> Heard {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        return Heard::Nothing;
    }
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => Heard::Answer("something answered that it refuses".to_owned()),
        Some(Errno::NETUNREACH) => Heard::NoRoute("the network is unreachable".to_owned()),
        // A blackhole route, and a family that is switched off.
        Some(Errno::INVAL) => Heard::NoRoute("the route is a blackhole".to_owned()),
        Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => {
            Heard::NoRoute("the host does not speak this family".to_owned())
        }
        Some(Errno::HOSTUNREACH) => Heard::Prohibited("something answered that the host is unreachable".to_owned()),
        Some(Errno::ACCESS | Errno::PERM) => Heard::Prohibited("it is administratively prohibited".to_owned()),
        _ => Heard::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_datagram_that_is_lost_is_sent_again() {
        let server = UdpSocket::bind((HERE, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let mut question = [0; 1500];
            server.recv_from(&mut question).unwrap();
            let (_, again) = server.recv_from(&mut question).unwrap();
            server.send_to(b"here", again).unwrap();
        });
        assert!(matches!(udp(HERE, port, TIMEOUT), Heard::Answer(_)));
        answering.join().unwrap();
    }

    #[test]
    fn a_server_and_a_refusal_are_answers_and_silence_is_not() {
        let server = TcpListener::bind((HERE, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        assert!(matches!(tcp(HERE, port, TIMEOUT), Heard::Answer(_)));
        drop(server);
        assert!(matches!(tcp(HERE, port, TIMEOUT), Heard::Answer(_)), "a refusal comes from somewhere");
        let silent = UdpSocket::bind((HERE, 0)).unwrap();
        assert_eq!(udp(HERE, silent.local_addr().unwrap().port(), TIMEOUT), Heard::Nothing);
    }

    #[test]
    fn an_echo_request_has_the_checksum_of_rfc_792() {
        let request = echo_request(8, *b"01234567");
        let sum: u32 = request.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
