//! How many backups stay. Days and weeks are those of UTC: what is kept does not depend on where the station believes to be.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sealock_trust::Digest;

/// Which backups stay: those that one of its rules names. Of a day or week it is the newest, and days and weeks without one do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest ones, so many.
    pub last: usize,
    /// One of each of the newest days, so many.
    pub daily: usize,
    /// One of each of the newest weeks, which begin on Monday, so many.
    pub weekly: usize,
}

impl Retention {
    /// Whether it says anything; where it does not, everything stays.
    pub fn is_said(&self) -> bool {
        *self != Self::default()
    }

    /// Those of `backups` that stay, each named by its digest; the newest of all does, whatever is said.
    pub fn kept(&self, backups: &BTreeSet<(Timestamp, Digest)>) -> BTreeSet<Digest> {
        let newest_first = || backups.iter().rev();
        let day = |taken: &Timestamp| taken.to_zoned(TimeZone::UTC).date();
        let week = |taken: &Timestamp| {
            let week = day(taken).iso_week_date();
            (week.year(), week.week())
        };
        let mut kept: BTreeSet<Digest> =
            newest_first().take(self.last.max(1)).map(|(_, digest)| digest.clone()).collect();
        kept.extend(first_of_each(newest_first(), self.daily, day));
        kept.extend(first_of_each(newest_first(), self.weekly, week));
        if self.is_said() { kept } else { backups.iter().map(|(_, digest)| digest.clone()).collect() }
    }
}

/// The first one of each of the first `most` spans.
fn first_of_each<'a, S: Ord>(
    backups: impl Iterator<Item = &'a (Timestamp, Digest)>,
    most: usize,
    span: impl Fn(&Timestamp) -> S,
) -> Vec<Digest> {
    let mut seen = BTreeSet::new();
    backups.filter(|(taken, _)| seen.insert(span(taken))).take(most).map(|(_, digest)| digest.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backups(times: &[&str]) -> BTreeSet<(Timestamp, Digest)> {
        times.iter().map(|time| (time.parse().unwrap(), Digest::sha256(time.as_bytes()))).collect()
    }

    fn stays(rule: Retention, times: &[&str]) -> Vec<String> {
        let kept = rule.kept(&backups(times));
        times.iter().filter(|time| kept.contains(&Digest::sha256(time.as_bytes()))).map(ToString::to_string).collect()
    }

    const TIMES: [&str; 8] = [
        "2026-11-13T01:00:00Z", // Friday
        "2026-11-15T23:59:59Z", // Sunday
        "2026-11-16T00:00:00Z", // Monday
        "2026-11-22T01:00:00Z", // Sunday
        "2026-11-25T01:00:00Z",
        "2026-11-27T01:00:00Z",
        "2026-11-27T13:00:00Z",
        "2026-11-27T13:00:01Z",
    ];

    #[test]
    fn each_rule_names_what_stays_and_one_that_names_it_is_enough() {
        assert_eq!(stays(Retention { last: 2, ..Retention::default() }, &TIMES), TIMES[6..]);
        let daily = Retention { daily: 3, ..Retention::default() };
        assert_eq!(stays(daily, &TIMES), [TIMES[3], TIMES[4], TIMES[7]], "days without a backup do not count");
        let weekly = Retention { weekly: 3, ..Retention::default() };
        assert_eq!(stays(weekly, &TIMES), [TIMES[1], TIMES[3], TIMES[7]], "a week begins on Monday");
        let all = Retention { last: 2, daily: 2, weekly: 3 };
        assert_eq!(stays(all, &TIMES), [TIMES[1], TIMES[3], TIMES[4], TIMES[6], TIMES[7]]);
        assert_eq!(stays(Retention::default(), &TIMES), TIMES, "without a rule everything stays");
    }

    proptest! {
        /// Two stations that prune one folder at a time, each knowing only some of what is there, never remove more than one that knows all.
        #[test]
        fn what_goes_where_less_is_known_goes_where_more_is_known(
            seconds in prop::collection::btree_set(0_i64..5_000_000, 1..40),
            known in prop::collection::vec(any::<bool>(), 40),
            (last, daily, weekly) in (0_usize..5, 0_usize..5, 0_usize..5),
        ) {
            let one = |second: &i64| (Timestamp::from_second(*second).unwrap(), Digest::sha256(&second.to_be_bytes()));
            let all: BTreeSet<_> = seconds.iter().map(one).collect();
            let some: BTreeSet<_> = seconds.iter().zip(&known).filter(|(_, known)| **known).map(|(second, _)| one(second)).collect();
            let rule = Retention { last, daily, weekly };
            let (of_all, of_some) = (rule.kept(&all), rule.kept(&some));
            prop_assert!(of_all.contains(&all.last().unwrap().1), "the newest stays");
            for (_, digest) in &some {
                prop_assert!(of_some.contains(digest) || !of_all.contains(digest));
            }
        }
    }
}
