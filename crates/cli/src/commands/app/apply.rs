//! `sealock app apply`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sealock_cluster::apps::{self, App, Applied, Checked, Progress};
use serde::{Deserialize, Serialize};

use crate::commands::cluster::running::Running;
use crate::commands::cluster::target::misread;
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::ui::{Ui, took};

/// Install or update an application from the release
///
/// Renders charts and manifests first, and refuses images that are not in the release, or were revoked, before the cluster
/// is touched. Then waits until everything is ready, and says which pod is not and why.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The app spec (kind: App)
    #[arg(short, long, value_name = "FILE", default_value = "app.yaml")]
    file: PathBuf,
    /// Seconds to wait until everything is ready
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// What an application needs.
#[derive(Default, Serialize, Deserialize)]
struct Bound {
    releases: BTreeSet<u64>,
}

#[derive(Serialize)]
struct Outcome {
    app: String,
    cluster: String,
    /// Kubernetes objects.
    objects: usize,
    /// Images that they name, each in the release.
    images: usize,
    /// Whether the cluster was not yet as the app wants it, or could not tell.
    changed: bool,
    /// Workloads that are ready.
    ready: usize,
}

/// What applying would come to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prospect {
    app: String,
    cluster: String,
    images: usize,
    /// Whether the cluster is not yet as the app wants it, or cannot tell.
    would_change: bool,
}

pub fn run(args: &ApplyArgs, context: &Context) -> Result<()> {
    let app = App::load(&args.file, &files::read_text(&args.file)?).map_err(misread)?;
    let running = Running::open(app.spec().cluster.as_str(), context)?;
    let toolbox = running.toolbox();
    let target = running.target(&toolbox);
    let runtime = context.runtime()?;
    if context.dry_run {
        return show_prospect(&app, &runtime.block_on(apps::check(&app, &target))?, context);
    }
    let started = Instant::now();
    let told = Told::default();
    let timeout = Duration::from_secs(args.timeout);
    // From the first object on, pods may need images of this release; those of the one before do until all are ready.
    bind(running.folder(), &app, running.release(), true)?;
    let applied = runtime.block_on(apps::apply(&app, &target, timeout, &|event| told.tell(context, event)))?;
    bind(running.folder(), &app, running.release(), false)?;
    show(&app, &applied, started.elapsed(), context)
}

/// Writes down which releases the application needs (docs/formats/plan.md): they stay live.
fn bind(folder: &std::path::Path, app: &App, release: u64, keep_others: bool) -> Result<()> {
    let path = folder.join("apps").join(format!("{}.json", app.name()));
    let before = if keep_others && path.exists() {
        let text = files::read_text(&path)?;
        serde_json::from_str::<Bound>(&text)
            .map_err(|error| CommandError::failed(format!("{} is damaged: {error}", path.display())))?
    } else {
        Bound::default()
    };
    let mut releases = before.releases;
    releases.insert(release);
    let made = std::fs::create_dir_all(folder.join("apps"));
    made.map_err(|error| CommandError::from(error).context(format!("making a folder in {}", folder.display())))?;
    let text = serde_json::to_vec(&Bound { releases });
    files::replace(&path, &text.map_err(|error| CommandError::internal(error.to_string()))?)
}

/// Says what has changed since it was said last.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn tell(&self, context: &Context, progress: &Progress<'_>) {
        let ui = &context.ui;
        match progress {
            Progress::Rendered { objects, images, alarms } => {
                revocations::alarm(alarms, context);
                ui.done(format_args!("rendered {objects} objects with {images} images, all in the release"));
            }
            Progress::Chart { name } => ui.done(format_args!("chart {name} is installed")),
            Progress::Manifests { name } => ui.done(format_args!("{name} is applied")),
            Progress::Waiting { ready, total, pending } => self.waiting(ui, *ready, *total, pending),
        }
    }

    fn waiting(&self, ui: &Ui, ready: usize, total: usize, pending: &[String]) {
        let Ok(mut before) = self.0.lock() else { return };
        if *before == pending {
            return;
        }
        ui.note(format_args!("  {ready} of {total} ready"));
        for reason in pending {
            ui.note(format_args!("    waiting for {reason}"));
        }
        *before = pending.to_vec();
    }
}

fn show_prospect(app: &App, checked: &Checked, context: &Context) -> Result<()> {
    revocations::alarm(checked.rendered.alarms(), context);
    context.ui.note("every image is in the release; nothing was applied");
    let (app, cluster) = (app.name().to_string(), app.spec().cluster.to_string());
    let text = match checked.would_change {
        true => format!("app {app} would change something on cluster {cluster}"),
        false => format!("nothing to do: app {app} is on cluster {cluster} as the release has it"),
    };
    let prospect = Prospect { app, cluster, images: checked.images, would_change: checked.would_change };
    context.ui.result(&prospect, text)
}

fn show(app: &App, applied: &Applied, duration: Duration, context: &Context) -> Result<()> {
    let outcome = Outcome {
        app: app.name().to_string(),
        cluster: app.spec().cluster.to_string(),
        objects: applied.objects,
        images: applied.images,
        changed: applied.changed,
        ready: applied.workloads.len(),
    };
    let text = format!(
        "app {} is ready on cluster {}: {} objects, {} workloads, in {}",
        outcome.app,
        outcome.cluster,
        outcome.objects,
        outcome.ready,
        took(duration)
    );
    context.ui.result(&outcome, text)
}
