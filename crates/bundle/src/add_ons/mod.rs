//! Add-ons: what most clusters want beside Kubernetes itself, with manifests of our own and the images of one reviewed table.
//!
//! An add-on's manifests travel as `add-ons/NAME.yaml` among the manifests of the bundle, its image among the images: at the site it is
//! brought by an app, as any other manifest is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use semver::Version;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::components::is_version;
use crate::names::KubernetesVersion;
use crate::reference::Reference;

const TABLE: &str = include_str!("table.toml");

/// The manifests, with `${image}` where the image stands.
const MANIFESTS: [(&str, &str); 3] = [
    ("local-path-provisioner", include_str!("local-path-provisioner.yaml")),
    ("metrics-server", include_str!("metrics-server.yaml")),
    ("traefik", include_str!("traefik.yaml")),
];
const NAMES: [&str; 3] = [MANIFESTS[0].0, MANIFESTS[1].0, MANIFESTS[2].0];
const IMAGE: &str = "${image}";

/// An add-on that a bundle spec wants (`spec.kubernetes.addOns[]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddOnSpec {
    /// `metrics-server`, `local-path-provisioner` or `traefik`.
    #[serde(deserialize_with = "known")]
    pub name: String,
    /// Its version, like `v0.9.0`, in place of the one in the reviewed table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Told where it stands, with the nearest name that there is.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if NAMES.contains(&name.as_str()) { Ok(name) } else { Err(D::Error::unknown_variant(&name, &NAMES)) }
}

/// An add-on as it is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOn {
    /// Its name.
    pub name: String,
    /// Its version, with the `v`.
    pub version: String,
    /// The image that its manifests name.
    pub image: Reference,
    /// Its manifests: YAML of several documents.
    pub manifests: String,
}

impl AddOn {
    /// The path that its manifests have among those of the bundle.
    pub fn path(&self) -> String {
        format!("add-ons/{}.yaml", self.name)
    }
}

/// Why an add-on cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum AddOnsError {
    /// The table that is built in cannot be read, or names what is not there: a mistake of ours.
    #[error("the built-in table of add-ons is broken: {0}")]
    Table(String),
    /// A name that the table does not have.
    #[error("there is no add-on {name:?}, only {}", .known.join(", "))]
    Unknown {
        /// As written.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The same name twice.
    #[error("the add-on {0} is named twice")]
    Twice(String),
    /// A version that is not written `v1.2.3`.
    #[error("{version:?} is not a version of the add-on {name}, which is written like v1.2.3")]
    Version {
        /// The add-on.
        name: String,
        /// As written.
        version: String,
    },
    /// The manifests are not for a version so new.
    #[error("the add-on {name} is brought in versions below {below}, and not in {version}")]
    TooNew {
        /// The add-on.
        name: String,
        /// As written.
        version: String,
        /// The first that is refused.
        below: String,
    },
    /// It was not reviewed beside this Kubernetes.
    #[error("the add-on {name} runs beside Kubernetes {}, and not beside {version}", .minors.join(", "))]
    Beside {
        /// The add-on.
        name: String,
        /// The version of Kubernetes that the bundle carries, too.
        version: KubernetesVersion,
        /// The minors beside which it runs.
        minors: Vec<String>,
    },
}

impl AddOnsError {
    /// `SPEC`, unless the mistake is ours.
    pub fn code(&self) -> Option<sealock_trust::reason::Code> {
        (!matches!(self, Self::Table(_))).then_some(sealock_trust::reason::Code::Spec)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    image: String,
    version: String,
    minors: Vec<String>,
    /// The first version that the manifests are not for.
    below: Option<Version>,
}

/// The reviewed table.
#[derive(Clone, Debug)]
pub struct AddOnTable(BTreeMap<String, Entry>);

impl AddOnTable {
    /// The table that this build carries.
    ///
    /// # Errors
    /// [`AddOnsError::Table`], which a test of this crate rules out.
    pub fn built_in() -> Result<Self, AddOnsError> {
        toml::from_str(TABLE).map(Self).map_err(|error| AddOnsError::Table(error.to_string()))
    }

    /// The add-ons that `wanted` names, in its order, for clusters of `versions`.
    ///
    /// # Errors
    /// A name that is unknown or stands twice, a version that has not the form `v1.2.3`, or a Kubernetes beside which one does not run.
    pub fn add_ons(&self, wanted: &[AddOnSpec], versions: &[KubernetesVersion]) -> Result<Vec<AddOn>, AddOnsError> {
        for (n, one) in wanted.iter().enumerate() {
            if wanted[..n].iter().any(|earlier| earlier.name == one.name) {
                return Err(AddOnsError::Twice(one.name.clone()));
            }
        }
        wanted.iter().map(|one| self.add_on(one, versions)).collect()
    }

