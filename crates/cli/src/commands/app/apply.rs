//! `sealock app apply`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sealock_cluster::apps::{self, App, Applied, Attempt, Progress, Records};
use serde::Serialize;

use super::bound::Need;
use super::told::Told;
use crate::commands::cluster::running::Running;
use crate::commands::cluster::target::misread;
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::Result;
use crate::files;
use crate::time;
use crate::ui::took;

/// Install or update an application from the release
///
/// Renders charts and manifests first, and refuses images that are not in the release, or were revoked, before the cluster
/// is touched. What an earlier apply put there and the spec has no more is taken away. Then waits until everything is ready, and
/// says which pod is not and why. Each apply is a revision: `app history` lists them, `app rollback` brings one back.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The app spec (kind: App)
    #[arg(short, long, value_name = "FILE", default_value = "app.yaml")]
    file: PathBuf,
    /// Seconds to wait until everything is ready, and for each hook of a chart
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
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
    let (started, told) = (Instant::now(), Told::default());
    let prepared = runtime.block_on(apps::prepare(&app, &target))?;
    revocations::alarm(prepared.alarms(), context);
    let (name, folder) = (app.name().as_str(), running.folder());
    let known = apps::read_records(folder, name)?;
    let would_change = runtime.block_on(prepared.would_change(known.as_ref()));
    if context.dry_run {
        return show_prospect(&app, prepared.images(), would_change, context);
    }
    let (objects, images) = (prepared.objects(), prepared.images());
    context.ui.done(format_args!("rendered {objects} objects with {images} images, all in the release"));
    let mut records = Records::open(folder, app.spec().cluster.as_str(), name)?;
    let need = Need { folder, app: name, releases: BTreeSet::from([running.release()]) };
    need.begin()?;
    let tell = |event: &Progress<'_>| told.tell(&context.ui, event);
    let attempt = Attempt { at: time::now(), timeout: Duration::from_secs(args.timeout), progress: &tell };
    let applied = runtime.block_on(prepared.apply(&mut records, &attempt))?;
    need.settle()?;
    show(&app, (&applied, would_change), started.elapsed(), context)
}

fn show_prospect(app: &App, images: usize, would_change: bool, context: &Context) -> Result<()> {
    context.ui.note("every image is in the release; nothing was applied");
    let (app, cluster) = (app.name().to_string(), app.spec().cluster.to_string());
    let text = match would_change {
        true => format!("app {app} would change something on cluster {cluster}: `sealock app diff` says what"),
        false => format!("nothing to do: app {app} is on cluster {cluster} as the release has it"),
    };
    context.ui.result(&Prospect { app, cluster, images, would_change }, text)
}

fn show(app: &App, (applied, changed): (&Applied, bool), duration: Duration, context: &Context) -> Result<()> {
    let outcome = Outcome {
        app: app.name().to_string(),
        cluster: app.spec().cluster.to_string(),
        objects: applied.objects,
        images: applied.images,
        changed,
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
