//! The images that a Kubernetes version needs: kubeadm of that very version is asked.

use sealock_bundle::Reference;
use sealock_bundle::names::KubernetesVersion;

use super::components::Components;
use super::wishes::Wishes;
use super::{Context, tools};
use crate::error::FetchError;

/// Adds the images of every version of the spec.
pub(super) async fn gather(
    context: Context<'_>,
    components: &Components,
    wishes: &mut Wishes,
) -> Result<(), FetchError> {
    let Some(kubernetes) = &context.request.bundle.spec.kubernetes else { return Ok(()) };
    for version in &kubernetes.versions {
        context.phase(&format!("asking kubeadm {version} for its images"));
        for image in images_of(context, components, version).await? {
            wishes.add(image, format!("kubernetes {version}"));
        }
    }
    Ok(())
}

async fn images_of(
    context: Context<'_>,
    components: &Components,
    version: &KubernetesVersion,
) -> Result<Vec<Reference>, FetchError> {
    let known = components.for_this_machine(context, "kubeadm", Some(version.as_str())).await?;
    let kubeadm = tools::program(context, &known).await?;
    let arguments = ["config", "images", "list", "--kubernetes-version", version.as_str()].map(str::to_owned);
    let failed = |said: String| FetchError::Kubeadm { version: version.to_string(), said };
    let output = tools::run(context, &kubeadm, &arguments).await.map_err(|error| failed(error.0))?;
    let lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let images: Vec<Reference> = lines
        .map(|line| line.parse().map_err(|_| failed(format!("{line:?} is no image reference"))))
        .collect::<Result<_, _>>()?;
    if images.is_empty() { Err(failed("it names no image".to_owned())) } else { Ok(images) }
}
