//! Authorities that somebody else has made: the files of the spec, looked at before any host is.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;

use jiff::Timestamp;
use sealock_node::certificates::Facts;
use sealock_node::kubernetes_certificates::{AUTHORITIES, SERVICE_ACCOUNTS, SUPPLIED_SECRET};
use sealock_node::request::Secrets;
use sealock_node::step::AuthoritiesSupplied;
use sealock_node::suitable::{self, Issues};
use zeroize::Zeroizing;

use super::OperatorError;
use super::external::ClientFiles;
use super::files::small_text;
use crate::inventory::Inventory;
use crate::plan::{CustodyError, PlanError, has_authorities};
use crate::spec::{AuthorityPair, Cluster, SuppliedPki};

/// What the spec says of one authority: its fields, its files, and where kubeadm keeps them.
struct Named<'a> {
    fields: [&'static str; 2],
    pair: &'a AuthorityPair,
    kept: [&'static str; 2],
    issues: Issues,
}

/// Authorities that somebody else has made, from the files of the spec.
pub(super) struct SuppliedFiles {
    /// What stands in a plan.
    pub(super) supplied: AuthoritiesSupplied,
    /// Private keys by the file in which kubeadm keeps each: those that are at the station.
    keys: BTreeMap<&'static str, Zeroizing<String>>,
    /// Private keys that are not, with what the spec says of each.
    missing: Vec<(&'static str, String)>,
    authorities: Vec<(&'static str, String, Facts)>,
    read: Timestamp,
}

impl fmt::Debug for SuppliedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuppliedFiles").field("supplied", &self.supplied).finish_non_exhaustive()
    }
}

impl SuppliedFiles {
    /// The files that the spec of `cluster` names; nothing where the cluster makes its authorities itself. A private key need not be there:
    /// once control planes have it the station has no need of it.
    ///
    /// # Errors
    /// One cannot be read, or is nothing that Kubernetes can use.
    pub(super) fn read(cluster: &Cluster) -> Result<Option<Self>, OperatorError> {
        Self::read_at(cluster, Timestamp::now())
    }

    fn read_at(cluster: &Cluster, now: Timestamp) -> Result<Option<Self>, OperatorError> {
        let Some(spec) = cluster.supplied_pki() else { return Ok(None) };
        let (certificates, keys) = (BTreeMap::new(), BTreeMap::new());
        let supplied = AuthoritiesSupplied { certificates, service_accounts: None };
        let mut read = Self { supplied, keys, missing: Vec::new(), authorities: Vec::new(), read: now };
        for named in named(spec) {
            read.take_authority(cluster, &named)?;
        }
        if let Some(key) = &spec.service_accounts {
            read.take_service_accounts(cluster, &key.key_file)?;
        }
        let all: Vec<(&'static str, &Facts)> =
            read.authorities.iter().map(|(field, _, facts)| (*field, facts)).collect();
        apart(&all).map_err(PlanError::from)?;
        Ok(Some(read))
    }

    fn take_authority(&mut self, cluster: &Cluster, named: &Named<'_>) -> Result<(), OperatorError> {
        let Named { fields: [field, key_field], pair, kept: [kept, kept_key], issues } = *named;
        let facts = authority_at(cluster, (field, &pair.cert_file), issues, self.read)?;
        match small_text(&cluster.file(&pair.key_file)) {
            Ok(key) => {
                let path = || cluster.file(&pair.key_file).display().to_string();
                suitable::is_key_of(&facts, &key).map_err(|problem| {
                    PlanError::from(CustodyError::File { field: key_field, path: path(), problem })
                })?;
                self.keys.insert(kept_key, key);
            }
            Err(error) if is_absent(&error) => {
                self.missing.push((key_field, cluster.file(&pair.key_file).display().to_string()));
            }
            Err(error) => return Err(error),
        }
        self.supplied.certificates.insert(kept.to_owned(), facts.pem());
        self.authorities.push((field, cluster.file(&pair.cert_file).display().to_string(), facts));
        Ok(())
    }

    /// The public half is known by the private one: where that is gone, what the control planes have is theirs.
    fn take_service_accounts(&mut self, cluster: &Cluster, file: &str) -> Result<(), OperatorError> {
        const FIELD: &str = "spec.pki.supplied.serviceAccounts.keyFile";
        let path = || cluster.file(file).display().to_string();
        match small_text(&cluster.file(file)) {
            Ok(key) => {
                let public = suitable::service_accounts(&key);
                let wrong = |problem| PlanError::from(CustodyError::File { field: FIELD, path: path(), problem });
                self.supplied.service_accounts = Some(public.map_err(wrong)?);
                self.keys.insert(SERVICE_ACCOUNTS.private, key);
                Ok(())
            }
            Err(error) if is_absent(&error) => {
                self.missing.push((FIELD, path()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether authorities can begin with these files: every key is there, and each of them outlives what it issues first.
    ///
    /// # Errors
    /// [`CustodyError`].
    pub(super) fn check_beginning(&self) -> Result<(), CustodyError> {
        for (field, path, facts) in &self.authorities {
            suitable::holds_long_enough(facts, self.read).map_err(|problem| CustodyError::File {
                field,
                path: path.clone(),
                problem,
            })?;
        }
        match self.missing.first() {
            Some((field, path)) => Err(CustodyError::NoKey { field, path: path.clone() }),
            None => Ok(()),
        }
    }

    /// Name and value of the secret, for the hosts that get it.
    fn secret(&self) -> Result<(String, String), OperatorError> {
        let keys: BTreeMap<&str, &str> = self.keys.iter().map(|(path, key)| (*path, key.as_str())).collect();
        let text = serde_json::to_string(&keys).map_err(|error| OperatorError::Io {
            action: "send the keys of",
            path: SUPPLIED_SECRET.into(),
            source: error.into(),
        })?;
        Ok((SUPPLIED_SECRET.to_owned(), text))
    }
}

/// Whether a cluster that has no authorities yet can begin with those of its spec.
pub(super) fn check_beginning(
    supplied: Option<&SuppliedFiles>,
    cluster: &Cluster,
    inventory: &Inventory,
) -> Result<(), PlanError> {
    match supplied.filter(|_| !has_authorities(cluster, inventory)) {
        Some(supplied) => Ok(supplied.check_beginning()?),
        None => Ok(()),
    }
}

/// What hosts get of the station's own secrets.
pub(super) fn held(
    client: Option<&ClientFiles>,
    supplied: Option<&SuppliedFiles>,
) -> Result<Arc<Secrets>, OperatorError> {
    let supplied = supplied.map(SuppliedFiles::secret).transpose()?;
    Ok(Arc::new(client.map(ClientFiles::secret).into_iter().chain(supplied).collect()))
}

fn named(spec: &SuppliedPki) -> Vec<Named<'_>> {
    let [kubernetes, front_proxy, etcd] = AUTHORITIES.map(|files| [files.certificate, files.key]);
    let mut all = vec![
        Named {
            fields: ["spec.pki.supplied.kubernetes.certFile", "spec.pki.supplied.kubernetes.keyFile"],
            pair: &spec.kubernetes,
            kept: kubernetes,
            issues: Issues::Both,
        },
        Named {
            fields: ["spec.pki.supplied.frontProxy.certFile", "spec.pki.supplied.frontProxy.keyFile"],
            pair: &spec.front_proxy,
            kept: front_proxy,
            issues: Issues::Clients,
        },
    ];
    if let Some(pair) = &spec.etcd {
        all.push(Named {
            fields: ["spec.pki.supplied.etcd.certFile", "spec.pki.supplied.etcd.keyFile"],
            pair,
            kept: etcd,
            issues: Issues::Both,
        });
    }
    all
}

/// The authority whose certificate is in the file `file` of the spec's field `field`.
///
/// # Errors
/// It cannot be read, or is nothing that Kubernetes can use.
pub(super) fn authority_at(
    cluster: &Cluster,
    (field, file): (&'static str, &str),
    issues: Issues,
    now: Timestamp,
) -> Result<Facts, OperatorError> {
    let path = cluster.file(file);
    let text = small_text(&path)?;
    let wrong = |problem| CustodyError::File { field, path: path.display().to_string(), problem };
    Ok(suitable::authority(&text, issues, now).map_err(wrong).map_err(PlanError::from)?)
}

/// Each authority has a key of its own: a kubelet's certificate would open etcd, or speak for anybody at the front proxy.
///
/// # Errors
/// [`CustodyError::OneForTwo`], with the fields of both.
pub(super) fn apart(all: &[(&'static str, &Facts)]) -> Result<(), CustodyError> {
    for (n, (first, one)) in all.iter().enumerate() {
        for (second, other) in all.iter().skip(n + 1) {
            if one.key_hash().ok() == other.key_hash().ok() {
                return Err(CustodyError::OneForTwo { first, second });
            }
        }
    }
    Ok(())
}

pub(super) fn is_absent(error: &OperatorError) -> bool {
    matches!(error, OperatorError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use sealock_node::certificates::Authority;

    use super::*;

    const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
        kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"10.77.0.11:6443\"}\n  pki:\n    supplied:\n      \
        kubernetes: {certFile: ca.crt, keyFile: ca.key}\n      frontProxy: {certFile: fp.crt, keyFile: fp.key}\n      \
        etcd: {certFile: etcd.crt, keyFile: etcd.key}\n      serviceAccounts: {keyFile: sa.key}\n  \
        hosts:\n    - {name: cp1, address: 10.77.0.11, roles: [control-plane], ssh: {user: ops, \
        hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";

    fn refused(cluster: &Cluster, now: Timestamp) -> String {
        let error = SuppliedFiles::read_at(cluster, now).unwrap_err();
        error.to_string().replace(&cluster.file("").display().to_string(), "")
    }

    fn put(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    /// A folder with three authorities and a key of service accounts.
    fn whole(now: Timestamp) -> (tempfile::TempDir, Cluster, Vec<Authority>) {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::load(&folder.path().join("cluster.yaml"), SPEC).unwrap();
        let made: Vec<Authority> = ["ca", "fp", "etcd"].map(|name| Authority::generate(name, now).unwrap()).into();
        for (name, one) in ["ca", "fp", "etcd"].iter().zip(&made) {
            put(folder.path(), &format!("{name}.crt"), one.certificate());
            put(folder.path(), &format!("{name}.key"), &one.key());
        }
        put(folder.path(), "sa.key", &Authority::generate("sa", now).unwrap().key());
        (folder, cluster, made)
    }

    #[test]
    fn files_are_looked_at_beside_the_spec_and_their_keys_are_told_to_nobody() {
        let now = Timestamp::now();
        let (folder, cluster, made) = whole(now);
        let read = SuppliedFiles::read_at(&cluster, now).unwrap().unwrap();
        read.check_beginning().unwrap();
        assert_eq!(read.supplied.certificates.len(), 3);
        assert!(read.supplied.service_accounts.as_deref().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
        let (name, value) = read.secret().unwrap();
        assert_eq!(name, "supplied-authorities");
        let sent: BTreeMap<String, String> = serde_json::from_str(&value).unwrap();
        assert_eq!(sent["/etc/kubernetes/pki/etcd/ca.key"], *made[2].key());
        let line = made[0].key();
        let line = line.lines().nth(1).unwrap();
        assert!(value.contains(line) && !format!("{read:?}").contains(line));

        put(folder.path(), "fp.key", &made[0].key());
        insta::assert_snapshot!(refused(&cluster, now));
        put(folder.path(), "fp.key", "no key");
        insta::assert_snapshot!(refused(&cluster, now));
        put(folder.path(), "fp.crt", made[0].certificate());
        put(folder.path(), "fp.key", &made[0].key());
        insta::assert_snapshot!(refused(&cluster, now));
        put(folder.path(), "fp.crt", &format!("{}{}", made[1].certificate(), made[0].certificate()));
        assert!(
            refused(&cluster, now)
                .starts_with("spec.pki.supplied.frontProxy.certFile: fp.crt: it holds 2 certificates")
        );
        fs::remove_file(folder.path().join("fp.crt")).unwrap();
        assert!(refused(&cluster, now).starts_with("cannot read "), "{}", refused(&cluster, now));
    }

    /// Whoever keeps keys elsewhere takes them away once the cluster stands.
    #[test]
    fn a_key_that_is_not_there_is_missed_only_where_a_cluster_begins() {
        let now = Timestamp::now();
        let (folder, cluster, _) = whole(now);
        for name in ["etcd.key", "sa.key"] {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        let read = SuppliedFiles::read_at(&cluster, now).unwrap().unwrap();
        assert_eq!(read.supplied.service_accounts, None);
        let error = read.check_beginning().unwrap_err().to_string();
        insta::assert_snapshot!(error.replace(&cluster.file("").display().to_string(), ""));
    }

    #[test]
    fn a_cluster_begins_with_no_authority_that_its_certificates_outlive() {
        let now = Timestamp::now();
        let (_folder, cluster, _) = whole(now);
        let late = now + jiff::SignedDuration::from_hours(24 * 365 * 9 + 24 * 30);
        let read = SuppliedFiles::read_at(&cluster, late).unwrap().unwrap();
        let error = read.check_beginning().unwrap_err();
        assert!(error.to_string().contains("holds for 366 days or more"), "{error}");
        let later = now + jiff::SignedDuration::from_hours(24 * 365 * 11);
        assert!(refused(&cluster, later).contains("holds from"), "{}", refused(&cluster, later));
    }
}
