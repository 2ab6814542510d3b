//! Pulling: manifests, blobs, ranges, lists, and what is not to be had.

use http::{Method, StatusCode};
use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::site::{Content, INDEX, MANIFEST, Running, Site, layer, noise};

/// A release with an image of one platform, an index that lacks one platform, and a signature as a referrer.
struct Shelf {
    site: Site,
    server: Running,
    pause: Value,
    index: Value,
    large: Vec<u8>,
}

impl Shelf {
    async fn open() -> Self {
        let site = Site::new();
        let mut content = Content::default();
        let large = layer(3_000_000);
        let pause = content.image(&[layer(10), large.clone()]);
        content.name("registry.k8s.io/pause:3.10.2", &pause);
        let amd64 = content.image(&[Vec::new()]);
        let elsewhere = json!({"mediaType": MANIFEST, "digest": Digest::sha256(b"arm64").to_string(), "size": 500});
        let index = content.manifest(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64, elsewhere]}));
        content.name("docker.io/library/postgres:17", &index);
        content.name(&format!("docker.io/library/postgres@{}", index["digest"].as_str().unwrap()), &index);
        let empty = content.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        let signature = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature",
            "config": empty, "layers": [], "subject": pause, "annotations": {"by": "someone"}});
        let signature = content.manifest(&signature);
        content.name(&format!("registry.k8s.io/pause@{}", signature["digest"].as_str().unwrap()), &signature);
        site.publish(content);
        let server = site.serve().await;
        Self { site, server, pause, index, large }
    }

    fn digest(descriptor: &Value) -> String {
        descriptor["digest"].as_str().unwrap().to_owned()
    }

    fn large_path(&self) -> String {
        format!("/v2/registry.k8s.io/pause/blobs/{}", Digest::sha256(&self.large))
    }
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_then_by_digest_then_its_blobs() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    let digest = Shelf::digest(&shelf.pause);

    let head = client.head("/v2/pause/manifests/3.10.2?ns=registry.k8s.io").await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.header("docker-content-digest"), digest);
    assert_eq!(head.header("content-length"), shelf.pause["size"].to_string());
    assert_eq!(head.header("content-type"), MANIFEST);
    assert!(head.body.is_empty());

    let manifest = client.get(&format!("/v2/registry.k8s.io/pause/manifests/{digest}")).await;
    assert_eq!(Digest::sha256(&manifest.body).to_string(), digest);
    for blob in
        [vec![&manifest.json()["config"]], manifest.json()["layers"].as_array().unwrap().iter().collect()].concat()
    {
        let answer = client.get(&format!("/v2/registry.k8s.io/pause/blobs/{}", Shelf::digest(blob))).await;
        assert_eq!(Digest::sha256(&answer.body).to_string(), Shelf::digest(blob));
        assert_eq!(answer.header("content-type"), "application/octet-stream");
    }
}

