//! The configuration files of a node, written from the spec. Pure: the same spec gives the same bytes.

use serde_json::{Map, Value};

pub(crate) mod containerd;
pub(crate) mod kubeadm;
pub(crate) mod units;

/// A configuration that cannot be written in the format it needs.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {what}")]
pub struct RenderError {
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl RenderError {
    fn new(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
