//! What `apply` would change in the cluster, object by object. Nothing is changed, and no secret is shown.

mod merge;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::apply::{check_cluster, render_checked};
use super::bring::{Work, namespace_object, namespaces};
use super::helm::Installation;
use super::objects::{self, Object, origin_of_chart};
use super::render::{self, How, Rendered};
use super::revision::{Revision, Revisions};
use super::rollback::as_it_was;
use super::secrets::Secrets;
use super::server::{Answer, Writer, dry_run, live};
use super::{App, AppError, ObjectId, Target};

/// What would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// The objects that would, in the order in which they are applied; those that would go come last.
    pub changes: Vec<Change>,
    /// How many objects were compared.
    pub compared: usize,
    /// The hooks that would run, like `pre-upgrade: Job demo/migrate`.
    pub hooks: Vec<String>,
}

/// An object that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Which one.
    pub object: ObjectId,
    /// The chart or file of manifests that it is from.
    pub origin: String,
    /// What would become of it.
    pub what: What,
    /// A unified diff of its fields; what is secret is hidden.
    pub diff: String,
    /// What the API server says where it does not take the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What would become of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It would be made.
    Added,
    /// It would get other fields.
    Changed,
    /// It would be taken away.
    Removed,
}

/// What applying `app` would change. `known` is what the station knows of it.
///
/// # Errors
/// As those of [`super::prepare`]; and what Helm or kubectl say.
pub async fn diff(app: &App, target: &Target<'_>, known: Option<&Revisions>) -> Result<Diff, AppError> {
    check_cluster(app, target)?;
    let work = Work::begin(target)?;
    let (rendered, _) = render_checked(app, target, &work).await?;
    let mut secrets = Secrets::default();
    for chart in &app.spec().charts {
        secrets.add_files(&app.secret_values_of(chart))?;
    }
    compare(&work, &rendered, known.map(Revisions::standing).unwrap_or_default(), secrets).await
}

/// What applying the newest revision again would change: where the cluster is not any more what it was made.
///
/// # Errors
/// Nothing is known of the app; Helm or the store do not have any more what it was; and what Helm or kubectl say.
pub async fn drift(known: &Revisions, target: &Target<'_>) -> Result<Diff, AppError> {
    let newest = known.newest().ok_or_else(|| AppError::NothingKnown { app: known.app.clone() })?;
    let work = Work::begin(target)?;
    let mut rendered = as_it_was(newest, target, &work).await?;
    for file in &newest.manifests {
        render::add_manifests(file, target.toolbox, &mut rendered)?;
    }
    compare(&work, &rendered, known.standing(), Secrets::default()).await
}

/// An object, what Helm said of it the last time, and who writes it.
struct Wanted<'a> {
    object: &'a Object,
    before: Value,
    writer: Writer,
}

struct Comparison<'a> {
    work: &'a Work,
    secrets: Secrets,
    changes: Vec<Change>,
}

pub(super) async fn compare(
    work: &Work,
    rendered: &Rendered,
    standing: &[Revision],
    mut secrets: Secrets,
) -> Result<Diff, AppError> {
    let mut before: Vec<Object> = Vec::new();
    let mut hooks = Vec::new();
    for chart in &rendered.charts {
        let installed = installed(work, chart.into()).await?;
        let origin = origin_of_chart(&chart.name);
        let moment = match (&chart.how, installed.is_some()) {
            (How::Restore { .. }, _) => "rollback",
            (_, true) => "upgrade",
            (_, false) => "install",
        };
        hooks.extend(hooks_of(rendered.objects.iter().filter(|object| object.place.origin == origin), moment));
        if let Some((objects, values)) = installed {
            let places = standing.iter().flat_map(|revision| &revision.charts).filter(|one| one.name == chart.name);
            places.for_each(|one| secrets.add(&values, &one.secrets));
            secrets.add(&values, &chart.secrets);
            before.extend(objects);
        }
    }
    let mut comparison = Comparison { work, secrets, changes: Vec::new() };
    comparison.namespaces(rendered).await?;
    let objects: Vec<&Object> = rendered.objects.iter().filter(|object| object.hooks().is_empty()).collect();
    comparison.objects(&objects, &before).await?;
    comparison.gone(&objects, before, standing, rendered).await?;
    Ok(Diff { changes: comparison.changes, compared: objects.len(), hooks })
}

