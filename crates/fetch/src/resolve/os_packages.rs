//! Sets of OS packages: what archives offer, checked by their signatures and sums, and what of it is carried.

mod archive;
mod carry;

use std::collections::BTreeSet;
use std::path::PathBuf;

use sealock_bundle::os_packages::{self, REPOSITORY};
use sealock_bundle::spec::OsPackageSet;

use super::Context;
use super::draft::Draft;
use crate::error::FetchError;
use crate::progress::Event;
use crate::signature::rule_file;
use crate::source::apt::{AptError, Archive, Installed, Offered, Pool, Wanted, choose};
use archive::Known;
use carry::Chosen;

/// A list of everything that a host has is a few hundred kilobytes.
const LIST_LIMIT: u64 = 16 << 20;

/// Adds every set of the spec, for every platform.
pub(super) async fn gather(context: Context<'_>, draft: &mut Draft) -> Result<(), FetchError> {
    let sets = &context.request.bundle.spec.os_packages;
    let mut names = BTreeSet::new();
    for set in sets {
        if !names.insert(&set.name) {
            return Err(spec(format!("the set of OS packages {} stands in the spec twice", set.name)));
        }
        check(set)?;
        context.phase(&format!("resolving the OS packages of {}", set.name));
        add(context, set, draft).await?;
    }
    Ok(())
}

fn spec(reason: String) -> FetchError {
    AptError::Spec { reason }.into()
}

/// Whether the set asks for something.
fn check(set: &OsPackageSet) -> Result<(), FetchError> {
    if set.apt.is_empty() {
        return Err(spec(format!("the set of OS packages {} has no archive under apt", set.name)));
    }
    if set.packages.is_empty() && set.installed.is_empty() {
        let reason = format!("the set of OS packages {} wants nothing: neither packages nor installed", set.name);
        return Err(spec(reason));
    }
    match set.apt.iter().find_map(|archive| Archive(archive).problem()) {
        Some(problem) => Err(spec(format!("the set of OS packages {}: {problem}", set.name))),
        None => Ok(()),
    }
}

async fn add(context: Context<'_>, set: &OsPackageSet, draft: &mut Draft) -> Result<(), FetchError> {
    let mut archives = Vec::new();
    for archive in &set.apt {
        let known = Known::fetch(context, Archive(archive), progress(context, set, Archive(archive))).await?;
        draft.annotations.insert(annotation(set, known.archive), known.release.date.to_string());
        archives.push(known);
    }
    for platform in &context.request.bundle.spec.platforms {
        let architecture = os_packages::architecture(platform);
        let none = || spec(format!("OS packages are carried for Linux, and {platform} has no name among them"));
        add_for(context, (set, architecture.ok_or_else(none)?), &archives, draft).await?;
    }
    Ok(())
}

/// Under which name the lock says how far the archive had come.
fn annotation(set: &OsPackageSet, archive: Archive<'_>) -> String {
    format!("{REPOSITORY}/{} {}", set.name, archive.label())
}

/// How far the archive had come when the lock was made that is there.
fn progress(context: Context<'_>, set: &OsPackageSet, archive: Archive<'_>) -> Option<jiff::Timestamp> {
    context.request.annotations.get(&annotation(set, archive))?.parse().ok()
}

async fn add_for(
    context: Context<'_>,
    (set, architecture): (&OsPackageSet, &str),
    archives: &[Known<'_>],
    draft: &mut Draft,
) -> Result<(), FetchError> {
    let mut offered = Vec::new();
    for (at, known) in archives.iter().enumerate() {
        let packages = known.packages(context, architecture).await?;
        offered.extend(packages.into_iter().map(|package| Offered {
            package,
            archive: at,
            spread: known.release.spread,
        }));
    }
    let installed = installed(context, set, architecture)?;
    let pool = Pool::new(&offered, architecture);
    let name = set.name.to_string();
    let wanted = Wanted { set: &name, architecture, packages: &set.packages, installed: &installed };
    let places = choose(&pool, wanted)?;
    let chosen: Vec<&Offered> = places.into_iter().filter_map(|at| pool.get(at)).collect();
    Chosen { set, architecture, archives, packages: &chosen }.carry(context, draft)
}

fn installed(context: Context<'_>, set: &OsPackageSet, architecture: &str) -> Result<Vec<Installed>, FetchError> {
    let read = |path: &PathBuf| {
        let file = context.request.folder.join(path);
        let bytes = rule_file::read(&file, "read the list of installed packages", LIST_LIMIT)?;
        let list = Installed::parse(path, &String::from_utf8_lossy(&bytes), architecture)?;
        if !list.odd().is_empty() {
            let odd = list.odd().join(", ");
            let note = format!("{}: versions that are none count as not installed: {odd}", path.display());
            context.http.progress.report(&Event::Note(&note));
        }
        Ok(list)
    };
    set.installed.iter().map(read).collect()
}
