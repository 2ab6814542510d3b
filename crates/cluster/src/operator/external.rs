//! An etcd that somebody else runs: the files of the spec that are shown to it, and what control plane hosts see of it before anything is
//! planned. Nothing of it is changed from here.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sealock_node::certificates::Facts;
use sealock_node::external_etcd::KEY_SECRET;
use sealock_node::facts::Kubernetes;
use sealock_node::request::Secrets;
use sealock_node::step::EtcdClient;
use zeroize::Zeroizing;

use super::files::small_text;
use super::{Operator, OperatorError};
use crate::etcd::external::{Look, Order};
use crate::execute::{self, Connection, ExecuteError};
use crate::inventory::{Inventory, Observation};
use crate::plan::{ExternalEtcdError, Holds, PlanError, Wellness, check_external};
use crate::spec::{Cluster, ExternalEtcd, Host};

/// What the API servers show to an etcd that somebody else runs, from the files of the spec.
pub(super) struct ClientFiles {
    /// What stands in a plan.
    pub(super) client: EtcdClient,
    key: Zeroizing<String>,
}

impl fmt::Debug for ClientFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFiles").field("client", &self.client).finish_non_exhaustive()
    }
}

impl ClientFiles {
    /// The files that the spec of `cluster` names; nothing where each control plane has a member of etcd.
    ///
    /// # Errors
    /// One cannot be read, or is not what it is to be.
    pub(super) fn read(cluster: &Cluster) -> Result<Option<Self>, OperatorError> {
        let Some(etcd) = cluster.external_etcd() else { return Ok(None) };
        let authority = small_text(&cluster.file(&etcd.ca_file))?;
        let certificate = small_text(&cluster.file(&etcd.cert_file))?;
        let key = small_text(&cluster.file(&etcd.key_file))?;
        check(cluster, etcd, [&authority, &certificate, &key]).map_err(PlanError::from)?;
        let (authority, certificate) = (authority.to_string(), certificate.to_string());
        Ok(Some(Self { client: EtcdClient { authority, certificate, laid_only: false }, key }))
    }

    /// For the hosts that get it.
    pub(super) fn secrets(&self) -> Arc<Secrets> {
        Arc::new(std::iter::once(self.secret()).collect())
    }

    /// Name and value of the secret.
    pub(super) fn secret(&self) -> (String, String) {
        (KEY_SECRET.to_owned(), self.key.to_string())
    }
}

fn check(
    cluster: &Cluster,
    etcd: &ExternalEtcd,
    [authority, certificate, key]: [&str; 3],
) -> Result<(), ExternalEtcdError> {
    let wrong = |field: &'static str, named: &str, problem: String| ExternalEtcdError::File {
        field,
        path: cluster.file(named).display().to_string(),
        problem,
    };
    let issuers = Facts::all(authority);
    if !issuers.iter().any(|one| one.authority) {
        return Err(wrong("caFile", &etcd.ca_file, "it holds no certificate of an authority (PEM)".into()));
    }
    let facts = Facts::of(certificate)
        .map_err(|_| wrong("certFile", &etcd.cert_file, "it holds no certificate (PEM)".into()))?;
    let now = Timestamp::now();
    if facts.not_after <= now || facts.not_before > now {
        let problem = format!("its certificate holds from {} until {}", facts.not_before, facts.not_after);
        return Err(wrong("certFile", &etcd.cert_file, problem));
    }
    match facts.has_key(key) {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong("keyFile", &etcd.key_file, "it is not the key of the certificate".into())),
        Err(_) => Err(wrong("keyFile", &etcd.key_file, "it holds no private key without a passphrase (PEM)".into())),
    }
}

/// What an etcd that somebody else runs is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) files: &'a ClientFiles,
    /// What else the hosts say.
    pub(super) inventory: &'a Inventory,
    pub(super) connections: &'a [Arc<Connection>],
    /// The authority of a cluster that is to be there again; nothing where hosts say it.
    pub(super) authority: Option<&'a str>,
}