/// The objects and values of a chart that is installed.
async fn installed(work: &Work, chart: Installation<'_>) -> Result<Option<(Vec<Object>, Value)>, AppError> {
    let state = chart.state(&work.programs).await?.filter(|state| !state.is_uninstalled());
    if state.is_none() {
        return Ok(None);
    }
    let [text, _] = chart.objects(&work.programs, None).await?;
    let objects = objects::parse(&origin_of_chart(chart.name), chart.namespace, &text)?;
    Ok(Some((objects, chart.values(&work.programs).await?)))
}

/// The hooks among `objects` that run before and after `moment`, in Helm's order.
fn hooks_of<'a>(objects: impl Iterator<Item = &'a Object>, moment: &str) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects {
        for when in object.hooks() {
            let Some(rank) = ["pre", "post"].iter().position(|side| when == format!("{side}-{moment}")) else {
                continue;
            };
            let id = object.id();
            found.push(((rank, object.hook_weight(), id.kind.clone(), id.name.clone()), format!("{when}: {id}")));
        }
    }
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

impl Comparison<'_> {
    /// Those that would be made before all else.
    async fn namespaces(&mut self, rendered: &Rendered) -> Result<(), AppError> {
        let written =
            |name: &str| rendered.objects.iter().any(|one| one.place.kind == "Namespace" && one.place.name == name);
        let wanted: Vec<Value> =
            namespaces(rendered).into_iter().filter(|name| !written(name)).map(namespace_object).collect();
        let there = live(&self.work.programs, &wanted).await?;
        for namespace in wanted {
            let id = ObjectId::of(&namespace);
            if !there.iter().any(|one| ObjectId::of(one).is_same(&id)) {
                self.push(id, "the namespaces of the app", (&Value::Null, &namespace));
            }
        }
        Ok(())
    }

    /// Those that would be made or changed, one default namespace after the other.
    async fn objects(&mut self, objects: &[&Object], before: &[Object]) -> Result<(), AppError> {
        let mut homes: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
        objects.iter().for_each(|object| homes.entry(object.home.as_str()).or_default().push(object));
        for (home, objects) in homes {
            self.work.use_namespace(home).await?;
            self.at_home(&objects, before).await?;
        }
        Ok(())
    }

    async fn at_home(&mut self, objects: &[&Object], before: &[Object]) -> Result<(), AppError> {
        let asked: Vec<Value> = objects.iter().map(|object| object.value.clone()).collect();
        let there = live(&self.work.programs, &asked).await?;
        let mut changing: Vec<(Wanted<'_>, &Value, Value)> = Vec::new();
        for object in objects {
            let id = object.id();
            let Some(live) = there.iter().find(|one| ObjectId::of(one).is_same(&id)) else {
                self.push(id, &object.place.origin, (&Value::Null, &object.value));
                continue;
            };
            let wanted = wanted(object, before);
            if let Some(sent) = wanted.sent(live) {
                changing.push((wanted, live, sent));
            }
        }
        for writer in [Writer::Helm, Writer::Apply] {
            let of_writer: Vec<_> = changing.iter().filter(|(wanted, ..)| wanted.writer == writer).collect();
            let sent: Vec<Value> = of_writer.iter().map(|(.., sent)| sent.clone()).collect();
            let answers = dry_run(&self.work.programs, writer, &sent).await?;
            for ((wanted, live, sent), answer) in of_writer.into_iter().zip(answers) {
                self.answer(wanted.object, (live, sent), answer);
            }
        }
        Ok(())
    }

    fn answer(&mut self, object: &Object, (live, sent): (&Value, &Value), answer: Answer) {
        let (id, origin) = (ObjectId::of(live), object.place.origin.as_str());
        match answer {
            Answer::Becomes(becomes) => self.push(id, origin, (live, &becomes)),
            Answer::Refused(said) => {
                let diff = text::unified(live, sent, &self.secrets).unwrap_or_default();
                // The server quotes what it does not take.
                let is_shown = id.kind != "Secret" && self.secrets.is_empty();
                let refused = Some(if is_shown { said } else { "the cluster refuses it".to_owned() });
                self.changes.push(Change { object: id, origin: origin.into(), what: What::Changed, diff, refused });
            }
        }
    }

    /// Those that would be taken away.
    async fn gone(
        &mut self,
        wanted: &[&Object],
        before: Vec<Object>,
        standing: &[Revision],
        rendered: &Rendered,
    ) -> Result<(), AppError> {
        let mut left: Vec<(ObjectId, String)> = Vec::new();
        let stays = before.into_iter().filter(|object| !object.is_kept());
        left.extend(stays.map(|object| (object.id(), object.place.origin)));
        for chart in standing.iter().flat_map(|revision| &revision.charts) {
            let is_wanted =
                rendered.charts.iter().any(|one| one.name == chart.name && one.namespace == chart.namespace);
            let installation = Installation { name: &chart.name, namespace: &chart.namespace };
            if !is_wanted && let Some((objects, values)) = installed(self.work, installation).await? {
                self.secrets.add(&values, &chart.secrets);
                left.extend(
                    objects.into_iter().filter(|object| !object.is_kept()).map(|one| (one.id(), one.place.origin)),
                );
            }
        }
        let of_manifests = standing.iter().flat_map(|revision| &revision.objects).filter(|id| !id.holds_others());
        left.extend(of_manifests.map(|id| (id.clone(), "manifests".to_owned())));
        left.retain(|(id, _)| !wanted.iter().any(|object| object.id().is_same(id)));
        left.sort();
        left.dedup_by(|(one, _), (other, _)| one.is_same(other));
        let asked: Vec<Value> = left.iter().map(|(id, _)| id.name_only()).collect();
        let there = live(&self.work.programs, &asked).await?;
        for (id, origin) in left {
            if let Some(live) = there.iter().find(|one| ObjectId::of(one).is_same(&id)) {
                self.push(ObjectId::of(live), &origin, (live, &Value::Null));
            }
        }
        Ok(())
    }

    fn push(&mut self, object: ObjectId, origin: &str, (before, after): (&Value, &Value)) {
        let what = match (before, after) {
            (Value::Null, _) => What::Added,
            (_, Value::Null) => What::Removed,
            _ => What::Changed,
        };
        if let Some(diff) = text::unified(before, after, &self.secrets) {
            self.changes.push(Change { object, origin: origin.into(), what, diff, refused: None });
        }
    }
}

