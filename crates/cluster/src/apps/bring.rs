//! Makes the cluster have what was rendered: charts, manifests, and no longer what only stood there before.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::helm::{HelmState, Installation};
use super::objects::{self, Object};
use super::programs::Programs;
use super::records::Records;
use super::render::{How, Rendered, RenderedChart, RenderedManifests};
use super::wait::{self, Workload};
use super::{AppError, Attempt, ObjectId, Progress, Target, hooks};
use crate::programs::{ProgramError, Surroundings};
use crate::release::Program;

/// How long one call may take that does not wait for pods.
const CALL: Duration = Duration::from_secs(120);

const APPLY: [&str; 6] = ["apply", "--server-side", "--field-manager", "sealock", "--filename", "-"];

/// The programs of the release, at work on one cluster.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) programs: Programs,
}

impl Work {
    pub(super) fn begin(target: &Target<'_>) -> Result<Self, AppError> {
        let helm = target.toolbox.program(Program::Helm, None)?;
        let kubectl = target.toolbox.program(Program::Kubectl, Some(target.kubernetes))?;
        // With a copy of the kubeconfig, for the namespace is set in it.
        let surroundings = Surroundings::new(target.toolbox.folder(), target.kubeconfig)?;
        Ok(Self { programs: Programs { helm, kubectl, surroundings } })
    }

