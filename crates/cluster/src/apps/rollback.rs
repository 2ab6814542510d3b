//! Brings back what an app was before: the very objects, as far as the site still may use what they need.

use std::collections::BTreeSet;

use sealock_store::Published;
use sealock_trust::Digest;

use super::apply::begun;
use super::bring::Work;
use super::helm::{Installation, digest};
use super::objects::{self, origin_of_chart};
use super::records::Records;
use super::render::{self, How, Rendered, RenderedChart};
use super::revision::{AppliedChart, Cause, Named, Revision, Revisions};
use super::{AppError, Applied, Attempt, Target};
use crate::programs::ProgramError;
use crate::release::ReleaseView;
use crate::revoked::{Needed, Revoked};

/// A release that the site still serves, and what of it is revoked.
#[derive(Debug)]
pub struct LiveRelease {
    /// The release.
    pub published: Published,
    /// What is known against it.
    pub revoked: Revoked,
}

/// An earlier revision, ready to come back.
#[derive(Debug)]
pub struct Rollback {
    work: Work,
    rendered: Rendered,
    to: Revision,
    releases: BTreeSet<u64>,
}

impl Rollback {
    /// Looks whether revision `to` may come back, the last one that was ready before the newest where none is named. The cluster
    /// is not changed. `live` is in the order of releases, the newest first.
    ///
    /// # Errors
    /// Nothing earlier is known; Helm or the site do not have any more what it needs, or it was revoked.
    pub async fn prepare(
        known: &Revisions,
        to: Option<u64>,
        live: &[LiveRelease],
        target: &Target<'_>,
    ) -> Result<Self, AppError> {
        let to = choose(known, to)?.clone();
        let work = Work::begin(target)?;
        let mut rendered = as_it_was(&to, target, &work).await?;
        let mut releases = BTreeSet::new();
        let needed = needed(&to, &rendered)?;
        let mut missing = Vec::new();
        for (wanted, place) in needed {
            match find(&wanted, live) {
                Found::In(release) => {
                    releases.insert(release.published.release.number);
                    let blocked = render::refuse_blocked([(&wanted.digest, place)], &release.revoked)?;
                    rendered.alarms.extend(blocked);
                }
                Found::Nowhere => missing.push((wanted.name, place)),
                Found::Another(digest) => missing.push((format!("{}, which is {digest} now", wanted.name), place)),
            }
        }
        if !missing.is_empty() {
            return Err(AppError::NotLive { revision: to.number, missing });
        }
        // Manifests are read only now that a live release has them.
        for file in &to.manifests {
            render::add_manifests(file, target.toolbox, &mut rendered)?;
        }
        Ok(Self { work, rendered, to, releases })
    }

    /// Which revision comes back.
    pub fn to(&self) -> u64 {
        self.to.number
    }

    /// The releases that it needs.
    pub fn releases(&self) -> &BTreeSet<u64> {
        &self.releases
    }

    /// What is needed although it was revoked.
    pub fn alarms(&self) -> &[Needed] {
        &self.rendered.alarms
    }

    /// Brings it back, as a revision of its own, and waits until it is ready.
    ///
    /// # Errors
    /// What Helm, kubectl or the pods say.
    pub async fn carry_out(&self, records: &mut Records, attempt: &Attempt<'_>) -> Result<Applied, AppError> {
        let cause = (Cause::Rollback(self.to.number), self.to.release);
        records.begin(begun(&self.rendered, self.to.images.clone(), cause, attempt.at))?;
        let outcome = self.work.bring(&self.rendered, records, attempt).await;
        let (objects, images) = (self.rendered.objects.len(), self.rendered.images()?.len());
        Ok(Applied { objects, images, workloads: records.end(outcome)? })
    }
}

/// Whatever of `revision` Helm keeps, in the place of what a spec renders to; no manifests yet.
pub(super) async fn as_it_was(revision: &Revision, target: &Target<'_>, work: &Work) -> Result<Rendered, AppError> {
    if !revision.is_whole() {
        return Err(AppError::NotWhole { revision: revision.number });
    }
    let namespace = revision.namespace.clone();
    let (charts, manifests, objects, alarms) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut rendered = Rendered { namespace, charts, manifests, objects, alarms };
    for chart in &revision.charts {
        add_chart(chart, revision.number, work, &mut rendered).await?;
    }
    let charts = revision.charts.iter().map(|chart| (&chart.chart.digest, format!("chart {}", chart.name)));
    rendered.alarms = render::refuse_blocked(charts, target.toolbox.revoked())?;
    Ok(rendered)
}

async fn add_chart(chart: &AppliedChart, number: u64, work: &Work, rendered: &mut Rendered) -> Result<(), AppError> {
    let not_kept = || AppError::NotKept { revision: number, chart: chart.name.clone() };
    let kept = chart.kept.as_ref().ok_or_else(not_kept)?;
    let installation = Installation { name: &chart.name, namespace: &chart.namespace };
    let texts = match installation.objects(&work.programs, Some(kept.revision)).await {
        Err(ProgramError::Failed { said, .. }) if said.contains("not found") => return Err(not_kept()),
        texts => texts?,
    };
    // Another one under the same number: the cluster was made anew, or somebody else's Helm was at work.
    if digest(&texts) != kept.digest {
        return Err(not_kept());
    }
    let origin = origin_of_chart(&chart.name);
    for text in &texts {
        let objects = objects::parse(&origin, &chart.namespace, text)?;
        rendered.objects.extend(objects.into_iter().filter(|object| !object.is_test()));
    }
    rendered.charts.push(RenderedChart {
        name: chart.name.clone(),
        namespace: chart.namespace.clone(),
        chart: chart.chart.clone(),
        secrets: chart.secrets.clone(),
        tests: 0,
        how: How::Restore { revision: kept.revision },
    });
    Ok(())
}

