//! Everything that the archives of a set offer for one architecture.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sealock_bundle::os_packages::{Dependency, Packaged, Provided, Relation, Spread, Version, dependencies, provided};

use super::error::AptError;

/// Names that are provided in all archives at most: what is beyond is missing, and told as such.
const MAX_PROVIDED: usize = 1_000_000;

/// A package that an archive has.
#[derive(Debug)]
pub(crate) struct Offered {
    /// The package.
    pub(crate) package: Packaged,
    /// Which archive of the set, in the order of the spec.
    pub(crate) archive: usize,
    /// For whom that archive is.
    pub(crate) spread: Spread,
}

impl Offered {
    /// Name and version, for a person.
    pub(crate) fn called(&self) -> String {
        format!("{} {}", self.package.name, self.package.version)
    }
}

/// What is offered, by name and by what it provides. Numbers are places in the list that it was made of.
pub(crate) struct Pool<'a> {
    offered: &'a [Offered],
    architecture: &'a str,
    /// The newest version first; where two archives have the same, that of the first one alone.
    by_name: BTreeMap<&'a str, Vec<usize>>,
    /// Who provides a name, by their own names, the newest version first.
    providers: BTreeMap<String, Vec<(usize, Provided)>>,
}

impl<'a> Pool<'a> {
    /// Of all that is `offered` for `architecture`.
    pub(crate) fn new(offered: &'a [Offered], architecture: &'a str) -> Self {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, one) in offered.iter().enumerate() {
            by_name.entry(&one.package.name).or_default().push(at);
        }
        let at_rank = |at: &usize| offered.get(*at).map(|one| (Reverse(&one.package.version), one.spread, one.archive));
        let same = |a: &mut usize, b: &mut usize| {
            let version = |at: usize| offered.get(at).map(|one| &one.package.version);
            version(*a) == version(*b)
        };
        let mut pool = Self { offered, architecture, by_name, providers: BTreeMap::new() };
        for places in pool.by_name.values_mut() {
            places.sort_by(|a, b| at_rank(a).cmp(&at_rank(b)));
            places.dedup_by(same);
        }
        let mut count = 0;
        for &at in pool.by_name.values().flatten() {
            let field = offered.get(at).and_then(|one| one.package.field("Provides")).unwrap_or_default();
            // What cannot be read provides nothing: whoever needs it is told that it is missing.
            for provided in provided(field).unwrap_or_default() {
                count += 1;
                if count > MAX_PROVIDED {
                    return pool;
                }
                pool.providers.entry(provided.name.clone()).or_default().push((at, provided));
            }
        }
        pool
    }

    /// The package in this place.
    pub(crate) fn get(&self, at: usize) -> Option<&'a Offered> {
        self.offered.get(at)
    }

    /// The newest version of `name` that any archive has.
    pub(crate) fn newest(&self, name: &str) -> Option<usize> {
        self.by_name.get(name)?.first().copied()
    }

    /// The newest version of `name` that is meant for a host with `installed`: what archives have for those who ask is not.
    pub(crate) fn upgrade(&self, name: &str, installed: &Version) -> Option<usize> {
        let newest = |spread| {
            let mut places = self.by_name.get(name).into_iter().flatten();
            places
                .find_map(|at| self.get(*at).filter(|one| one.spread == spread).map(|one| (*at, &one.package.version)))
        };
        let of_all = newest(Spread::Automatic);
        // Newer than what is for everybody is what somebody has asked for.
        let was_asked_for = of_all.is_none_or(|(_, version)| version < installed);
        let later = newest(Spread::Upgrades).filter(|_| was_asked_for);
        of_all.into_iter().chain(later).find(|(_, version)| *version > installed).map(|(at, _)| at)
    }

    /// The packages that provide `name`.
    pub(crate) fn providers(&self, name: &str) -> Vec<String> {
        let providers = self.providers.get(name).into_iter().flatten();
        let mut names: Vec<String> =
            providers.filter_map(|(at, _)| Some(self.get(*at)?.package.name.clone())).collect();
        names.dedup();
        names
    }

    /// Who provides what `relation` asks for, and as what.
    pub(crate) fn providing<'p>(&'p self, relation: &'p Relation) -> impl Iterator<Item = (&'a Offered, &'p Provided)> {
        let providers = self.providers.get(&relation.name).into_iter().flatten();
        providers
            .filter(|(_, provided)| relation.is_met_by_provided(provided))
            .filter_map(|(at, provided)| Some((self.get(*at)?, provided)))
    }

    /// Everything that meets `relation`, the best first: the package of that name, the newest version first, and then those that
    /// provide it; and all of these from archives for everybody before those of other archives.
    pub(crate) fn meeting(&self, relation: &Relation) -> impl Iterator<Item = usize> + use<> {
        let is_here = relation.architecture.as_deref();
        let is_here = is_here.is_none_or(|of| ["any", "native", self.architecture].contains(&of));
        let named = self.by_name.get(relation.name.as_str()).into_iter().flatten().copied();
        let fits =
            |at: &usize| self.get(*at).is_some_and(|one| relation.is_met_by(&one.package.name, &one.package.version));
        let providers = self.providers.get(&relation.name).into_iter().flatten();
        let providers = providers.filter(|(_, provided)| relation.is_met_by_provided(provided)).map(|(at, _)| *at);
        let mut all: Vec<usize> = named.filter(fits).chain(providers).filter(|_| is_here).collect();
        all.sort_by_key(|at| self.get(*at).map(|one| one.spread));
        all.into_iter()
    }

    /// What the package in this place needs before and beside it.
    pub(crate) fn dependencies(&self, at: usize) -> Result<Vec<Dependency>, AptError> {
        let Some(one) = self.get(at) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for field in ["Pre-Depends", "Depends"].iter().filter_map(|name| one.package.field(name)) {
            let unreadable = |source| AptError::Dependencies { package: one.called(), source };
            all.extend(dependencies(field).map_err(unreadable)?);
        }
        Ok(all)
    }
}
