//! Images: from a reference to every blob that is carried of it.

use futures_util::{StreamExt, TryStreamExt, stream};
use sealock_bundle::ArtifactName;
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind};
use sealock_bundle::names::Platform;
use sealock_bundle::sbom;
use sealock_bundle::spec::Sboms;
use sealock_trust::Digest;
use serde::Deserialize;

use super::Context;
use super::draft::Draft;
use super::sboms::{self, Bare};
use super::signature;
use super::wishes::Wish;
use crate::error::FetchError;
use crate::http::Expected;
use crate::progress::Event;
use crate::source::oci::{Content, Descriptor, Fetched, Repository};
use crate::upstream::Failure;

/// Media types of image configurations, which say what platform an image is for.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const CONFIG_LIMIT: u64 = 8 << 20;

/// Where BuildKit says which image an attestation manifest is about.
const ATTESTATION_OF: &str = "vnd.docker.reference.digest";

/// An image with everything that is carried of it.
pub(super) struct Tree {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) blobs: Vec<LockedBlob>,
}

impl Tree {
    /// The manifests below an index.
    fn platforms(&self) -> impl Iterator<Item = &Digest> {
        let below = self.blobs.iter().filter(|blob| blob.role == BlobRole::Manifest && blob.digest != self.digest);
        below.map(|blob| &blob.digest)
    }

    /// Layers that BuildKit's attestations inside an index may have put there.
    fn attestations(&self) -> impl Iterator<Item = &LockedBlob> {
        self.blobs.iter().filter(|blob| blob.role == BlobRole::Layer && sbom::is_media_type(&blob.media_type))
    }

    fn is_of_one_platform(&self) -> bool {
        self.blobs.iter().all(|blob| blob.role != BlobRole::Index)
    }
}

/// Resolves all wishes at once, and adds them in a fixed order.
pub(super) async fn gather(context: Context<'_>, wishes: Vec<Wish>, draft: &mut Draft) -> Result<(), FetchError> {
    context.phase("resolving images");
    let resolved: Vec<_> =
        stream::iter(wishes).map(|wish| resolve(context, wish)).buffered(context.http.parallel()).try_collect().await?;
    let mut bare = Vec::new();
    for image in resolved {
        image.references.into_iter().try_for_each(|reference| draft.reference(reference))?;
        draft.blobs(image.blobs);
        bare.extend(image.bare);
    }
    sboms::gather(context, &bare, draft).await
}

/// An image that was resolved, with what travels along.
struct Resolved {
    references: Vec<LockedReference>,
    blobs: Vec<LockedBlob>,
    /// Its platforms that need an SBOM.
    bare: Vec<Bare>,
}

async fn resolve(context: Context<'_>, wish: Wish) -> Result<Resolved, FetchError> {
    let because = |source: FetchError| FetchError::Image {
        image: wish.reference.to_string(),
        requested_by: wish.requested_by.clone(),
        source: Box::new(source),
    };
    let repository = repository(&wish);
    let tree = fetch(context, &repository, &wish.reference.tag_or_digest(), Fit::Platforms).await.map_err(because)?;
    let mut judged = signature::judge(context, &repository, &tree.digest, &wish.rule).await.map_err(because)?;
    let makes_sboms = context.request.bundle.spec.sboms == Sboms::Generate;
    let of_whole = tree.attestations().chain(&judged.blobs).cloned().collect::<Vec<_>>();
    let is_covered = !makes_sboms || sboms::has_one(context, &repository, &of_whole).await.map_err(because)?;
    let mut bare = Vec::new();
    for platform in tree.platforms() {
        let (references, blobs) = signature::along(context, &repository, platform).await.map_err(because)?;
        if !is_covered && !sboms::has_one(context, &repository, &blobs).await.map_err(because)? {
            bare.push(platform.clone());
        }
        judged.references.extend(references);
        judged.blobs.extend(blobs);
    }
    if !is_covered && tree.is_of_one_platform() {
        bare.push(tree.digest.clone());
    }
    let name = wish.reference.to_string();
    let bare = bare.into_iter().map(|digest| Bare { name: name.clone(), repository: repository.clone(), digest });
    let bare = bare.collect();
    let mut references = vec![LockedReference {
        name: ArtifactName::from(&wish.reference),
        kind: ReferenceKind::Image,
        digest: tree.digest,
        media_type: tree.media_type,
        platform: None,
        subject: None,
        source: wish.reference.to_string(),
        requested_by: wish.requested_by,
        verdict: judged.verdict,
    }];
    references.extend(judged.references);
    let blobs = tree.blobs.into_iter().chain(judged.blobs).collect();
    Ok(Resolved { references, blobs, bare })
}

fn repository(wish: &Wish) -> Repository {
    Repository { host: wish.reference.registry().to_owned(), path: wish.reference.repository().to_owned() }
}

/// Whether something must fit the platforms of the spec. Charts run nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Platforms,
    Anything,
}

/// Follows a tag or digest down to the blobs of the platforms wanted.
pub(super) async fn fetch(
    context: Context<'_>,
    repository: &Repository,
    reference: &str,
    fit: Fit,
) -> Result<Tree, FetchError> {
    let root = context.http.manifest(repository, reference).await?;
    let mut blobs = Vec::new();
    match &root.content {
        Content::Manifest { config, .. } => {
            if fit == Fit::Platforms {
                check_platform(context, repository, reference, config).await?;
            }
            blobs.extend(blobs_of(repository, &root));
        }
        Content::Index(entries) => {
            blobs.push(of_manifest(repository, &root, BlobRole::Index));
            for entry in chosen(context, repository, reference, entries)? {
                blobs.extend(of_entry(context, repository, entry).await?);
            }
        }
    }
    Ok(Tree { digest: root.digest, media_type: root.media_type, blobs })
}

