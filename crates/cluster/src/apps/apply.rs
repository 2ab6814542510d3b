//! Brings an app to its cluster.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::difference;
use super::objects::Object;
use super::programs::Programs;
use super::render::{self, Rendered};
use super::wait::{self, Workload};
use super::{App, AppError};
use crate::programs::Surroundings;
use crate::release::Program;
use crate::revoked::Needed;
use crate::tools::Toolbox;

/// How long one call may take that does not wait for pods.
const CALL: Duration = Duration::from_secs(120);

const APPLY: [&str; 6] = ["apply", "--server-side", "--field-manager", "sealock", "--filename", "-"];

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

/// What happens while an app is applied, for whoever waits.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// Everything was rendered, and every image is in the release.
    Rendered {
        /// Objects.
        objects: usize,
        /// Images that they name.
        images: usize,
        /// What is needed although it was revoked.
        alarms: &'a [Needed],
    },
    /// A chart was installed.
    Chart {
        /// Its name.
        name: &'a str,
    },
    /// A file of manifests was applied.
    Manifests {
        /// Its name.
        name: &'a str,
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
    /// Images that they name.
    pub images: usize,
    /// Whether the cluster was not yet as the app wants it, or could not tell.
    pub changed: bool,
    /// What was waited for.
    pub workloads: Vec<Workload>,
}

/// An app that could be applied.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its objects.
    pub rendered: Rendered,
    /// Images that they name.
    pub images: usize,
    /// Whether the cluster is not yet as the app wants it, or cannot tell.
    pub would_change: bool,
}

/// Renders `app` and refuses images that are not in the release, or were revoked. The cluster is asked, and nothing is changed.
///
/// # Errors
/// The release lacks something, something was revoked, or a chart does not render.
pub async fn check(app: &App, target: &Target<'_>) -> Result<Checked, AppError> {
    let work = Work::begin(app, target)?;
    let mut rendered = work.render(app, target).await?;
    let images = render::check_images(&mut rendered, target.toolbox)?;
    let would_change = difference::is_there_any(app, &rendered, &work.programs).await;
    Ok(Checked { rendered, images, would_change })
}

/// Brings `app` to its cluster, and waits until it is ready, at most `timeout`.
///
/// # Errors
/// As [`check`], before the cluster is touched; then what Helm, kubectl or the pods say.
pub async fn apply(
    app: &App,
    target: &Target<'_>,
    timeout: Duration,
    progress: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<Applied, AppError> {
    let work = Work::begin(app, target)?;
    let mut rendered = work.render(app, target).await?;
    let images = render::check_images(&mut rendered, target.toolbox)?;
    progress(&Progress::Rendered { objects: rendered.objects.len(), images, alarms: rendered.alarms() });
    let changed = difference::is_there_any(app, &rendered, &work.programs).await;
    work.make_namespaces(app, &rendered).await?;
    work.programs.use_namespace(app.spec().namespace.as_str()).await?;
    for rendered in &rendered.charts {
        work.install(app, rendered).await?;
        progress(&Progress::Chart { name: rendered.chart.name.as_str() });
    }
    for manifests in &rendered.manifests {
        work.programs.kubectl(&APPLY, &manifests.content, CALL).await?;
        progress(&Progress::Manifests { name: &manifests.name });
    }
    let workloads = wait::workloads(app, &rendered);
    wait::until_ready(&work.programs, &workloads, timeout, progress).await?;
    Ok(Applied { objects: rendered.objects.len(), images, changed, workloads })
}

struct Work {
    programs: Programs,
}

impl Work {
    fn begin(app: &App, target: &Target<'_>) -> Result<Self, AppError> {
        if app.spec().cluster.as_str() != target.cluster {
            return Err(AppError::OtherCluster {
                app: app.name().to_string(),
                wanted: app.spec().cluster.to_string(),
                here: target.cluster.into(),
            });
        }
        let helm = target.toolbox.program(Program::Helm, None)?;
        let kubectl = target.toolbox.program(Program::Kubectl, Some(target.kubernetes))?;
        // With a copy of the kubeconfig, for the namespace is set in it.
        let surroundings = Surroundings::new(target.toolbox.folder(), target.kubeconfig)?;
        Ok(Self { programs: Programs { helm, kubectl, surroundings } })
    }

    async fn render(&self, app: &App, target: &Target<'_>) -> Result<Rendered, AppError> {
        render::render(app, target.toolbox, &self.programs, target.kubernetes).await
    }

    /// Makes the namespaces that things go to, but for those that a chart makes itself.
    async fn make_namespaces(&self, app: &App, rendered: &Rendered) -> Result<(), AppError> {
        let mut wanted: BTreeSet<&str> = rendered.objects.iter().filter_map(|object| object.namespace()).collect();
        wanted.insert(app.spec().namespace.as_str());
        wanted.extend(rendered.charts.iter().map(|rendered| app.namespace_of(&rendered.chart).as_str()));
        let of_charts =
            |object: &&Object| object.place.kind == "Namespace" && object.place.origin.starts_with("chart ");
        let made: BTreeSet<&str> =
            rendered.objects.iter().filter(of_charts).map(|object| object.place.name.as_str()).collect();
        for namespace in wanted.difference(&made) {
            let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            self.programs.kubectl(&APPLY, object.to_string().as_bytes(), CALL).await?;
        }
        Ok(())
    }

    async fn install(&self, app: &App, rendered: &render::RenderedChart) -> Result<(), AppError> {
        let arguments = render::upgrade_arguments(app, rendered);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.programs.helm(&arguments, CALL).await?;
        Ok(())
    }
}
