//! Takes an app off its cluster: what was applied, and nothing else.

use std::collections::BTreeSet;

use super::bring::{Work, objects_of};
use super::helm::Installation;
use super::objects::{self, origin_of_chart};
use super::records::Records;
use super::revision::Revisions;
use super::{AppError, Attempt, ObjectId, Progress, Target};

/// An app that is about to go.
#[derive(Debug)]
pub struct Removal {
    work: Work,
    charts: Vec<GoingChart>,
    objects: Vec<ObjectId>,
}

/// A chart of it.
#[derive(Debug)]
struct GoingChart {
    name: String,
    namespace: String,
    objects: Vec<ObjectId>,
    /// Only what Helm remembers of it is left.
    is_gone: bool,
}

impl Removal {
    /// Finds out what there is. Nothing is changed.
    ///
    /// # Errors
    /// Helm does not answer.
    pub async fn prepare(known: &Revisions, others: &[Revisions], target: &Target<'_>) -> Result<Self, AppError> {
        let work = Work::begin(target)?;
        let all = known.revisions.iter().flat_map(|revision| &revision.charts);
        let names: BTreeSet<(&str, &str)> = all.map(|chart| (chart.name.as_str(), chart.namespace.as_str())).collect();
        let mut charts = Vec::new();
        for (name, namespace) in names {
            let found = find(&work, Installation { name, namespace }).await?;
            // What an earlier revision gave up, and stands there again, is somebody else's.
            let mut stands = known.standing().iter().flat_map(|revision| &revision.charts);
            let is_ours = stands.any(|chart| chart.name == name && chart.namespace == namespace);
            let mut of_others = others.iter().flat_map(Revisions::standing).flat_map(|revision| &revision.charts);
            let is_others = of_others.any(|chart| chart.name == name && chart.namespace == namespace);
            charts.extend(found.filter(|chart| (is_ours || chart.is_gone) && !is_others));
        }
        let of_others: Vec<ObjectId> = others.iter().flat_map(|other| objects_of(other.standing())).collect();
        let objects: BTreeSet<ObjectId> = objects_of(known.standing())
            .filter(|object| !of_others.iter().any(|other| other.is_same(object)))
            .collect();
        let objects = work.brought(&objects.into_iter().collect::<Vec<_>>()).await?;
        Ok(Self { work, charts, objects })
    }

    /// Every object that goes, and where it came from.
    pub fn going(&self) -> impl Iterator<Item = (&ObjectId, String)> {
        let of_charts = self.charts.iter().flat_map(|chart| {
            let origin = origin_of_chart(&chart.name);
            chart.objects.iter().map(move |object| (object, origin.clone()))
        });
        let of_manifests = self.objects.iter().filter(|object| !object.holds_others());
        of_charts.chain(of_manifests.map(|object| (object, "manifests".to_owned())))
    }

    /// What stays, since with it would go what others put there.
    pub fn staying(&self) -> impl Iterator<Item = &ObjectId> {
        self.objects.iter().filter(|object| object.holds_others())
    }

    /// Takes all of it away, and waits until it is gone. `records` is held meanwhile.
    ///
    /// # Errors
    /// What Helm or kubectl say. The same again goes on.
    pub async fn carry_out(self, _records: &Records, attempt: &Attempt<'_>) -> Result<(), AppError> {
        self.work.delete(self.objects, attempt).await?;
        for chart in self.charts.iter().rev() {
            let installation = Installation { name: &chart.name, namespace: &chart.namespace };
            installation.uninstall(&self.work.programs, false, attempt.timeout).await?;
            if !chart.is_gone {
                (attempt.progress)(&Progress::Pruned { what: &format!("chart {}/{}", chart.namespace, chart.name) });
            }
        }
        Ok(())
    }
}

async fn find(work: &Work, chart: Installation<'_>) -> Result<Option<GoingChart>, AppError> {
    let Some(state) = chart.state(&work.programs).await? else { return Ok(None) };
    let is_gone = state.is_uninstalled();
    let [text, _] = chart.objects(&work.programs, Some(state.revision)).await?;
    let objects = objects::parse(&origin_of_chart(chart.name), chart.namespace, if is_gone { "" } else { &text })?;
    let objects = objects.iter().filter(|object| !object.is_kept()).map(super::objects::Object::id).collect();
    let (name, namespace) = (chart.name.to_owned(), chart.namespace.to_owned());
    Ok(Some(GoingChart { name, namespace, objects, is_gone }))
}
