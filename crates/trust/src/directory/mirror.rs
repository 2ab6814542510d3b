//! Mirrors: whoever keeps a generation of the trust state elsewhere can tell an older copy from the newest one.
//!
//! A seal proves that the site wrote a state, not that it is the last one it wrote: whoever restores a snapshot restores
//! a genuine seal. What was written elsewhere since then is not restored with it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::State;
use super::{DirectoryError, TrustDirectory};
use crate::Digest;
use crate::dsse::{DsseError, Envelope};
use crate::format;
use crate::json::{Limits, jcs};
use crate::names::{Justification, SiteId};
use crate::resolution::ResolveState;
use crate::signer::Signer;
use crate::site::{SiteKeys, SiteRoot};

const FROZEN: &str = "frozen.json";
const SIGNED: &str = "mirror.json";

/// What the envelope of a signed generation says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealock.trust-mirror.v1+json";
/// The format of a signed generation that is written and read.
pub const FORMAT: &str = format::TRUST_MIRROR.current;

/// A generation of the trust state that is known from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where it stands, in words.
    pub place: String,
    /// The generation.
    pub generation: u64,
    /// The digest of the state of that generation, where the mirror has it: a copy that went on from an older one may have
    /// come to the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
}

/// A regression that people have settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// The generation that the state had come back with.
    pub found: u64,
    /// The mirror that told.
    pub mirror: Mirror,
    /// What the people said.
    pub reason: Justification,
    /// The digest of what they signed.
    pub token: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    format: String,
    site: SiteId,
    generation: u64,
    state: Digest,
}

impl Mirror {
    /// A generation without more, as a release or a receipt has it.
    pub fn of(place: String, generation: u64) -> Self {
        Self { place, generation, state: None }
    }

    /// The generation that the site signed in `bytes`, kept at `place`.
    ///
    /// # Errors
    /// It is not signed by `site`.
    pub fn signed(place: String, bytes: &[u8], site: &SiteRoot) -> Result<Self, DsseError> {
        let envelope = Envelope::from_json(bytes)?;
        let payload = envelope.verify(PAYLOAD_TYPE, site.site_keys())?;
        let signed = format::read(payload, &Limits::DOCUMENT, format::TRUST_MIRROR, |signed: &Signed| &signed.format);
        let signed = signed.map_err(|error| error.either(DsseError::Json, DsseError::Format))?;
        let Signed { site: of, generation, state, .. } = signed;
        if of != *site.id() {
            let expected = format!("{FORMAT} of the site {}", site.id());
            return Err(DsseError::PayloadType { expected, found: format!("{FORMAT} of the site {of}") });
        }
        Ok(Self { place, generation, state: Some(state) })
    }

    /// Whether the state of `generation` with the digest `state` is an older copy, by what this mirror knows.
    fn tells_of(&self, generation: u64, state: &Digest) -> bool {
        let is_another = self.state.as_ref().is_some_and(|known| known != state);
        self.generation > generation || self.generation == generation && is_another
    }
}

impl TrustDirectory {
    /// Whether the state is as new as `mirror` says that it was. Where it is not, imports stay frozen.
    ///
    /// # Errors
    /// [`DirectoryError::Regression`].
    pub fn compare(&self, mirror: &Mirror) -> Result<(), DirectoryError> {
        let state = self.state()?;
        if !mirror.tells_of(state.generation, &state.digest()?) {
            return Ok(());
        }
        if self.frozen()?.is_none_or(|known| known.generation < mirror.generation) {
            self.freeze(mirror)?;
        }
        Err(DirectoryError::Regression { found: state.generation, mirror: mirror.clone() })
    }

    /// The state has come back from a backup: it counts as an older copy, whatever `place` may have written since, and imports stay frozen until
    /// people have settled it.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Seal`], [`DirectoryError::Io`].
    pub fn came_back(&self, place: String) -> Result<(), DirectoryError> {
        match self.frozen()? {
            // It was an older copy already.
            Some(_) => Ok(()),
            None => self.freeze(&Mirror::of(place, self.generation()? + 1)),
        }
    }

    /// The state is about to get this generation, by something that settles nothing: it must not catch up with the mirror that froze imports.
    pub(super) fn stay_frozen(&self, generation: u64) -> Result<(), DirectoryError> {
        match self.frozen()? {
            Some(mirror) if mirror.generation <= generation => self.freeze(&Mirror::of(mirror.place, generation + 1)),
            _ => Ok(()),
        }
    }

