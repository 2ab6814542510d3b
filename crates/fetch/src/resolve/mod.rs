//! Resolving: a bundle spec becomes a lock, in which everything is a digest.

mod add_ons;
mod beside;
mod charts;
mod components;
mod draft;
mod files;
mod gpg;
mod guesses;
mod images;
mod kubernetes;
mod manifests;
mod notation;
pub(crate) mod objects;
mod os_packages;
mod provenance;
mod sboms;
mod sealock;
mod secrets;
mod signature;
mod tool_cache;
mod tools;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use sealock_bundle::lock::{FORMAT, Lock};
use sealock_bundle::parameters::{self, Parameters};
use sealock_bundle::spec::{Bundle, Selection};
use sealock_bundle::summary;
use sealock_trust::Digest;

use crate::error::FetchError;
use crate::http::Http;
use crate::progress::{Event, Progress};
use crate::settings::Settings;
use draft::Draft;
use guesses::Guesses;
use wishes::Wishes;

/// What a lock is made from, besides what upstreams say.
#[derive(Clone, Debug)]
pub struct LockRequest {
    /// The spec.
    pub bundle: Bundle,
    /// The digest of the spec's file.
    pub spec: Digest,
    /// What was selected of the spec's components and variants; `bundle` is what is left of it.
    pub selection: Option<Selection>,
    /// The value of every parameter that the spec declares; in `bundle` they are filled in already.
    pub parameters: Parameters,
    /// The parameters that stand in the spec itself.
    pub used_parameters: BTreeSet<String>,
    /// The folder of that file: paths in the spec are relative to it.
    pub folder: PathBuf,
    /// The number of the bundle in its stream, from 1.
    pub sequence: u64,
    /// The digest of the manifest of the bundle before.
    pub previous: Option<Digest>,
    /// The annotations of the lock that is there, which say how far each archive of OS packages had come.
    pub annotations: BTreeMap<String, String>,
    /// The issue time.
    pub issued: Timestamp,
    /// How many publisher keys there are.
    pub publisher_keys: u32,
    /// What makes the lock, like `sealock 0.1.0`.
    pub tool: String,
    /// The folder below which SBOMs that are made are kept: that of the spec, or nowhere when nothing is to be written.
    pub keep: Option<PathBuf>,
}

/// What every part of the resolution needs.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) http: &'a Http,
    pub(crate) request: &'a LockRequest,
    /// Downloaded tools and charts; gone when the lock stands.
    pub(crate) work: &'a Path,
    /// Parameters that were met so far.
    pub(crate) used: &'a Mutex<BTreeSet<String>>,
}

impl Context<'_> {
    fn phase(&self, name: &str) {
        self.http.progress.report(&Event::Phase(name));
    }

    /// The text of the file `path` with its placeholders filled in; none where it has no placeholder, or the spec no
    /// parameters: then it is carried as it is.
    fn fill(&self, path: &Path, text: &str) -> Result<Option<String>, FetchError> {
        if self.request.parameters.is_empty() {
            return Ok(None);
        }
        let filled = parameters::fill(path, text, &self.request.parameters);
        let Some(filled) = filled.map_err(|source| FetchError::Parameters { source })? else { return Ok(None) };
        self.used.lock().unwrap_or_else(PoisonError::into_inner).extend(filled.used);
        Ok(Some(filled.text))
    }

    /// A parameter that stands nowhere does no harm, and is worth a look.
    fn tell_unused(&self) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for name in self.request.parameters.keys().filter(|name| !used.contains(*name)) {
            let note =
                format!("the parameter {name} stands nowhere: neither in the spec nor in a manifest or values file");
            self.http.progress.report(&Event::Note(&note));
        }
    }
}

/// Resolves a spec. The same spec, upstreams and times give the same lock.
///
/// # Errors
/// When an upstream fails, an image has no rule or breaks its rule, a chart does not render, a guess is undecided, a secret
/// is not accepted, or a local file cannot be read. Nothing is written but into a temporary folder that is gone afterwards, and SBOMs
/// where the request says so.
pub async fn resolve(request: &LockRequest, settings: &Settings, progress: &Progress) -> Result<Lock, FetchError> {
    let failed = |source| FetchError::io("make a folder in", &settings.scratch, source);
    // Programs are started from another folder, so their paths must not depend on this one.
    let scratch = std::path::absolute(&settings.scratch).map_err(failed)?;
    let work = tempfile::tempdir_in(scratch).map_err(failed)?;
    let http = Http::new(settings.clone(), progress.clone())?;
    settings.mirrors.values().filter(|mirror| mirror.scheme() == "http").for_each(|mirror| {
        let note =
            format!("the mirror {mirror} is not on https: what a tag stands for there can be changed on the way");
        progress.report(&Event::Note(&note));
    });
    let used = Mutex::new(request.used_parameters.clone());
    let context = Context { http: &http, request, work: work.path(), used: &used };
    let draft = gather(context).await?;
    context.tell_unused();
    let lock = lock_of(request, draft);
    summary::with_summary(&lock).map_err(|source| FetchError::Summary { source })
}

async fn gather(context: Context<'_>) -> Result<Draft, FetchError> {
    let mut draft = Draft::default();
    let mut wishes = Wishes::default();
    wishes.add_images_of_spec(&context.request.bundle.spec);
    let mut guesses = Guesses::default();
    manifests::gather(context, &mut draft, &mut wishes, &mut guesses).await?;
    add_ons::gather(context, &mut draft, &mut wishes, &mut guesses)?;
    let components = components::gather(context, &mut draft).await?;
    kubernetes::gather(context, &components, &mut wishes).await?;
    charts::gather(context, &components, &mut draft, (&mut wishes, &mut guesses)).await?;
    guesses.settle(context, &mut wishes)?;
    files::gather(context, &mut draft).await?;
    sealock::gather(context, &mut draft)?;
    os_packages::gather(context, &mut draft).await?;
    images::gather(context, wishes.ruled(&context.request.bundle.spec)?, &mut draft).await?;
    Ok(draft)
}

fn lock_of(request: &LockRequest, draft: Draft) -> Lock {
    let Bundle { metadata, spec, .. } = &request.bundle;
    let (references, blobs, annotations) = draft.into_parts();
    let mut platforms = spec.platforms.clone();
    platforms.sort();
    platforms.dedup();
    let mut lock = Lock {
        format: FORMAT.to_owned(),
        name: metadata.name.clone(),
        stream: metadata.stream.clone(),
        sequence: request.sequence,
        previous: request.previous.clone(),
        issued: request.issued,
        soft_expiry: spec.validity.soft.after(request.issued),
        expires: spec.validity.hard.after(request.issued),
        audience: spec.audience.clone(),
        platforms,
        publisher_keys: request.publisher_keys,
        delegations: None,
        spec: request.spec.clone(),
        selection: request.selection.clone(),
        parameters: request.parameters.clone(),
        tool: request.tool.clone(),
        references,
        blobs,
        annotations,
    };
    lock.sort();
    lock
}
