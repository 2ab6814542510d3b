//! The control: answers what probes of each kind ask.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Controls;
use crate::wait;

const TCP_PORTS: [u16; 2] = [80, 443];
const UDP_PORTS: [u16; 3] = [53, 123, 443];
/// How soon a stop is noticed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Answers at the station for as long as it lives.
#[derive(Debug)]
pub struct Responder {
    controls: Controls,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a control cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the controls of the gap check")]
pub struct ResponderError {
    address: IpAddr,
    #[source]
    source: io::Error,
}

impl ResponderError {
    /// Trying again may help.
    pub fn is_refusal(&self) -> bool {
        false
    }
}

impl Responder {
    /// Listens on each of `addresses`, on the ports that probes use; on another where one is taken.
    pub fn start(addresses: &[IpAddr]) -> Result<Self, ResponderError> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut responder = Self {
            controls: Controls { addresses: addresses.to_vec(), ..Controls::default() },
            stop,
            threads: Vec::new(),
        };
        for address in addresses {
            responder.listen(*address).map_err(|source| ResponderError { address: *address, source })?;
        }
        Ok(responder)
    }

    /// Where it listens, for a [`super::GapRequest`].
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    fn listen(&mut self, address: IpAddr) -> io::Result<()> {
        for port in TCP_PORTS {
            let listener = at_port(&self.controls.tcp, port, |port| TcpListener::bind(SocketAddr::new(address, port)))?;
            self.controls.tcp.insert(port, listener.local_addr()?.port());
            listener.set_nonblocking(true)?;
            let stop = Arc::clone(&self.stop);
            self.threads.push(thread::spawn(move || accept(&listener, &stop)));
        }
        for port in UDP_PORTS {
            let socket = at_port(&self.controls.udp, port, |port| UdpSocket::bind(SocketAddr::new(address, port)))?;
            self.controls.udp.insert(port, socket.local_addr()?.port());
            socket.set_read_timeout(Some(PATIENCE))?;
            let stop = Arc::clone(&self.stop);
            self.threads.push(thread::spawn(move || echo(&socket, &stop)));
        }
        Ok(())
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// Listens on `port`; where that is taken or not allowed, on one that the kernel chooses, which is then the same for every
/// address.
fn at_port<T>(chosen: &BTreeMap<u16, u16>, port: u16, listen: impl Fn(u16) -> io::Result<T>) -> io::Result<T> {
    if let Some(chosen) = chosen.get(&port) {
        return listen(*chosen);
    }
    match listen(port) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => listen(0),
        result => result,
    }
}

/// To accept is to answer.
fn accept(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if listener.accept().is_err() {
            wait::pause(PATIENCE);
        }
    }
}

fn echo(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // A probe that is gone needs no answer.
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::sockets::{Heard, tcp, udp};
    use super::*;

    #[test]
    fn controls_answer_on_every_port_until_they_are_dropped() {
        let here = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
        let responder = Responder::start(&[here]).unwrap();
        let controls = responder.controls().clone();
        let timeout = Duration::from_secs(5);
        for port in controls.tcp.values() {
            assert!(matches!(tcp(here, *port, timeout), Heard::Answer(_)));
        }
        for port in controls.udp.values() {
            assert!(matches!(udp(here, *port, timeout), Heard::Answer(_)));
        }
        assert_eq!((controls.tcp.len(), controls.udp.len()), (2, 3));
        drop(responder);
        TcpListener::bind((here, controls.tcp[&80])).unwrap();
    }
}
