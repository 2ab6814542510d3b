//! Renders an app: every chart and file of manifests of it, out of the release, and the images they name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_bundle::Reference;
use sealock_store::release::{Reference as Carried, ReferenceKind};

use super::objects::{self, Object};
use super::programs::Programs;
use super::{App, AppError, Chart, Place};
use crate::release::ReleaseView;
use crate::tools::Toolbox;

/// Rendering takes a moment; a chart that takes longer hangs.
const RENDER: Duration = Duration::from_secs(120);
/// A chart's archive at most.
const MAX_CHART: u64 = 64 << 20;
/// A file of manifests at most.
const MAX_MANIFESTS: u64 = 16 << 20;

/// An app, rendered.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub(super) charts: Vec<RenderedChart>,
    pub(super) manifests: Vec<RenderedManifests>,
    pub(super) objects: Vec<Object>,
}

#[derive(Clone, Debug)]
pub(super) struct RenderedChart {
    pub(super) chart: Chart,
    pub(super) archive: PathBuf,
}

#[derive(Clone, Debug)]
pub(super) struct RenderedManifests {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

impl Rendered {
    /// Every image that the app names, and who names it.
    ///
    /// # Errors
    /// A text in an image's place that is none.
    pub fn images(&self) -> Result<Vec<(Reference, Place)>, AppError> {
        let mut found = Vec::new();
        for object in &self.objects {
            for image in objects::images(object)? {
                found.push((image, object.place.clone()));
            }
        }
        Ok(found)
    }
}

/// Renders `app` with the charts and manifests that the release of `toolbox` carries; archives go to `folder`.
pub(super) async fn render(
    app: &App,
    toolbox: &Toolbox<'_>,
    programs: &Programs,
    kubernetes: &str,
    folder: &Path,
) -> Result<Rendered, AppError> {
    let mut rendered = Rendered { charts: Vec::new(), manifests: Vec::new(), objects: Vec::new() };
    for chart in &app.spec().charts {
        let archive = take_chart(chart, toolbox, folder)?;
        let text = template(app, chart, &archive, programs, kubernetes).await?;
        rendered.objects.extend(objects::parse(&format!("chart {}", chart.name), &text)?);
        rendered.charts.push(RenderedChart { chart: chart.clone(), archive });
    }
    for wanted in &app.spec().manifests {
        for carried in manifests(wanted, toolbox.release())? {
            let content = toolbox.content(&carried.name, &carried.digest, MAX_MANIFESTS)?;
            rendered.objects.extend(objects::parse(&carried.name, &String::from_utf8_lossy(&content))?);
            rendered.manifests.push(RenderedManifests { name: carried.name.clone(), content });
        }
    }
    Ok(rendered)
}

/// Refuses images that are not in the release.
///
/// # Errors
/// [`AppError::NotInRelease`] with all of them.
pub(super) fn check_images(rendered: &Rendered, release: ReleaseView<'_>) -> Result<usize, AppError> {
    let images = rendered.images()?;
    let carried = |image: &Reference| {
        let by_digest =
            |digest: &sealock_trust::Digest| release.references().iter().any(|carried| carried.digest == *digest);
        match (image.digest(), image.tag()) {
            (Some(digest), _) => by_digest(digest),
            (None, _) => release.image(&image.to_string()).is_ok(),
        }
    };
    let count = images.len();
    let missing: Vec<(String, Place)> = images
        .into_iter()
        .filter(|(image, _)| !carried(image))
        .map(|(image, place)| (image.to_string(), place))
        .collect();
    if missing.is_empty() {
        return Ok(count);
    }
    Err(AppError::NotInRelease { release: release.number(), images: missing })
}

fn take_chart(chart: &Chart, toolbox: &Toolbox<'_>, folder: &Path) -> Result<PathBuf, AppError> {
    let carried = find_chart(chart, toolbox.release())?;
    let content = toolbox.content(&carried.name, &carried.digest, MAX_CHART)?;
    let archive = folder.join(format!("{}-{}.tgz", chart.name, &carried.digest.hex()[..12]));
    std::fs::write(&archive, content).map_err(|source| AppError::Io {
        action: "write",
        path: archive.clone(),
        source,
    })?;
    Ok(archive)
}

fn find_chart<'a>(chart: &Chart, release: ReleaseView<'a>) -> Result<&'a Carried, AppError> {
    let called = |name: &str| match &chart.chart {
        Some(whole) => name == whole,
        None => name.rsplit('/').next() == Some(chart.name.as_str()),
    };
    let is_it = |carried: &&Carried| {
        let (name, tag) = carried.name.rsplit_once(':').unwrap_or_default();
        carried.kind == ReferenceKind::Chart && tag == chart.version && called(name)
    };
    let mut found = release.references().iter().filter(is_it);
    let wanted = || format!("{}:{}", chart.chart.as_deref().unwrap_or(chart.name.as_str()), chart.version);
    match (found.next(), found.next()) {
        (None, _) => Err(AppError::NotCarried { release: release.number(), what: format!("chart {}", wanted()) }),
        (Some(carried), Some(other)) if carried.digest != other.digest => {
            Err(AppError::TwoCharts { wanted: wanted(), first: carried.name.clone(), second: other.name.clone() })
        }
        (Some(carried), _) => Ok(carried),
    }
}

async fn template(
    app: &App,
    chart: &Chart,
    archive: &Path,
    programs: &Programs,
    kubernetes: &str,
) -> Result<String, AppError> {
    let values = values_arguments(app, chart);
    let archive = archive.to_string_lossy();
    let mut arguments = vec!["template", chart.name.as_str(), &*archive, "--include-crds", "--skip-tests"];
    arguments.extend(["--namespace", app.namespace_of(chart).as_str(), "--kube-version", kubernetes]);
    arguments.extend(values.iter().map(String::as_str));
    match programs.helm(&arguments, RENDER).await {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(AppError::Command { said, .. }) => Err(AppError::Render { chart: chart.name.to_string(), said }),
        Err(error) => Err(error),
    }
}

pub(super) fn values_arguments(app: &App, chart: &Chart) -> Vec<String> {
    app.values_of(chart).iter().flat_map(|path| ["--values".to_owned(), path.to_string_lossy().into_owned()]).collect()
}

/// The files of manifests called `wanted`, or below it, in the order of their names.
fn manifests<'a>(wanted: &str, release: ReleaseView<'a>) -> Result<Vec<&'a Carried>, AppError> {
    let repository =
        |carried: &Carried| carried.name.rsplit_once(':').map_or(carried.name.clone(), |(name, _)| name.to_owned());
    let wanted = wanted.trim_start_matches("./").trim_end_matches('/');
    let is_below = |name: &str| name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let fits = |carried: &Carried| {
        let name = repository(carried);
        // manifests/BUNDLE/PATH
        let path = name.splitn(3, '/').nth(2).unwrap_or_default();
        carried.kind == ReferenceKind::Manifest && (is_below(path) || (wanted.contains('/') && is_below(&name)))
    };
    let found: Vec<&Carried> = release.references().iter().filter(|carried| fits(carried)).collect();
    if found.is_empty() {
        return Err(AppError::NotCarried { release: release.number(), what: format!("manifests called {wanted}") });
    }
    Ok(found)
}
