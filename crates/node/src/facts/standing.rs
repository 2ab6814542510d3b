//! What stands on a prepared machine, and where it is not any more what Sealock left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FactsError, Kubernetes, cluster};
use crate::changes::{Changes, Subject};
use crate::host::{self, Entry, Host};
pub use crate::step::images::HeldImage;
use crate::step::{UnitState, damaged_components, images};

/// Units without which a machine is no node.
const UNITS: [&str; 2] = ["containerd.service", "kubelet.service"];

/// What stands on a prepared machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// By name.
    pub units: BTreeMap<String, UnitFact>,
    /// What containerd holds; absent where it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<HeldImage>>,
    /// Where something is not what Sealock left, in words.
    pub differences: Vec<String>,
}

/// A unit as systemd sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnitFact {
    /// Whether it runs.
    pub active: bool,
    /// Whether it is started with the machine.
    pub enabled: bool,
}

/// Looks at what Sealock left on `host`, and changes nothing.
///
/// # Errors
/// The host refuses.
pub fn standing(host: &dyn Host) -> Result<Standing, FactsError> {
    let mut differences = differences(host)?;
    let mut units = BTreeMap::new();
    for name in UNITS {
        let state = UnitState::of(host, name)?;
        units.insert(name.to_owned(), UnitFact { active: state.active, enabled: state.enabled });
    }
    let images = images::held(host)?;
    for image in images.iter().flatten().filter(|image| !image.complete) {
        differences.push(format!("image {} is not complete", image.name));
    }
    Ok(Standing { units, images, differences })
}

/// Where files, programs and units are not what Sealock left, in words; images are not looked at.
pub(crate) fn differences(host: &dyn Host) -> Result<Vec<String>, FactsError> {
    let changes = Changes::load(host)?;
    let is_ours = |name: &str| changes.find(&Subject::Unit { name: name.to_owned() }).is_some();
    let joined = matches!(cluster::observe(host)?, Kubernetes::Sealock(node) if node.joined);
    let mut differences = differing_files(host, &changes)?;
    differences.extend(damaged_components(host, &changes)?);
    for name in UNITS {
        let state = UnitState::of(host, name)?;
        // kubelet has nothing to do before kubeadm has configured it.
        let is_needed = is_ours(name) && (name != "kubelet.service" || joined);
        if is_needed && !state.active {
            differences.push(format!("{name} does not run"));
        }
        if is_ours(name) && !state.enabled {
            differences.push(format!("{name} is not started with the machine"));
        }
    }
    Ok(differences)
}

fn differing_files(host: &dyn Host, changes: &Changes) -> Result<Vec<String>, FactsError> {
    let mut found = Vec::new();
    for change in changes.iter() {
        let (Subject::File { path }, Some(written)) = (&change.subject, change.written.last()) else { continue };
        match host.inspect(path)? {
            Entry::File { .. } if host::digest(host, path)? == *written => {}
            Entry::File { .. } => found.push(format!("{path} was changed")),
            _ => found.push(format!("{path} is not there")),
        }
    }
    Ok(found)
}
