//! Where a member answers.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::error::EtcdError;

/// Where a member answers, like `https://10.0.0.1:2379`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub(super) text: String,
}

impl Endpoint {
    /// The endpoint as a URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_tls(&self) -> bool {
        self.text.starts_with("https://")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl FromStr for Endpoint {
    type Err = EtcdError;

    /// Reads `https://HOST:PORT`, or `HOST:PORT` for the same; `http` where somebody says so.
    fn from_str(text: &str) -> Result<Self, EtcdError> {
        let wrong = |problem| EtcdError::Endpoint { text: text.chars().take(200).collect(), problem };
        let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: tonic::codegen::http::Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return Err(wrong("it must begin with https:// or http://"));
        }
        if uri.host().is_none_or(str::is_empty) || uri.port_u16().is_none() {
            return Err(wrong("it must name a host and a port"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("nothing may follow the port"));
        }
        Ok(Self { text: url.trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port_and_tls_unless_somebody_says_otherwise() {
        let read =
            |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.text).map_err(|error| error.to_string());
        assert_eq!(read("10.0.0.1:2379").unwrap(), "https://10.0.0.1:2379");
        assert_eq!(read("https://[fd00::1]:2379/").unwrap(), "https://[fd00::1]:2379");
        assert_eq!(read("http://127.0.0.1:2379").unwrap(), "http://127.0.0.1:2379");
        for wrong in ["", "10.0.0.1", "ftp://10.0.0.1:1", "https://10.0.0.1:2379/v3", "https://:2379", "a b:1"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
