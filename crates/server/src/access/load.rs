//! From the file to the policy: every file that it names is read, and every name in it must mean something.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealock_bundle::document::{self, DocumentError};
use sealock_trust::Algorithm;

use super::document::{Allowed, Limits, Oidc, RegistryDocument, RegistrySpec, Robot, ServiceAccounts};
use super::error::AccessError;
use super::htpasswd::{self, Htpasswd};
use super::identity::{Subject, is_label, is_name};
use super::issuer::{Issuer, IssuerKind};
use super::jwt::{self, Jwks};
use super::key;
use super::limits::{Allowance, Rate};
use super::policy::{self, Grant, Policy};
use crate::rules::Rules;
use crate::tls::Authorities;

/// Seconds for which a token of ours may hold.
const TOKEN_SECONDS: std::ops::RangeInclusive<u32> = 60..=3600;

impl Policy {
    /// The policy that the file `path` describes.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(crate) fn load(path: &Path) -> Result<Self, AccessError> {
        let text = read_text(path, document::MAX_BYTES as u64)?;
        let document: RegistryDocument = document::load_document(path, &text)?;
        let files = Files { document: path, folder: path.parent().unwrap_or(Path::new("")) };
        let service = document.metadata.name.into_boxed_str();
        files.check(&service, &document.spec)?;
        let spec = document.spec;
        Ok(Self {
            users: spec.htpasswd.as_deref().map(|file| files.htpasswd(file)).transpose()?.unwrap_or_default(),
            issuers: files.issuers(&service, &spec)?,
            authorities: match &spec.client_certificates {
                Some(certificates) => Some(Authorities::read(&files.path(&certificates.ca), certificates.name)?),
                None => None,
            },
            grants: grants(&spec),
            robots: spec.robots.iter().map(robot).collect(),
            rules: Arc::new(Rules::load(&spec.rules, files.folder)?),
            allowance: allowance(&spec.limits),
            anonymous: spec.anonymous,
            login: spec.login,
            service,
            ..Self::default()
        })
    }
}

/// The document, and the folder that its files are relative to.
struct Files<'a> {
    document: &'a Path,
    folder: &'a Path,
}

