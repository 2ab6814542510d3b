//! Charts whose publishers sign them: Helm's provenance files, beside the archive or as a layer in a registry.

use sealock_bundle::artifact::{Content, HELM_PROVENANCE};
use sealock_bundle::lock::{LockedBlob, Verdict};
use sealock_bundle::spec::{ChartRule, ChartSpec};
use sealock_trust::Digest;
use serde_json::Value;
use url::Url;

use super::beside::Beside;
use super::charts::title;
use super::{Context, gpg};
use crate::error::FetchError;
use crate::http::Expected;
use crate::signature::openpgp::SIGNATURE_LIMIT;
use crate::source::helm;
use crate::source::oci::Repository;

/// Fetches and checks the file beside the archive `content`: it has the archive's address with `.prov` behind it.
pub(super) async fn beside(
    context: Context<'_>,
    chart: &ChartSpec,
    rule: &ChartRule,
    (archive, content, metadata): (&Url, &Content, &Value),
) -> Result<(Beside, Verdict), FetchError> {
    let mut url = archive.clone();
    url.set_path(&format!("{}.prov", archive.path()));
    let provenance = Beside::fetch(context, &title(chart), url, format!("{}.prov", content.title)).await?;
    let signed = gpg::Signed { what: &title(chart), keyring: &rule.gpg, signature: &provenance.bytes };
    let verdict = signed.provenance(context, (&file_of(metadata), &content.digest), metadata).await?;
    Ok((provenance, verdict))
}

/// Checks the file that a registry holds as a layer beside the layer `archive`.
pub(super) async fn in_registry(
    context: Context<'_>,
    chart: &ChartSpec,
    rule: &ChartRule,
    (repository, layers, archive): (&Repository, &[LockedBlob], &[u8]),
) -> Result<Verdict, FetchError> {
    let is_provenance = |blob: &&LockedBlob| blob.media_type == HELM_PROVENANCE && blob.size <= SIGNATURE_LIMIT;
    let Some(layer) = layers.iter().find(is_provenance) else {
        let place = format!("layer of the type {HELM_PROVENANCE} in {repository}");
        return Err(FetchError::NotSigned { what: title(chart), place });
    };
    let request = context.http.blob_request(repository, &layer.digest)?;
    let (bytes, _) = context.http.read(&request, &Expected::exactly(&layer.digest, layer.size)).await?;
    let broken = |reason: String| FetchError::ChartArchive { chart: title(chart), reason };
    let metadata = helm::metadata(archive).map_err(|error| broken(error.to_string()))?;
    let signed = gpg::Signed { what: &title(chart), keyring: &rule.gpg, signature: &bytes };
    signed.provenance(context, (&file_of(&metadata), &Digest::sha256(archive)), &metadata).await
}

/// What Helm calls the archive of a chart.
fn file_of(metadata: &Value) -> String {
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{}-{}.tgz", text("name"), text("version"))
}
