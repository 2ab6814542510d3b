//! A relay before the registry that cuts connections, as bad lines do. It sees only bytes: TLS goes through.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Which way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// What the registry sends.
    Down,
    /// What the client sends.
    Up,
}

/// A relay that cuts the first connections that carry much, and lets later ones through.
pub(super) struct Relay {
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    cuts: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Relay {
    /// Cuts `times` connections, each after `bytes` in one direction. It lives as long as the process, as clients may come back.
    pub(super) fn start(registry: &str, way: Way, bytes: u64, times: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let zero = || Arc::new(AtomicU64::new(0));
        let relay = Self { address: listener.local_addr()?.to_string(), cuts: zero(), connections: zero() };
        let (registry, cuts, connections) = (registry.to_owned(), relay.cuts.clone(), relay.connections.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(&registry) else { continue };
                for direction in [Way::Up, Way::Down] {
                    let (Ok(client), Ok(server)) = (client.try_clone(), server.try_clone()) else { continue };
                    let (from, to) = if direction == Way::Up { (client, server) } else { (server, client) };
                    let cuts = cuts.clone();
                    let limit = if direction == way { bytes } else { u64::MAX };
                    thread::spawn(move || carry(from, to, limit, (&cuts, times)));
                }
            }
        });
        Ok(relay)
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// How often a connection was cut.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Carries bytes one way until either side ends, or the limit is reached while there are cuts left.
fn carry(mut from: TcpStream, mut to: TcpStream, limit: u64, (cuts, times): (&AtomicU64, u64)) {
    let mut buffer = vec![0; 64 << 10];
    let mut carried = 0;
    // A client that thinks for long is no client any more.
    let _ = from.set_read_timeout(Some(Duration::from_secs(120)));
    while let Ok(read) = from.read(&mut buffer) {
        carried += read as u64;
        let cut = carried > limit
            && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |done| (done < times).then_some(done + 1)).is_ok();
        if read == 0 || cut || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