impl Operator<'_> {
    /// Every control plane host of `cluster` reaches the same etcd, and that keeps this cluster or nothing. All of it has to be well where a
    /// control plane is to come.
    ///
    /// # Errors
    /// [`ExternalEtcdError`], as a refusal where trying again does not help.
    pub(super) async fn check_external(&self, cluster: &Cluster, asked: Asked<'_>) -> Result<(), OperatorError> {
        let Some(etcd) = cluster.external_etcd() else { return Ok(()) };
        let Asked { files, inventory, connections, authority } = asked;
        let known = cluster.control_planes().find_map(|host| authority_of(host, cluster, inventory));
        let has_begun = |host: &Host| inventory.hosts.get(host.name.as_str()).is_some_and(Observation::has_joined);
        let (newcomers, begun) =
            (cluster.control_planes().any(|host| !has_begun(host)), cluster.control_planes().any(has_begun));
        let wellness = if newcomers { Wellness::Whole } else { Wellness::Serves };
        let holds = match (authority, known) {
            (Some(authority), _) => Holds::Its(authority),
            (None, Some(authority)) if begun => Holds::Its(authority),
            (None, authority) => Holds::NothingElse(authority),
        };
        let mut first: Option<(&str, Look)> = None;
        for (host, look) in self.look_from_planes(cluster, etcd, (files, connections)).await {
            let look = look.map_err(|error| unreached(host, error))?;
            check_external(cluster, (host, &look), wellness, holds).map_err(PlanError::from)?;
            match &first {
                Some((before, other)) if other.cluster != look.cluster => {
                    let two = ExternalEtcdError::Two { first: (*before).to_owned(), second: host.to_owned() };
                    return Err(PlanError::from(two).into());
                }
                Some(_) => {}
                None => first = Some((host, look)),
            }
        }
        Ok(())
    }

    async fn look_from_planes<'c>(
        &self,
        cluster: &'c Cluster,
        etcd: &ExternalEtcd,
        (files, connections): (&ClientFiles, &[Arc<Connection>]),
    ) -> Vec<(&'c str, Result<Look, ExecuteError>)> {
        let program = self.binary.path_there();
        let looks = cluster.control_planes().filter_map(|host| {
            let name = host.name.as_str();
            Some((name, connections.iter().find(|one| one.host() == name)?))
        });
        let looks = looks.map(|(name, connection)| {
            let order = Order {
                endpoints: etcd.endpoints.iter().map(ToString::to_string).collect(),
                authority: &files.client.authority,
                certificate: &files.client.certificate,
                key: &files.key,
            };
            let program = &program;
            async move { (name, connection.look_at_external(program, &order).await) }
        });
        execute::of_each(looks).await
    }
}

/// The command says itself why etcd does not answer.
fn unreached(host: &str, error: ExecuteError) -> OperatorError {
    match error {
        ExecuteError::Command { said, .. } => {
            PlanError::from(ExternalEtcdError::Unreached { host: host.to_owned(), said }).into()
        }
        other => other.into(),
    }
}

/// What the authority of `cluster` is known by on `host`.
fn authority_of<'a>(host: &Host, cluster: &Cluster, inventory: &'a Inventory) -> Option<&'a str> {
    match &inventory.hosts.get(host.name.as_str())?.facts.kubernetes {
        Kubernetes::Sealock(node) if node.cluster == cluster.name().as_str() => node.ca_hash.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sealock_node::certificates::{Authority, Purpose};

    use super::*;

    const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
        kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"10.77.0.11:6443\"}\n  etcd:\n    external:\n      \
        endpoints: [\"https://10.77.0.31:2379\"]\n      caFile: pki/ca.crt\n      certFile: pki/client.crt\n      keyFile: pki/client.key\n  \
        hosts:\n    - {name: cp1, address: 10.77.0.11, roles: [control-plane], ssh: {user: ops, \
        hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";

    fn refused(cluster: &Cluster) -> String {
        let error = ClientFiles::read(cluster).unwrap_err();
        error.to_string().replace(&cluster.file("").display().to_string(), "")
    }

    #[test]
    fn files_are_looked_for_beside_the_spec_and_have_to_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::load(&folder.path().join("cluster.yaml"), SPEC).unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join("pki").join(name), text).unwrap();
        fs::create_dir(folder.path().join("pki")).unwrap();
        assert!(refused(&cluster).starts_with("cannot read "), "{}", refused(&cluster));
        let now = Timestamp::now();
        let authority = Authority::generate("etcd", now).unwrap();
        let issue = |days| authority.issue(Purpose::Client, "plant-7", &[], (now, days)).unwrap();
        let (shown, other) = (issue(30), issue(30));
        put("ca.crt", &shown.certificate);
        put("client.crt", &shown.certificate);
        put("client.key", &other.key);
        insta::assert_snapshot!(refused(&cluster), @"spec.etcd.external.caFile: pki/ca.crt: it holds no certificate of an authority (PEM)");
        put("ca.crt", authority.certificate());
        insta::assert_snapshot!(refused(&cluster), @"spec.etcd.external.keyFile: pki/client.key: it is not the key of the certificate");
        put("client.key", "no key");
        insta::assert_snapshot!(refused(&cluster), @"spec.etcd.external.keyFile: pki/client.key: it holds no private key without a passphrase (PEM)");
        put("client.key", &shown.key);
        let read = ClientFiles::read(&cluster).unwrap().unwrap();
        assert_eq!(read.secrets().find(KEY_SECRET), Some(shown.key.as_str()));
        let key_line = shown.key.lines().nth(1).unwrap();
        assert!(!format!("{read:?} {:?}", read.secrets()).contains(key_line), "the key is told to nobody");
    }
}
