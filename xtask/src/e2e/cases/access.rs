//! Who may pull what: pods with nothing but their own service account, and a node without any rights.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::e2e::expect::expect;
use crate::story::inside::ACCESS_LOG;
use crate::story::{self, Desk, proof};
use crate::{repo, tools};

const SOURCE: &str = "docker.io/library/debian-tools:12";
const IMAGE: &str = "registry.lab/team/shop/app:1";
const ACCOUNT: &str = "service-account/plant-7/shop/default";

/// As `docs/guides/registry-access.md` has it.
const PROVIDERS: &str = "apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: sealock
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args: [node, credential-provider]
    matchImages: [registry.lab]
    defaultCacheDuration: 5m
    tokenAttributes:
      serviceAccountTokenAudience: registry.lab
      cacheType: Token
      requireServiceAccount: true
";

/// Kubelets may ask for tokens of that audience; two namespaces, one of which the registry's file names.
const CLUSTER: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "registry-audience"},
   "rules": [{"apiGroups": [""], "resources": ["registry.lab"], "verbs": ["request-serviceaccounts-token-audience"]}]},
  {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "registry-audience"},
   "subjects": [{"kind": "Group", "name": "system:nodes", "apiGroup": "rbac.authorization.k8s.io"}],
   "roleRef": {"kind": "ClusterRole", "name": "registry-audience", "apiGroup": "rbac.authorization.k8s.io"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stranger"}}]}
"#;

/// What a robot pushed is pulled by the kubelet for a pod whose account may, and for no other pod of the same node.
pub fn by_service_account(desk: &Desk) -> Result<()> {
    let outcome = close_registry(desk).and_then(|()| push(desk)).and_then(|()| pods(desk));
    let put_back = open_registry(desk);
    outcome.and(put_back)
}

/// The registry's file: a robot that pushes, the cluster's keys, and one namespace that may pull.
fn close_registry(desk: &Desk) -> Result<()> {
    let keys = story::text(&mut desk.kubectl(&["get", "--raw", "/openid/v1/jwks"]))?;
    let discovery = story::text(&mut desk.kubectl(&["get", "--raw", "/.well-known/openid-configuration"]))?;
    let discovery: Value = serde_json::from_str(&discovery)?;
    let issuer = discovery["issuer"].as_str().context("the cluster names no issuer")?;
    let robot = ["registry", "robot", "ci", "--repository", "team/**", "--action", "pull,push", "-o", "json"];
    let robot: Value = serde_json::from_str(&story::text(&mut desk.station(&robot))?)?;
    let field = |pointer: &str| robot.pointer(pointer).and_then(Value::as_str).context("the robot is incomplete");
    let folder = desk.lab.root_of("station").join("etc/sealock");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("plant-7.jwks.json"), keys)?;
    fs::write(folder.join("registry.yaml"), registry(issuer, field("/robot/secret")?, field("/robot/expires")?))?;
    fs::write(desk.lab.root_of("station").join("root/secret"), field("/secret")?)?;
    expect(&mut desk.station(&["registry", "check"]), 0, &["issuers of tokens", issuer])?;
    serve_anew(desk)
}

fn registry(issuer: &str, secret: &str, expires: &str) -> String {
    format!(
        "apiVersion: sealock/v1alpha1
kind: Registry
metadata: {{name: registry.lab}}
spec:
  anonymous: {{pull: ['docker.io/**', 'ghcr.io/**', 'quay.io/**', 'registry.k8s.io/**']}}
  robots:
    - name: ci
      secret: {secret}
      expires: {expires}
      grants: [{{repositories: ['team/**'], actions: [pull, push]}}]
  serviceAccounts: [{{cluster: plant-7, issuer: '{issuer}', keys: plant-7.jwks.json}}]
  grants: [{{subjects: ['service-account/plant-7/shop/*'], repositories: ['team/shop/**'], actions: [pull]}}]
  rules: [{{repositories: ['team/**']}}]
"
    )
}

/// A build system inside: it logs in as the robot, and pushes what it has from the release.
fn push(desk: &Desk) -> Result<()> {
    desk.carry(&tools::part(&repo::root()?, "crane")?.join("crane"), "station", "/root/crane")?;
    let script = format!(
        "cd /root && HOME=/root ./crane --insecure auth login registry.lab -u robot+ci -p \"$(cat secret)\" && \
         ./crane --insecure copy registry.lab/{SOURCE} {IMAGE}; code=$?; rm -rf .docker secret; exit $code"
    );
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &script])).map(drop)
}

