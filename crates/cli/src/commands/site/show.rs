//! `sealock site show`

use sealock_trust::Digest;
use sealock_trust::site::{Registry, SiteRoot};
use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::ui::facts;

/// Show the site: its id, fingerprint, keys and registry
#[derive(Debug, clap::Args)]
pub struct ShowArgs {}

/// What the site root says.
#[derive(Serialize)]
pub struct Description {
    id: String,
    version: u64,
    /// SHA-256 of the site root's file.
    fingerprint: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<String>,
    registry: Registry,
    root_keys: Vec<String>,
    site_keys: Vec<String>,
    release: Option<u64>,
}

impl Description {
    pub fn new(site: &SiteRoot, release: Option<u64>) -> Self {
        let ids = |keys: &sealock_trust::KeySet| keys.keys().keys().map(ToString::to_string).collect();
        Self {
            id: site.id().to_string(),
            version: site.version(),
            fingerprint: site.fingerprint(),
            classification: site.classification().map(str::to_owned),
            registry: site.registry().clone(),
            root_keys: ids(site.root_keys()),
            site_keys: ids(site.site_keys()),
            release,
        }
    }

    pub fn text(&self) -> String {
        let classification = self.classification.clone().unwrap_or_else(|| "none".into());
        facts([
            ("site", self.id.clone()),
            ("root", format!("version {}, {}", self.version, self.fingerprint)),
            ("classification", classification),
            ("registry", format!("{} at {}", self.registry.name, self.registry.address)),
            ("root keys", self.root_keys.join(" ")),
            ("site keys", self.site_keys.join(" ")),
            ("release", self.release.map_or_else(|| "none yet".into(), |number| number.to_string())),
        ])
    }
}

pub fn run(_args: &ShowArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let release = station.store.current_release(station.site.site_keys())?;
    let description = Description::new(&station.site, release.map(|published| published.release.number));
    context.ui.result(&description, description.text())
}
