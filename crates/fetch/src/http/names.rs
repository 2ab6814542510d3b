//! Host names are resolved in Rust: a static binary cannot load the C library's name service.

use std::net::SocketAddr;
use std::sync::OnceLock;

use hickory_resolver::TokioResolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves by `/etc/hosts` and the name servers of `/etc/resolv.conf`.
#[derive(Default)]
pub(crate) struct Names {
    resolver: OnceLock<TokioResolver>,
}

/// Wraps every failure of name resolution, so that it can be told from other connection failures.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NameError(String);

impl Names {
    /// The configuration is read at first use: whoever speaks to addresses only needs none.
    fn resolver(&self) -> Result<TokioResolver, NameError> {
        if let Some(resolver) = self.resolver.get() {
            return Ok(resolver.clone());
        }
        let built = TokioResolver::builder_tokio()
            .map_err(|error| NameError(format!("cannot read the name servers from /etc/resolv.conf: {error}")))?
            .build();
        Ok(self.resolver.get_or_init(|| built).clone())
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.resolver();
        Box::pin(async move {
            let found = resolver?.lookup_ip(name.as_str()).await.map_err(|error| NameError(error.to_string()))?;
            let addresses: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
