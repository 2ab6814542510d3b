//! The revocation list that came with a bundle: kept by the rules of one that comes alone, whatever becomes of the bundle.

use jiff::Timestamp;
use sealock_trust::TrustDirectory;
use sealock_trust::clock::SiteTime;
use sealock_trust::directory::{DirectoryError, Revoked, TrustedRoot};
use sealock_trust::revocation::{RevocationError, VerifiedList};

use super::{Claim, ImportError, Notice, Station};
use crate::archive::Archive;
use crate::verify;

/// Keeps the list of `archive`. `claim` is what the bundle says of itself, or why it is refused; a list that is valid by
/// itself is kept even then.
pub(super) fn keep(
    archive: &Archive,
    station: Station<'_>,
    claim: Result<Claim, ImportError>,
    clock: Timestamp,
) -> Result<Claim, ImportError> {
    let Some(list) = archive.revocations() else { return claim };
    let (trust, seal) = (station.trust, Some(station.site));
    let now = SiteTime::new(clock, trust.time_floor()?).now();
    match claim {
        Ok(claim) => {
            // What is wrong with it is said when the bundle is judged: not every list that is not kept refuses its bundle.
            let genuine = verify::revocations(archive, &verify::metadata(archive)?, &claim.root.bytes);
            let Ok(Some(genuine)) = genuine else { return Ok(claim) };
            match trust.keep_carried(&claim.root.enrolment.fingerprint, (&genuine, list), now, seal) {
                Ok(_) | Err(DirectoryError::Revocations(_)) => Ok(claim),
                Err(error) => Err(error.into()),
            }
        }
        Err(refusal) => {
            if let Err(error) = trust.keep_revocations(list, now, seal) {
                tracing::warn!(%error, "the revocation list of a refused bundle is not kept");
            }
            Err(refusal)
        }
    }
}

/// What is revoked once `list`, of the publisher with the root `root`, is known, and what there is to say of the list.
pub(super) fn learn(
    trust: &TrustDirectory,
    root: &TrustedRoot,
    (list, revoked): (&VerifiedList, &mut Revoked),
    now: Timestamp,
) -> Result<Option<Notice>, ImportError> {
    match trust.check_carried(&root.enrolment.fingerprint, list, now) {
        Ok(kept) => {
            revoked.learn(&kept);
            Ok(None)
        }
        Err(error) => match passed_over(&error) {
            Some(notice) => Ok(Some(notice)),
            None => Err(error.into()),
        },
    }
}

/// A bundle that was built before the newest list is no worse for it, and one that travelled for long has its own expiry:
/// such a list is not taken, and the bundle is judged by what is known.
fn passed_over(error: &DirectoryError) -> Option<Notice> {
    match error {
        DirectoryError::Revocations(RevocationError::Older { version, accepted }) => {
            Some(Notice::ListOlder { version: *version, known: *accepted })
        }
        DirectoryError::Revocations(RevocationError::Expired { expires, .. }) => {
            Some(Notice::CarriedListExpired { expires: *expires })
        }
        _ => None,
    }
}
