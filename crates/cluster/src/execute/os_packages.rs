//! Asks hosts what the OS packages of a release would change there.

use std::time::Duration;

use sealock_node::os_packages::{OsLook, OsLookRequest};

use super::remote::Remote;
use super::{Binary, Connection, ExecuteError};

/// apt reads the index of a whole distribution, on a slow disk.
const LIMIT: Duration = Duration::from_secs(600);

const LOOK: &str = r#"exec "$1" node os-packages"#;

/// What the host says that the sets of `request` would change there. Nothing is changed.
///
/// # Errors
/// The host could not be asked, or apt there says no.
pub(crate) async fn look_at_os_packages(
    connection: &Connection,
    binary: &Binary,
    request: &OsLookRequest,
) -> Result<OsLook, ExecuteError> {
    let remote = Remote::prepare(connection, binary).await?;
    let not_understood = |source| remote.not_understood("sealock node os-packages", source);
    let request = serde_json::to_vec(request).map_err(not_understood)?;
    let answer = connection.script_within(LOOK, &[&binary.path_there()], request.as_slice(), LIMIT).await?;
    serde_json::from_slice(&answer).map_err(not_understood)
}
