//! How old the last backup and the last drill are, as `cluster status` and `site show` tell it.

use sealock_cluster::backup::evidence::{Last, Shelf, Standing, Whose};

use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::ui::age;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// How the backups of `whose` stand now, by what the station remembers of those that it took.
///
/// # Errors
/// What it remembers cannot be read.
pub fn standing(whose: Whose<'_>, station: &Station, context: &Context) -> Result<Standing> {
    Ok(Shelf::new(context.paths.evidence()).standing(whose, &station.site, jiff::Timestamp::now())?)
}

/// As it stands beside other facts: the last backup, and the last drill that was passed.
pub fn text(standing: &Standing) -> [(&'static str, String); 2] {
    [("last backup", in_words(standing.backup.as_ref())), ("last drill", in_words(standing.drill.as_ref()))]
}

fn in_words(last: Option<&Last>) -> String {
    last.map_or_else(|| "none".to_owned(), |last| format!("{}, {} ago", last.at, age(last.age_seconds)))
}

/// Warns of what is older than the settings bear, where no backup was taken, and where the newest drill failed.
pub fn warn(what: &str, standing: &Standing, context: &Context) {
    for warning in warnings(what, standing, (context.settings.backup_hours.value, context.settings.drill_days.value)) {
        context.ui.warn(warning);
    }
}

fn warnings(what: &str, standing: &Standing, (hours, days): (u32, u32)) -> Vec<String> {
    let is_older = |last: &Last, limit: i64| last.age_seconds > limit;
    let mut warnings = Vec::new();
    match &standing.backup {
        None => warnings.push(format!("no backup of {what} was taken at this station")),
        Some(last) if is_older(last, i64::from(hours) * HOUR) => warnings.push(format!(
            "the last backup of {what} is {} old, and after {hours} h another one was to be taken (`backupHours`)",
            age(last.age_seconds)
        )),
        Some(_) => {}
    }
    match &standing.drill {
        Some(last) if is_older(last, i64::from(days) * DAY) => warnings.push(format!(
            "the last drill of a backup of {what} that was passed is {} old, and after {days} days another one was to be (`drillDays`)",
            age(last.age_seconds)
        )),
        _ => {}
    }
    if let Some(failed) = &standing.failed_drill {
        warnings.push(format!("the last drill of a backup of {what}, {} ago, failed", age(failed.age_seconds)));
    }
    if let Some(ahead) = &standing.ahead {
        warnings.push(format!(
            "what is remembered of the backups of {what} says {ahead}, which has not come yet by this machine's clock: it counts for nothing until then"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(age_seconds: i64) -> Option<Last> {
        Some(Last { digest: None, at: jiff::Timestamp::UNIX_EPOCH, age_seconds })
    }

    #[test]
    fn what_is_older_than_it_may_be_is_warned_of_and_nothing_else() {
        let said = |backup, drill, failed_drill| {
            let standing = Standing { backup, drill, failed_drill, ahead: None };
            warnings("cluster plant-7", &standing, (48, 90)).join("\n")
        };
        assert_eq!(said(last(48 * HOUR), last(90 * DAY), None), "");
        assert_eq!(said(last(60), None, None), "", "who never drilled is shown so, and not nagged");
        insta::assert_snapshot!(said(last(50 * HOUR), last(91 * DAY), last(DAY)), @r"
        the last backup of cluster plant-7 is 2 days old, and after 48 h another one was to be taken (`backupHours`)
        the last drill of a backup of cluster plant-7 that was passed is 91 days old, and after 90 days another one was to be (`drillDays`)
        the last drill of a backup of cluster plant-7, 24 h ago, failed
        ");
        assert_eq!(said(None, None, None), "no backup of cluster plant-7 was taken at this station");
        let ahead = Standing { backup: last(60), ahead: Some(jiff::Timestamp::UNIX_EPOCH), ..Standing::default() };
        insta::assert_snapshot!(warnings("cluster plant-7", &ahead, (48, 90)).join("\n"), @"what is remembered of the backups of cluster plant-7 says 1970-01-01T00:00:00Z, which has not come yet by this machine's clock: it counts for nothing until then");
    }
}
