//! The API servers, and which of them take connections and are ready.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::Seen;
use super::readiness::Readiness;

/// On one segment a machine that is there answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(2);
/// One that is well is asked in every third round only.
const ROUNDS: usize = 3;

/// All API servers of the cluster.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Server>,
    /// Counts up: who is asked first.
    next: AtomicUsize,
    /// Counts up: how often was looked.
    round: AtomicUsize,
    readiness: Readiness,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    is_down: AtomicBool,
    is_unready: AtomicBool,
}

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr], ca: PathBuf) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            is_down: AtomicBool::new(false),
            is_unready: AtomicBool::new(false),
        };
        let all = addresses.iter().map(server).collect();
        Self { all, next: AtomicUsize::new(0), round: AtomicUsize::new(0), readiness: Readiness::new(ca) }
    }

    /// A connection to one that takes it: each in turn, those that were not ready after the others, and those that were down last.
    pub(super) fn connect(&self, tell: &(dyn Fn(Seen) + Sync)) -> Option<TcpStream> {
        self.in_turn().into_iter().find_map(|server| server.connect(tell))
    }

    /// Looks whether those that were down or not ready still are, and now and then whether the others are ready. Nobody gets a connection without a word:
    /// that is a line in its log.
    pub(super) fn look(&self, tell: &(dyn Fn(Seen) + Sync)) {
        let all = self.round.fetch_add(1, Ordering::Relaxed).is_multiple_of(ROUNDS);
        for server in self.all.iter().filter(|server| all || server.is_down() || server.is_unready()) {
            // Before it counts as up again.
            if let Some(is_ready) = self.readiness.of(server.address) {
                server.judge(is_ready, tell);
            }
            if server.is_down() {
                server.connect(tell);
            }
        }
    }

    fn in_turn(&self) -> Vec<&Server> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (before, from_first) = self.all.split_at(first);
        let mut turn: Vec<&Server> = from_first.iter().chain(before).collect();
        turn.sort_by_key(|server| (server.is_down(), server.is_unready()));
        turn
    }
}

impl Server {
    fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    fn is_unready(&self) -> bool {
        self.is_unready.load(Ordering::Relaxed)
    }

    fn judge(&self, is_ready: bool, tell: &(dyn Fn(Seen) + Sync)) {
        let is_unready = !is_ready;
        match (self.is_unready.swap(is_unready, Ordering::Relaxed), is_unready) {
            (false, true) => tell(Seen::Unready(self.address)),
            (true, false) => tell(Seen::Ready(self.address)),
            (true, true) | (false, false) => {}
        }
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
