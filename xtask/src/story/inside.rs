//! The operator's part: from a bundle on the station to an application on a cluster.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::desk::{Desk, STATION_HOME};
use super::outside::{BUNDLE, fingerprint};
use super::{output, run, text};

/// Where the site's Prometheus would ask.
pub const METRICS: &str = "10.77.0.2:9464";

/// A line for each request, on the station.
pub const ACCESS_LOG: &str = "/var/log/sealock/access.log";

pub(super) fn site_init(desk: &Desk) -> Result<()> {
    run(&mut desk.station(&["site", "init", "--unencrypted-keys"]))?;
    run(&mut desk.station(&["site", "show"]))
}

pub(super) fn enroll(desk: &Desk) -> Result<()> {
    let fingerprint = fingerprint(desk)?;
    run(&mut desk.station(&["trust", "enroll", "root.json", "--stream", "base", "--fingerprint", &fingerprint]))
}

pub(super) fn import(desk: &Desk) -> Result<()> {
    run(&mut desk.station(&["import", BUNDLE]))?;
    run(&mut desk.station(&["release", "list"]))
}

/// The registry as a systemd unit, reached under its own name and CA.
pub(super) fn serve(desk: &Desk) -> Result<()> {
    let unit = text(&mut desk.station(&["serve", "--unit", "--metrics", METRICS, "--access-log", ACCESS_LOG]))?;
    fs::write(desk.lab.root_of("station").join("etc/systemd/system/sealock.service"), unit)?;
    run(&mut desk.lab.exec("station", &["systemctl", "enable", "--now", "sealock.service"]))?;
    wait_until_served(desk)
}

/// Polls the registry's health until it answers.
pub fn wait_until_served(desk: &Desk) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = output(&mut desk.lab.exec("station", &["curl", "-sSk", "https://10.77.0.2/healthz"]))?;
        if answer.status.success() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let journal =
                text(&mut desk.lab.exec("station", &["journalctl", "-u", "sealock", "-n", "20", "--no-pager"]))?;
            bail!("the registry does not answer on 10.77.0.2:443 after 120 s:\n{journal}");
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

pub(super) fn plan(desk: &Desk) -> Result<()> {
    run(&mut desk.station(&["cluster", "plan"]))
}

pub(super) fn apply(desk: &Desk) -> Result<()> {
    run(&mut desk.station(&["cluster", "apply", "--yes"]))?;
    let kubeconfig = text(&mut desk.station(&["cluster", "kubeconfig"]))?;
    fs::write(desk.lab.root_of("station").join(STATION_HOME.trim_start_matches('/')).join("kubeconfig"), kubeconfig)?;
    run(&mut desk.station(&["cluster", "status"]))
}

pub(super) fn app(desk: &Desk) -> Result<()> {
    run(&mut desk.station(&["app", "apply"]))
}
