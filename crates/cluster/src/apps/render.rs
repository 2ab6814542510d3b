//! Renders an app: every chart and file of manifests of it, out of the release, and the images they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_bundle::Reference;
use sealock_store::release::{Reference as Carried, ReferenceKind};
use sealock_trust::Digest;

use super::objects::{self, Object};
use super::programs::Programs;
use super::revision::Named;
use super::secrets;
use super::{App, AppError, Chart, ObjectId, Place};
use crate::programs::ProgramError;
use crate::release::ReleaseView;
use crate::revoked::{Needed, Revoked};
use crate::tools::Toolbox;

/// Rendering takes a moment; a chart that takes longer hangs.
const RENDER: Duration = Duration::from_secs(120);
/// A chart's archive at most.
const MAX_CHART: u64 = 64 << 20;
/// A file of manifests at most.
const MAX_MANIFESTS: u64 = 16 << 20;

/// An app as it is to be on its cluster.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    /// The namespace of all that names none.
    pub(super) namespace: String,
    pub(super) charts: Vec<RenderedChart>,
    pub(super) manifests: Vec<RenderedManifests>,
    pub(super) objects: Vec<Object>,
    pub(super) alarms: Vec<Needed>,
}

#[derive(Clone, Debug)]
pub(super) struct RenderedChart {
    /// What the installation is called.
    pub(super) name: String,
    pub(super) namespace: String,
    /// The chart in the release.
    pub(super) chart: Named,
    /// Where in its values secrets stand.
    pub(super) secrets: Vec<String>,
    /// How many tests it brings, which only somebody who asks for them runs.
    pub(super) tests: usize,
    pub(super) how: How,
}

