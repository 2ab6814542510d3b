//! `sealock site show`

use sealock_cluster::backup::evidence::{Standing, Whose};
use sealock_trust::Digest;
use sealock_trust::site::{Registry, SiteRoot};
use serde::Serialize;

use crate::commands::backup_age;
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

/// A site, and how its backups stand.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    description: &'a Description,
    backups: &'a Standing,
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
        facts(self.facts())
    }

    fn facts(&self) -> [(&'static str, String); 7] {
        let classification = self.classification.clone().unwrap_or_else(|| "none".into());
        [
            ("site", self.id.clone()),
            ("root", format!("version {}, {}", self.version, self.fingerprint)),
            ("classification", classification),
            ("registry", format!("{} at {}", self.registry.name, self.registry.address)),
            ("root keys", self.root_keys.join(" ")),
            ("site keys", self.site_keys.join(" ")),
            ("release", self.release.map_or_else(|| "none yet".into(), |number| number.to_string())),
        ]
    }
}

pub fn run(_args: &ShowArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let release = station.store.current_release(station.site.site_keys())?;
    let description = Description::new(&station.site, release.map(|published| published.release.number));
    let standing = backup_age::standing(Whose::Station, &station, context)?;
    let described = facts(description.facts().into_iter().chain(backup_age::text(&standing)));
    context.ui.result(&Shown { description: &description, backups: &standing }, described)?;
    // A station that has served nothing yet has nothing to lose.
    if description.release.is_some() {
        backup_age::warn(("the station", "sealock site backup"), &standing, context);
    }
    Ok(())
}
