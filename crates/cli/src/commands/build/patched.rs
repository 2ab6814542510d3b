//! A delta with patches: first everything that is new is fetched, then patches are made, then the bundle is put together.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::delta::{Making, Patches, Step};
use sealock_bundle::{Archive, Manifest};
use sealock_trust::Digest;

use super::Job;
use super::delta::Patching;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// Builds the delta at `job.to`, unless it is there; returns its manifest.
pub fn build(job: &Job, patching: &Patching, context: &Context) -> Result<Manifest> {
    if job.to.exists() {
        let found = Archive::open(&job.to)?.unverified_manifest()?;
        if found.without_patches() == job.manifest.without_patches() {
            context.ui.detail(format_args!("{} is built already, signing it", job.to.display()));
            return Ok(found);
        }
        return Err(super::other_bundle(job));
    }
    let (whole, folder) = (beside(&job.to, ".whole"), beside(&job.to, ".patches"));
    let is_fetched = Archive::open(&whole).is_ok_and(|archive| archive.manifest_digest() == job.digest);
    if !is_fetched {
        super::fetch(job, &whole, context)?;
    }
    let archive = Archive::open(&whole)?;
    let patches = make(&archive, patching, &folder, context)?;
    let manifest = patching.baseline.patched(job.manifest.clone(), patches.made().clone(), &patching.bases);
    let manifest = manifest.map_err(|error| CommandError::from(error).context("there is no delta"))?;
    if patches.is_empty() {
        fs::rename(&whole, &job.to)?;
    } else {
        patches.write(&archive, &job.to, &job.lock, &manifest)?;
        fs::remove_file(&whole)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(manifest)
}

fn make(whole: &Archive, patching: &Patching, folder: &Path, context: &Context) -> Result<Patches> {
    // Of a run that was cut off: patches are made anew, which takes less than telling which are whole.
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let held = patching.baseline.patch_bases(&patching.bases, patching.want.as_ref())?;
    let progress = context.ui.progress();
    let mut begun = false;
    let mut kept: Vec<(Digest, String)> = Vec::new();
    let patches = Making { whole, shelf: &patching.shelf, held, folder }.run(&mut |step| match step {
        Step::Done { done, total } => {
            if !begun {
                progress.begin("making patches", *total);
                begun = true;
            }
            progress.at(*done);
        }
        Step::Whole { layer, why } => kept.push((layer.clone(), why.clone())),
    });
    progress.end();
    for (layer, why) in kept {
        context.ui.detail(format_args!("{layer} is carried whole: {why}"));
    }
    Ok(patches?)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
