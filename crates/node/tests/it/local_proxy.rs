//! The local proxy, with real servers on loopback that come and go.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use sealock_node::local_proxy::{LocalProxy, Seen};

/// Long enough for a busy machine; what is waited for takes milliseconds, or [`Seen::Up`] two seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const ANY: &str = "127.0.0.1:0";

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

/// An address at which nobody listens, and the right to it.
fn nobody() -> SocketAddr {
    TcpListener::bind(ANY).unwrap().local_addr().unwrap()
}

fn proxy(servers: &[SocketAddr]) -> (SocketAddr, Receiver<Seen>) {
    let proxy = LocalProxy::bind(ANY.parse().unwrap(), servers).unwrap();
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
    assert!(LocalProxy::bind("0.0.0.0:0".parse().unwrap(), &there).is_err());
    assert!(LocalProxy::bind(ANY.parse().unwrap(), &[]).is_err());
    let taken = TcpListener::bind(ANY).unwrap();
    assert!(LocalProxy::bind(taken.local_addr().unwrap(), &there).is_err());
}