fn choose(known: &Revisions, to: Option<u64>) -> Result<&Revision, AppError> {
    let Some(number) = to else {
        return known.before().ok_or_else(|| AppError::NothingEarlier { app: known.app.clone() });
    };
    let found = known.revisions.iter().find(|revision| revision.number == number);
    found.ok_or_else(|| AppError::NoSuchRevision {
        app: known.app.clone(),
        wanted: number,
        known: known.revisions.iter().map(|revision| revision.number).collect(),
    })
}

/// What a revision cannot be without, and who needs it: images, and files of manifests.
fn needed(to: &Revision, rendered: &Rendered) -> Result<Vec<(Named, String)>, AppError> {
    let of_charts = rendered.images()?;
    let whose = |image: &Named| {
        let named = of_charts.iter().find(|(reference, _)| reference.to_string() == image.name);
        named.map_or_else(|| "its manifests".to_owned(), |(_, place)| place.to_string())
    };
    let images = to.images.iter().map(|image| (image.clone(), whose(image)));
    let files = to.manifests.iter().map(|file| (file.clone(), "its manifests".to_owned()));
    Ok(images.chain(files).collect())
}

enum Found<'a> {
    In(&'a LiveRelease),
    /// Under its name stands something else, and that is what a node would get.
    Another(Digest),
    Nowhere,
}

/// The newest live release that has `wanted`: it is the one that answers to its name.
fn find<'a>(wanted: &Named, live: &'a [LiveRelease]) -> Found<'a> {
    for release in live {
        let references = ReleaseView::new(&release.published).references();
        let by_digest = wanted.name.contains('@');
        let is_it =
            |name: &str, digest: &Digest| if by_digest { *digest == wanted.digest } else { name == wanted.name };
        if let Some(found) = references.iter().find(|one| is_it(&one.name, &one.digest)) {
            return if found.digest == wanted.digest {
                Found::In(release)
            } else {
                Found::Another(found.digest.clone())
            };
        }
    }
    Found::Nowhere
}

#[cfg(test)]
mod tests {
    use sealock_store::release::{Cause as ReleaseCause, FORMAT, Reference, ReferenceKind, Release};

    use super::*;

    fn image(name: &str, content: &str) -> Named {
        Named { name: name.into(), digest: Digest::sha256(content.as_bytes()) }
    }

    fn release(number: u64, images: &[Named]) -> LiveRelease {
        let reference = |image: &Named| Reference {
            name: image.name.clone(),
            kind: ReferenceKind::Image,
            digest: image.digest.clone(),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            subject: None,
            size: 500,
            stream: "base".into(),
            vendor: None,
        };
        let release = Release {
            format: FORMAT.into(),
            number,
            previous: None,
            cause: ReleaseCause::Import { stream: "base".into(), sequence: number },
            issued: jiff::Timestamp::UNIX_EPOCH,
            streams: Vec::new(),
            references: images.iter().map(reference).collect(),
            trust_generation: None,
            exceptions: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
        };
        let published = Published { release, digest: Digest::sha256(b"a release") };
        LiveRelease { published, revoked: Revoked::default() }
    }

    #[test]
    fn an_image_comes_back_only_from_the_newest_live_release_that_answers_to_its_name() {
        let (old, new) = (image("quay.io/team/app:v1", "old"), image("quay.io/team/app:v1", "new"));
        let only_then = image("quay.io/team/web:2", "web");
        let live = [release(3, std::slice::from_ref(&new)), release(2, &[old.clone(), only_then.clone()])];
        let found = |image: &Named| match find(image, &live) {
            Found::In(release) => format!("in {}", release.published.release.number),
            Found::Another(digest) => format!("another: {digest}"),
            Found::Nowhere => "nowhere".to_owned(),
        };
        assert_eq!(found(&new), "in 3");
        assert_eq!(found(&only_then), "in 2");
        assert_eq!(found(&old), format!("another: {}", new.digest));
        assert_eq!(found(&image("quay.io/team/gone:1", "gone")), "nowhere");
        // By its digest a node gets the very one, whatever its tag stands for.
        let pinned = Named { name: format!("quay.io/team/app@{}", old.digest), digest: old.digest.clone() };
        assert_eq!(found(&pinned), "in 2");
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it_and_is_a_refusal() {
        let missing = vec![
            ("quay.io/team/app:v1".to_owned(), "chart web: Deployment web".to_owned()),
            ("manifests/plant-7/manifests/web.yaml:1".to_owned(), "its manifests".to_owned()),
        ];
        let error = AppError::NotLive { revision: 2, missing };
        assert_eq!(error.code().map(sealock_trust::reason::Code::as_str), Some("NOT_IN_RELEASE"));
        insta::assert_snapshot!(error.to_string(), @"
        revision 2 needs what no live release has:
          quay.io/team/app:v1 (chart web: Deployment web)
          manifests/plant-7/manifests/web.yaml:1 (its manifests)
        ");
    }

    #[test]
    fn a_revision_that_is_not_known_is_told_with_those_that_are() {
        let known = Revisions::none("demo", "plant-7");
        assert_eq!(
            choose(&known, None).unwrap_err().to_string(),
            "of the app demo nothing earlier is known that was ready"
        );
        let error = choose(&known, Some(4)).unwrap_err().to_string();
        assert_eq!(error, "of the app demo no revision 4 is known");
    }
}
