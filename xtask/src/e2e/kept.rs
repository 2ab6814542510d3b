//! Backups by a timetable, and how many of them stay: one more case of the scenario `restore`.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::expect::expect;
use crate::repo;
use crate::story::{self, Desk};

const FOLDER: &str = "/backup";
/// What stands in the units of the guide for whoever may open the backups, and for the folder with the cluster's spec.
const RECIPIENT: &str = "age1ry7…";
const HOME: (&str, &str) = ("/srv/plant-7", "/root/site");

/// `key` is what opens backups.
pub(super) fn by_timetable(desk: &Desk, key: &str) -> Result<()> {
    let said = story::text(&mut desk.lab.exec("station", &["grep", "-o", "age1.*", key]))?;
    let recipient = said.lines().next().context("the recovery key names no recipient")?;
    on_station(desk, &["mkdir", "-m", "700", FOLDER])?;
    let folder = desk.lab.root_of("station").join(FOLDER.trim_start_matches('/'));
    let guide = fs::read_to_string(repo::root()?.join("docs/guides/backup-and-restore.md"))?;
    for (number, name) in ["sealock-backup@.service", "sealock-backup@.timer"].into_iter().enumerate() {
        let unit = guide.split("```ini\n").nth(number + 1).and_then(|rest| rest.split("```").next());
        let unit = unit.with_context(|| format!("the guide does not show {name}"))?;
        let unit = unit.replace(RECIPIENT, recipient).replace(HOME.0, HOME.1);
        fs::write(desk.lab.root_of("station").join("etc/systemd/system").join(name), unit)?;
    }
    on_station(desk, &["systemd-analyze", "verify", "sealock-backup@cluster.timer", "sealock-backup@site.service"])?;
    for noun in ["cluster", "site"] {
        on_station(desk, &["systemctl", "start", &format!("sealock-backup@{noun}.service")])?;
        on_station(desk, &["systemctl", "enable", "--now", &format!("sealock-backup@{noun}.timer")])?;
    }
    ensure!(backups(&folder)?.len() == 2, "the units wrote {:?}", backups(&folder)?);

    // One more of the cluster takes the place of the first one, and leaves the station's and what is no backup.
    fs::write(folder.join("plant-7-2020-01-01T000000Z.backup"), "it only has the name")?;
    let to = ["cluster", "backup", "--to", "/backup/", "--recipient", recipient, "--keep-last", "1"];
    expect(&mut desk.station(&[&to[..], &["--dry-run"]].concat()), 0, &["would remove /backup/plant-7-20"])?;
    let told: Value = serde_json::from_str(&story::text(&mut desk.station(&[&to[..], &["-o", "json"]].concat()))?)?;
    let removed = told["kept"]["removed"].as_array().context("nothing was said of older ones")?;
    ensure!(removed.len() == 1, "removed was {removed:?}");
    let left = backups(&folder)?;
    let made = told["file"].as_str().and_then(|file| file.rsplit('/').next()).context("no file")?;
    ensure!(left.len() == 3 && left.iter().any(|name| name == made), "left is {left:?}, and {made} was made");

    // What fails is seen where failed units are looked for.
    on_station(desk, &["mv", FOLDER, "/backup-gone"])?;
    let failed = desk.lab.exec("station", &["systemctl", "start", "sealock-backup@site.service"]).output()?;
    ensure!(!failed.status.success(), "a backup to nowhere was no failure");
    on_station(desk, &["systemctl", "is-failed", "sealock-backup@site.service"])?;
    on_station(desk, &["systemctl", "disable", "--now", "sealock-backup@cluster.timer", "sealock-backup@site.timer"])?;
    on_station(desk, &["rm", "-rf", "/backup-gone"])
}

fn backups(folder: &std::path::Path) -> Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn on_station(desk: &Desk, words: &[&str]) -> Result<()> {
    story::text(&mut desk.lab.exec("station", words)).map(drop)
}
