//! JSON Schemas of this crate's kinds, from which editors complete and check.

use schemars::Schema;
use sealock_bundle::schema::of;

use crate::apps::AppDocument;
use crate::spec::ClusterDocument;

/// The JSON Schema (draft 2020-12) of each kind of this crate, with the name of its file: `cluster`, `app`.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![("cluster", of::<ClusterDocument>()), ("app", of::<AppDocument>())]
}
