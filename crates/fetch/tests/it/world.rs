//! An upstream with something of everything, and a spec that asks for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_bundle::Lock;
use sealock_bundle::document::load_document;
use sealock_bundle::parameters::{Given, prepare};
use sealock_bundle::spec::Bundle;
use sealock_fetch::{FetchError, LockRequest, Patience, Progress, Retry, Settings, resolve};
use sealock_testkit::image::{Image, gzip, tar_of};
use sealock_testkit::upstream::Upstream;
use sealock_testkit::{chart, corpus};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

/// Hosts that the upstream stands in for.
const HOSTS: [&str; 9] = [
    "deb.example",
    "dl.k8s.io",
    "docker.io",
    "files.example",
    "get.helm.sh",
    "ghcr.io",
    "github.com",
    "quay.io",
    "registry.k8s.io",
];

/// Says its images as kubeadm does. The real one is asked in the lab.
const KUBEADM: &str = "#!/bin/sh
[ \"$*\" = 'config images list --kubernetes-version v1.36.3' ] || { echo \"unexpected: $*\" >&2; exit 1; }
echo registry.k8s.io/kube-apiserver:v1.36.3
echo registry.k8s.io/pause:3.10.2
";

/// Prints the templates of an archive as they are, and fails where one says so, or tells its values. The real one renders in the lab.
const HELM: &str = "#!/bin/sh
set -e
[ \"$1\" = template ]
text=$(tar -xzOf \"$3\" \"$2/templates\")
case $text in *FAIL*) echo \"Error: execution error at (app/templates/app.yaml:3:5): FAIL\" >&2; exit 1;; esac
case $text in *VALUES*) while [ $# -gt 0 ]; do [ \"$1\" != --values ] || cat \"$2\" >&2; shift; done; exit 1;; esac
printf '%s\\n' \"$text\"
";

pub(crate) const DEPLOYMENT: &str = "---
# Source: app/templates/app.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: 'ghcr.io/team/web:1.0.0'}]}}}
";

pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    /// An upstream that has all that [`SPEC`] asks for.
    pub(crate) fn new() -> Self {
        let world = Self { upstream: Upstream::start(), folder: tempfile::tempdir().unwrap() };
        world.kubernetes();
        world.images();
        world.charts();
        world.write("manifests/10-web.yaml", &DEPLOYMENT.replace("ghcr.io/team/web:1.0.0", "quay.io/team/tool"));
        world.upstream.put("files.example/data/table.csv", "a,b\n1,2\n");
        world
    }

    fn kubernetes(&self) {
        self.component("dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm", KUBEADM.as_bytes());
        for name in ["kubelet", "kubectl"] {
            self.component(&format!("dl.k8s.io/release/v1.36.3/bin/linux/amd64/{name}"), name.as_bytes());
        }
        let plan: Bundle = bundle(SPEC);
        let table = sealock_bundle::components::ComponentTable::built_in().unwrap();
        let kubernetes = plan.spec.kubernetes.unwrap();
        let all = table.components(&kubernetes.versions[0], &plan.spec.platforms[0], &kubernetes.components).unwrap();
        for component in all.iter().filter(|component| !component.name.starts_with("kube")) {
            let content = match component.name.as_str() {
                "helm" => {
                    gzip(&tar_of(&[("linux-amd64/README.md", b"x".as_slice()), ("linux-amd64/helm", HELM.as_bytes())]))
                }
                name => corpus::content(name.len() as u64, 5_000),
            };
            self.upstream.put(component.url.trim_start_matches("https://"), content.clone());
            let file = component.url.rsplit('/').next().unwrap();
            let line = format!("{}  {file}\n", Digest::sha256(&content).hex());
            self.upstream.put(component.checksum_url.trim_start_matches("https://"), line);
        }
    }

    /// A file with its checksum beside it, as dl.k8s.io has it.
    pub(crate) fn component(&self, path: &str, content: &[u8]) {
        self.upstream.put(path, content.to_vec());
        self.upstream.put(&format!("{path}.sha256"), Digest::sha256(content).hex().to_owned());
    }

    fn images(&self) {
        let corpus = corpus::images(4, 200_000);
        let names = [
            "registry.k8s.io/kube-apiserver:v1.36.3",
            "registry.k8s.io/pause:3.10.2",
            "ghcr.io/team/web:1.0.0",
            "quay.io/team/tool:latest",
        ];
        for (name, image) in names.iter().zip(&corpus) {
            self.upstream.push(name, image);
        }
        let arm = Image::new("linux/arm64", &[&[("app", &corpus::content(99, 100_000))]]);
        let amd = Image::new("linux/amd64", &[&[("app", &corpus::content(98, 100_000))]]);
        self.upstream
            .push("docker.io/library/postgres:17", &Image::index(&[("linux/amd64", amd), ("linux/arm64", arm)]));
    }

    fn charts(&self) {
        let archive = chart::package("app", "1.2.3", "replicas: 1\n", &[("app.yaml", DEPLOYMENT)]);
        self.upstream.put("files.example/charts/index.yaml", chart::index("app", "1.2.3", &archive));
        self.upstream.put("files.example/charts/app-1.2.3.tgz", archive.clone());
        self.upstream.push("ghcr.io/team/charts/app:1.2.3", &chart::artifact("app", "1.2.3", &archive));
    }

    /// Writes a file beside the spec.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn settings(&self) -> Settings {
        settings_of(&self.upstream.url(), &self.upstream.ca_file())
    }

    pub(crate) fn request(&self, spec: &str) -> LockRequest {
        self.request_with(spec, &[])
    }

    /// With these values for its parameters.
    pub(crate) fn request_with(&self, spec: &str, set: &[(&str, &str)]) -> LockRequest {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let prepared = prepare("sealock.yaml".as_ref(), spec, &Given { set, ..Given::default() }).unwrap();
        LockRequest {
            bundle: prepared.bundle,
            spec: Digest::sha256(spec.as_bytes()),
            selection: None,
            parameters: prepared.parameters,
            used_parameters: prepared.used,
            folder: self.folder.path().to_owned(),
            sequence: 7,
            previous: None,
            annotations: std::collections::BTreeMap::new(),
            issued: "2026-11-23T00:00:00Z".parse().unwrap(),
            publisher_keys: 1,
            tool: "sealock test".to_owned(),
            keep: Some(self.folder.path().to_owned()),
        }
    }

    pub(crate) async fn lock(&self, spec: &str) -> Result<Lock, FetchError> {
        resolve(&self.request(spec), &self.settings(), &Progress::silent()).await
    }

    /// The error of a lock that must fail, with the port replaced and the causes below it.
    pub(crate) async fn complaint(&self, spec: &str) -> String {
        let error = self.lock(spec).await.unwrap_err();
        self.told(&error)
    }

    pub(crate) fn told(&self, error: &FetchError) -> String {
        let mut text = format!("{}: {error}", error.code().map_or("-", Code::as_str));
        let mut below = std::error::Error::source(error);
        while let Some(cause) = below {
            text.push_str(&format!("\n  caused by: {cause}"));
            below = cause.source();
        }
        text.replace(&self.upstream.authority(), "UPSTREAM")
            .replace(&self.folder.path().display().to_string(), "FOLDER")
    }
}