#[tokio::test]
async fn an_index_is_served_whole_though_a_platform_was_left_out() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    let index = client.get("/v2/library/postgres/manifests/17?ns=docker.io").await;
    assert_eq!(index.header("content-type"), INDEX);
    assert_eq!(index.header("docker-content-digest"), Shelf::digest(&shelf.index));
    let children = index.json()["manifests"].clone();
    let child = |at: usize| format!("/v2/library/postgres/manifests/{}?ns=docker.io", Shelf::digest(&children[at]));
    assert_eq!(client.get(&child(0)).await.status, StatusCode::OK);
    let missing = client.get(&child(1)).await;
    assert_eq!((missing.status, missing.error().as_str()), (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"));
    // The layer of zero bytes.
    let nothing = Digest::sha256(b"");
    let answer = client.get(&format!("/v2/docker.io/library/postgres/blobs/{nothing}")).await;
    assert_eq!((answer.status, answer.header("content-length")), (StatusCode::OK, "0"));
    let answer = client.range(&format!("/v2/docker.io/library/postgres/blobs/{nothing}"), "bytes=0-").await;
    assert_eq!((answer.status, answer.header("content-range")), (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */0"));
}

/// Two names that lead to one place, as no bundle has them: the second is a problem, and the first stays what it is.
#[tokio::test]
async fn no_tag_is_taken_over_by_another_spelling_of_its_name() {
    let site = Site::new();
    let mut content = Content::default();
    let (genuine, other) = (content.image(&[layer(10)]), content.image(&[layer(20)]));
    content.name("docker.io/library/postgres:17", &genuine);
    content.name("index.docker.io/library/postgres:17", &other);
    site.publish(content);
    let server = site.serve().await;
    let answer = server.client.head("/v2/docker.io/library/postgres/manifests/17").await;
    assert_eq!(answer.header("docker-content-digest"), genuine["digest"].as_str().unwrap());
    let hidden = format!("/v2/docker.io/library/postgres/manifests/{}", other["digest"].as_str().unwrap());
    assert_eq!(server.client.head(&hidden).await.status, StatusCode::NOT_FOUND);
    let health = server.client.get("/healthz").await.json();
    assert_eq!(health["problems"][0]["reference"], "index.docker.io/library/postgres:17");
}

#[tokio::test]
async fn ns_names_the_upstream_registry() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    for ns in ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.io"] {
        let answer = client.head(&format!("/v2/library/postgres/manifests/17?ns={ns}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{ns}");
        assert_eq!(answer.header("oci-namespace"), ns);
    }
    // Our own names are no upstream.
    for ns in ["registry.test", "registry.test%3A5000", "REGISTRY.test"] {
        let answer = client.head(&format!("/v2/docker.io/library/postgres/manifests/17?ns={ns}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{ns}");
    }
    let absent = client.get("/v2/library/postgres/manifests/17?ns=quay.io").await;
    assert_eq!((absent.status, absent.error().as_str()), (StatusCode::NOT_FOUND, "NAME_UNKNOWN"));
    for ns in ["..", "a/b", "%00", "x:y", "[::1]:5000", "%ff"] {
        let answer = client.get(&format!("/v2/library/postgres/manifests/17?ns={ns}")).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "NAME_INVALID"), "{ns}");
    }
}

#[tokio::test]
async fn manifests_and_blobs_come_in_parts() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    let manifest_path = "/v2/registry.k8s.io/pause/manifests/3.10.2";
    let manifest = client.get(manifest_path).await.body;
    for (path, whole) in [(manifest_path, &manifest[..]), (&shelf.large_path(), &shelf.large[..])] {
        let length = whole.len();
        let last = length - 1;
        for (range, part) in [
            ("bytes=0-".to_owned(), 0..length),
            ("bytes=0-0".to_owned(), 0..1),
            (format!("bytes={last}-"), last..length),
            ("bytes=100-199".to_owned(), 100..200),
            ("bytes=-7".to_owned(), length - 7..length),
            (format!("bytes=5-{}", length * 2), 5..length),
        ] {
            let answer = client.range(path, &range).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(answer.header("content-range"), format!("bytes {}-{}/{length}", part.start, part.end - 1));
            assert_eq!(answer.header("content-length"), part.len().to_string());
            assert!(answer.body == whole[part], "{range}");
        }
        for range in [format!("bytes={length}-"), "bytes=500-0".to_owned(), "bytes=-0".to_owned()] {
            let answer = client.range(path, &range).await;
            assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
            assert_eq!(answer.header("content-range"), format!("bytes */{length}"));
        }
        for range in ["bytes=0-1,5-6", "lines=1-2", "nonsense"] {
            let answer = client.range(path, range).await;
            assert!(answer.status == StatusCode::OK && answer.body == whole, "{range}");
        }
    }
}