    /// Brings what was rendered, whose revision was begun in `records`, and waits until it is ready.
    pub(super) async fn bring(
        &self,
        rendered: &Rendered,
        records: &mut Records,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<Workload>, AppError> {
        self.make_namespaces(rendered).await?;
        self.use_namespace(&rendered.namespace).await?;
        for (n, chart) in rendered.charts.iter().enumerate() {
            self.bring_chart(rendered, chart, attempt).await?;
            let kept = Installation::from(chart).kept(&self.programs).await?;
            records.change(|revision| revision.charts[n].kept = kept)?;
        }
        let mut answered = Vec::new();
        for manifests in &rendered.manifests {
            answered.extend(self.apply(manifests).await?);
            (attempt.progress)(&Progress::Manifests { name: &manifests.file.name });
        }
        records.change(|revision| revision.objects = answered)?;
        self.prune(rendered, records, attempt).await?;
        let workloads = wait::workloads(rendered);
        wait::until_ready(&self.programs, &workloads, attempt).await?;
        Ok(workloads)
    }

    async fn bring_chart(
        &self,
        rendered: &Rendered,
        chart: &RenderedChart,
        attempt: &Attempt<'_>,
    ) -> Result<(), AppError> {
        self.clear_interrupted(chart.into()).await?;
        hooks::bring(&self.programs, rendered, chart, attempt).await?;
        let (name, tests) = (chart.name.as_str(), chart.tests);
        (attempt.progress)(&match chart.how {
            How::Install { .. } => Progress::Chart { name, tests },
            How::Restore { revision } => Progress::Restored { name, revision },
        });
        Ok(())
    }

    /// What an end of Helm in the middle of its work has left refuses all further work. Its objects stay as they are: the next
    /// revision takes them over.
    async fn clear_interrupted(&self, chart: Installation<'_>) -> Result<(), AppError> {
        let Some(state) = chart.state(&self.programs).await?.filter(HelmState::is_interrupted) else {
            return Ok(());
        };
        let secret = format!("sh.helm.release.v1.{}.v{}", chart.name, state.revision);
        let delete = ["delete", "secret", &secret, "--namespace", chart.namespace, "--ignore-not-found"];
        self.programs.kubectl(&delete, b"", CALL).await?;
        Ok(())
    }

    /// Makes the namespaces that things go to, but for those that a chart makes itself.
    async fn make_namespaces(&self, rendered: &Rendered) -> Result<(), AppError> {
        for namespace in namespaces(rendered) {
            self.programs.kubectl(&APPLY, namespace_object(namespace).to_string().as_bytes(), CALL).await?;
        }
        Ok(())
    }

    /// What names no namespace goes to `namespace`. As a flag it would forbid every other.
    pub(super) async fn use_namespace(&self, namespace: &str) -> Result<(), ProgramError> {
        let arguments = ["config", "set-context", "--current", "--namespace", namespace];
        self.programs.kubectl(&arguments, b"", CALL).await.map(drop)
    }

    /// Applies a file of manifests. Answers which objects came of it, but for those that are to stay when the app goes.
    async fn apply(&self, manifests: &RenderedManifests) -> Result<Vec<ObjectId>, AppError> {
        let arguments = [&APPLY[..], &["--output", "json"]].concat();
        let answer = self.programs.kubectl(&arguments, &manifests.content, CALL).await?;
        let answered = objects::parse_json(&manifests.file.name, &answer)?;
        Ok(answered.iter().filter(|object| !object.is_kept()).map(|object| ObjectId::of(&object.value)).collect())
    }

    /// Takes away what earlier revisions put there, and this one has not.
    async fn prune(&self, rendered: &Rendered, records: &Records, attempt: &Attempt<'_>) -> Result<(), AppError> {
        let standing = records.known().standing();
        let charts = standing.iter().flat_map(|revision| &revision.charts);
        let gone: BTreeSet<(&str, &str)> = charts
            .map(|chart| (chart.name.as_str(), chart.namespace.as_str()))
            .filter(|(name, space)| !rendered.charts.iter().any(|one| one.name == *name && one.namespace == *space))
            .collect();
        for (name, namespace) in gone {
            let chart = Installation { name, namespace };
            if chart.state(&self.programs).await?.is_some_and(|state| !state.is_uninstalled()) {
                chart.uninstall(&self.programs, true, attempt.timeout).await?;
                (attempt.progress)(&Progress::Pruned { what: &format!("chart {namespace}/{name}") });
            }
        }
        let present = rendered.objects.iter().filter(|object| object.is_of_chart()).map(Object::id);
        let present: Vec<ObjectId> =
            present.chain(records.known().newest().into_iter().flat_map(|newest| newest.objects.clone())).collect();
        let objects = standing.iter().flat_map(|revision| &revision.objects);
        let gone: BTreeSet<&ObjectId> = objects.filter(|old| !present.iter().any(|new| new.is_same(old))).collect();
        self.delete(gone.into_iter().cloned().collect(), attempt).await.map(drop)
    }

    /// Deletes `objects`, but for those that hold what others put there. Answers those that stay.
    pub(super) async fn delete(
        &self,
        objects: Vec<ObjectId>,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<ObjectId>, AppError> {
        let (stay, go): (Vec<_>, Vec<_>) = objects.into_iter().partition(ObjectId::holds_others);
        for object in &stay {
            (attempt.progress)(&Progress::Stays { object });
        }
        if go.is_empty() {
            return Ok(stay);
        }
        let items: Vec<Value> = go.iter().map(ObjectId::name_only).collect();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
        let seconds = format!("--timeout={}s", attempt.timeout.as_secs().max(1));
        let delete = ["delete", "--ignore-not-found", &seconds, "--filename", "-"];
        self.programs.kubectl(&delete, list.to_string().as_bytes(), attempt.timeout + CALL).await?;
        for object in &go {
            (attempt.progress)(&Progress::Pruned { what: &object.to_string() });
        }
        Ok(stay)
    }
}

/// The namespaces that things go to, but for those that a chart makes itself.
pub(super) fn namespaces(rendered: &Rendered) -> BTreeSet<&str> {
    let mut wanted: BTreeSet<&str> = rendered.objects.iter().filter_map(Object::namespace).collect();
    wanted.insert(&rendered.namespace);
    wanted.extend(rendered.charts.iter().map(|chart| chart.namespace.as_str()));
    let of_charts = |object: &&Object| object.place.kind == "Namespace" && object.is_of_chart();
    for made in rendered.objects.iter().filter(of_charts) {
        wanted.remove(made.place.name.as_str());
    }
    wanted
}

pub(super) fn namespace_object(name: &str) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}
