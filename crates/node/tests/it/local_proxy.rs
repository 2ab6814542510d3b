//! The local proxy, with real servers on loopback that come and go.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use sealock_node::local_proxy::{LocalProxy, Seen};

use crate::registry::{Answer, Registry};

/// Long enough for a busy machine; what is waited for takes milliseconds, or [`Seen::Up`] two seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const ANY: &str = "127.0.0.1:0";
/// As on a node that has not joined yet.
const NO_CA: &str = "/nonexistent/ca.crt";

/// A server that sends its own name, then what it got, once the client has sent all.
fn server(listener: TcpListener) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut got = Vec::new();
            if client.read_to_end(&mut got).is_ok() {
                let _ = client.write_all(format!("{address} ").as_bytes()).and_then(|()| client.write_all(&got));
            }
        }
    });
    address
}

/// A server that sends its own name to whoever comes: it cannot be asked whether it is ready.
fn greeter() -> SocketAddr {
    let listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client.unwrap().write_all(address.to_string().as_bytes());
        }
    });
    address
}

/// An address at which nobody listens, and the right to it.
fn nobody() -> SocketAddr {
    TcpListener::bind(ANY).unwrap().local_addr().unwrap()
}

fn proxy(servers: &[SocketAddr]) -> (SocketAddr, Receiver<Seen>) {
    proxy_of(servers, Path::new(NO_CA))
}

fn proxy_of(servers: &[SocketAddr], ca: &Path) -> (SocketAddr, Receiver<Seen>) {
    let proxy = LocalProxy::bind(ANY.parse().unwrap(), servers, ca).unwrap();
    let (address, (tell, told)) = (proxy.address().unwrap(), mpsc::channel());
    thread::spawn(move || proxy.run(&move |seen| tell.send(seen).unwrap_or_default()));
    (address, told)
}

fn ask(proxy: SocketAddr, question: &[u8]) -> String {
    let mut client = TcpStream::connect(proxy).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(question).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn bytes_and_their_end_go_through_both_ways() {
    let there = server(TcpListener::bind(ANY).unwrap());
    let (proxy, _told) = proxy(&[there]);
    let long = "x".repeat(1 << 20);
    assert_eq!(ask(proxy, long.as_bytes()), format!("{there} {long}"));
}

#[test]
fn clients_are_spread_over_all_servers() {
    let servers: Vec<SocketAddr> = (0..3).map(|_| server(TcpListener::bind(ANY).unwrap())).collect();
    let (proxy, _told) = proxy(&servers);
    let mut asked: Vec<String> = (0..6).map(|_| ask(proxy, b"")).collect();
    asked.sort();
    let mut twice: Vec<String> = servers.iter().chain(&servers).map(|server| format!("{server} ")).collect();
    twice.sort();
    assert_eq!(asked, twice);
}

#[test]
fn a_server_that_is_down_is_left_out_until_it_is_back() {
    let (there, away) = (server(TcpListener::bind(ANY).unwrap()), nobody());
    let (proxy, told) = proxy(&[away, there]);
    for _ in 0..4 {
        assert_eq!(ask(proxy, b"a"), format!("{there} a"));
    }
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::Down(away)));
    server(TcpListener::bind(away).unwrap());
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::Up(away)));
    let asked = [ask(proxy, b""), ask(proxy, b"")];
    assert!(asked.contains(&format!("{away} ")), "{asked:?}");
}

/// One that has just begun, or whose etcd is no voter yet, takes connections and forbids everything.
#[test]
fn a_server_that_is_not_ready_is_left_out_until_it_is_and_serves_where_there_is_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Registry::start_as("127.0.0.1");
    let address: SocketAddr = begun.endpoint.name.parse().unwrap();
    std::fs::write(folder.path().join("ca.crt"), &begun.endpoint.ca).unwrap();
    begun.serve("/readyz".to_owned(), vec![Answer::Status(500)]);
    let there = greeter();
    let (proxy, told) = proxy_of(&[address, there], &folder.path().join("ca.crt"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::Unready(address)));
    for _ in 0..4 {
        assert_eq!(ask(proxy, b""), there.to_string());
    }
    begun.serve("/readyz".to_owned(), vec![Answer::Whole(b"ok".to_vec())]);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::Ready(address)));
    begun.serve("/readyz".to_owned(), vec![Answer::Status(500)]);
    let (alone, told) = proxy_of(&[address], &folder.path().join("ca.crt"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::Unready(address)));
    let mut client = TcpStream::connect(alone).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let _ = client.read_to_end(&mut Vec::new());
    assert_eq!(told.try_iter().next(), None, "one that is not ready is better than nobody");
}

#[test]
fn where_nobody_answers_the_connection_is_closed() {
    let away = nobody();
    let (proxy, told) = proxy(&[away]);
    let mut client = TcpStream::connect(proxy).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::Down(away)));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Seen::NobodyAnswers));
}

#[test]
fn a_client_sees_that_its_server_has_ended() {
    let listener = TcpListener::bind(ANY).unwrap();
    let (proxy, _told) = proxy(&[listener.local_addr().unwrap()]);
    let mut client = TcpStream::connect(proxy).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"a question").unwrap();
    // Closed with bytes that nobody has read: the kernel answers with a reset.
    drop(listener.accept().unwrap());
    let end = client.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
}

#[test]
fn it_listens_on_loopback_only_and_for_somebody() {
    let there = [nobody()];
    assert!(LocalProxy::bind("0.0.0.0:0".parse().unwrap(), &there, Path::new(NO_CA)).is_err());
    assert!(LocalProxy::bind(ANY.parse().unwrap(), &[], Path::new(NO_CA)).is_err());
    let taken = TcpListener::bind(ANY).unwrap();
    assert!(LocalProxy::bind(taken.local_addr().unwrap(), &there, Path::new(NO_CA)).is_err());
}
