//! From credentials to somebody.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use sealock_trust::Digest;

use super::Access;
use super::credentials::{Credentials, CredentialsError, ROBOT_PREFIX};
use super::htpasswd::LONGEST_PASSWORD;
use super::identity::Identity;
use super::issuer;
use super::jwt::{TokenError, Unverified};
use super::key;
use super::limits::{Allowance, Rate};
use super::passwords::Outcome;
use super::peer::Peer;
use super::policy::Policy;
use super::robot::LONGEST_SECRET;
use super::who::Who;

/// Passwords that one address may have compared.
const ATTEMPTS: Allowance = Allowance { rate: Some(Rate { per_second: 2, burst: 20 }), at_a_time: None };

/// Why somebody is not who they say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// What stands where credentials should cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No such name, or not its password: nobody is told which.
    #[error("the name or the password is wrong")]
    Password,
    /// A robot whose time is over.
    #[error("the robot account {name} has expired at {at}")]
    RobotExpired {
        /// What it is called.
        name: String,
        /// When.
        at: Timestamp,
    },
    /// A token that is not believed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Too many passwords at once.
    #[error("too many logins at once")]
    Busy {
        /// What to wait before the next try.
        retry_after: Duration,
    },
}

impl LoginError {
    /// One word for a log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Credentials(_) => "malformed",
            Self::Password => "password",
            Self::RobotExpired { .. } | Self::Token(TokenError::Expired(_)) => "expired",
            Self::Token(_) => "token",
            Self::Busy { .. } => "busy",
        }
    }
}

impl Access {
    /// Who has these credentials at `now`.
    pub(super) async fn log_in(
        &self,
        policy: &Policy,
        credentials: &Credentials,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Arc<Who>, LoginError> {
        match credentials {
            Credentials::Token(token) => self.by_token(policy, token, now).map_err(Into::into),
            Credentials::Password { name, password } => match name.strip_prefix(ROBOT_PREFIX) {
                Some(robot) => by_secret(policy, robot, password, now).map(Arc::new),
                None => self.by_password(policy, (name, password), peer).await.map(Arc::new),
            },
        }
    }

    async fn by_password(
        &self,
        policy: &Policy,
        (name, password): (&str, &str),
        peer: &Peer,
    ) -> Result<Who, LoginError> {
        let hash = policy.users.hash(name);
        let Some(compared_with) = hash.or(policy.users.nobody()) else { return Err(LoginError::Password) };
        if password.len() > LONGEST_PASSWORD {
            return Err(LoginError::Password);
        }
        let may_compute = || self.attempts.admit(&peer.address(), &ATTEMPTS, self.started.elapsed()).is_ok();
        match self.passwords.compare(compared_with, password, may_compute).await {
            Outcome::Right if hash.is_some() => Ok(Who::new(Identity::User(name.into()), Vec::new())),
            Outcome::Right | Outcome::Wrong => Err(LoginError::Password),
            Outcome::Busy => Err(LoginError::Busy { retry_after: Duration::from_secs(1) }),
        }
    }

    /// Whom a token stands for: our own, or one of an issuer that is believed.
    fn by_token(&self, policy: &Policy, token: &str, now: Timestamp) -> Result<Arc<Who>, TokenError> {
        let mut memory = [0; 32];
        memory.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let who = match policy.verified.get(&memory).filter(|who| who.holds_at(now)) {
            Some(who) => who,
            None => {
                let who = Arc::new(self.verify(policy, token, now)?);
                policy.verified.insert(memory, who.clone());
                who
            }
        };
        // Somebody who was taken out of the file loses their tokens at once.
        if policy.knows(&who.identity, now) { Ok(who) } else { Err(TokenError::Unknown(who.name.to_string())) }
    }

    fn verify(&self, policy: &Policy, token: &str, now: Timestamp) -> Result<Who, TokenError> {
        let token = Unverified::parse(token)?;
        if token.unverified_issuer()? != key::ISSUER {
            return issuer::judge(&policy.issuers, &token, now);
        }
        let bearer = self.key.verify(&token, &policy.service, now)?;
        let who = Who::new(bearer.identity, bearer.groups).within(bearer.begins, bearer.expires);
        Ok(who.with_scopes(bearer.scopes))
    }
}

/// A robot's secret is random and long, so its SHA-256 keeps it as well as bcrypt would, for nothing.
fn by_secret(policy: &Policy, name: &str, secret: &str, now: Timestamp) -> Result<Who, LoginError> {
    let robot = policy.robots.get(name).ok_or(LoginError::Password)?;
    if secret.len() > LONGEST_SECRET {
        return Err(LoginError::Password);
    }
    let found = Digest::sha256(secret.as_bytes());
    verify_slices_are_equal(found.hex().as_bytes(), robot.secret.hex().as_bytes()).map_err(|_| LoginError::Password)?;
    if now >= robot.expires {
        return Err(LoginError::RobotExpired { name: name.to_owned(), at: robot.expires });
    }
    Ok(Who::new(Identity::Robot(name.into()), Vec::new()))
}
