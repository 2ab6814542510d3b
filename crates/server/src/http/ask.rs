//! One request to a repository, with all that its answer depends on.

use std::sync::Arc;

use http::request;
use sealock_store::pushed::{Pushed, Snapshot};
use sealock_trust::Digest;

use super::query::Query;
use super::respond::{Problem, Refusal};
use crate::access::{Action, Principal};
use crate::state::State;
use crate::view::View;
use crate::view::shelf::Shelf;
use crate::view::vouched::Vouched;

/// One request to a repository. What it sees does not change while it is answered.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) state: &'a Arc<State>,
    pub(crate) view: &'a View,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) head: &'a request::Parts,
    pub(crate) principal: &'a Principal,
    /// The repository.
    pub(crate) name: &'a str,
    /// What of it was vouched for, where only that is for this principal.
    pub(crate) vouched: Option<&'a Vouched>,
    pub(crate) query: &'a Query,
}

impl<'a> Ask<'a> {
    /// The repository, from both sides.
    pub(crate) fn shelf(&self) -> Shelf<'a> {
        self.shelf_of(self.name)
    }

    /// Any repository, from both sides.
    pub(crate) fn shelf_of(&self, name: &str) -> Shelf<'a> {
        let release = self.view.repository(name);
        if let Some(vouched) = self.vouched.filter(|_| name == self.name) {
            return Shelf { release, pushed: Some(&vouched.repository) };
        }
        let pushed = self.snapshot.repository(name).map(Arc::as_ref);
        Shelf { release, pushed: pushed.filter(|_| !self.is_withheld(name)) }
    }

    /// What of the repository was vouched for, where only that is for this principal.
    pub(crate) async fn find_vouched(&self) -> Option<Arc<Vouched>> {
        let repository = self.snapshot.repository(self.name).filter(|_| self.is_withheld(self.name))?.clone();
        let (state, name) = (self.state.clone(), self.name.to_owned());
        let find = move || {
            let rules = state.access().rules();
            state.verdicts().of(state.store(), &rules, (&name, &repository))
        };
        let found = tokio::task::spawn_blocking(find).await;
        found.inspect_err(|error| tracing::error!(%error, "what was vouched for is not known")).ok()
    }

    /// Why what `reference` stands for, a tag or a digest, is not for this principal.
    pub(crate) fn missing(&self, reference: &str) -> Option<&'a str> {
        let repository = self.snapshot.repository(self.name)?;
        let digest = reference.parse().ok().or_else(|| repository.tag(reference).map(|tag| tag.digest.clone()))?;
        self.vouched?.reason(&digest)
    }

    /// Whether not everything that was pushed there is for this principal: where a rule asks for a signature or an SBOM, only
    /// those see all of it who may push there, and have to look at what they vouch for.
    fn is_withheld(&self, name: &str) -> bool {
        let access = self.state.access();
        access.rules().asks_for_evidence(name) && !access.may(self.principal, name, Action::Push)
    }

    /// Whether this may be done here.
    pub(crate) fn may(&self, action: Action) -> bool {
        self.may_in(self.name, action)
    }

    /// Whether this may be done to that repository.
    pub(crate) fn may_in(&self, name: &str, action: Action) -> bool {
        self.state.access().may(self.principal, name, action)
    }

    /// Pushed content, to be changed by whoever may do this here.
    pub(crate) fn pushed_for(&self, action: Action) -> Result<&'a Arc<Pushed>, Refusal> {
        let pushed = self.state.pushed().filter(|_| self.state.access().takes_pushes());
        let Some(pushed) = pushed else { return Err(Problem::Unsupported.refuse(self.head.method.as_str())) };
        self.demand(action).map(|()| pushed)
    }

    /// Goes on where this may be done here.
    pub(crate) fn demand(&self, action: Action) -> Result<(), Refusal> {
        let demanded = self.state.access().demand(self.principal, self.name, action);
        demanded.map_err(|challenge| Box::new(challenge.respond()))
    }

    /// What the repository holds of what was pushed, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.snapshot.repository(self.name).map_or(0, |repository| repository.used())
    }

    /// Who asks, for the log.
    pub(crate) fn who(&self) -> Option<&'a str> {
        Some(self.principal.name()).filter(|_| !self.principal.is_anonymous())
    }

    /// Whether `digest` can be answered for. A pusher relies on that for a while, and does not send it again: so it is
    /// promised, and looked for once more, since the collector may have taken it since this request began.
    pub(crate) fn promise(&self, digest: &Digest) -> bool {
        let Some(pushed) = self.state.pushed().filter(|_| self.may(Action::Push)) else { return true };
        let is_offered = || {
            let snapshot = self.state.snapshot();
            let shelf = Ask { snapshot: &snapshot, ..*self }.shelf();
            shelf.manifest_by_digest(digest).is_some() || shelf.blob(digest, true).is_some()
        };
        pushed.promise(digest, self.state.clock().moment(), is_offered).unwrap_or_else(|error| {
            tracing::error!(%digest, %error, "cannot be promised");
            false
        })
    }
}
