//! Makes the cluster have what was rendered: charts, manifests, and no longer what only stood there before.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::helm::{HelmState, Installation};
use super::objects::{self, Object, origin_of_chart};
use super::programs::Programs;
use super::records::Records;
use super::render::{How, Rendered, RenderedChart, RenderedManifests};
use super::revision::{Revision, Revisions};
use super::server::{live, live_with_managers};
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
        let others = records.others()?;
        let gone = self.gone_charts(rendered, records, &others).await?;
        self.check_moved(rendered, &gone).await?;
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
        self.prune(rendered, records, &others, attempt).await?;
        for (name, namespace) in &gone {
            Installation { name, namespace }.uninstall(&self.programs, true, attempt.timeout).await?;
            (attempt.progress)(&Progress::Pruned { what: &format!("chart {namespace}/{name}") });
        }
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
        let wanted = namespaces(rendered);
        let asked: Vec<Value> = wanted.iter().map(|name| namespace_object(name)).collect();
        let there = live(&self.programs, &asked).await?;
        // One that is there stays as it is: its labels may be somebody else's, or come from a manifest.
        let is_there = |name: &str| there.iter().any(|one| ObjectId::of(one).name == name);
        for namespace in wanted.into_iter().filter(|name| !is_there(name)) {
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

    /// The charts of earlier revisions that are installed, and that this one has not; none that another app has.
    async fn gone_charts(
        &self,
        rendered: &Rendered,
        records: &Records,
        others: &[Revisions],
    ) -> Result<Vec<(String, String)>, AppError> {
        let charts = |all: &[Revision]| -> BTreeSet<(String, String)> {
            let each = all.iter().flat_map(|revision| &revision.charts);
            each.map(|one| (one.name.clone(), one.namespace.clone())).collect()
        };
        let mut gone = charts(records.known().standing());
        let wanted = |chart: &(String, String)| {
            rendered.charts.iter().any(|one| (one.name.as_str(), one.namespace.as_str()) == (&*chart.0, &*chart.1))
                || others.iter().any(|other| charts(other.standing()).contains(chart))
        };
        gone.retain(|chart| !wanted(chart));
        let mut installed = Vec::new();
        for (name, namespace) in gone {
            let state = Installation { name: &name, namespace: &namespace }.state(&self.programs).await?;
            if state.is_some_and(|state| !state.is_uninstalled()) {
                installed.push((name, namespace));
            }
        }
        Ok(installed)
    }

    /// With a chart goes all that it has, also what the app has elsewhere now.
    async fn check_moved(&self, rendered: &Rendered, gone: &[(String, String)]) -> Result<(), AppError> {
        let wanted: Vec<ObjectId> = rendered.objects.iter().map(Object::id).collect();
        for (name, namespace) in gone {
            let [text, _] = Installation { name, namespace }.objects(&self.programs, None).await?;
            let going = objects::parse(&origin_of_chart(name), namespace, &text)?;
            let moved = going.iter().filter(|object| !object.is_kept()).map(Object::id);
            if let Some(object) = moved.into_iter().find(|old| wanted.iter().any(|new| new.is_same(old))) {
                return Err(AppError::Moved { chart: name.clone(), object: object.to_string() });
            }
        }
        Ok(())
    }

    /// Takes away what manifests of earlier revisions put there, and this one has not, nor another app.
    async fn prune(
        &self,
        rendered: &Rendered,
        records: &Records,
        others: &[Revisions],
        attempt: &Attempt<'_>,
    ) -> Result<(), AppError> {
        let known = records.known();
        let newest = known.newest().into_iter().flat_map(|newest| newest.objects.iter().cloned());
        let of_others = others.iter().flat_map(|other| objects_of(other.standing()));
        let present: Vec<ObjectId> = rendered.objects.iter().map(Object::id).chain(newest).chain(of_others).collect();
        let gone: BTreeSet<ObjectId> =
            objects_of(known.standing()).filter(|old| !present.iter().any(|new| new.is_same(old))).collect();
        self.delete(gone.into_iter().collect(), attempt).await.map(drop)
    }

    /// Of `objects`, those that are there, and that Sealock brought, and that nobody wants to be kept.
    ///
    /// What a revision names may never have been brought: an apply that failed names all that it was about to bring.
    pub(super) async fn brought(&self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, AppError> {
        let asked: Vec<Value> = objects.iter().map(ObjectId::name_only).collect();
        let there = live_with_managers(&self.programs, &asked).await?;
        Ok(there.iter().filter(|object| is_brought(object)).map(ObjectId::of).collect())
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
        let go = self.brought(&go).await?;
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

pub(super) fn objects_of(revisions: &[Revision]) -> impl Iterator<Item = ObjectId> {
    revisions.iter().flat_map(|revision| &revision.objects).cloned()
}

/// Whether server-side apply of Sealock wrote some of it, and its author does not want it to be kept.
fn is_brought(live: &Value) -> bool {
    let is_ours = |entry: &Value| entry["manager"] == "sealock" && entry["operation"] == "Apply";
    let managers = live["metadata"]["managedFields"].as_array();
    let is_kept = live["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
    managers.is_some_and(|entries| entries.iter().any(is_ours)) && !is_kept
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_sealock_applied_and_nobody_keeps_is_taken_away() {
        let object = |manager: &str, operation: &str, policy: Option<&str>| {
            let mut metadata = json!({"name": "x", "managedFields": [{"manager": manager, "operation": operation}]});
            if let Some(policy) = policy {
                metadata["annotations"] = json!({"helm.sh/resource-policy": policy});
            }
            json!({"kind": "ConfigMap", "metadata": metadata})
        };
        assert!(is_brought(&object("sealock", "Apply", None)));
        assert!(!is_brought(&object("sealock", "Apply", Some("keep"))));
        assert!(!is_brought(&object("kubectl-client-side-apply", "Update", None)));
        assert!(!is_brought(&object("sealock", "Update", None)));
        assert!(!is_brought(&json!({"kind": "ConfigMap", "metadata": {"name": "x"}})));
    }
}
