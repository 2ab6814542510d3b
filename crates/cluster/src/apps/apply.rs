//! Brings an app to its cluster.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::bring::Work;
use super::objects::Object;
use super::records::Records;
use super::render::{self, Rendered, RenderedChart};
use super::revision::{AppliedChart, Cause, Named, Revision, Revisions, State};
use super::secrets::Secrets;
use super::wait::Workload;
use super::{App, AppError, ObjectId, diff};
use crate::revoked::Needed;
use crate::tools::Toolbox;

/// Which cluster, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// Its Kubernetes version.
    pub kubernetes: &'a str,
    /// The administrator's kubeconfig.
    pub kubeconfig: &'a Path,
    /// Programs and charts of the release.
    pub toolbox: &'a Toolbox<'a>,
}

/// When an app is changed, how long that may take, and who is told.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Now.
    pub at: Timestamp,
    /// How long each hook may take, and how long is waited until all is ready.
    pub timeout: Duration,
    /// Told what happens.
    pub progress: &'a (dyn Fn(&Progress<'_>) + Sync),
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("at", &self.at).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What happens while an app is changed, for whoever waits.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A hook of a chart runs.
    Hook {
        /// Its pod.
        pod: &'a str,
    },
    /// A chart was installed.
    Chart {
        /// Its name.
        name: &'a str,
        /// Tests that it brings: they were left out.
        tests: usize,
    },
    /// A chart is what it was.
    Restored {
        /// Its name.
        name: &'a str,
        /// The number that Helm gave it then.
        revision: u64,
    },
    /// A file of manifests was applied.
    Manifests {
        /// Its name.
        name: &'a str,
    },
    /// What an earlier revision put there is gone.
    Pruned {
        /// An object or a chart.
        what: &'a str,
    },
    /// It stays, since with it would go what others put there.
    Stays {
        /// Which one.
        object: &'a ObjectId,
    },
    /// Waiting.
    Waiting {
        /// How many workloads are ready.
        ready: usize,
        /// Of how many.
        total: usize,
        /// What is not, and why.
        pending: &'a [String],
    },
}

/// What applying an app came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Objects.
    pub objects: usize,
    /// Images that they name, once for each that names one.
    pub images: usize,
    /// What was waited for.
    pub workloads: Vec<Workload>,
}

/// An app, rendered and checked, before its cluster is touched.
#[derive(Debug)]
pub struct Prepared {
    work: Work,
    rendered: Rendered,
    images: Vec<Named>,
    release: u64,
}

/// Renders `app` and refuses images that are not in the release, or were revoked. The cluster is not touched.
///
/// # Errors
/// The release lacks something, something was revoked, or a chart does not render.
pub async fn prepare(app: &App, target: &Target<'_>) -> Result<Prepared, AppError> {
    check_cluster(app, target)?;
    let work = Work::begin(target)?;
    let (rendered, images) = render_checked(app, target, &work).await?;
    Ok(Prepared { work, rendered, images, release: target.toolbox.release().number() })
}

impl Prepared {
    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.rendered.objects.len()
    }

    /// How many images they name, once for each that names one.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// What is needed although it was revoked.
    pub fn alarms(&self) -> &[Needed] {
        &self.rendered.alarms
    }

    /// Whether the cluster is not yet as the app wants it, or cannot tell. `known` is what the station knows of it.
    pub async fn would_change(&self, known: Option<&Revisions>) -> bool {
        let standing = known.map(Revisions::standing).unwrap_or_default();
        // Nothing of it is shown, so there is nothing to hide.
        let compared = diff::compare(&self.work, &self.rendered, standing, Secrets::default()).await;
        compared.map_or(true, |diff| !diff.changes.is_empty())
    }

    /// Brings it to its cluster, as a revision of its own, and waits until it is ready.
    ///
    /// # Errors
    /// What Helm, kubectl or the pods say.
    pub async fn apply(self, records: &mut Records, attempt: &Attempt<'_>) -> Result<Applied, AppError> {
        let Self { work, rendered, images, release } = self;
        let (objects, count) = (rendered.objects.len(), images.len());
        records.begin(begun(&rendered, images, (Cause::Apply, release), attempt.at))?;
        let outcome = work.bring(&rendered, records, attempt).await;
        Ok(Applied { objects, images: count, workloads: records.end(outcome)? })
    }
}

pub(super) async fn render_checked(
    app: &App,
    target: &Target<'_>,
    work: &Work,
) -> Result<(Rendered, Vec<Named>), AppError> {
    let mut rendered = render::render(app, target.toolbox, &work.programs, target.kubernetes).await?;
    let images = render::check_images(&mut rendered, target.toolbox)?;
    Ok((rendered, images))
}

pub(super) fn check_cluster(app: &App, target: &Target<'_>) -> Result<(), AppError> {
    if app.spec().cluster.as_str() == target.cluster {
        return Ok(());
    }
    Err(AppError::OtherCluster {
        app: app.name().to_string(),
        wanted: app.spec().cluster.to_string(),
        here: target.cluster.into(),
    })
}

/// What is written down before anything is changed.
pub(super) fn begun(
    rendered: &Rendered,
    mut images: Vec<Named>,
    (cause, release): (Cause, u64),
    begun: Timestamp,
) -> Revision {
    images.sort();
    images.dedup();
    let charts = rendered.charts.iter().map(applied).collect();
    let manifests = rendered.manifests.iter().map(|manifests| manifests.file.clone()).collect();
    let of_manifests = rendered.objects.iter().filter(|object| !object.is_of_chart() && !object.is_kept());
    let objects = of_manifests.map(Object::id).collect();
    let namespace = rendered.namespace.clone();
    Revision { number: 0, begun, cause, state: State::Begun, release, namespace, charts, manifests, images, objects }
}

fn applied(chart: &RenderedChart) -> AppliedChart {
    AppliedChart {
        name: chart.name.clone(),
        namespace: chart.namespace.clone(),
        chart: chart.chart.clone(),
        secrets: chart.secrets.clone(),
        kept: None,
    }
}
