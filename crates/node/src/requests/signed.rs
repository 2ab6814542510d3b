//! Whether a certificate that was signed outside is what was asked for.

use jiff::Timestamp;

use super::request::{Request, Unfit};
use crate::certificates::Facts;

/// Whether `certificate` is what `request` asks for at `path`, signed by `authority`, and holds at `now`.
///
/// # Errors
/// [`Unfit`].
pub fn check_signed(
    path: &str,
    request: &Request,
    certificate: &Facts,
    authority: &Facts,
    now: Timestamp,
) -> Result<(), Unfit> {
    let _ = (request, certificate, authority, now);
    Err(Unfit::NotAsked(path.to_owned()))
}
