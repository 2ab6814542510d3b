//! The station is lost, and made again from its backup: one more case of the scenario `restore`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::expect::expect;
use crate::story::inside::wait_until_served;
use crate::story::{self, Desk};

const BACKUP: &str = "/root/station.backup";
const LOST: &str = "/root/lost";
const UNIT: &str = "sealock.service";

/// `key` is what opens backups.
pub(super) fn lost_and_restored(desk: &Desk, key: &str) -> Result<()> {
    let said = story::text(&mut desk.lab.exec("station", &["grep", "-o", "age1.*", key]))?;
    let recipient = said.lines().next().context("the recovery key names no recipient")?;
    let backup = ["site", "backup", "--to", BACKUP, "--recipient", recipient, "-o", "json"];
    let told: Value = serde_json::from_str(&story::text(&mut desk.station(&backup))?)?;
    let digest = told["digest"].as_str().context("no digest")?;
    let before = served(desk)?;
    on_station(desk, &["systemctl", "stop", UNIT])?;
    on_station(desk, &["mv", "/var/lib/sealock", LOST])?;
    expect(&mut desk.station(&["release", "show"]), 1, &["this machine is not a station"])?;

    let restore = ["site", "restore", BACKUP, "--recovery-key", key, "--digest", digest, "--yes"];
    expect(&mut desk.station(&restore), 0, &["this machine is the station of the site plant-7", "store scrub --heal"])?;
    expect(&mut desk.station(&restore), 3, &["error[FOREIGN]", "a station already"])?;
    expect(&mut desk.station(&["store", "scrub", "--heal", "plant-7.tar"]), 0, &["still missing: 0"])?;
    expect(&mut desk.station(&["store", "check"]), 0, &[])?;
    on_station(desk, &["systemctl", "start", UNIT])?;
    wait_until_served(desk)?;
    ensure!(served(desk)? == before, "another release is served than before");
    // The nodes know of no newer trust state, and the cluster is the station's as before.
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(
        &mut desk.station(&["import", "plant-7.tar"]),
        3,
        &["error[STATE_REGRESSION]", "may have gone on after its backup"],
    )?;
    on_station(desk, &["rm", "-rf", LOST])
}

fn served(desk: &Desk) -> Result<String> {
    story::text(&mut desk.station(&["release", "show", "-o", "json"]))
}

fn on_station(desk: &Desk, words: &[&str]) -> Result<()> {
    story::text(&mut desk.lab.exec("station", words)).map(drop)
}
