//! Components and variants: one spec for several sites. Selecting makes a spec without them, and everything after that
//! knows nothing of the choice but what the lock records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bundle::{Audience, Bundle, BundleSpec, ChartSpec, FileSpec, ImageSpec};
use super::os_packages::OsPackageSet;
use crate::names::Platform;
use crate::parameters::ParameterValue;

/// Things that are carried together, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentSpec {
    /// What it is called, in variants and on the command line.
    pub name: String,
    /// Whether it is carried only where a variant or `--with` names it; it is always carried, when left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// As `images` of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageSpec>,
    /// As `charts` of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<ChartSpec>,
    /// As `manifests` of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<PathBuf>,
    /// As `files` of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSpec>,
    /// As `osPackages` of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub os_packages: Vec<OsPackageSet>,
}

/// What is different for some sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VariantSpec {
    /// The optional components that are carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The platforms, in place of the spec's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Vec<Platform>>,
    /// The audience, in place of the spec's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Values of parameters, in place of their defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterValue>,
}

/// What a person chooses for one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The variant.
    pub variant: Option<String>,
    /// Optional components to carry as well.
    pub with: Vec<String>,
    /// Optional components of the variant to leave out.
    pub without: Vec<String>,
}

/// What was chosen, for the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Selection {
    /// The variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The components that are carried, the ones that always are included. Sorted.
    pub components: BTreeSet<String>,
}

/// Why a choice cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The spec contradicts itself, whatever is chosen.
    #[error("{0}")]
    Spec(String),
    /// The choice names what the spec does not have.
    #[error("the spec has no {what} {name:?}{}", known_names(known))]
    Unknown {
        /// `variant` or `component`.
        what: &'static str,
        /// The name.
        name: String,
        /// What it has.
        known: Vec<String>,
    },
    /// A component that is always carried was chosen, or was to be left out.
    #[error("the component {0:?} is not optional: it is always carried")]
    NotOptional(String),
    /// A component was chosen and left out at once.
    #[error("the component {0:?} cannot be both with and without")]
    Both(String),
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(", known are {}", known.join(", ")) }
}

impl Bundle {
    /// The bundle with what `choice` selects, and nothing left to select; none is recorded where the spec offers no choice.
    ///
    /// # Errors
    /// When the spec's variants and components do not fit each other, or the choice does not fit the spec.
    pub fn select(&self, choice: &Choice) -> Result<(Self, Option<Selection>), SelectError> {
        let optional = optional(&self.spec)?;
        check_variants(&self.spec, &optional)?;
        let variant = choice.variant.as_ref().map(|name| variant(&self.spec, name)).transpose()?;
        let chosen = chosen(choice, variant, &optional)?;
        let mut bundle = self.clone();
        let spec = &mut bundle.spec;
        spec.variants = BTreeMap::new();
        spec.parameters = BTreeMap::new();
        let offered = std::mem::take(&mut spec.components);
        let offers = !offered.is_empty() || !self.spec.variants.is_empty();
        let mut components = BTreeSet::new();
        for component in offered.into_iter().filter(|component| !component.optional || chosen.contains(&component.name))
        {
            spec.images.extend(component.images);
            spec.charts.extend(component.charts);
            spec.manifests.extend(component.manifests);
            spec.files.extend(component.files);
            spec.os_packages.extend(component.os_packages);
            components.insert(component.name);
        }
        if let Some(variant) = variant {
            variant.platforms.iter().for_each(|platforms| spec.platforms.clone_from(platforms));
            variant.audience.iter().for_each(|audience| spec.audience.clone_from(audience));
        }
        let selection = Selection { variant: choice.variant.clone(), components };
        Ok((bundle, offers.then_some(selection)))
    }
}

/// Whether each component is optional, by its name.
fn optional(spec: &BundleSpec) -> Result<BTreeMap<&str, bool>, SelectError> {
    let mut optional = BTreeMap::new();
    for component in &spec.components {
        if component.name.trim().is_empty() {
            return Err(SelectError::Spec("a component has no name".to_owned()));
        }
        if optional.insert(component.name.as_str(), component.optional).is_some() {
            return Err(SelectError::Spec(format!("two components are called {:?}", component.name)));
        }
    }
    Ok(optional)
}

fn check_variants(spec: &BundleSpec, optional: &BTreeMap<&str, bool>) -> Result<(), SelectError> {
    for (name, variant) in &spec.variants {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(legal) {
            return Err(SelectError::Spec(format!("variant {name:?}: a name is letters, digits, '-', '_' and '.'")));
        }
        for component in &variant.components {
            check_optional(component, optional)
                .map_err(|error| SelectError::Spec(format!("variant {name:?}: {error}")))?;
        }
    }
    Ok(())
}

