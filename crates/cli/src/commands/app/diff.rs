//! `sealock app diff`

use std::fmt::Write as _;
use std::path::PathBuf;

use sealock_cluster::apps::{self, App, Change, Diff, What};
use serde::Serialize;

use super::known;
use crate::commands::cluster::running::Running;
use crate::commands::cluster::target::misread;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Show what `app apply` would change in the cluster, object by object
///
/// Charts are rendered and images checked as `apply` does it; what would become of objects that are there is what the API server
/// says in a dry run. With NAME in the place of a spec: where the cluster is not any more what was brought there last. Values of
/// Secrets, and what comes from `valuesFrom`, are hidden. Nothing is changed. Exit code 1 where something differs.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// An application of `app list`: compare the cluster with what was brought there last
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The app spec (kind: App)
    #[arg(short, long, value_name = "FILE", default_value = "app.yaml", conflicts_with = "name")]
    file: PathBuf,
    /// The cluster of NAME, where several have an application of that name
    #[arg(long, value_name = "NAME", requires = "name")]
    cluster: Option<String>,
}

#[derive(Serialize)]
struct Outcome {
    app: String,
    cluster: String,
    /// Objects that were compared.
    compared: usize,
    changes: Vec<Change>,
    /// Hooks that would run, in their order.
    hooks: Vec<String>,
}

pub fn run(args: &DiffArgs, context: &Context) -> Result<()> {
    let (outcome, with) = match &args.name {
        Some(name) => (against_the_last(name, args, context)?, "what was brought there last"),
        None => (against_the_spec(args, context)?, "what the spec says"),
    };
    let (app, cluster) = (&outcome.app, &outcome.cluster);
    let differing = outcome.changes.len();
    if differing == 0 {
        let text = format!("app {app} on cluster {cluster} is {with}: {} objects", outcome.compared);
        return context.ui.result(&outcome, text);
    }
    context.ui.result(&outcome, text(&outcome))?;
    let s = if differing == 1 { "" } else { "s" };
    let failed =
        CommandError::failed(format!("app {app} on cluster {cluster} is not {with}, in {differing} object{s}"));
    let refused = outcome.changes.iter().filter(|change| change.refused.is_some()).count();
    Err(match (refused, &args.name) {
        (0, None) => failed.hint("`sealock app apply` brings the spec to the cluster."),
        (0, Some(name)) => failed.hint(format!("`sealock app rollback {name} --to REVISION` brings a revision back.")),
        (refused, _) => failed.hint(format!("The cluster would refuse {refused} of them: what it says stands above.")),
    })
}

fn against_the_spec(args: &DiffArgs, context: &Context) -> Result<Outcome> {
    let text = files::read_text(&args.file).map_err(|error| error.hint("`--file FILE` names the app spec."))?;
    let app = App::load(&args.file, &text).map_err(misread)?;
    let cluster = app.spec().cluster.as_str();
    let running = Running::open(cluster, context)?;
    let known = apps::read_records(running.folder(), app.name().as_str())?;
    let toolbox = running.toolbox();
    let diff = context.runtime()?.block_on(apps::diff(&app, &running.target(&toolbox), known.as_ref()))?;
    Ok(outcome(app.name().as_str(), cluster, diff))
}

fn against_the_last(name: &str, args: &DiffArgs, context: &Context) -> Result<Outcome> {
    let known = known::find(name, args.cluster.as_deref(), context)?;
    let running = Running::open(&known.cluster, context)?;
    let revisions = known.needed_revisions(context)?;
    let toolbox = running.toolbox();
    let diff = context.runtime()?.block_on(apps::drift(&revisions, &running.target(&toolbox)))?;
    Ok(outcome(name, &known.cluster, diff))
}

fn outcome(app: &str, cluster: &str, diff: Diff) -> Outcome {
    let Diff { changes, compared, hooks } = diff;
    Outcome { app: app.into(), cluster: cluster.into(), compared, changes, hooks }
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for change in &outcome.changes {
        let _ = writeln!(text, "{} {} ({})", word(change.what), change.object, change.origin);
        if let Some(said) = &change.refused {
            let _ = writeln!(text, "  the cluster refuses this: {said}");
        }
        // Of what goes, its name says enough; `-o json` has all of it.
        let fields = if change.what == What::Removed { "" } else { &change.diff };
        for line in fields.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    for hook in &outcome.hooks {
        let _ = writeln!(text, "hook {hook}");
    }
    let count = |what| outcome.changes.iter().filter(|change| change.what == what).count();
    let (added, changed, removed) = (count(What::Added), count(What::Changed), count(What::Removed));
    let _ =
        writeln!(text, "\n{added} added, {changed} changed, {removed} removed; {} objects compared", outcome.compared);
    text
}

fn word(what: What) -> &'static str {
    match what {
        What::Added => "added",
        What::Changed => "changed",
        What::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use sealock_cluster::apps::ObjectId;

    use super::*;

    fn change(what: What, diff: &str, refused: Option<&str>) -> Change {
        let object = ObjectId {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("demo".into()),
            name: "web".into(),
        };
        let (origin, diff) = ("chart web".into(), diff.into());
        Change { object, origin, what, diff, refused: refused.map(ToOwned::to_owned) }
    }

    #[test]
    fn a_person_sees_each_object_with_its_fields_and_hooks_and_a_sum() {
        let changes = vec![
            change(What::Changed, "@@ -1,2 +1,2 @@\n spec:\n-  replicas: 2\n+  replicas: 3\n", None),
            change(What::Changed, "-  a: 1\n+  a: 2\n", Some("spec.selector: field is immutable")),
            change(What::Removed, "-kind: Deployment\n", None),
        ];
        let hooks = vec!["pre-upgrade: Job demo/migrate".to_owned()];
        let diff = outcome("demo", "plant-7", Diff { changes, compared: 9, hooks });
        insta::assert_snapshot!(text(&diff), @"
        changed Deployment demo/web (chart web)
          @@ -1,2 +1,2 @@
           spec:
          -  replicas: 2
          +  replicas: 3
        changed Deployment demo/web (chart web)
          the cluster refuses this: spec.selector: field is immutable
          -  a: 1
          +  a: 2
        removed Deployment demo/web (chart web)
        hook pre-upgrade: Job demo/migrate

        0 added, 2 changed, 1 removed; 9 objects compared
        ");
        insta::assert_snapshot!(serde_json::to_string_pretty(&diff.changes[1]).unwrap(), @r#"
        {
          "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "demo",
            "name": "web"
          },
          "origin": "chart web",
          "what": "changed",
          "diff": "-  a: 1\n+  a: 2\n",
          "refused": "spec.selector: field is immutable"
        }
        "#);
    }
}
