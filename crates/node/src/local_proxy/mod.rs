//! The local proxy: one address on each node, behind which stand all API servers of the cluster.
//!
//! It forwards bytes and sees none of them: TLS goes through from the client to the API server. Whoever connects gets an API
//! server that takes connections and says that it is ready; one that does not is left out until it does again. So a cluster of several
//! control planes needs no load balancer and no address that moves.

mod readiness;
mod servers;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;

use self::servers::Servers;

/// Connections at a time. Whoever may connect is on this node; this many threads, twice, are what it can cost.
const MOST_CONNECTIONS: usize = 1024;
/// A thread that copies needs little.
const STACK: usize = 128 << 10;
/// How long an API server may leave bytes, or a question whether it is there, without an answer.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two looks at the API servers.
const RETRY: Duration = Duration::from_secs(2);

/// What the proxy saw happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An API server takes no connections: it is left out.
    Down(SocketAddr),
    /// It takes them again.
    Up(SocketAddr),
    /// An API server says that it is not ready: it is left out as long as another one is.
    Unready(SocketAddr),
    /// It does so no more.
    Ready(SocketAddr),
    /// Nobody answered a client.
    NobodyAnswers,
    /// There are as many connections as there may be: one was closed.
    Full,
}

/// A proxy that has its address, and does not serve yet.
#[derive(Debug)]
pub struct LocalProxy {
    listener: TcpListener,
    servers: Servers,
    open: AtomicUsize,
}

impl LocalProxy {
    /// A proxy at `listen` for the API servers at `servers`, for which the authority in the file `ca` vouches, if it is there: without it they
    /// are not asked whether they are ready.
    ///
    /// # Errors
    /// The address is not one of loopback (whoever reached it from outside would come to the API servers from inside), somebody
    /// else has it, or there are no servers.
    pub fn bind(listen: SocketAddr, servers: &[SocketAddr], ca: &Path) -> io::Result<Self> {
        let refused = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        if !listen.ip().is_loopback() {
            return refused(format!("{listen} is not an address of loopback"));
        }
        if servers.is_empty() {
            return refused("there are no API servers".to_owned());
        }
        let servers = Servers::new(servers, ca.to_owned());
        Ok(Self { listener: TcpListener::bind(listen)?, servers, open: AtomicUsize::new(0) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends, and tells what it sees.
    pub fn run(&self, tell: &(dyn Fn(Seen) + Sync)) -> ! {
        thread::scope(|scope| {
            // Where no thread can be had for it, servers that were down are asked last for good, and still asked. TLS needs more than a small stack.
            let _ = thread::Builder::new().name("look".into()).spawn_scoped(scope, || self.watch(tell));
            loop {
                let Some((client, place)) = self.next_client(tell) else { continue };
                let serve = move || {
                    // What goes wrong between two others is theirs: both see that the connection is over.
                    let _ = self.forward(&client, tell);
                    drop(place);
                };
                // Where no thread can be had the connection is closed, and the client tries again.
                let _ = small_thread("client").spawn_scoped(scope, serve);
            }
        })
    }

    fn watch(&self, tell: &(dyn Fn(Seen) + Sync)) {
        loop {
            self.servers.look(tell);
            thread::park_timeout(RETRY);
        }
    }

    fn next_client(&self, tell: &(dyn Fn(Seen) + Sync)) -> Option<(TcpStream, Place<'_>)> {
        let Ok((client, _)) = self.listener.accept() else {
            // No descriptors, or a client that is gone already: those that are served end, and then there is room.
            thread::park_timeout(Duration::from_millis(50));
            return None;
        };
        let place = Place::take(&self.open);
        if place.is_none() {
            tell(Seen::Full);
        }
        Some((client, place?))
    }

    fn forward(&self, client: &TcpStream, tell: &(dyn Fn(Seen) + Sync)) -> io::Result<()> {
        let Some(server) = self.servers.connect(tell) else {
            tell(Seen::NobodyAnswers);
            return Ok(());
        };
        notice_silence(&server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        thread::scope(|scope| {
            small_thread("server").spawn_scoped(scope, || pump(&server, client))?;
            pump(client, &server);
            Ok(())
        })
    }
}

fn small_thread(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(STACK)
}

/// One of [`MOST_CONNECTIONS`], given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(open: &'a AtomicUsize) -> Option<Self> {
        let place = Self(open);
        (open.fetch_add(1, Ordering::Relaxed) < MOST_CONNECTIONS).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A machine that lost its power says nothing, not even that a connection is over.
fn notice_silence(server: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(server, true)?;
    sockopt::set_tcp_keepidle(server, SILENCE / 3)?;
    sockopt::set_tcp_keepintvl(server, SILENCE / 3)?;
    sockopt::set_tcp_keepcnt(server, 2)?;
    sockopt::set_tcp_user_timeout(server, u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

/// All bytes from one to the other, and then that there are no more. Where the connection breaks, both ends are closed.
fn pump(from: &TcpStream, to: &TcpStream) {
    let (mut source, mut sink) = (from, to);
    let ending = match io::copy(&mut source, &mut sink) {
        Ok(_) => to.shutdown(Shutdown::Write),
        Err(_) => from.shutdown(Shutdown::Both).and(to.shutdown(Shutdown::Both)),
    };
    // One that is closed already needs no closing.
    let _ = ending;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let open = AtomicUsize::new(MOST_CONNECTIONS - 1);
        let last = Place::take(&open);
        assert!(last.is_some() && Place::take(&open).is_none());
        drop(last);
        assert!(Place::take(&open).is_some());
        assert_eq!(open.load(Ordering::Relaxed), MOST_CONNECTIONS - 1);
    }
}
