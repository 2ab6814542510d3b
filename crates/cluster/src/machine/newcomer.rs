//! A member that is to come to the etcd of a cluster: asked about before kubeadm adds it.

use sealock_node::host::{Command, Host};
use sealock_node::step::KubeadmPhase;
use sealock_node::{Step, StepKind};
use serde::Serialize;

use super::error::MachineError;
use super::invite::{ADMIN, run};
use super::member::survey;
use crate::etcd::quorum;

/// The phase by which kubeadm adds it.
const PHASE: &str = "etcd-join";
/// Where kubeadm has each member write down how it is asked.
const ENDPOINTS: &str = r#"jsonpath={range .items[*]}{.metadata.annotations['kubeadm\.kubernetes\.io/etcd\.advertise-client-urls']}{"\n"}{end}"#;

/// A member that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Newcomer {
    /// What kubeadm calls it: as the node.
    pub name: String,
    /// Where its peers reach it.
    pub peer_url: String,
}

impl Newcomer {
    /// That of the node `name` at `address`.
    pub(super) fn new(name: &str, address: std::net::Ipv4Addr) -> Self {
        Self { name: name.to_owned(), peer_url: format!("https://{address}:2380") }
    }

    /// Whether the cluster takes it now. The members are those that the cluster itself lists, and they are asked with what kubeadm has laid here
    /// for the control plane.
    ///
    /// # Errors
    /// [`MachineError::NoNewcomer`], where a member is not well; nobody answers.
    pub(super) async fn check(&self, host: &dyn Host) -> Result<(), MachineError> {
        let survey = survey(host, &endpoints(host)?).await?;
        quorum::may_add(&survey, &self.name, &self.peer_url).map_err(MachineError::NoNewcomer)
    }
}

/// Whether it is this step by which the member comes.
pub(super) fn brings_it(step: &Step) -> bool {
    matches!(&step.action, StepKind::KubeadmPhase(KubeadmPhase { phase, .. }) if phase == PHASE)
}

fn endpoints(host: &dyn Host) -> Result<Vec<String>, MachineError> {
    let pods = ["-n", "kube-system", "get", "pods", "-l", "component=etcd,tier=control-plane"];
    let arguments = ADMIN.into_iter().chain(pods).chain(["-o", ENDPOINTS, "--request-timeout", "20s"]);
    let said = run(host, &Command::new("kubectl", arguments))?;
    let urls: Vec<String> =
        said.split([',', '\n']).map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
    if urls.is_empty() {
        let said = "no pod of etcd says where it is asked".to_owned();
        return Err(MachineError::Refused { program: "kubectl".to_owned(), said });
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use sealock_node::host::{Alteration, Entry, HostError, Local, Output};
    use sealock_node::step::Mode;
    use sealock_testkit::etcd::{EtcdCluster, programs};
    use sealock_trust::reason::Code;

    use super::*;
    use crate::etcd::Survey;

    /// A machine with the certificates of a cluster's etcd, on which kubectl lists the members.
    struct Joining {
        root: tempfile::TempDir,
        listed: String,
    }

    impl Joining {
        fn new(cluster: &EtcdCluster, members: usize) -> Self {
            let root = tempfile::tempdir().unwrap();
            let pki = root.path().join("etc/kubernetes/pki/etcd");
            std::fs::create_dir_all(&pki).unwrap();
            let (certificate, key) = cluster.client().unwrap();
            for (name, text) in
                [("ca.crt", cluster.ca()), ("healthcheck-client.crt", certificate), ("healthcheck-client.key", key)]
            {
                std::fs::write(pki.join(name), text).unwrap();
            }
            let listed = (0..members).map(|n| format!("{}\n", cluster.member(n).client_url())).collect();
            Self { root, listed }
        }
    }

    impl Host for Joining {
        fn inspect(&self, path: &str) -> Result<Entry, HostError> {
            Local::rooted(self.root.path()).inspect(path)
        }
        fn open(&self, path: &str) -> Result<Box<dyn std::io::Read>, HostError> {
            Local::rooted(self.root.path()).open(path)
        }
        fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
            Local::rooted(self.root.path()).list(path)
        }
        fn write(&self, _: &str, _: Mode, _: &mut dyn std::io::Read) -> Result<(), HostError> {
            panic!("nothing is written")
        }
        fn alter(&self, _: Alteration<'_>) -> Result<(), HostError> {
            panic!("nothing is changed")
        }
        fn run(&self, command: &Command) -> Result<Output, HostError> {
            assert_eq!(command.program, "kubectl");
            Ok(Output { status: 0, stdout: self.listed.clone(), stderr: String::new() })
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_comes_only_where_all_the_others_are_well() {
        let Some(found) = programs() else { return };
        let mut cluster = EtcdCluster::start(&found, 3);
        let joining = Joining::new(&cluster, 3);
        let newcomer = Newcomer::new("cp4", std::net::Ipv4Addr::new(10, 77, 0, 14));
        let seeds: Vec<String> = (0..3).map(|n| cluster.member(n).client_url()).collect();
        let serves = |survey: &Survey| quorum::may_pause_each(survey).err().map(|refusal| refusal.to_string());
        let etcd =
            crate::machine::member::etcd(&joining, seeds.iter().map(|url| url.parse().unwrap()).collect()).unwrap();
        etcd.await_survey("it does not serve", std::time::Duration::from_secs(60), serves).await.unwrap();
        newcomer.check(&joining).await.unwrap();
        let name = cluster.etcdctl(0, &["member", "list"]);
        let name = name.lines().next().unwrap().split(", ").nth(2).unwrap().to_owned();
        let taken = Newcomer { name, ..newcomer.clone() }.check(&joining).await.unwrap_err();
        assert!(taken.hint().unwrap().contains("--node-name"), "{taken}");

        cluster.member_mut(1).kill();
        let refused = newcomer.check(&joining).await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::Quorum), "{refused}");
        cluster.member_mut(2).kill();
        newcomer.check(&joining).await.unwrap_err();
        let silent = Joining { listed: "\n\n".into(), ..joining };
        let refused = newcomer.check(&silent).await.unwrap_err();
        assert!(refused.is_retryable() && refused.to_string().contains("where it is asked"), "{refused}");
    }
}
