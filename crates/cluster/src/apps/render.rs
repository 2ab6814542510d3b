//! Renders an app: every chart and file of manifests of it, out of the release, and the images they name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_bundle::Reference;
use sealock_store::release::{Reference as Carried, ReferenceKind};
use sealock_trust::Digest;

use super::objects::{self, Object};
use super::programs::Programs;
use super::{App, AppError, Chart, Place};
use crate::programs::ProgramError;
use crate::release::ReleaseView;
use crate::revoked::Needed;
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
    alarms: Vec<Needed>,
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
    /// What it needs although it was revoked: a live cluster uses it, and the site has not confirmed.
    pub fn alarms(&self) -> &[Needed] {
        &self.alarms
    }

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

/// Renders `app` with the charts and manifests that the release of `toolbox` carries; archives go where the programs work.
pub(super) async fn render(
    app: &App,
    toolbox: &Toolbox<'_>,
    programs: &Programs,
    kubernetes: &str,
) -> Result<Rendered, AppError> {
    let folder = programs.surroundings.folder();
    let alarms = check_carried(app, toolbox)?;
    let mut rendered = Rendered { charts: Vec::new(), manifests: Vec::new(), objects: Vec::new(), alarms };
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

/// Refuses images that are not in the release, or were revoked. Answers how many there are.
///
/// # Errors
/// [`AppError::NotInRelease`] and [`AppError::Revoked`], with all of them.
pub(super) fn check_images(rendered: &mut Rendered, toolbox: &Toolbox<'_>) -> Result<usize, AppError> {
    let release = toolbox.release();
    let mut found: Vec<(Digest, String)> = Vec::new();
    let mut missing = Vec::new();
    let images = rendered.images()?;
    let count = images.len();
    for (image, place) in images {
        match carried(&image, release) {
            Some(digest) => found.push((digest, place.to_string())),
            None => missing.push((image.to_string(), place)),
        }
    }
    if !missing.is_empty() {
        return Err(AppError::NotInRelease { release: release.number(), images: missing });
    }
    rendered.alarms.extend(refuse_blocked(found.iter().map(|(digest, place)| (digest, place.clone())), toolbox)?);
    Ok(count)
}

/// The digest of the reference that `image` is in the release.
fn carried(image: &Reference, release: ReleaseView<'_>) -> Option<Digest> {
    match image.digest() {
        Some(digest) => release.references().iter().any(|carried| carried.digest == *digest).then(|| digest.clone()),
        None => release.image(&image.to_string()).ok().map(|image| image.digest),
    }
}

/// Refuses revoked charts and manifests before anything of them is read.
fn check_carried(app: &App, toolbox: &Toolbox<'_>) -> Result<Vec<Needed>, AppError> {
    let mut found = Vec::new();
    for chart in &app.spec().charts {
        found.push((&find_chart(chart, toolbox.release())?.digest, format!("chart {}", chart.name)));
    }
    for wanted in &app.spec().manifests {
        for carried in manifests(wanted, toolbox.release())? {
            found.push((&carried.digest, format!("manifests {wanted}")));
        }
    }
    refuse_blocked(found, toolbox)
}

/// What is revoked among what is wanted, where a live cluster uses it already.
fn refuse_blocked<'a>(
    wanted: impl IntoIterator<Item = (&'a Digest, String)>,
    toolbox: &Toolbox<'_>,
) -> Result<Vec<Needed>, AppError> {
    let needed = Needed::among(wanted, toolbox.revoked());
    let (blocked, alarms): (Vec<_>, Vec<_>) = needed.into_iter().partition(|needed| needed.fact.blocked);
    if blocked.is_empty() { Ok(alarms) } else { Err(AppError::Revoked(blocked)) }
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
        Err(ProgramError::Failed { said, .. }) => Err(AppError::Render { chart: chart.name.to_string(), said }),
        Err(error) => Err(error.into()),
    }
}

/// What Helm is told to install a chart, or to bring it to another version.
pub(super) fn upgrade_arguments(app: &App, rendered: &RenderedChart) -> Vec<String> {
    let chart = &rendered.chart;
    let archive = rendered.archive.to_string_lossy();
    let words =
        ["upgrade", "--install", chart.name.as_str(), &*archive, "--namespace", app.namespace_of(chart).as_str()];
    words.into_iter().map(str::to_owned).chain(values_arguments(app, chart)).collect()
}

fn values_arguments(app: &App, chart: &Chart) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use sealock_store::release::{Cause, FORMAT, Release};
    use sealock_store::{Published, Store};

    use super::*;
    use crate::revoked::{Fact, Revoked};

    const APP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: pumps}
spec: {template: {spec: {containers: [{name: app, image: 'quay.io/team/app:v1'}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: probe}
spec: {containers: [{name: app, image: 'quay.io/team/app:v1'}, {name: web, image: 'quay.io/team/web:2'}]}
";

    fn release() -> Published {
        let reference = |name: &str| Carried {
            name: name.into(),
            kind: ReferenceKind::Image,
            digest: Digest::sha256(name.as_bytes()),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            subject: None,
            size: 500,
            stream: "base".into(),
            vendor: None,
        };
        let release = Release {
            format: FORMAT.into(),
            number: 1,
            previous: None,
            cause: Cause::Import { stream: "base".into(), sequence: 1 },
            issued: Timestamp::UNIX_EPOCH,
            streams: Vec::new(),
            references: ["quay.io/team/app:v1", "quay.io/team/web:2"].map(reference).to_vec(),
            trust_generation: None,
            exceptions: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        Published { release, digest: Digest::sha256(b"release 1") }
    }

    fn check(revoked: &Revoked) -> Result<Vec<Needed>, AppError> {
        let folder = tempfile::tempdir().unwrap();
        let (store, release) = (Store::init(folder.path()).unwrap(), release());
        let toolbox = Toolbox::new(&store, ReleaseView::new(&release), revoked, folder.path().join("bin"));
        let objects = objects::parse("manifests/pumps.yaml", APP).unwrap();
        let mut rendered = Rendered { charts: Vec::new(), manifests: Vec::new(), objects, alarms: Vec::new() };
        assert_eq!(check_images(&mut rendered, &toolbox)?, 3);
        Ok(rendered.alarms)
    }

    fn revoked(blocked: bool) -> Revoked {
        let (name, digest) = ("quay.io/team/app:v1".to_owned(), Digest::sha256(b"quay.io/team/app:v1"));
        let reason = "it calls home".to_owned();
        [Fact { name, reference: digest.clone(), digest, reason, blocked }].into_iter().collect()
    }

    #[test]
    fn a26_a_revoked_image_is_refused_with_every_object_that_names_it() {
        assert_eq!(check(&Revoked::default()).unwrap(), []);
        let error = check(&revoked(true)).unwrap_err();
        assert_eq!(error.code().unwrap().as_str(), "REVOKED");
        let text = error.to_string();
        for part in ["quay.io/team/app:v1", "it calls home", "Deployment pumps", "Pod probe"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("team/web"), "{text}");
    }

    #[test]
    fn what_a_live_cluster_uses_raises_an_alarm_only() {
        let alarms = check(&revoked(false)).unwrap();
        assert_eq!(alarms.len(), 1);
        assert_eq!(alarms[0].places.len(), 2);
    }
}
