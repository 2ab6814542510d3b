//! Charts: fetched, rendered by the Helm of the bundle, and searched for images.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::ArtifactName;
use sealock_bundle::artifact::{self, HELM_CHART, HELM_PROVENANCE, OCI_MANIFEST};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::names::KubernetesVersion;
use sealock_bundle::reference::{self, Reference};
use sealock_bundle::spec::{self, ChartSource, ChartSpec, ChartValues, VerifyRule};
use sealock_trust::Digest;

use super::components::Components;
use super::draft::Draft;
use super::guesses::Guesses;
use super::images::{self, Fit};
use super::wishes::Wishes;
use super::{Context, objects, provenance, secrets, signature, tools};
use crate::discovery::{self, Guess};
use crate::error::FetchError;
use crate::http::Expected;
use crate::source::helm::{self, ARCHIVE_LIMIT, Listed};
use crate::source::oci::Repository;

/// Adds every chart, and wishes for the images that it names when rendered.
pub(super) async fn gather(
    context: Context<'_>,
    components: &Components,
    draft: &mut Draft,
    (wishes, guesses): (&mut Wishes, &mut Guesses),
) -> Result<(), FetchError> {
    let spec = &context.request.bundle.spec;
    if spec.charts.is_empty() {
        return Ok(());
    }
    let kubernetes = spec.kubernetes.as_ref().and_then(|kubernetes| kubernetes.versions.first());
    let known = components.for_this_machine(context, "helm", kubernetes.map(KubernetesVersion::as_str)).await?;
    let helm = tools::program_in_archive(context, &known, "helm").await?;
    for (number, chart) in spec.charts.iter().enumerate() {
        context.phase(&format!("rendering chart {} {}", chart.name, chart.version));
        let archive = fetch(context, chart, number, draft).await?;
        let values = values(context, chart, number)?;
        let rendered = render(context, &helm, chart, (&archive, &values)).await?;
        let mut found = Found { wishes: Wishes::default(), guesses: Guesses::default() };
        look_for_images(context, chart, &rendered, &mut found)?;
        guess_in_values(chart, (&archive, &values), &mut found)?;
        wishes.extend(found.wishes);
        guesses.extend(found.guesses);
    }
    Ok(())
}

/// What one chart names.
struct Found {
    wishes: Wishes,
    guesses: Guesses,
}

/// What a person calls the chart.
pub(super) fn title(chart: &ChartSpec) -> String {
    format!("chart {} {}", chart.name, chart.version)
}

async fn fetch(
    context: Context<'_>,
    chart: &ChartSpec,
    number: usize,
    draft: &mut Draft,
) -> Result<PathBuf, FetchError> {
    let bytes = match chart.source() {
        Some(ChartSource::Repository(url)) => from_repository(context, chart, url, draft).await?,
        Some(ChartSource::Oci(name)) => from_registry(context, chart, name, draft).await?,
        None => return Err(FetchError::ChartSource { chart: title(chart) }),
    };
    let path = context.work.join(format!("chart-{number}.tgz"));
    fs::write(&path, bytes).map_err(|source| FetchError::io("write", &path, source))?;
    Ok(path)
}

async fn from_repository(
    context: Context<'_>,
    chart: &ChartSpec,
    repository: &str,
    draft: &mut Draft,
) -> Result<Vec<u8>, FetchError> {
    let listed = context.http.chart(repository, &chart.name, &chart.version).await?;
    let request = context.http.file_request(&listed.url);
    let expected = Expected { digest: listed.digest.clone(), size: None, limit: ARCHIVE_LIMIT };
    let (bytes, landed) = context.http.read(&request, &expected).await?;
    let broken = |reason: String| FetchError::ChartArchive { chart: title(chart), reason };
    let metadata = helm::metadata(&bytes).map_err(|error| broken(error.to_string()))?;
    let name = metadata.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
    if name != chart.name {
        return Err(broken(format!("its Chart.yaml has the name {name:?}")));
    }
    let file = format!("{}-{}.tgz", chart.name, chart.version);
    let content = artifact::Content { digest: landed.digest, size: landed.size, title: file };
    let provenance = match &chart.verify {
        Some(rule) => Some(provenance::beside(context, chart, rule, (&listed.url, &content, &metadata)).await?),
        None => None,
    };
    let made = artifact::of_chart(&content, &metadata, provenance.as_ref().map(|(file, _)| &file.content));
    draft.blobs(made.blobs);
    draft.blobs(provenance.iter().map(|(file, _)| file.blob(HELM_PROVENANCE)));
    let verdict = provenance.map(|(_, verdict)| verdict);
    carry(chart, repository, (&listed, verdict), (content, made.digest), draft)?;
    Ok(bytes)
}