async fn of_entry(
    context: Context<'_>,
    repository: &Repository,
    entry: &Descriptor,
) -> Result<Vec<LockedBlob>, FetchError> {
    let fetched = context.http.manifest(repository, &entry.digest.to_string()).await?;
    if matches!(fetched.content, Content::Index(_)) {
        let request = context.http.manifest_request(repository, &entry.digest)?;
        return Err(request.failed(Failure::Malformed("it is an index inside an index".to_owned())).into());
    }
    Ok(blobs_of(repository, &fetched))
}

/// The entries of an index for the platforms of the spec, and the attestations about these.
fn chosen<'a>(
    context: Context<'_>,
    repository: &Repository,
    reference: &str,
    entries: &'a [Descriptor],
) -> Result<Vec<&'a Descriptor>, FetchError> {
    let wanted = &context.request.bundle.spec.platforms;
    let fits =
        |entry: &&Descriptor| entry.platform.as_ref().is_none_or(|found| wanted.iter().any(|wanted| is(found, wanted)));
    let mut chosen: Vec<&Descriptor> = entries.iter().filter(fits).collect();
    let found: Vec<String> =
        entries.iter().filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect();
    if chosen.is_empty() {
        return Err(no_platform(wanted, repository, reference, found));
    }
    let missing = wanted
        .iter()
        .filter(|wanted| !chosen.iter().any(|entry| entry.platform.as_ref().is_none_or(|found| is(found, wanted))));
    for platform in missing {
        let note = format!("{repository}:{reference} has nothing for {platform}, only for {}", found.join(", "));
        context.http.progress.report(&Event::Note(&note));
    }
    let digests: Vec<String> = chosen.iter().map(|entry| entry.digest.to_string()).collect();
    let about_chosen =
        |entry: &&Descriptor| entry.annotations.get(ATTESTATION_OF).is_some_and(|about| digests.contains(about));
    chosen.extend(entries.iter().filter(|entry| about_chosen(entry)));
    Ok(chosen)
}

fn no_platform(wanted: &[Platform], repository: &Repository, reference: &str, found: Vec<String>) -> FetchError {
    let wanted = wanted.iter().map(ToString::to_string).collect();
    FetchError::NoPlatform { image: format!("{repository}:{reference}"), wanted, found }
}

/// A wish without a variant takes any.
fn is(found: &crate::source::oci::Platform, wanted: &Platform) -> bool {
    found.os == wanted.os
        && found.architecture == wanted.architecture
        && (wanted.variant.is_none() || wanted.variant == found.variant)
}

/// An image without an index says in its configuration what it runs on.
async fn check_platform(
    context: Context<'_>,
    repository: &Repository,
    reference: &str,
    config: &Descriptor,
) -> Result<(), FetchError> {
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        variant: Option<String>,
    }
    if !CONFIGS.contains(&config.media_type.as_str()) || config.size > CONFIG_LIMIT {
        return Ok(());
    }
    let request = context.http.blob_request(repository, &config.digest)?;
    let (bytes, _) = context.http.read(&request, &Expected::exactly(&config.digest, config.size)).await?;
    let malformed = |error: serde_json::Error| {
        request.failed(Failure::Malformed(format!("it is no image configuration ({error})")))
    };
    let Config { os, architecture, variant } = serde_json::from_slice(&bytes).map_err(malformed)?;
    let found = crate::source::oci::Platform { os, architecture, variant };
    let wanted = &context.request.bundle.spec.platforms;
    if wanted.iter().any(|wanted| is(&found, wanted)) {
        return Ok(());
    }
    Err(no_platform(wanted, repository, reference, vec![found.to_string()]))
}

/// A manifest and what it names; of an index the index alone.
pub(super) fn blobs_of(repository: &Repository, fetched: &Fetched) -> Vec<LockedBlob> {
    match &fetched.content {
        Content::Manifest { config, layers } => std::iter::once(of_manifest(repository, fetched, BlobRole::Manifest))
            .chain(children(repository, config, layers))
            .collect(),
        Content::Index(_) => vec![of_manifest(repository, fetched, BlobRole::Index)],
    }
}

fn of_manifest(repository: &Repository, fetched: &Fetched, role: BlobRole) -> LockedBlob {
    LockedBlob {
        digest: fetched.digest.clone(),
        size: fetched.bytes.len() as u64,
        media_type: fetched.media_type.clone(),
        role,
        source: source(repository),
    }
}

fn children<'a>(
    repository: &'a Repository,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
) -> impl Iterator<Item = LockedBlob> + 'a {
    let layers = layers.iter().map(|layer| (layer, BlobRole::Layer));
    std::iter::once((config, BlobRole::Config)).chain(layers).map(|(descriptor, role)| LockedBlob {
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        media_type: descriptor.media_type.clone(),
        role,
        source: source(repository),
    })
}

fn source(repository: &Repository) -> BlobSource {
    BlobSource::Oci { registry: repository.host.clone(), repository: repository.path.clone() }
}
