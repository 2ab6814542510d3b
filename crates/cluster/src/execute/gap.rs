//! Lets a host try to get out of its gap.

use std::time::Duration;

use sealock_node::gap::{GapReport, GapRequest};
use sealock_trust::format;

use super::remote::Remote;
use super::{Binary, Connection, ExecuteError};

/// All probes of a node and of its pods, with their controls.
const LIMIT: Duration = Duration::from_secs(120);

const PROBE: &str = r#"exec "$1" node gap"#;

/// What the host says about the probes that `request` asks for. The binary is brought there where it is missing.
///
/// # Errors
/// The host could not be asked, or what it answers is no report.
pub async fn gap(connection: &Connection, binary: &Binary, request: &GapRequest) -> Result<GapReport, ExecuteError> {
    let remote = Remote::prepare(connection, binary).await?;
    let not_understood = |source| remote.not_understood("sealock node gap", source);
    let request = serde_json::to_vec(request).map_err(not_understood)?;
    let answer = connection.script_within(PROBE, &[&binary.path_there()], request.as_slice(), LIMIT).await?;
    remote.check(format::GAP_REPORT, &answer, "sealock node gap")?;
    serde_json::from_slice(&answer).map_err(not_understood)
}