#[tokio::test]
async fn head_ignores_ranges_and_announces_them() {
    let shelf = Shelf::open().await;
    let answer = shelf.server.client.send(Method::HEAD, &shelf.large_path(), &[("range", "bytes=5-9")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("content-length"), shelf.large.len().to_string());
}

#[tokio::test]
async fn conditions_are_answered_by_digest() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    let path = shelf.large_path();
    let etag = client.head(&path).await.header("etag").to_owned();
    let send = |headers: Vec<(&'static str, String)>| {
        let path = path.clone();
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.send(Method::GET, &path, &headers).await
        }
    };
    assert_eq!(send(vec![("if-none-match", format!("\"x\", {etag}"))]).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(send(vec![("if-none-match", "\"x\"".into())]).await.status, StatusCode::OK);
    let range = ("range", "bytes=0-9".to_owned());
    assert_eq!(send(vec![range.clone(), ("if-range", etag)]).await.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(send(vec![range, ("if-range", "\"x\"".into())]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_content_encoded() {
    let shelf = Shelf::open().await;
    let headers = [("accept-encoding", "zstd, gzip")];
    let answer = shelf.server.client.send(Method::GET, "/v2/registry.k8s.io/pause/manifests/3.10.2", &headers).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(Digest::sha256(&answer.body).to_string(), Shelf::digest(&shelf.pause));
}

#[tokio::test]
async fn tags_come_sorted_and_page_by_page() {
    let site = Site::new();
    let mut content = Content::default();
    let image = content.image(&[layer(1)]);
    for tag in ["b", "a", "c", "B"] {
        content.name(&format!("quay.io/x/y:{tag}"), &image);
    }
    site.publish(content);
    let server = site.serve().await;
    let list = |query: &'static str| {
        let client = server.client.clone();
        async move { client.get(&format!("/v2/quay.io/x/y/tags/list{query}")).await }
    };
    assert_eq!(list("").await.json(), json!({"name": "quay.io/x/y", "tags": ["B", "a", "b", "c"]}));
    let page = list("?n=2").await;
    assert_eq!(page.json()["tags"], json!(["B", "a"]));
    assert_eq!(page.header("link"), "</v2/quay.io/x/y/tags/list?n=2&last=a>; rel=\"next\"");
    let page = list("?n=2&last=a").await;
    assert_eq!(page.json()["tags"], json!(["b", "c"]));
    assert_eq!(page.header("link"), "");
    assert_eq!(list("?n=0").await.json()["tags"], json!([]));
    assert_eq!(list("?n=x").await.status, StatusCode::BAD_REQUEST);
    let absent = server.client.get("/v2/quay.io/x/z/tags/list").await;
    assert_eq!((absent.status, absent.error().as_str()), (StatusCode::NOT_FOUND, "NAME_UNKNOWN"));
}

#[tokio::test]
async fn referrers_are_listed_and_filtered() {
    let shelf = Shelf::open().await;
    let path = format!("/v2/registry.k8s.io/pause/referrers/{}", Shelf::digest(&shelf.pause));
    let answer = shelf.server.client.get(&path).await;
    assert_eq!(answer.header("content-type"), INDEX);
    let manifests = answer.json()["manifests"].clone();
    assert_eq!(manifests.as_array().unwrap().len(), 1);
    assert_eq!(manifests[0]["artifactType"], "application/vnd.example.signature");
    assert_eq!(manifests[0]["annotations"], json!({"by": "someone"}));

    let filtered = shelf.server.client.get(&format!("{path}?artifactType=application/other")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"], json!([]));
    for unknown in [
        format!("/v2/registry.k8s.io/pause/referrers/{}", Digest::sha256(b"?")),
        format!("/v2/no/referrers/{}", Digest::sha256(b"?")),
    ] {
        let answer = shelf.server.client.get(&unknown).await;
        assert_eq!((answer.status, answer.json()["manifests"].clone()), (StatusCode::OK, json!([])));
    }
    assert_eq!(shelf.server.client.get("/v2/registry.k8s.io/pause/referrers/x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_blob_is_had_only_where_a_manifest_of_the_release_leads_to_it() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    let digest = Digest::sha256(&shelf.large);
    let elsewhere = client.get(&format!("/v2/docker.io/library/postgres/blobs/{digest}")).await;
    assert_eq!((elsewhere.status, elsewhere.error().as_str()), (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"));
    let manifest =
        client.get(&format!("/v2/docker.io/library/postgres/manifests/{}", Shelf::digest(&shelf.pause))).await;
    assert_eq!((manifest.status, manifest.error().as_str()), (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"));

    // In the store, but selected no more.
    let mut content = Content::default();
    let other = content.image(&[layer(2)]);
    content.name("quay.io/other/image:1", &other);
    shelf.site.publish(content);
    shelf.site.reload().await.unwrap();
    assert!(shelf.site.store().has_blob(&digest).unwrap());
    assert_eq!(client.get(&shelf.large_path()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.get("/v2/quay.io/other/image/manifests/1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_damaged_in_the_store_is_left_out_and_the_rest_is_served() {
    let site = Site::new();
    let mut content = Content::default();
    let good = content.image(&[layer(1)]);
    content.name("quay.io/x/good:1", &good);
    let lost_layer = layer(2);
    let lost = content.image(std::slice::from_ref(&lost_layer));
    content.name("quay.io/x/lost:1", &lost);
    let bent = content.image(&[layer(3)]);
    content.name("quay.io/x/bent:1", &bent);
    site.publish(content);
    let store = site.store();
    std::fs::remove_file(store.blob_path(&Digest::sha256(&lost_layer))).unwrap();
    let bent_path = store.blob_path(&Shelf::digest(&bent).parse().unwrap());
    std::fs::remove_file(&bent_path).unwrap();
    std::fs::write(&bent_path, noise(100)).unwrap();

    let server = site.serve().await;
    let status = |path: &'static str| {
        let client = server.client.clone();
        async move { client.head(path).await.status }
    };
    assert_eq!(status("/v2/quay.io/x/good/manifests/1").await, StatusCode::OK);
    assert_eq!(status("/v2/quay.io/x/lost/manifests/1").await, StatusCode::NOT_FOUND);
    assert_eq!(status("/v2/quay.io/x/bent/manifests/1").await, StatusCode::NOT_FOUND);
    let health = server.client.get("/healthz").await.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["problems"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_blob_that_shrank_since_is_not_begun() {
    let shelf = Shelf::open().await;
    let path = shelf.site.store().blob_path(&Digest::sha256(&shelf.large));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &shelf.large[..1000]).unwrap();
    let answer = shelf.server.client.get(&shelf.large_path()).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"));
}

#[tokio::test]
async fn the_registry_is_read_only() {
    let shelf = Shelf::open().await;
    for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
        for path in ["/v2/", "/v2/a/blobs/uploads/", "/v2/registry.k8s.io/pause/manifests/3.10.2"] {
            let answer = shelf.server.client.send(method.clone(), path, &[]).await;
            assert_eq!((answer.status, answer.error().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"));
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn the_version_check_and_the_health_check_answer() {
    let site = Site::new();
    let server = site.serve().await;
    let version = server.client.get("/v2/").await;
    assert_eq!((version.status, version.json()), (StatusCode::OK, json!({})));
    assert_eq!(version.header("docker-distribution-api-version"), "registry/2.0");
    let health = server.client.get("/healthz").await;
    let health = health.json();
    assert_eq!((&health["status"], &health["release"], &health["fault"]), (&json!("ok"), &json!(null), &json!(null)));
    assert_eq!((&health["problems"], &health["revoked"]), (&json!([]), &json!([])));
    assert_eq!(server.client.get("/").await.status, StatusCode::NOT_FOUND);
}
