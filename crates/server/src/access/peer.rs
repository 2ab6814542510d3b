//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr};

use http::request::Parts;

/// The other end of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: IpAddr,
    /// The name in its certificate, if it showed one that the site believes.
    pub(crate) certificate: Option<Box<str>>,
}

impl Peer {
    /// The peer that the listener noted; nobody in particular where it noted none.
    pub(crate) fn of(head: &Parts) -> Self {
        let nobody = Self { address: Ipv4Addr::UNSPECIFIED.into(), certificate: None };
        head.extensions.get().cloned().unwrap_or(nobody)
    }

    /// What requests are counted by: one network of IPv6 counts as one address, for it has more than anybody could count.
    pub(crate) fn address(&self) -> String {
        match self.address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}