fn wanted<'a>(object: &'a Object, before: &[Object]) -> Wanted<'a> {
    let id = object.id();
    let old = before.iter().find(|old| old.id().is_same(&id));
    let writer = if object.is_of_chart() { Writer::Helm } else { Writer::Apply };
    Wanted { object, before: old.map(|old| old.value.clone()).unwrap_or_default(), writer }
}

impl Wanted<'_> {
    /// What would be sent; nothing where the object is left alone.
    fn sent(&self, live: &Value) -> Option<Value> {
        if self.writer == Writer::Apply {
            return Some(self.object.value.clone());
        }
        let merged = merge::three_way(&self.before, &self.object.value, live);
        (!self.object.is_made_once && merged != *live).then_some(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_told_in_the_order_in_which_helm_runs_them() {
        let hook = |kind: &str, name: &str, moments: &str, weight: &str| {
            format!(
                "kind: {kind}\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: '{moments}', helm.sh/hook-weight: '{weight}'}}}}\n---\n"
            )
        };
        let text = [
            hook("Job", "after", "post-install,post-upgrade", "-5"),
            hook("Job", "b", "pre-upgrade", "1"),
            hook("ConfigMap", "words", "pre-upgrade", "1"),
            hook("Job", "first", "pre-install, pre-upgrade", "-10"),
            hook("Job", "back", "pre-rollback", "0"),
        ];
        let objects = objects::parse("chart web", "demo", &text.concat()).unwrap();
        insta::assert_snapshot!(hooks_of(objects.iter(), "upgrade").join("\n"), @"
        pre-upgrade: Job demo/first
        pre-upgrade: ConfigMap demo/words
        pre-upgrade: Job demo/b
        post-upgrade: Job demo/after
        ");
    }
}