impl Files<'_> {
    fn path(&self, file: &Path) -> PathBuf {
        self.folder.join(file)
    }

    fn wrong(&self, place: &str, problem: impl std::fmt::Display) -> AccessError {
        DocumentError::other(self.document, None, format!("{place}: {problem}")).into()
    }

    fn htpasswd(&self, file: &Path) -> Result<Htpasswd, AccessError> {
        let path = self.path(file);
        let text = read_text(&path, htpasswd::LONGEST)?;
        Htpasswd::parse(&path, &text)
    }

    fn issuers(&self, service: &str, spec: &RegistrySpec) -> Result<Vec<Issuer>, AccessError> {
        let issuer = |issuer: &str, audience: &Option<String>, keys: &Path, kind| {
            let audience = audience.as_deref().unwrap_or(service).into();
            Ok::<_, AccessError>(Issuer { issuer: issuer.into(), audience, keys: self.keys(keys)?, kind })
        };
        let oidc = spec.oidc.iter().map(|it| issuer(&it.issuer, &it.audience, &it.keys, of_provider(it)));
        let clusters =
            spec.service_accounts.iter().map(|it| issuer(&it.issuer, &it.audience, &it.keys, of_cluster(it)));
        oidc.chain(clusters).collect()
    }

    fn keys(&self, file: &Path) -> Result<Jwks, AccessError> {
        let path = self.path(file);
        let bytes = read(&path, jwt::LONGEST_KEYS as u64)?;
        Jwks::parse(&bytes).map_err(|source| AccessError::Keys { path, source })
    }

    /// Whether the document makes sense as a whole.
    fn check(&self, service: &str, spec: &RegistrySpec) -> Result<(), AccessError> {
        if !is_name(service) || service.contains(['"', '\\', ' ']) {
            return Err(
                self.wrong("metadata.name", "this is no name of a service, such as `registry.plant-7.internal`")
            );
        }
        if !TOKEN_SECONDS.contains(&spec.login.token_seconds) {
            return Err(self.wrong("spec.login.tokenSeconds", "a token holds for 60 to 3600 seconds"));
        }
        if spec
            .login
            .realm
            .as_ref()
            .is_some_and(|realm| !realm.starts_with("https://") || realm.contains(['"', '\\', ' ']))
        {
            return Err(self.wrong("spec.login.realm", "this is no URL that begins with `https://`"));
        }
        let Limits { requests_per_second, burst, at_a_time } = spec.limits;
        if [requests_per_second, burst, at_a_time].into_iter().flatten().any(|limit| !(1..=1_000_000).contains(&limit))
        {
            return Err(self.wrong("spec.limits", "a limit is a number from 1 to 1000000"));
        }
        self.check_names("spec.robots", "robot", spec.robots.iter().map(|robot| robot.name.as_str()))?;
        self.check_names("spec.oidc", "provider", spec.oidc.iter().map(|oidc| oidc.name.as_str()))?;
        let clusters = spec.service_accounts.iter().map(|accounts| accounts.cluster.as_str());
        self.check_names("spec.serviceAccounts", "cluster", clusters)?;
        if let Some(robot) = spec.robots.iter().find(|robot| robot.secret.algorithm() != Algorithm::Sha256) {
            return Err(self.wrong("spec.robots", format_args!("the secret of {:?} is no SHA-256 digest", robot.name)));
        }
        self.check_issuers(spec)?;
        self.check_subjects(spec)
    }

    fn check_names<'n>(
        &self,
        place: &str,
        what: &str,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<(), AccessError> {
        let mut seen = BTreeSet::new();
        for name in names {
            if !is_label(name) {
                return Err(self.wrong(place, format_args!("a {what} is called by a DNS label, and {name:?} is none")));
            }
            if !seen.insert(name) {
                return Err(self.wrong(place, format_args!("two of them are called {name:?}")));
            }
        }
        Ok(())
    }

    fn check_issuers(&self, spec: &RegistrySpec) -> Result<(), AccessError> {
        let oidc = spec.oidc.iter().map(|it| ("spec.oidc", &it.issuer, &it.audience));
        let clusters = spec.service_accounts.iter().map(|it| ("spec.serviceAccounts", &it.issuer, &it.audience));
        for (place, issuer, audience) in oidc.chain(clusters) {
            if issuer.is_empty() || issuer == key::ISSUER {
                return Err(self.wrong(place, format_args!("nobody may be called {issuer:?}: so is this registry")));
            }
            if audience.as_ref().is_some_and(String::is_empty) {
                return Err(self.wrong(place, "an empty audience is nobody's"));
            }
        }
        Ok(())
    }

    /// A grant to somebody who does not exist is a mistake, and usually of the pen.
    fn check_subjects(&self, spec: &RegistrySpec) -> Result<(), AccessError> {
        for (index, grant) in spec.grants.iter().enumerate() {
            for (kind, name) in grant.subjects.iter().filter_map(Subject::section) {
                let known: Vec<&str> = match kind {
                    "robot" => spec.robots.iter().map(|robot| robot.name.as_str()).collect(),
                    "service-account" => spec.service_accounts.iter().map(|it| it.cluster.as_str()).collect(),
                    _ => spec.oidc.iter().map(|oidc| oidc.name.as_str()).collect(),
                };
                if !name.contains('*') && !known.contains(&name) {
                    let meant = document::nearest(name, &known);
                    let meant = meant.map_or_else(String::new, |name| format!(", did you mean {name:?}?"));
                    let place = format!("spec.grants[{index}].subjects");
                    return Err(self.wrong(&place, format_args!("this file has no {kind} {name:?}{meant}")));
                }
            }
        }
        Ok(())
    }
}

fn of_provider(oidc: &Oidc) -> IssuerKind {
    IssuerKind::Oidc {
        name: oidc.name.as_str().into(),
        username_claim: oidc.username_claim.as_str().into(),
        groups_claim: oidc.groups_claim.as_str().into(),
    }
}

fn of_cluster(accounts: &ServiceAccounts) -> IssuerKind {
    IssuerKind::Cluster { name: accounts.cluster.as_str().into() }
}

fn robot(robot: &Robot) -> (Box<str>, policy::Robot) {
    (robot.name.as_str().into(), policy::Robot { secret: robot.secret.clone(), expires: robot.expires })
}

/// The grants of the file, and those that stand beside robots.
fn grants(spec: &RegistrySpec) -> Vec<Grant> {
    let of_all = spec.grants.iter().map(|grant| Grant {
        subjects: grant.subjects.clone(),
        repositories: grant.repositories.clone(),
        actions: grant.actions.iter().copied().collect(),
    });
    let of_robots = spec.robots.iter().flat_map(|robot| {
        let subject: Option<Subject> = format!("robot/{}", robot.name).parse().ok();
        robot.grants.iter().map(move |Allowed { repositories, actions }| Grant {
            subjects: subject.iter().cloned().collect(),
            repositories: repositories.clone(),
            actions: actions.iter().copied().collect(),
        })
    });
    of_all.chain(of_robots).collect()
}

fn allowance(limits: &Limits) -> Allowance {
    let rate = limits
        .requests_per_second
        .map(|per_second| Rate { per_second, burst: limits.burst.unwrap_or(per_second.saturating_mul(2)) });
    Allowance { rate, at_a_time: limits.at_a_time }
}

fn read_text(path: &Path, most: u64) -> Result<String, AccessError> {
    let not_text =
        |error| AccessError::Read { path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, error) };
    String::from_utf8(read(path, most)?).map_err(not_text)
}

/// What the file holds, if it is not longer than `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, AccessError> {
    let failed = |source| AccessError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes"))));
    }
    Ok(bytes)
}
