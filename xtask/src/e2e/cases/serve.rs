//! The registry: a port in use, a stop, and a start.

use anyhow::Result;

use super::import;
use crate::e2e::expect::expect;
use crate::story::{self, Desk};

/// A port that another program has is named; a second server beside the first is refused.
pub fn port_in_use(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["serve"]), 4, &["a server is running already"])?;
    let state = import::fresh_site(desk, "second", "plant-7", None)?;
    expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 0, &[])?;
    let serve = ["--state-dir", &state, "serve", "--listen", "10.77.0.2:443"];
    expect(&mut desk.station(&serve), 4, &["another process listens on 10.77.0.2:443"])?;
    import::remove(desk, &state)
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