    /// Not sealed: whoever finds it out need not have the site's key, and to remove it is no more than to restore.
    fn freeze(&self, mirror: &Mirror) -> Result<(), DirectoryError> {
        let path = self.path().join(FROZEN);
        let bytes = jcs::to_vec(mirror).map_err(|source| DirectoryError::Damaged { path: path.clone(), source })?;
        self.replace(&path, &bytes)
    }

    /// The mirror that froze imports, if one did.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn frozen(&self) -> Result<Option<Mirror>, DirectoryError> {
        let path = self.path().join(FROZEN);
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        let mirror: Mirror = jcs::from_slice(&bytes, &Limits::DOCUMENT)
            .map_err(|source| DirectoryError::Damaged { path: path.clone(), source })?;
        let state = self.state()?;
        // The state was settled, and only the removal of the file was cut off.
        Ok(Some(mirror).filter(|mirror| state.digest().is_ok_and(|digest| mirror.tells_of(state.generation, &digest))))
    }

    /// Refuses while imports are frozen.
    ///
    /// # Errors
    /// [`DirectoryError::Regression`].
    pub fn check_not_frozen(&self) -> Result<(), DirectoryError> {
        match self.frozen()? {
            Some(mirror) => Err(DirectoryError::Regression { found: self.generation()?, mirror }),
            None => Ok(()),
        }
    }

    /// Settles a regression, on the word of two people of the site in `token`, at the time `now`: the state counts on from
    /// behind the mirror, and remembers who said why.
    ///
    /// # Errors
    /// [`DirectoryError::NotFrozen`], [`DirectoryError::Resolution`], [`DirectoryError::SealNeeded`], [`DirectoryError::Io`].
    pub fn resolve(&self, token: &[u8], now: Timestamp, seal: &SiteKeys) -> Result<Resolution, DirectoryError> {
        let mirror = self.frozen()?.ok_or(DirectoryError::NotFrozen)?;
        let signed = ResolveState::verify(token, seal.root(), now);
        let (said, token) = signed.map_err(DirectoryError::Resolution)?;
        let settle = |state: &mut State| {
            if said.found != state.generation || said.mirror != mirror {
                return Err(DirectoryError::Resolution(said.clone().refused_as_another()));
            }
            let (found, reason) = (state.generation, said.reason.clone());
            let resolution = Resolution { found, mirror: mirror.clone(), reason, token: token.clone() };
            state.generation = state.generation.max(mirror.generation);
            state.resolutions.push(resolution.clone());
            Ok(resolution)
        };
        let resolution = self.change_and(Some(seal), settle, |_| Ok(()))?;
        let path = self.path().join(FROZEN);
        std::fs::remove_file(&path).map_err(DirectoryError::io("remove", &path))?;
        Ok(resolution)
    }

    /// The regressions that were settled, oldest first.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::Io`].
    pub fn resolutions(&self) -> Result<Vec<Resolution>, DirectoryError> {
        Ok(self.state()?.resolutions)
    }

    /// The newest generation, signed by the site, to be kept elsewhere; none before the state was sealed.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn signed_generation(&self) -> Result<Option<Vec<u8>>, DirectoryError> {
        self.read(&self.path().join(SIGNED))
    }

    /// Written after the state: cut off in between, the copy that goes elsewhere is one behind, and tells nothing wrong.
    pub(super) fn write_signed_generation(&self, state: &State, seal: &SiteKeys) -> Result<(), DirectoryError> {
        let path = self.path().join(SIGNED);
        let damaged = |source| DirectoryError::Damaged { path: path.clone(), source };
        let site = seal.root().id().clone();
        let signed = Signed { format: FORMAT.to_owned(), site, generation: state.generation, state: state.digest()? };
        let payload = jcs::to_vec(&signed).map_err(damaged)?;
        let signer: &dyn Signer = seal.signer();
        let envelope = Envelope::sign(PAYLOAD_TYPE, &payload, &[signer]).map_err(DirectoryError::Sign)?;
        let bytes = envelope.to_json().map_err(|source| DirectoryError::bad_file(&path, source))?;
        self.replace(&path, &bytes)
    }
}
