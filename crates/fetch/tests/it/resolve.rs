//! Specs become locks.

use sealock_bundle::Lock;
use sealock_testkit::image::Image;
use sealock_testkit::upstream::Fault;
use sealock_testkit::{chart, corpus};
use sealock_trust::Digest;

use crate::world::{DEPLOYMENT, SPEC, World, spec};

fn table(lock: &Lock) -> String {
    let line = |reference: &sealock_bundle::lock::LockedReference| {
        let verdict = &reference.verdict;
        let reason = verdict.reason.as_deref().unwrap_or("");
        let by = reference.requested_by.join(" + ");
        format!("{:?} {} | {by} | {:?} {reason}", reference.kind, reference.name, verdict.rule)
    };
    lock.references.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn something_of_everything() {
    let world = World::new();
    let lock = world.lock(SPEC).await.unwrap_or_else(|error| panic!("{}", world.told(&error)));
    insta::assert_snapshot!(table(&lock));
    assert_eq!(lock.expires.to_string(), "2027-11-23T00:00:00Z");
    assert_eq!(Lock::from_bytes(&lock.to_bytes().unwrap()).unwrap(), lock);
}

#[tokio::test]
async fn the_same_lock_however_the_answers_come() {
    let world = World::new();
    let first = world.lock(SPEC).await.unwrap().to_bytes().unwrap();
    world.upstream.fail("kube-apiserver", Fault::Trickle(2_000, std::time::Duration::from_millis(20)));
    world.upstream.fail_times("postgres", Fault::Status(503), 1);
    let settings = sealock_fetch::Settings { parallel: 1, ..world.settings() };
    let request = world.request(SPEC);
    let again = sealock_fetch::resolve(&request, &settings, &sealock_fetch::Progress::silent()).await.unwrap();
    assert_eq!(again.to_bytes().unwrap(), first);
}

#[tokio::test]
async fn an_index_keeps_its_digest_and_loses_other_platforms() {
    let world = World::new();
    let only = spec("  images: [{ref: 'postgres:17', verify: {unsigned: x}}]\n");
    let amd = world.lock(&only).await.unwrap();
    let both = world.lock(&format!("{only}  platforms: [linux/arm64, linux/amd64]\n")).await.unwrap();
    assert_eq!(amd.references[1].digest, both.references[1].digest);
    // Index, manifest, config and layer, and the three of the summary; with the second platform a manifest, config and layer more.
    assert_eq!((amd.blobs.len(), both.blobs.len()), (4 + 3, 7 + 3));
    let complaint = world.complaint(&format!("{only}  platforms: [linux/riscv64]\n")).await;
    insta::assert_snapshot!(complaint);
}

#[tokio::test]
async fn an_image_without_a_rule_stops_the_lock() {
    let world = World::new();
    let complaint = world.complaint(&spec("  manifests: [manifests]\n")).await;
    insta::assert_snapshot!(complaint);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_told_with_its_place() {
    let world = World::new();
    world.upstream.content(|content| content.forget("quay.io/team/tool", "latest"));
    let fields = "  manifests: [manifests]\n  verify: [{match: '*', unsigned: x}]\n";
    insta::assert_snapshot!(world.complaint(&spec(fields)).await);
    world.write("manifests/10-web.yaml", &DEPLOYMENT.replace("ghcr.io/team/web:1.0.0", "${IMAGE}"));
    insta::assert_snapshot!(world.complaint(&spec(fields)).await);
    world.write("manifests/10-web.yaml", "a: [1\nb: 2\n");
    insta::assert_snapshot!(world.complaint(&spec(fields)).await);
    insta::assert_snapshot!(world.complaint(&spec("  manifests: [nothing]\n")).await);
}

#[tokio::test]
async fn charts_that_cannot_be_had_or_rendered() {
    let world = World::new();
    let chart_spec = |version: &str| {
        spec(&format!("  charts: [{{name: app, repository: 'https://files.example/charts/', version: {version}}}]\n"))
    };
    insta::assert_snapshot!(world.complaint(&chart_spec("9.9.9")).await);
    let archive = chart::package("app", "1.2.3", "", &[("app.yaml", "FAIL")]);
    world.upstream.put("files.example/charts/app-1.2.3.tgz", archive.clone());
    let complaint = world.complaint(&chart_spec("1.2.3")).await;
    assert!(
        complaint.starts_with("UPSTREAM_DIGEST: cannot fetch https://files.example/charts/app-1.2.3.tgz"),
        "{complaint}"
    );
    world.upstream.put("files.example/charts/index.yaml", chart::index("app", "1.2.3", &archive));
    insta::assert_snapshot!(world.complaint(&chart_spec("1.2.3")).await);
    world.upstream.put("files.example/charts/index.yaml", "<html>");
    insta::assert_snapshot!(world.complaint(&chart_spec("1.2.3")).await);
}

#[tokio::test]
async fn a_tool_that_is_not_what_upstream_announces_is_not_run() {
    let world = World::new();
    let path = "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm";
    world.upstream.put(path, "#!/bin/sh\necho evil.example/image:1 > /dev/null\ntouch ran\n");
    let only = spec("  kubernetes: {versions: [v1.36.3]}\n  verify: [{match: '*', unsigned: x}]\n");
    let complaint = world.complaint(&only).await;
    assert!(complaint.starts_with("UPSTREAM_DIGEST: cannot fetch https://dl.k8s.io/"), "{complaint}");
    world.component(path, b"#!/bin/sh\necho 'no such thing' >&2\nexit 1\n");
    insta::assert_snapshot!(world.complaint(&only).await);
    insta::assert_snapshot!(world.complaint(&only.replace("v1.36.3", "v1.20.0")).await);
}

#[tokio::test]
async fn add_ons_bring_their_manifests_and_their_images() {
    let world = World::new();
    let image = Image::new("linux/amd64", &[&[("metrics-server", b"measures")]]);
    world.upstream.push("registry.k8s.io/metrics-server/metrics-server:v0.9.0", &image);
    let wanting = |add_on: &str, more: &str| {
        spec(&format!(
            "  kubernetes: {{versions: [v1.36.3], addOns: [{add_on}]}}\n  verify: [{{match: '*', unsigned: x}}]\n{more}"
        ))
    };
    let lock = world.lock(&wanting("{name: metrics-server}", "")).await.unwrap();
    let of = |name: &str| lock.references.iter().find(|reference| reference.name.as_str() == name).unwrap();
    let mut carried = serde_json::to_value(of("manifests/plant-7/add-ons/metrics-server.yaml:7")).unwrap();
    // It changes with each word of the manifests.
    assert!(carried["digest"].take().is_string());
    insta::assert_json_snapshot!(carried);
    assert_eq!(of("registry.k8s.io/metrics-server/metrics-server:v0.9.0").digest, image.digest);
    // The same path among the packager's own manifests.
    world.write("add-ons/metrics-server.yaml", DEPLOYMENT);
    let complaint = world.complaint(&wanting("{name: metrics-server}", "  manifests: [add-ons]\n")).await;
    assert!(complaint.starts_with("CONFLICT: manifests/plant-7/add-ons/metrics-server.yaml:7"), "{complaint}");
}

#[tokio::test]
async fn secrets_stop_the_lock_until_accepted_by_name() {
    let world = World::new();
    world.write("manifests/20-db.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {password: eA==}\n");
    let fields = "  manifests: [manifests]\n  verify: [{match: '*', unsigned: x}]\n";
    insta::assert_snapshot!(world.complaint(&spec(fields)).await);
    let accepted = format!("{fields}  acceptSecrets: [{{name: default/db, reason: a test database}}]\n");
    world.lock(&spec(&accepted)).await.unwrap();
}

#[tokio::test]
async fn one_name_with_two_digests_stops_the_lock() {
    let world = World::new();
    let other = Image::new("linux/amd64", &[&[("other", &corpus::content(5, 100))]]);
    let digest = world.upstream.push("quay.io/team/tool:other", &other);
    let images = format!(
        "  images:\n  - {{ref: 'quay.io/team/tool:latest', verify: {{unsigned: x}}}}\n  - {{ref: 'quay.io/team/tool:latest@{digest}', verify: {{unsigned: x}}}}\n"
    );
    let complaint = world.complaint(&spec(&images)).await;
    assert!(complaint.starts_with("CONFLICT: quay.io/team/tool:latest would stand for two digests"), "{complaint}");
}

#[tokio::test]
async fn a_digest_that_the_registry_answers_wrongly_is_refused() {
    let world = World::new();
    let digest = Digest::sha256(b"nothing");
    let images = format!("  images: [{{ref: 'quay.io/team/tool@{digest}', verify: {{unsigned: x}}}}]\n");
    let complaint = world.complaint(&spec(&images)).await;
    assert!(complaint.starts_with("UNRESOLVED:"), "{complaint}");
    world.upstream.fail("/manifests/", Fault::LoginPage);
    let complaint = world.complaint(&spec(&images)).await;
    assert!(complaint.starts_with("UPSTREAM_DIGEST:"), "{complaint}");
}

#[tokio::test]
async fn attestations_of_the_chosen_images_come_along() {
    let world = World::new();
    let amd = Image::new("linux/amd64", &[&[("app", b"amd")]]);
    let arm = Image::new("linux/arm64", &[&[("app", b"arm")]]);
    let about = |image: &Image| {
        let layer = ("application/vnd.in-toto+json".to_owned(), format!("{{\"about\":\"{}\"}}", image.digest).into());
        Image::artifact(
            None,
            ("application/vnd.oci.image.config.v1+json", "{}".into()),
            vec![layer],
            &serde_json::json!({}),
        )
    };
    let (of_amd, of_arm) = (about(&amd), about(&arm));
    let index = Image::index(&[
        ("linux/amd64", amd.clone()),
        ("linux/arm64", arm.clone()),
        ("unknown/unknown", of_amd.clone()),
        ("unknown/unknown", of_arm.clone()),
    ]);
    let index = index.annotate_entry(2, "vnd.docker.reference.digest", &amd.digest.to_string());
    let index = index.annotate_entry(3, "vnd.docker.reference.digest", &arm.digest.to_string());
    world.upstream.push("quay.io/team/attested:1", &index);
    let lock =
        world.lock(&spec("  images: [{ref: 'quay.io/team/attested:1', verify: {unsigned: x}}]\n")).await.unwrap();
    let has = |digest: &Digest| lock.blobs.iter().any(|blob| blob.digest == *digest);
    assert_eq!([&amd, &of_amd, &arm, &of_arm].map(|image| has(&image.digest)), [true, true, false, false]);
}

const OPERATOR: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  template:
    spec:
      containers:
      - name: manager
        image: quay.io/team/tool
        args: [--agent-image=ghcr.io/team/web:1.0.0]
        env: [{name: RELATED_IMAGE_SHELL, value: 'ghcr.io/team/shell:3'}, {name: SELF_IMAGE, value: quay.io/team/tool}]
";

/// The lock's references with `requested-by`, of manifests with an operator, under these fields.
async fn operator(world: &World, fields: &str) -> String {
    let fields = format!("  manifests: [manifests]\n  verify: [{{match: '*', unsigned: x}}]\n{fields}");
    match world.lock(&spec(&fields)).await {
        Ok(lock) => table(&lock),
        Err(error) => format!("{}\n{}", world.told(&error), error.hint().unwrap_or_default()),
    }
}

#[tokio::test]
async fn a_guess_stops_the_lock_until_it_is_decided() {
    let world = World::new();
    world.write("manifests/10-web.yaml", OPERATOR);
    insta::assert_snapshot!(operator(&world, "").await);
    let accepted =
        "  guesses: {accept: ['ghcr.io/team/web:*'], refuse: [{match: '*/shell:*', reason: 'for demonstrations'}]}\n";
    insta::assert_snapshot!(operator(&world, accepted).await);
    let named = "  images: [{ref: 'ghcr.io/team/web:1.0.0', verify: {unsigned: x}}]\n  guesses: {refuse: [{match: '*', reason: y}]}\n";
    insta::assert_snapshot!(operator(&world, named).await);
}

#[tokio::test]
async fn what_values_would_switch_on_is_a_guess() {
    let world = World::new();
    let values = "image: {repository: ghcr.io/team/web, tag: 1.0.0}\nmetrics: {enabled: false, image: {repository: quay.io/team/exporter, tag: v1}}\n";
    let archive = chart::package("app", "1.2.3", values, &[("app.yaml", DEPLOYMENT)]);
    world.upstream.put("files.example/charts/app-1.2.3.tgz", archive.clone());
    world.upstream.put("files.example/charts/index.yaml", chart::index("app", "1.2.3", &archive));
    let only = spec(
        "  charts: [{name: app, repository: 'https://files.example/charts', version: 1.2.3}]\n  verify: [{match: '*', unsigned: x}]\n",
    );
    insta::assert_snapshot!(world.complaint(&only).await);
    world.write("off.yaml", "metrics: null\n");
    let without = only.replace("version: 1.2.3", "version: 1.2.3, values: [off.yaml]");
    world.lock(&without).await.unwrap();
}

/// Each lock asks for the size of kubeadm and of Helm twice, and an answer of which nobody reads the body counts here, too.
const SIZES: usize = 4;

#[tokio::test]
async fn tools_are_downloaded_once_and_verified_at_each_use() {
    let world = World::new();
    let cache = world.path("cache/tools");
    let settings = sealock_fetch::Settings { tools: Some(cache.clone()), ..world.settings() };
    let request = world.request(SPEC);
    let silent = sealock_fetch::Progress::silent();
    let downloads = || {
        let is_tool = |seen: &sealock_testkit::upstream::Seen| {
            seen.method == "GET"
                && (seen.target.ends_with("/kubeadm")
                    || seen.target.contains("/helm-v") && seen.target.ends_with(".tar.gz"))
        };
        let seen = world.upstream.take_seen();
        seen.iter().filter(|seen| is_tool(seen)).count()
    };
    // Two at once share the cache from the beginning.
    let (first, second) = tokio::join!(
        sealock_fetch::resolve(&request, &settings, &silent),
        sealock_fetch::resolve(&request, &settings, &silent)
    );
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    let files = || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let count = downloads() - 2 * SIZES;
    assert!((2..=4).contains(&count), "{count}");
    assert_eq!(files().len(), 2, "{:?}", files());
    assert_eq!(sealock_fetch::resolve(&request, &settings, &silent).await.unwrap(), first);
    assert_eq!(downloads(), SIZES);
    for file in files() {
        std::fs::write(file, "#!/bin/sh\necho evil.example/image:1\n").unwrap();
    }
    assert_eq!(sealock_fetch::resolve(&request, &settings, &silent).await.unwrap(), first);
    assert_eq!(downloads(), SIZES + 2);
}

const PARAMETERS: &str = "  parameters:
    replicas: {type: integer, default: 2}
    tag: {type: string, default: latest}
    pg: {type: string, default: '17'}
    idle: {type: boolean, default: false}
  verify: [{match: '*', unsigned: reviewed}]
  images: [{ref: 'docker.io/library/postgres:$(parameters.pg)'}]
  charts:
    - {name: app, oci: ghcr.io/team/charts/app, version: 1.2.3, values: [values.yaml, {replicas: $(parameters.replicas)}]}
  manifests: [with.yaml, without.yaml]
";

fn parametrised(world: &World) -> String {
    world.write("with.yaml", "kind: Pod\nspec:\n  replicas: $(parameters.replicas) # kept\n  containers: [{name: a, image: 'quay.io/team/tool:$(parameters.tag)'}]\n");
    world.write("without.yaml", "kind: ConfigMap\ndata: {host: $(HOST)}\n");
    world.write("values.yaml", "tag: $(parameters.tag)\n");
    spec(PARAMETERS)
}

#[tokio::test]
async fn parameters_are_filled_in_and_fixed_in_the_lock() {
    let world = World::new();
    let spec = parametrised(&world);
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = told.clone();
    let progress = sealock_fetch::Progress::new(move |event| {
        if let sealock_fetch::Event::Note(note) = event {
            notes.lock().unwrap().push((*note).to_owned());
        }
    });
    let lock = sealock_fetch::resolve(&world.request(&spec), &world.settings(), &progress).await;
    let lock = lock.unwrap_or_else(|error| panic!("{}", world.told(&error)));
    insta::assert_json_snapshot!(lock.parameters);
    assert_eq!(lock, Lock::from_bytes(&lock.to_bytes().unwrap()).unwrap());
    assert!(told.lock().unwrap().iter().any(|note| note.contains("the parameter idle stands nowhere")), "{told:?}");
    let layer = |name: &str| {
        let reference = lock.references.iter().find(|reference| reference.source == name).unwrap();
        let manifest = lock.blobs.iter().find(|blob| blob.digest == reference.digest).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest.generated_content().unwrap()).unwrap();
        let digest: Digest = serde_json::from_value(manifest["layers"][0]["digest"].clone()).unwrap();
        lock.blobs.iter().find(|blob| blob.digest == digest).unwrap().clone()
    };
    let filled = String::from_utf8(layer("with.yaml").generated_content().unwrap()).unwrap();
    assert_eq!(
        filled,
        "kind: Pod\nspec:\n  replicas: 2 # kept\n  containers: [{name: a, image: \"quay.io/team/tool:latest\"}]\n"
    );
    assert!(!layer("without.yaml").is_generated(), "what has no placeholder is carried as it is");

    let again = world.request_with(&spec, &[("replicas", "3")]);
    let again = sealock_fetch::resolve(&again, &world.settings(), &sealock_fetch::Progress::silent()).await.unwrap();
    assert_ne!(again.references, lock.references);
    let third =
        sealock_fetch::resolve(&world.request(&spec), &world.settings(), &sealock_fetch::Progress::silent()).await;
    assert_eq!(third.unwrap().to_bytes().unwrap(), lock.to_bytes().unwrap());
}

#[tokio::test]
async fn values_of_charts_reach_helm_filled_in() {
    let world = World::new();
    let spec = parametrised(&world);
    let archive = chart::package("app", "1.2.3", "replicas: 1\n", &[("app.yaml", "# VALUES\n")]);
    world.upstream.push("ghcr.io/team/charts/app:1.2.3", &chart::artifact("app", "1.2.3", &archive));
    insta::assert_snapshot!(world.complaint(&spec).await);
}

#[tokio::test]
async fn a_placeholder_that_names_no_parameter_stops_the_lock() {
    let world = World::new();
    let spec = parametrised(&world);
    world.write("without.yaml", "kind: ConfigMap\ndata:\n  host: x-$(parameters.replica)\n");
    insta::assert_snapshot!(world.complaint(&spec).await, @r#"SPEC: without.yaml:3:9: unknown parameter "replica", did you mean "replicas"?"#);
}
