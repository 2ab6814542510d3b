//! Control planes, as whoever asks them sees them, and what was kept before they were changed.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::journal::Since;
use super::members;
use crate::story::{self, Desk};

/// Asks every one of them at once, from the station, and writes what each answered.
const ASK: &str = r#"file=$1; shift; rm -f "$file.end"
while [ ! -e "$file.end" ]; do
  now=$(date +%s.%N)
  for address; do
    { if curl -sk -o /dev/null -m 3 -f "https://$address:6443/readyz"; then echo yes; else echo no; fi > "$file.$address"; } &
  done
  wait
  line=$now
  for address; do line="$line $(cat "$file.$address")"; done
  echo "$line"
  sleep 0.3
done > "$file""#;
const FILE: &str = "/run/planes";
/// As long as etcd may take to find another leader, in which no API server is ready.
const ELECTION: f64 = 15.0;
const SNAPSHOTS: &str = "var/lib/sealock/snapshots";

/// Looks whether they are available.
pub(crate) struct Available(Child);

impl Available {
    pub(crate) fn begin(desk: &Desk) -> Result<Self> {
        let addresses: Vec<String> = members::planes(desk).map(|plane| plane.replace("cp", "10.77.0.1")).collect();
        let mut words = vec!["sh", "-c", ASK, "sh", FILE];
        words.extend(addresses.iter().map(String::as_str));
        let mut command = desk.lab.exec("station", &words);
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// At most one of them was away at any time, but for as long as an election takes.
    pub(crate) fn one_at_a_time(mut self, desk: &Desk) -> Result<()> {
        story::text(&mut desk.lab.exec("station", &["touch", &format!("{FILE}.end")]))?;
        self.0.wait()?;
        let lines = story::text(&mut desk.lab.exec("station", &["cat", FILE]))?;
        let (asked, away, longest) = read(&lines)?;
        println!(
            "      control planes: asked {asked} times, one was away {away} times, more than one at most {longest:.1} s"
        );
        ensure!(asked > 10, "asked only {asked} times");
        ensure!(longest <= ELECTION, "more than one control plane was away for {longest:.1} s");
        Ok(())
    }
}

/// How often they were asked, how often one was away, and for how many seconds more than one at most.
fn read(lines: &str) -> Result<(usize, usize, f64)> {
    let (mut asked, mut away, mut longest) = (0, 0, 0.0_f64);
    let mut since: Option<f64> = None;
    for line in lines.lines() {
        let mut words = line.split(' ');
        let at: f64 = words.next().unwrap_or_default().parse().with_context(|| line.to_owned())?;
        let silent = words.filter(|word| *word == "no").count();
        asked += 1;
        away += usize::from(silent == 1);
        if let Some(begun) = since {
            longest = longest.max(at - begun);
        }
        since = (silent > 1).then(|| since.unwrap_or(at));
    }
    Ok((asked, away, longest))
}

/// Before kubeadm changed the first of them to `version` for the first time, and not more than an hour before each, a snapshot was taken
/// that is whole: by the checksum that etcd writes behind it.
pub(crate) fn kept_before(desk: &Desk, version: &str) -> Result<()> {
    let mut snapshots = Vec::new();
    for plane in members::planes(desk) {
        let Ok(entries) = fs::read_dir(desk.lab.root_of(plane).join(SNAPSHOTS)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(&format!("-before-{version}.db")) {
                check_whole(&path)?;
                snapshots.push(Timestamp::try_from(path.metadata()?.modified()?)?);
            }
        }
    }
    for plane in members::planes(desk) {
        let records = Since::beginning(desk, plane)?.records()?;
        let is_change = |step: &str| step.starts_with("kubeadm/upgrade") && step.ends_with("/control-plane");
        let begun = records
            .iter()
            .find(|record| record["record"] == "intent" && record["step"].as_str().is_some_and(is_change));
        let begun =
            begun.and_then(|record| record["at"].as_str()).with_context(|| format!("{plane} was not changed"))?;
        let begun: Timestamp = begun.parse()?;
        let is_of_the_hour =
            |taken: &&Timestamp| **taken < begun && begun.duration_since(**taken) < SignedDuration::from_hours(1);
        let taken = snapshots.iter().find(is_of_the_hour);
        ensure!(taken.is_some(), "{plane} was changed at {begun}, and snapshots were taken at {snapshots:?}");
    }
    Ok(())
}

fn check_whole(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (database, sum) = bytes.split_at(bytes.len().saturating_sub(32));
    let is_whole = database.len() % 512 == 0 && !database.is_empty() && Sha256::digest(database).as_slice() == sum;
    ensure!(is_whole, "{} is not what etcd sent", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn that_more_than_one_is_away_is_counted_from_then_until_it_is_so_no_more() {
        let lines =
            "10.0 yes yes yes\n11.0 no yes yes\n12.0 no no yes\n13.5 no no no\n15.0 yes no yes\n16.0 yes yes yes\n";
        let (asked, away, longest) = read(lines).unwrap();
        assert_eq!((asked, away), (6, 2));
        assert!((longest - 3.0).abs() < 1e-9);
        assert!(read("yesterday yes").is_err());
    }
}
