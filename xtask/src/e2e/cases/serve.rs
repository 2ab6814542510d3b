//! The registry: a port in use, a stop, and a start.

use anyhow::Result;

use crate::e2e::expect::expect;
use crate::story::{self, Desk};

/// A second server on the same port says which address is taken.
pub fn port_in_use(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["serve", "--listen", "10.77.0.2:443"]), 4, &["10.77.0.2:443"]).map(drop)
}

/// SIGTERM ends the unit cleanly, and a start brings the release back.
pub fn stop_and_start(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["systemctl", "stop", "sealock.service"]))?;
    let result = ["systemctl", "show", "sealock.service", "-P", "Result"];
    let result = story::text(&mut desk.lab.exec("station", &result))?;
    anyhow::ensure!(result.trim() == "success", "the unit ended with {result}");
    story::text(&mut desk.lab.exec("station", &["systemctl", "start", "sealock.service"]))?;
    story::inside::wait_until_served(desk)
}