fn check_optional(name: &str, optional: &BTreeMap<&str, bool>) -> Result<(), SelectError> {
    match optional.get(name) {
        Some(true) => Ok(()),
        Some(false) => Err(SelectError::NotOptional(name.to_owned())),
        None => {
            let known = optional.keys().map(|name| (*name).to_owned()).collect();
            Err(SelectError::Unknown { what: "component", name: name.to_owned(), known })
        }
    }
}

fn variant<'a>(spec: &'a BundleSpec, name: &str) -> Result<&'a VariantSpec, SelectError> {
    let known = || spec.variants.keys().cloned().collect();
    let unknown = || SelectError::Unknown { what: "variant", name: name.to_owned(), known: known() };
    spec.variants.get(name).ok_or_else(unknown)
}

fn chosen(
    choice: &Choice,
    variant: Option<&VariantSpec>,
    optional: &BTreeMap<&str, bool>,
) -> Result<BTreeSet<String>, SelectError> {
    choice.with.iter().chain(&choice.without).try_for_each(|name| check_optional(name, optional))?;
    if let Some(both) = choice.with.iter().find(|name| choice.without.contains(name)) {
        return Err(SelectError::Both(both.clone()));
    }
    let mut chosen: BTreeSet<String> =
        variant.map(|variant| variant.components.iter().cloned().collect()).unwrap_or_default();
    chosen.extend(choice.with.iter().cloned());
    chosen.retain(|name| !choice.without.contains(name));
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::document::load_document;

    const SPEC: &str = "apiVersion: sealock/v1alpha1
kind: Bundle
metadata: {name: plants, stream: base}
spec:
  audience: {sites: [plant-7]}
  manifests: [base/]
  components:
    - {name: network, manifests: [network/]}
    - {name: monitoring, optional: true, manifests: [monitoring/]}
    - {name: ml, optional: true, manifests: [ml/]}
  variants:
    plant-7: {components: [monitoring]}
    plant-8: {components: [monitoring, ml], platforms: [linux/arm64], audience: {sites: [plant-8]}}
";

    fn select(text: &str, variant: &str, with: &[&str], without: &[&str]) -> Result<String, String> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let variant = (!variant.is_empty()).then(|| variant.to_owned());
        let choice = Choice { variant, with: names(with), without: names(without) };
        let bundle: Bundle = load_document(Path::new("sealock.yaml"), text).map_err(|error| error.to_string())?;
        let (bundle, selection) = bundle.select(&choice).map_err(|error| error.to_string())?;
        let spec = bundle.spec;
        assert!(spec.components.is_empty() && spec.variants.is_empty());
        let platforms: Vec<String> = spec.platforms.iter().map(ToString::to_string).collect();
        let components = selection.map(|selection| Vec::from_iter(selection.components).join(" "));
        let sites: Vec<String> = spec.audience.sites.iter().map(ToString::to_string).collect();
        Ok(format!("{:?} {:?} {platforms:?} {sites:?}", components.unwrap_or_default(), spec.manifests))
    }

    #[test]
    fn a_choice_is_carried_and_nothing_else() {
        insta::assert_snapshot!(select(SPEC, "", &[], &[]).unwrap(), @r#""network" ["base/", "network/"] ["linux/amd64"] ["plant-7"]"#);
        insta::assert_snapshot!(select(SPEC, "plant-8", &[], &["monitoring"]).unwrap(), @r#""ml network" ["base/", "network/", "ml/"] ["linux/arm64"] ["plant-8"]"#);
        insta::assert_snapshot!(select(SPEC, "plant-7", &["ml"], &[]).unwrap(), @r#""ml monitoring network" ["base/", "network/", "monitoring/", "ml/"] ["linux/amd64"] ["plant-7"]"#);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let error =
            |text: &str, variant, with: &[&str], without: &[&str]| select(text, variant, with, without).unwrap_err();
        insta::assert_snapshot!(error(SPEC, "plant-9", &[], &[]), @r#"the spec has no variant "plant-9", known are plant-7, plant-8"#);
        insta::assert_snapshot!(error(SPEC, "", &["mm"], &[]), @r#"the spec has no component "mm", known are ml, monitoring, network"#);
        insta::assert_snapshot!(error(SPEC, "", &[], &["network"]), @r#"the component "network" is not optional: it is always carried"#);
        insta::assert_snapshot!(error(SPEC, "", &["ml"], &["ml"]), @r#"the component "ml" cannot be both with and without"#);
        insta::assert_snapshot!(error(&SPEC.replace("{components: [monitoring]}", "{components: [monitor]}"), "", &[], &[]), @r#"variant "plant-7": the spec has no component "monitor", known are ml, monitoring, network"#);
        insta::assert_snapshot!(error(&SPEC.replace("name: ml", "name: network"), "", &[], &[]), @r#"two components are called "network""#);
    }
}