    fn add_on(&self, wanted: &AddOnSpec, versions: &[KubernetesVersion]) -> Result<AddOn, AddOnsError> {
        let AddOnSpec { name, version } = wanted;
        let entry = self.0.get(name).ok_or_else(|| {
            let known = self.0.keys().cloned().collect();
            AddOnsError::Unknown { name: name.clone(), known }
        })?;
        let refused = versions.iter().find(|version| !entry.minors.iter().any(|minor| minor == version.minor_line()));
        if let Some(version) = refused {
            let minors = entry.minors.clone();
            return Err(AddOnsError::Beside { name: name.clone(), version: version.clone(), minors });
        }
        let version = version.as_ref().unwrap_or(&entry.version);
        if !is_version(version) {
            return Err(AddOnsError::Version { name: name.clone(), version: version.clone() });
        }
        if let Some(below) = entry.below.as_ref().filter(|below| is_from(version, below)) {
            return Err(AddOnsError::TooNew {
                name: name.clone(),
                version: version.clone(),
                below: format!("v{below}"),
            });
        }
        let image = format!("{}:{version}", entry.image);
        let broken = |what: &str| AddOnsError::Table(format!("{name}: {what}"));
        let (_, manifests) =
            MANIFESTS.iter().find(|(of, _)| of == name).ok_or_else(|| broken("it has no manifests"))?;
        Ok(AddOn {
            name: name.clone(),
            version: version.clone(),
            manifests: manifests.replace(IMAGE, &image),
            image: image.parse().map_err(|_| broken(&format!("{image} is no reference")))?,
        })
    }
}

/// Whether `version`, written like `v1.2.3`, is not surely older than `below`.
fn is_from(version: &str, below: &Version) -> bool {
    !Version::parse(version.trim_start_matches('v')).is_ok_and(|version| version < *below)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::workload;

    fn wanted(name: &str, version: Option<&str>) -> AddOnSpec {
        AddOnSpec { name: name.into(), version: version.map(Into::into) }
    }

    fn named(object: &Value) -> Vec<String> {
        workload::images(object).into_iter().map(|image| image.text.to_owned()).collect()
    }

    fn chosen(wanted: &[AddOnSpec], kubernetes: &str) -> Result<Vec<AddOn>, AddOnsError> {
        AddOnTable::built_in().unwrap().add_ons(wanted, &[kubernetes.parse().unwrap()])
    }

    #[test]
    fn each_add_on_has_manifests_that_name_its_image_and_no_other() {
        let table = AddOnTable::built_in().unwrap();
        let all: Vec<AddOnSpec> = table.0.keys().map(|name| wanted(name, None)).collect();
        assert_eq!(all.len(), MANIFESTS.len());
        for minor in crate::components::ComponentTable::built_in().unwrap().minors() {
            for add_on in chosen(&all, &format!("{minor}.1")).unwrap() {
                assert!(!add_on.manifests.contains("${"), "{}", add_on.name);
                let objects =
                    add_on.manifests.split("\n---\n").map(|one| serde_saphyr::from_str::<Value>(one).unwrap());
                let named: Vec<String> = objects.flat_map(|object| named(&object)).collect();
                assert_eq!(named, [add_on.image.to_string()], "{}", add_on.name);
            }
        }
    }

    #[test]
    fn a_mistyped_name_is_told_where_it_stands() {
        let load = |name: &str| {
            let text = format!(
                "apiVersion: sealock/v1alpha1\nkind: Bundle\nmetadata: {{name: plant-7, stream: base}}\nspec:\n  audience: {{sites: [plant-7]}}\n  \
                 platforms: [linux/amd64]\n  kubernetes:\n    versions: [v1.36.3]\n    addOns:\n      - name: {name}\n"
            );
            crate::document::load_document::<crate::spec::Bundle>(std::path::Path::new("sealock.yaml"), &text)
        };
        load("metrics-server").unwrap();
        let error = load("metrics-sever").unwrap_err().to_string();
        assert_eq!(error, r#"sealock.yaml:10:9: unknown value "metrics-sever", did you mean "metrics-server"?"#);
    }

    #[test]
    fn another_version_stands_in_the_manifests() {
        let [add_on] = &chosen(&[wanted("traefik", Some("v3.8.0"))], "v1.36.3").unwrap()[..] else { panic!() };
        assert_eq!(add_on.image.to_string(), "docker.io/library/traefik:v3.8.0");
        assert!(add_on.manifests.contains("image: docker.io/library/traefik:v3.8.0\n"));
        assert_eq!(add_on.path(), "add-ons/traefik.yaml");
    }

    #[test]
    fn what_the_table_does_not_have_is_refused() {
        let refused = |name: &str, version: Option<&str>, kubernetes: &str| {
            chosen(&[wanted(name, version)], kubernetes).unwrap_err().to_string()
        };
        insta::assert_snapshot!(refused("ingress-nginx", None, "v1.36.3"), @r#"there is no add-on "ingress-nginx", only local-path-provisioner, metrics-server, traefik"#);
        insta::assert_snapshot!(refused("traefik", Some("latest"), "v1.36.3"), @r#""latest" is not a version of the add-on traefik, which is written like v1.2.3"#);
        insta::assert_snapshot!(refused("local-path-provisioner", Some("v0.0.37"), "v1.36.3"), @"the add-on local-path-provisioner is brought in versions below v0.0.37, and not in v0.0.37");
        insta::assert_snapshot!(refused("traefik", None, "v1.30.1"), @"the add-on traefik runs beside Kubernetes v1.35, v1.36, v1.37, and not beside v1.30.1");
        let twice = chosen(&[wanted("traefik", None), wanted("traefik", Some("v3.8.0"))], "v1.36.3").unwrap_err();
        insta::assert_snapshot!(twice, @"the add-on traefik is named twice");
    }
}
