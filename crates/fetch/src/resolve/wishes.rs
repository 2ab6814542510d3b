//! The images that are wanted, by whom, and under which rule each may come.

use std::collections::{BTreeMap, BTreeSet};

use sealock_bundle::spec::{BundleSpec, VerifyRule, rule_for};
use sealock_bundle::{ArtifactName, Reference};

use crate::error::{FetchError, Unruled};

/// Who wants which image.
#[derive(Debug, Default)]
pub(crate) struct Wishes(BTreeMap<Reference, BTreeSet<String>>);

/// A wanted image and the rule it is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) reference: Reference,
    pub(crate) requested_by: Vec<String>,
    pub(crate) rule: VerifyRule,
}

impl Wishes {
    /// `by` wants `reference`.
    pub(crate) fn add(&mut self, reference: Reference, by: String) {
        self.0.entry(reference).or_default().insert(by);
    }

    /// Whatever `other` wants as well.
    pub(crate) fn extend(&mut self, other: Self) {
        for (reference, by) in other.0 {
            self.0.entry(reference).or_default().extend(by);
        }
    }

    /// Whether `image` is wanted, under whichever digest.
    pub(crate) fn holds(&self, image: &Reference) -> bool {
        self.0.keys().any(|wanted| ArtifactName::from(wanted) == ArtifactName::from(image))
    }

    /// Whether `image` is wanted, or the same tag of it from another registry.
    pub(crate) fn shows(&self, image: &Reference) -> bool {
        self.0.keys().any(|wanted| is_same(wanted, image))
    }

    /// The images that the spec names itself.
    pub(crate) fn add_images_of_spec(&mut self, spec: &BundleSpec) {
        for image in &spec.images {
            self.add(image.reference.clone(), "spec.images".to_owned());
        }
    }

    /// Each wish with its rule: that of the same image in the spec, else the narrowest that covers its name. Those that no
    /// rule covers are named all at once.
    pub(crate) fn ruled(self, spec: &BundleSpec) -> Result<Vec<Wish>, FetchError> {
        let own: BTreeMap<&Reference, &VerifyRule> =
            spec.images.iter().filter_map(|image| Some((&image.reference, image.verify.as_ref()?))).collect();
        let mut wishes = Vec::new();
        let mut without = Vec::new();
        for (reference, requested_by) in self.0 {
            let requested_by: Vec<String> = requested_by.into_iter().collect();
            let name = reference.to_string();
            let rule = match own.get(&reference).copied() {
                Some(rule) => Some(rule),
                None => rule_for(&spec.verify, &name)
                    .map_err(|conflict| FetchError::RuleConflict { image: name.clone(), conflict })?,
            };
            match rule {
                Some(rule) => wishes.push(Wish { rule: rule.clone(), reference, requested_by }),
                None => without.push(Unruled { image: reference, requested_by }),
            }
        }
        if without.is_empty() { Ok(wishes) } else { Err(FetchError::NoRule { images: without }) }
    }
}

/// Whether two references differ in nothing but the registry, or the digest: values are often put together otherwise
/// than a template does it.
pub(super) fn is_same(a: &Reference, b: &Reference) -> bool {
    a.repository() == b.repository() && (a.tag() == b.tag() || (a.digest().is_some() && a.digest() == b.digest()))
}
