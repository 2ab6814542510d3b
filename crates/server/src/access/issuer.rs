//! Tokens of others: of identity providers (OpenID Connect Core 1.0) and of clusters (service account tokens), judged by keys on
//! file. Nobody is asked.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::identity::{Identity, LONGEST_NAME, is_label, is_name, is_subdomain};
use super::jwt::{Jwks, Registered, TokenError, Unverified};
use super::who::Who;

/// Groups of one person at most; further ones are not looked at.
const MOST_GROUPS: usize = 64;

/// Bytes of groups of one person at most: they stand in our tokens, and these in headers.
const GROUPS_BYTES: usize = 4096;

/// What Kubernetes calls a service account in the claim `sub`.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Somebody whose tokens are believed.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) kind: IssuerKind,
    /// The claim `iss`.
    pub(crate) issuer: Box<str>,
    /// One of the claim `aud`.
    pub(crate) audience: Box<str>,
    pub(crate) keys: Jwks,
}

#[derive(Debug)]
pub(crate) enum IssuerKind {
    Oidc { name: Box<str>, username_claim: Box<str>, groups_claim: Box<str> },
    Cluster { name: Box<str> },
}

/// Whom the token stands for, by that one of `issuers` who issued it. Several may bear one name: clusters usually do.
///
/// # Errors
/// [`TokenError`].
pub(crate) fn judge(issuers: &[Issuer], token: &Unverified<'_>, now: Timestamp) -> Result<Who, TokenError> {
    let name = token.unverified_issuer()?;
    let mut refusal = TokenError::Issuer(name.chars().take(80).collect());
    for issuer in issuers.iter().filter(|issuer| *issuer.issuer == *name) {
        match issuer.judge(token, now) {
            Ok(who) => return Ok(who),
            // What the owner of the key says counts for more than what the others do.
            Err(TokenError::Key(_)) if !matches!(refusal, TokenError::Issuer(_)) => {}
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

impl Issuer {
    fn judge(&self, token: &Unverified<'_>, now: Timestamp) -> Result<Who, TokenError> {
        let claims = token.verify(&self.keys)?;
        let registered: Registered = claims.read()?;
        registered.check(&self.issuer, &self.audience, now)?;
        let claims: Map<String, Value> = claims.read()?;
        let (identity, groups) = match &self.kind {
            IssuerKind::Oidc { name, username_claim, groups_claim } => {
                let user = text(&claims, username_claim)?;
                let identity = Identity::Oidc { provider: name.clone(), user: user.into() };
                (identity, groups(name, claims.get(&**groups_claim)))
            }
            IssuerKind::Cluster { name } => (service_account(name, text(&claims, "sub")?)?, Vec::new()),
        };
        Ok(Who::new(identity, groups).within(registered.begins(), registered.expires()))
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, TokenError> {
    let found = claims.get(name).and_then(Value::as_str).filter(|text| is_name(text));
    found.ok_or_else(|| TokenError::Claim(name.to_owned()))
}

/// The groups of a claim that is a list, or one text. What cannot be a group's name is passed over: it grants nothing.
fn groups(provider: &str, claim: Option<&Value>) -> Vec<Box<str>> {
    let listed = match claim {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    let mut bytes = 0;
    let names = listed.iter().filter_map(Value::as_str).filter(|name| is_name(name) && name.len() <= LONGEST_NAME);
    let groups = names.map(|name| format!("oidc-group/{provider}/{name}").into_boxed_str());
    let fitting = groups.take_while(|group| {
        bytes += group.len();
        bytes <= GROUPS_BYTES
    });
    fitting.take(MOST_GROUPS).collect()
}

/// `system:serviceaccount:NAMESPACE:NAME`.
fn service_account(cluster: &str, subject: &str) -> Result<Identity, TokenError> {
    let account = subject.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) if is_label(namespace) && is_subdomain(name) => {
            Ok(Identity::ServiceAccount { cluster: cluster.into(), namespace: namespace.into(), name: name.into() })
        }
        _ => Err(TokenError::Claim("sub".into())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn service_accounts_are_read_as_kubernetes_writes_them() {
        let read = |subject| service_account("plant-7", subject).map(|identity| identity.to_string()).ok();
        assert_eq!(read("system:serviceaccount:shop:web").as_deref(), Some("service-account/plant-7/shop/web"));
        assert_eq!(read("system:serviceaccount:shop:web.v2").as_deref(), Some("service-account/plant-7/shop/web.v2"));
        for subject in [
            "system:serviceaccount:shop",
            "system:node:n",
            "system:serviceaccount:a/b:c",
            "system:serviceaccount:a:*",
            "",
        ] {
            assert_eq!(read(subject), None, "{subject}");
        }
    }

    #[test]
    fn groups_are_bounded_and_what_is_none_is_passed_over() {
        let all = groups("corp", Some(&json!(["dev", 7, "", "a\nb", "ops"])));
        assert_eq!(all, ["oidc-group/corp/dev".into(), "oidc-group/corp/ops".into()]);
        assert_eq!(groups("corp", Some(&json!("dev"))), ["oidc-group/corp/dev".into()]);
        assert_eq!(groups("corp", Some(&json!({"dev": 1}))), []);
        assert_eq!(groups("corp", None), []);
        let many: Vec<String> = (0..1000).map(|number| format!("g{number}")).collect();
        assert_eq!(groups("corp", Some(&json!(many))).len(), MOST_GROUPS);
        let long = vec!["g".repeat(255); 64];
        assert!(groups("corp", Some(&json!(long))).len() < 20);
    }
}