/// The worker's kubelet asks the provider; afterwards all is as it was.
fn pods(desk: &Desk) -> Result<()> {
    let root = desk.lab.root_of("w1");
    fs::write(root.join("etc/kubernetes/credential-providers.yaml"), PROVIDERS)?;
    let set_up = "mkdir -p /opt/sealock/providers && ln -sf $(ls -d /opt/sealock/sealock/*/sealock | tail -1) \
                  /opt/sealock/providers/sealock && test ! -e /etc/default/kubelet && \
                  echo 'KUBELET_EXTRA_ARGS=--image-credential-provider-bin-dir=/opt/sealock/providers \
                  --image-credential-provider-config=/etc/kubernetes/credential-providers.yaml' > /etc/default/kubelet && \
                  systemctl restart kubelet";
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", set_up]))?;
    fs::write(desk.lab.root_of("cp1").join("root/access.json"), CLUSTER)?;
    let outcome = story::text(&mut desk.kubectl(&["apply", "-f", "/root/access.json"])).and_then(|_| both_pods(desk));
    story::text(&mut desk.kubectl(&["delete", "-f", "/root/access.json", "--timeout=90s"]))?;
    let clean = "rm -r /etc/default/kubelet /etc/kubernetes/credential-providers.yaml /opt/sealock/providers && \
                 systemctl restart kubelet";
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", clean]))?;
    outcome
}

fn both_pods(desk: &Desk) -> Result<()> {
    for namespace in ["shop", "stranger"] {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": namespace},
            "spec": {
                "nodeName": "w1", "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "app", "image": IMAGE, "command": ["sleep", "3600"], "imagePullPolicy": "Always"}],
            },
        });
        let file = format!("root/pod-{namespace}.json");
        fs::write(desk.lab.root_of("cp1").join(&file), pod.to_string())?;
        wait_for_account(desk, namespace)?;
        story::text(&mut desk.kubectl(&["apply", "-f", &format!("/{file}")]))?;
    }
    wait_for(desk, "shop", |status| status["phase"] == "Running")?;
    let refused = |status: &Value| {
        let waiting = &status["containerStatuses"][0]["state"]["waiting"];
        let told = waiting["message"].as_str().unwrap_or_default();
        // Between two tries the kubelet tells the last one's error again.
        told.contains("insufficient_scope") || told.contains("403 Forbidden")
    };
    wait_for(desk, "stranger", refused)?;
    log_names_the_account(desk)
}

/// A pod that comes before its namespace's account is refused by the API server.
fn wait_for_account(desk: &Desk, namespace: &str) -> Result<()> {
    let wait = ["wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=60s"];
    story::text(&mut desk.kubectl(&wait)).map(drop)
}

fn wait_for(desk: &Desk, namespace: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let pod = proof::kubectl_json(desk, &["get", "pod", "app", "-n", namespace])?;
        if is_so(&pod["status"]) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the pod in {namespace} is not so after 90 s: {}", pod["status"]);
        }
        std::thread::park_timeout(Duration::from_millis(300));
    }
}

fn log_names_the_account(desk: &Desk) -> Result<()> {
    let log = story::text(&mut desk.lab.exec("station", &["cat", ACCESS_LOG]))?;
    let records: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let is_pull = |record: &&Value| {
        record["status"] == 200
            && record["path"].as_str().is_some_and(|path| path.starts_with("/v2/team/shop/app/manifests/"))
    };
    let pulls: Vec<&Value> = records.iter().filter(is_pull).collect();
    let by_account = |record: &&Value| record["principal"] == ACCOUNT;
    ensure!(pulls.iter().any(by_account), "no pull of {ACCOUNT} is in the log: {pulls:?}");
    Ok(())
}

fn open_registry(desk: &Desk) -> Result<()> {
    let away = "rm -rf /etc/sealock/registry.yaml /etc/sealock/plant-7.jwks.json /root/crane /root/secret";
    story::text(&mut desk.lab.exec("station", &["sh", "-c", away]))?;
    serve_anew(desk)
}

fn serve_anew(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["systemctl", "restart", "sealock.service"]))?;
    story::inside::wait_until_served(desk)
}
