//! The API servers, and which of them take connections.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::Seen;

/// On one segment a machine that is there answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(2);

/// All API servers of the cluster.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Server>,
    /// Counts up: who is asked first.
    next: AtomicUsize,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    is_down: AtomicBool,
}

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let server = |address: &SocketAddr| Server { address: *address, is_down: AtomicBool::new(false) };
        Self { all: addresses.iter().map(server).collect(), next: AtomicUsize::new(0) }
    }

    /// A connection to one that takes it: each in turn, those that were down last.
    pub(super) fn connect(&self, tell: &(dyn Fn(Seen) + Sync)) -> Option<TcpStream> {
        self.in_turn().into_iter().find_map(|server| server.connect(tell))
    }

    /// Looks whether those that were down still are. One that is up is left in peace: a connection without a word is a line in
    /// its log.
    pub(super) fn retry(&self, tell: &(dyn Fn(Seen) + Sync)) {
        for server in self.all.iter().filter(|server| server.is_down()) {
            server.connect(tell);
        }
    }

    fn in_turn(&self) -> Vec<&Server> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (before, from_first) = self.all.split_at(first);
        let turn: Vec<&Server> = from_first.iter().chain(before).collect();
        let (down, up): (Vec<&Server>, Vec<&Server>) = turn.into_iter().partition(|server| server.is_down());
        [up, down].concat()
    }
}

impl Server {
    fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    fn connect(&self, tell: &(dyn Fn(Seen) + Sync)) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT).ok();
        let was_down = self.is_down.swap(stream.is_none(), Ordering::Relaxed);
        match (&stream, was_down) {
            (None, false) => tell(Seen::Down(self.address)),
            (Some(_), true) => tell(Seen::Up(self.address)),
            (None, true) | (Some(_), false) => {}
        }
        stream
    }
}
