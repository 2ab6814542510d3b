//! The way to an address, without the C library's name service, which a static binary cannot load: an address as it is, or a
//! name from `/etc/hosts`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

const HOSTS: &str = "/etc/hosts";
const HOSTS_LIMIT: usize = 1 << 20;

/// Connects to the host and port of a URL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let address = SocketAddr::new(address_of(host).await?, uri.port_u16().unwrap_or(2379));
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

async fn address_of(host: &str) -> io::Result<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let hosts = tokio::fs::read(HOSTS).await.unwrap_or_default();
    let hosts = String::from_utf8_lossy(&hosts[..hosts.len().min(HOSTS_LIMIT)]);
    named(&hosts, host).ok_or_else(|| {
        let problem = format!("{host} is no address, and {HOSTS} does not know it");
        io::Error::new(io::ErrorKind::NotFound, problem)
    })
}

/// The address that a hosts file gives `name`.
fn named(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_hosts_file_and_comments_do_not_count() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 etcd-1\n10.0.0.1 etcd-1.plant etcd-1 # the first\n";
        assert_eq!(named(hosts, "ETCD-1"), Some(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(named(hosts, "first"), None);
    }
}