/// How Helm gets to a chart's objects.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// From the archive, with these values files.
    Install { archive: PathBuf, values: Vec<PathBuf> },
    /// As they were, from what it keeps of a revision of its own.
    Restore { revision: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct RenderedManifests {
    pub(super) file: Named,
    pub(super) content: Vec<u8>,
}

impl Rendered {
    /// Every image that the app names, and who names it.
    pub(super) fn images(&self) -> Result<Vec<(Reference, Place)>, AppError> {
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
    let namespace = app.spec().namespace.to_string();
    let mut rendered = Rendered { namespace, charts: Vec::new(), manifests: Vec::new(), objects: Vec::new(), alarms };
    for chart in &app.spec().charts {
        let archive = take_chart(chart, toolbox, folder)?;
        let text = template(app, chart, &archive, programs, kubernetes).await?;
        add_chart(app, chart, (archive, &text), toolbox, &mut rendered)?;
    }
    for wanted in &app.spec().manifests {
        for carried in manifests(wanted, toolbox.release())? {
            add_manifests(
                &Named { name: carried.name.clone(), digest: carried.digest.clone() },
                toolbox,
                &mut rendered,
            )?;
        }
    }
    check_once(&rendered.objects)?;
    Ok(rendered)
}

/// No object comes from two files, or two charts, that differ in it: they would take turns. What holds others, as a Namespace, may stand in each
/// that needs it, for it does not go with any of them. Hooks are run, and not kept.
fn check_once(objects: &[Object]) -> Result<(), AppError> {
    let mut known: BTreeMap<ObjectId, &Object> = BTreeMap::new();
    let counts = |object: &&Object| object.hooks().is_empty() && !object.id().holds_others();
    for object in objects.iter().filter(counts) {
        if let Some(first) = known.insert(object.id(), object)
            && first.place.origin != object.place.origin
            && first.value != object.value
        {
            let (first, second) = (first.place.clone(), object.place.origin.clone());
            return Err(AppError::TwoOrigins { first, second });
        }
    }
    Ok(())
}

fn add_chart(
    app: &App,
    chart: &Chart,
    (archive, text): (PathBuf, &str),
    toolbox: &Toolbox<'_>,
    rendered: &mut Rendered,
) -> Result<(), AppError> {
    let namespace = app.namespace_of(chart).to_string();
    let objects = objects::parse(&objects::origin_of_chart(chart.name.as_str()), &namespace, text)?;
    let (tests, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(Object::is_test);
    rendered.objects.extend(objects);
    let carried = find_chart(chart, toolbox.release())?;
    rendered.charts.push(RenderedChart {
        name: chart.name.to_string(),
        namespace,
        chart: Named { name: carried.name.clone(), digest: carried.digest.clone() },
        secrets: secrets::places(&app.secret_values_of(chart))?,
        tests: tests.len(),
        how: How::Install { archive, values: app.values_of(chart) },
    });
    Ok(())
}

/// Adds a file of manifests, out of the store.
pub(super) fn add_manifests(file: &Named, toolbox: &Toolbox<'_>, rendered: &mut Rendered) -> Result<(), AppError> {
    let content = toolbox.content(&file.name, &file.digest, MAX_MANIFESTS)?;
    rendered.objects.extend(objects::parse(&file.name, &rendered.namespace, &String::from_utf8_lossy(&content))?);
    rendered.manifests.push(RenderedManifests { file: file.clone(), content });
    Ok(())
}

/// Refuses images that are not in the release, or were revoked. Answers all of them, once for each object that names one.
///
/// # Errors
/// [`AppError::NotInRelease`] and [`AppError::Revoked`], with all of them.
pub(super) fn check_images(rendered: &mut Rendered, toolbox: &Toolbox<'_>) -> Result<Vec<Named>, AppError> {
    let release = toolbox.release();
    let mut found: Vec<(Named, String)> = Vec::new();
    let mut missing = Vec::new();
    for (image, place) in rendered.images()? {
        match carried(&image, release) {
            Some(digest) => found.push((Named { name: image.to_string(), digest }, place.to_string())),
            None => missing.push((image.to_string(), place)),
        }
    }
    if !missing.is_empty() {
        return Err(AppError::NotInRelease { release: release.number(), images: missing });
    }
    let wanted = found.iter().map(|(image, place)| (&image.digest, place.clone()));
    rendered.alarms.extend(refuse_blocked(wanted, toolbox.revoked())?);
    Ok(found.into_iter().map(|(image, _)| image).collect())
}

/// The digest of the reference that `image` is in the release.
pub(super) fn carried(image: &Reference, release: ReleaseView<'_>) -> Option<Digest> {
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
    refuse_blocked(found, toolbox.revoked())
}

/// What is revoked among what is wanted, where a live cluster uses it already.
pub(super) fn refuse_blocked<'a>(
    wanted: impl IntoIterator<Item = (&'a Digest, String)>,
    revoked: &Revoked,
) -> Result<Vec<Needed>, AppError> {
    let needed = Needed::among(wanted, revoked);
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
    let values = values_arguments(&app.values_of(chart));
    let archive = archive.to_string_lossy();
    let mut arguments = vec!["template", chart.name.as_str(), &*archive, "--include-crds"];
    arguments.extend(["--namespace", app.namespace_of(chart).as_str(), "--kube-version", kubernetes]);
    arguments.extend(values.iter().map(String::as_str));
    match programs.helm(&arguments, RENDER).await {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(ProgramError::Failed { said, .. }) => Err(AppError::Render { chart: chart.name.to_string(), said }),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn values_arguments(files: &[PathBuf]) -> Vec<String> {
    files.iter().flat_map(|path| ["--values".to_owned(), path.to_string_lossy().into_owned()]).collect()
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
    use jiff::Timestamp;
    use sealock_store::release::{Cause, FORMAT, Release};
    use sealock_store::{Published, Store};

    use super::*;
    use crate::revoked::Fact;

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
        let objects = objects::parse("manifests/pumps.yaml", "default", APP).unwrap();
        let (namespace, charts, manifests, alarms) = ("default".into(), Vec::new(), Vec::new(), Vec::new());
        let mut rendered = Rendered { namespace, charts, manifests, objects, alarms };
        assert_eq!(check_images(&mut rendered, &toolbox)?.len(), 3);
        Ok(rendered.alarms)
    }

    fn revoked(blocked: bool) -> Revoked {
        let (name, digest) = ("quay.io/team/app:v1".to_owned(), Digest::sha256(b"quay.io/team/app:v1"));
        let reason = "it calls home".to_owned();
        [Fact { name, reference: digest.clone(), digest, reason, blocked }].into_iter().collect()
    }

    /// As where two bundles carry the same add-on.
    #[test]
    fn an_object_comes_from_one_file() {
        let from = |origin: &str, text: &str| objects::parse(origin, "default", text).unwrap();
        let first = from("manifests/base/add-ons/pumps.yaml", APP);
        check_once(&first).unwrap();
        check_once(&[first.clone(), first.clone()].concat()).unwrap();
        // They cannot take turns.
        check_once(&[first.clone(), from("manifests/more/add-ons/pumps.yaml", APP)].concat()).unwrap();
        let other = APP.replace("team/app:v1", "team/app:v2");
        let error = check_once(&[first, from("manifests/more/add-ons/pumps.yaml", &other)].concat()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "manifests/base/add-ons/pumps.yaml: Deployment pumps comes from manifests/more/add-ons/pumps.yaml, too"
        );
        assert!(error.is_refusal() && error.hint().unwrap().contains("manifests/BUNDLE/PATH"));
    }

    /// As authors write it, each file for itself.
    #[test]
    fn a_namespace_may_stand_in_several_files() {
        let from = |origin: &str, labels: &str| {
            let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: pumps, labels: {labels}}}\n");
            objects::parse(origin, "default", &text).unwrap()
        };
        let both = [from("manifests/base/a.yaml", "{}"), from("manifests/base/b.yaml", "{team: water}")].concat();
        check_once(&both).unwrap();
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