/// Settings with which the upstream at `url` stands in for all hosts.
pub(crate) fn settings_of(url: &str, ca_file: &Path) -> Settings {
    let mirrors = HOSTS.iter().map(|host| ((*host).to_owned(), format!("{url}/{host}").parse().unwrap()));
    Settings {
        mirrors: mirrors.collect(),
        ca_files: vec![ca_file.to_owned()],
        retry: Retry { tries: 2, first_wait: Duration::from_millis(5), longest_wait: Duration::from_millis(10) },
        patience: Patience { stall: Duration::from_secs(5), ..Patience::default() },
        ..Settings::default()
    }
}

pub(crate) fn bundle(spec: &str) -> Bundle {
    load_document(Path::new("sealock.yaml"), spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks for something of everything.
pub(crate) const SPEC: &str = r#"
apiVersion: sealock/v1alpha1
kind: Bundle
metadata: {name: plant-7, stream: base}
spec:
  audience: {sites: [plant-7]}
  platforms: [linux/amd64]
  kubernetes: {versions: [v1.36.3]}
  verify:
    - {match: "registry.k8s.io/*", unsigned: "reviewed"}
    - {match: "ghcr.io/team/*", unsigned: "reviewed too"}
    - {match: "quay.io/*", unsigned: "ours"}
  images:
    - {ref: "postgres:17", verify: {unsigned: "upstream signs nothing"}}
  charts:
    - {name: app, repository: "https://files.example/charts", version: 1.2.3}
    - {name: app, oci: ghcr.io/team/charts/app, version: 1.2.3}
  manifests: [manifests/]
  files:
    - {url: "https://files.example/data/table.csv", digest: "sha256:492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470", version: v1}
"#;

/// A spec with these fields, and rules for everything.
pub(crate) fn spec(fields: &str) -> String {
    format!(
        "apiVersion: sealock/v1alpha1\nkind: Bundle\nmetadata: {{name: plant-7, stream: base}}\nspec:\n  \
         audience: {{sites: [plant-7]}}\n{fields}"
    )
}