fn carry(
    chart: &ChartSpec,
    repository: &str,
    (listed, verdict): (&Listed, Option<Verdict>),
    (content, digest): (artifact::Content, Digest),
    draft: &mut Draft,
) -> Result<(), FetchError> {
    draft.blobs([LockedBlob {
        digest: content.digest,
        size: content.size,
        media_type: HELM_CHART.to_owned(),
        role: BlobRole::Layer,
        source: BlobSource::Http { url: listed.url.to_string(), inner: None },
    }]);
    let repository = repository.trim_end_matches('/');
    let reason = match listed.digest {
        Some(_) => format!("SHA-256 published in {repository}/index.yaml"),
        None => "the chart repository publishes no SHA-256; the digest of this lock holds".to_owned(),
    };
    let name = format!("{repository}/{}", chart.name);
    let name = reference::of_url(&name, &chart.version).map_err(|_| FetchError::Address { name })?;
    draft.reference(LockedReference {
        name: ArtifactName::from(&name),
        kind: ReferenceKind::Chart,
        digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: None,
        subject: None,
        source: listed.url.to_string(),
        requested_by: vec!["spec.charts".to_owned()],
        verdict: verdict.unwrap_or_else(|| Verdict::new(VerdictRule::Checksum).because(reason)),
    })
}

async fn from_registry(
    context: Context<'_>,
    chart: &ChartSpec,
    name: &str,
    draft: &mut Draft,
) -> Result<Vec<u8>, FetchError> {
    let wrong = |_| FetchError::Address { name: name.to_owned() };
    let named: Reference = name.parse().map_err(wrong)?;
    let named = named.with_tag(&reference::legal_tag(&chart.version)).map_err(wrong)?;
    let repository = Repository { host: named.registry().to_owned(), path: named.repository().to_owned() };
    let because = |source: FetchError| FetchError::Chart { chart: title(chart), source: Box::new(source) };
    let tree = images::fetch(context, &repository, &named.tag_or_digest(), Fit::Anything).await.map_err(because)?;
    let is_archive = |blob: &&LockedBlob| blob.media_type == HELM_CHART && blob.size <= ARCHIVE_LIMIT;
    let Some(layer) = tree.blobs.iter().find(is_archive) else {
        return Err(FetchError::ChartArchive { chart: title(chart), reason: format!("{named} holds no Helm chart") });
    };
    let request = context.http.blob_request(&repository, &layer.digest)?;
    let (bytes, _) = context.http.read(&request, &Expected::exactly(&layer.digest, layer.size)).await?;
    let rule = rule_for(context, &named)?;
    let judged = signature::judge(context, &repository, &tree.digest, &rule).await.map_err(because)?;
    let signed = match &chart.verify {
        Some(rule) => Some(provenance::in_registry(context, chart, rule, (&repository, &tree.blobs, &bytes)).await?),
        None => None,
    };
    draft.blobs(tree.blobs);
    draft.blobs(judged.blobs);
    judged.references.into_iter().try_for_each(|reference| draft.reference(reference))?;
    draft.reference(LockedReference {
        name: ArtifactName::from(&named),
        kind: ReferenceKind::Chart,
        digest: tree.digest,
        media_type: tree.media_type,
        platform: None,
        subject: None,
        source: format!("oci://{named}"),
        requested_by: vec!["spec.charts".to_owned()],
        verdict: signed.unwrap_or(judged.verdict),
    })?;
    Ok(bytes)
}

/// Charts need no rule of their own, because what they run is judged image by image; but one that covers them holds.
fn rule_for(context: Context<'_>, chart: &Reference) -> Result<VerifyRule, FetchError> {
    let name = chart.to_string();
    let covering = spec::rule_for(&context.request.bundle.spec.verify, &name);
    let covering = covering.map_err(|conflict| FetchError::RuleConflict { image: name.clone(), conflict })?;
    let none =
        || VerifyRule::Unsigned("no rule of the spec covers this chart; the digest of this lock holds".to_owned());
    Ok(covering.cloned().unwrap_or_else(none))
}

