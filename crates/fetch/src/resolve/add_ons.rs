//! Add-ons: manifests of Sealock's own, and the images that they name.

use sealock_bundle::add_ons::{AddOn, AddOnTable};
use sealock_bundle::artifact::{self, YAML};
use sealock_bundle::lock::{BlobRole, Verdict, VerdictRule};

use super::Context;
use super::draft::Draft;
use super::guesses::Guesses;
use super::manifests::{self, Origin};
use super::wishes::Wishes;
use crate::error::FetchError;

/// Adds the manifests of every add-on of the spec, and wishes for the images that they name.
pub(super) fn gather(
    context: Context<'_>,
    draft: &mut Draft,
    wishes: &mut Wishes,
    guesses: &mut Guesses,
) -> Result<(), FetchError> {
    let Some(kubernetes) = &context.request.bundle.spec.kubernetes else { return Ok(()) };
    for add_on in AddOnTable::built_in()?.add_ons(&kubernetes.add_ons, &kubernetes.versions)? {
        manifests::look_into(context, &add_on.manifests, &add_on.path(), (wishes, guesses))?;
        carry(context, &add_on, draft)?;
    }
    Ok(())
}

/// Upstream has no such file, so the lock itself holds it.
fn carry(context: Context<'_>, add_on: &AddOn, draft: &mut Draft) -> Result<(), FetchError> {
    let bytes = add_on.manifests.as_bytes();
    let blob = artifact::generated(YAML, BlobRole::Layer, bytes);
    let comes_with = format!("the manifests of {} {} come with {}", add_on.name, add_on.version, context.request.tool);
    let origin = Origin {
        path: &add_on.path(),
        requested_by: "spec.kubernetes.addOns",
        verdict: Verdict::new(VerdictRule::Local).because(comes_with),
    };
    manifests::carry(context, origin, bytes, blob.source, draft)
}
