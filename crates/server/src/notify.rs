//! Tells the service manager how the server is doing (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// The socket of the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<PathBuf>,
}

impl Notifier {
    pub(crate) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket }
    }

    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=finishing the running downloads");
    }

    /// A service manager that does not listen is no reason to stop serving.
    fn send(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        let sent = address(socket).and_then(|to| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &to));
        if let Err(error) = sent {
            tracing::warn!(socket = %socket.display(), %error, "the service manager cannot be told");
        }
    }
}

/// An `@` in front means the abstract namespace.
fn address(socket: &Path) -> std::io::Result<SocketAddr> {
    match socket.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        Notifier::new(Some(socket)).ready("release 3");
        let mut message = [0; 100];
        let length = manager.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1\nSTATUS=release 3");
    }

    #[test]
    fn a_missing_service_manager_does_no_harm() {
        Notifier::new(None).stopping();
        Notifier::new(Some("/nonexistent/notify".into())).stopping();
    }
}