async fn render(
    context: Context<'_>,
    helm: &Path,
    chart: &ChartSpec,
    (archive, values): (&Path, &[Values]),
) -> Result<String, FetchError> {
    let mut arguments: Vec<String> =
        ["template", &chart.name, &archive.to_string_lossy(), "--include-crds", "--skip-tests"]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(["--namespace".to_owned(), chart.namespace.clone().unwrap_or_else(|| "default".to_owned())]);
    if let Some(version) =
        context.request.bundle.spec.kubernetes.as_ref().and_then(|kubernetes| kubernetes.versions.first())
    {
        arguments.extend(["--kube-version".to_owned(), version.to_string()]);
    }
    arguments
        .extend(values.iter().flat_map(|values| ["--values".to_owned(), values.path.to_string_lossy().into_owned()]));
    let failed = |said: tools::Failed| FetchError::ChartRender { chart: title(chart), said: said.0 };
    tools::run(context, helm, &arguments).await.map_err(failed)
}

fn look_for_images(
    context: Context<'_>,
    chart: &ChartSpec,
    rendered: &str,
    found: &mut Found,
) -> Result<(), FetchError> {
    let title = title(chart);
    let namespace = chart.namespace.as_deref().unwrap_or("default");
    for object in objects::parse(rendered, &title)? {
        secrets::check(&object, namespace, &context.request.bundle.spec.accept_secrets)?;
        for image in objects::images(&object)? {
            found.wishes.add(image, object.name.clone());
        }
        found.guesses.add_all(discovery::in_object(&object.value), &object.origin);
    }
    for image in &chart.images {
        found.wishes.add(image.clone(), format!("{title}: images"));
    }
    Ok(())
}

/// What the values name, and rendering with these values does not show: a switch would turn it on.
fn guess_in_values(
    chart: &ChartSpec,
    (archive, values): (&Path, &[Values]),
    found: &mut Found,
) -> Result<(), FetchError> {
    let broken = |reason: String| FetchError::ChartArchive { chart: title(chart), reason };
    let bytes = fs::read(archive).map_err(|source| FetchError::io("read", archive, source))?;
    let own = helm::values(&bytes).map_err(|error| broken(error.to_string()))?;
    let overrides: Vec<serde_json::Value> = values.iter().map(|values| values.content.clone()).collect();
    let shown = |guess: &Guess| found.wishes.shows(&guess.image) || found.guesses.shows(&guess.image);
    let hidden: Vec<Guess> = discovery::in_values(&own, &overrides).into_iter().filter(|guess| !shown(guess)).collect();
    found.guesses.add_all(hidden, &format!("{}: values.yaml", title(chart)));
    Ok(())
}

/// Values as Helm takes them.
struct Values {
    path: PathBuf,
    content: serde_json::Value,
}

/// The values of the spec, their placeholders filled in. A file without any is given to Helm as it is.
fn values(context: Context<'_>, chart: &ChartSpec, number: usize) -> Result<Vec<Values>, FetchError> {
    let own = |at: usize, text: &str| {
        let path = context.work.join(format!("values-{number}-{at}.yaml"));
        fs::write(&path, text).map_err(|source| FetchError::io("write", &path, source))?;
        Ok::<_, FetchError>(path)
    };
    let each = |(at, values): (usize, &ChartValues)| match values {
        ChartValues::Inline(map) => {
            let content = serde_json::Value::Object(map.clone());
            Ok(Values { path: own(at, &content.to_string())?, content })
        }
        ChartValues::File(path) => {
            let whole = context.request.folder.join(path);
            let failed = |source| FetchError::io("read the values file", &whole, source);
            let text = fs::read_to_string(&whole).map_err(failed)?;
            let filled = context.fill(path, &text)?;
            let content = content_of(path, filled.as_deref().unwrap_or(&text))?;
            let path = match filled {
                Some(filled) => own(at, &filled)?,
                None => fs::canonicalize(&whole).map_err(failed)?,
            };
            Ok(Values { path, content })
        }
    };
    chart.values.iter().enumerate().map(each).collect()
}

fn content_of(path: &Path, text: &str) -> Result<serde_json::Value, FetchError> {
    helm::values_of(text).map_err(|error| FetchError::Objects {
        origin: path.display().to_string(),
        line: error.location().map_or(0, |location| location.line()),
        reason: objects::first_line(&error.to_string()),
    })
}
