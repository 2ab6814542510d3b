//! Pushing, as clients do it and as they should not: the traps of the conformance suite, and those that it does not know.

use bytes::Bytes;
use http::{Method, StatusCode};
use sealock_trust::{Algorithm, Digest};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::client::{Answer, Client};
use crate::site::{INDEX, MANIFEST, Running, Site, USER, noise};

/// A site where one user may push, its server, and that user.
pub(crate) async fn world() -> (Site, Running, Client) {
    world_of(Site::with_pushes()).await
}

pub(crate) async fn world_of(site: Site) -> (Site, Running, Client) {
    let server = site.serve().await;
    let user = server.client.logged_in(USER.0, USER.1);
    (site, server, user)
}

pub(crate) async fn push_blob(user: &Client, repository: &str, content: &[u8]) -> Value {
    let digest = Digest::sha256(content);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let answer = user.carry(Method::POST, &path, &[], content.to_vec()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.header("location"), format!("/v2/{repository}/blobs/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest.to_string(), "size": content.len()})
}

pub(crate) async fn put(user: &Client, path: &str, media_type: &str, body: impl Into<Bytes>) -> Answer {
    user.carry(Method::PUT, path, &[("content-type", media_type)], body).await
}

pub(crate) fn image(layers: &[&Value]) -> Vec<u8> {
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": layers[0], "layers": layers});
    // Spaces that a re-serialisation would lose.
    serde_json::to_vec_pretty(&manifest).unwrap()
}

async fn begin(user: &Client, repository: &str) -> String {
    let answer = user.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), &[]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    answer.header("location").to_owned()
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled_and_survives_a_restart() {
    let (site, mut server, user) = world().await;
    let layer = push_blob(&user, "team/app", &noise(100_000)).await;
    let manifest = image(&[&layer]);
    let answer = put(&user, "/v2/team/app/manifests/1", MANIFEST, manifest.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    server.ask_to_stop();
    server.stopped().await;

    let server = site.serve().await;
    let user = server.client.logged_in(USER.0, USER.1);
    let answer = user.get("/v2/team/app/manifests/1").await;
    assert_eq!((answer.status, answer.body.as_ref()), (StatusCode::OK, manifest.as_slice()));
    assert_eq!(answer.header("content-type"), MANIFEST);
    let digest = layer["digest"].as_str().unwrap();
    assert_eq!(user.get(&format!("/v2/team/app/blobs/{digest}")).await.body, noise(100_000));
    assert_eq!(user.get("/v2/team/app/tags/list").await.json()["tags"], json!(["1"]));
    assert_eq!(user.get("/v2/_catalog").await.json(), json!({"repositories": ["team/app"]}));
}

#[tokio::test]
async fn who_does_not_log_in_is_asked_to_and_gets_nothing() {
    let (_site, server, user) = world().await;
    let layer = push_blob(&user, "team/app", b"layer").await;
    let blob = format!("/v2/team/app/blobs/{}", layer["digest"].as_str().unwrap());
    for stranger in
        [server.client.clone(), server.client.logged_in(USER.0, "wrong"), server.client.logged_in("x", USER.1)]
    {
        for path in ["/v2/", "/v2/_catalog", blob.as_str(), "/v2/team/app/tags/list"] {
            let answer = stranger.get(path).await;
            assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"), "{path}");
            assert!(answer.header("www-authenticate").starts_with("Basic realm="));
        }
        let answer = stranger.send(Method::POST, "/v2/team/app/blobs/uploads/", &[]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn without_access_rules_nobody_pushes() {
    let mut site = Site::new();
    site.pushed = Some(sealock_store::pushed::Settings::default());
    let server = site.serve().await;
    for (method, path) in [
        (Method::POST, "/v2/a/blobs/uploads/"),
        (Method::PUT, "/v2/a/manifests/1"),
        (Method::DELETE, "/v2/a/manifests/1"),
    ] {
        let answer = server.client.send(method, path, &[]).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"));
    }
}

#[tokio::test]
async fn repositories_of_upstreams_take_no_pushes() {
    let (_site, _server, user) = world().await;
    for name in ["docker.io/library/x", "localhost__5000/x"] {
        let answer = user.send(Method::POST, &format!("/v2/{name}/blobs/uploads/"), &[]).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::FORBIDDEN, "DENIED"), "{name}");
    }
    let answer = user.send(Method::POST, "/v2/library/x/blobs/uploads/?ns=docker.io", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_manifest_of_nearly_four_megabytes_is_kept_and_a_longer_one_refused() {
    let (_site, _server, user) = world().await;
    let layer = push_blob(&user, "a", b"layer").await;
    let annotations = |bytes: usize| {
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": layer, "layers": [], "annotations": {"x": "A".repeat(bytes)}}).to_string()
    };
    let long = annotations(3_900_000);
    assert_eq!(put(&user, "/v2/a/manifests/long", MANIFEST, long.clone()).await.status, StatusCode::CREATED);
    assert_eq!(user.get("/v2/a/manifests/long").await.body, long);
    let answer = put(&user, "/v2/a/manifests/longer", MANIFEST, annotations(4_300_000)).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"));
}

#[tokio::test]
async fn a_blob_of_no_bytes_and_an_index_of_nothing_are_content_too() {
    let (_site, _server, user) = world().await;
    let empty = push_blob(&user, "a", b"").await;
    let digest = empty["digest"].as_str().unwrap();
    let answer = user.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!((answer.status, answer.header("content-length")), (StatusCode::OK, "0"));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    assert_eq!(put(&user, "/v2/a/manifests/empty", INDEX, index.clone()).await.status, StatusCode::CREATED);
    assert_eq!(user.get("/v2/a/manifests/empty").await.body, index);
    assert_eq!(put(&user, "/v2/a/manifests/layers", MANIFEST, image(&[&empty])).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn layers_that_stand_elsewhere_may_be_absent_and_others_may_not() {
    let (_site, _server, user) = world().await;
    let config = push_blob(&user, "a", b"{}").await;
    let absent = |media_type: &str| {
        let layer = json!({"mediaType": media_type, "digest": Digest::sha256(b"nowhere").to_string(), "size": 7});
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).to_string()
    };
    let elsewhere = absent("application/vnd.oci.image.layer.nondistributable.v1.tar");
    assert_eq!(put(&user, "/v2/a/manifests/1", MANIFEST, elsewhere).await.status, StatusCode::CREATED);
    let answer = put(&user, "/v2/a/manifests/2", MANIFEST, absent("application/vnd.oci.image.layer.v1.tar")).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"));
    assert_eq!(user.get("/v2/a/manifests/2").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn fields_that_nobody_knows_are_kept_to_the_byte() {
    let (_site, _server, user) = world().await;
    let layer = push_blob(&user, "a", b"layer").await;
    let text = String::from_utf8(image(&[&layer])).unwrap();
    let odd = text.replacen('{', "{ \"org.example\" : { \"b\":1 ,\t\"a\":1e2, \"u\":\"\\u00e9\" },", 1);
    assert_eq!(put(&user, "/v2/a/manifests/1", MANIFEST, odd.clone()).await.status, StatusCode::CREATED);
    assert_eq!(user.get("/v2/a/manifests/1").await.body, odd);
}

#[tokio::test]
async fn what_refers_to_an_unknown_subject_is_listed() {
    let (_site, _server, user) = world().await;
    let subject = Digest::sha256(b"unknown");
    let nothing = user.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!((nothing.status, nothing.json()["manifests"].clone()), (StatusCode::OK, json!([])));
    assert_eq!(nothing.header("content-type"), INDEX);

    let layer = push_blob(&user, "a", b"signature").await;
    let referrer = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.signature", "config": layer,
        "layers": [layer], "annotations": {"org.example": "1"}, "subject": {"mediaType": MANIFEST, "digest": subject.to_string(), "size": 7}});
    let referrer = referrer.to_string();
    let digest = Digest::sha256(referrer.as_bytes());
    let answer = put(&user, &format!("/v2/a/manifests/{digest}"), MANIFEST, referrer.clone()).await;
    assert_eq!((answer.status, answer.header("oci-subject")), (StatusCode::CREATED, subject.to_string().as_str()));
    let list = user.get(&format!("/v2/a/referrers/{subject}")).await.json();
    let expected = json!([{"mediaType": MANIFEST, "digest": digest.to_string(), "size": referrer.len(),
        "artifactType": "application/x.signature", "annotations": {"org.example": "1"}}]);
    assert_eq!(list["manifests"], expected);
    let other = user.get(&format!("/v2/a/referrers/{subject}?artifactType=application/other")).await;
    assert_eq!((other.header("oci-filters-applied"), &other.json()["manifests"]), ("artifactType", &json!([])));
    assert_eq!(user.send(Method::DELETE, &format!("/v2/a/manifests/{digest}"), &[]).await.status, StatusCode::ACCEPTED);
    assert_eq!(user.get(&format!("/v2/a/referrers/{subject}")).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_not_satisfiable() {
    let (_site, _server, user) = world().await;
    let layer = push_blob(&user, "a", &noise(2048)).await;
    let path = format!("/v2/a/blobs/{}", layer["digest"].as_str().unwrap());
    assert_eq!(user.range(&path, "bytes=500-0").await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let part = user.range(&path, "bytes=2000-5000").await;
    assert_eq!((part.status, part.body.as_ref()), (StatusCode::PARTIAL_CONTENT, &noise(2048)[2000..]));
}

#[tokio::test]
async fn digests_and_tags_of_a_bad_form_are_errors_of_the_client() {
    let (_site, _server, user) = world().await;
    let location = begin(&user, "a").await;
    for (method, path) in [
        (Method::POST, "/v2/a/blobs/uploads/?digest=sha256:bad".to_owned()),
        (Method::POST, "/v2/a/blobs/uploads/?mount=sha256:bad".to_owned()),
        (Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=md5".to_owned()),
        (Method::PUT, location.clone()),
        (Method::PUT, format!("{location}?digest=md5:{}", "0".repeat(32))),
        (Method::PUT, "/v2/a/manifests/sha256:baddigeststring".to_owned()),
        (Method::DELETE, "/v2/a/manifests/sha256:bad".to_owned()),
        (Method::DELETE, "/v2/a/blobs/latest".to_owned()),
    ] {
        let answer = user.carry(method.clone(), &path, &[], "content").await;
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            "{method} {path}"
        );
    }
    for path in
        ["/v2/a/manifests/-bad".to_owned(), format!("/v2/a/manifests/{}?tag=ok&tag=-bad", Digest::sha256(b"{}"))]
    {
        let answer = put(&user, &path, MANIFEST, "{}").await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "NAME_INVALID"), "{path}");
    }
    for id in ["x", "../../../lock", &"0".repeat(32)] {
        let answer = user.get(&format!("/v2/a/blobs/uploads/{}", id.replace('/', "%2f"))).await;
        assert!(answer.status.is_client_error(), "{id}: {}", answer.status);
    }
}

#[tokio::test]
async fn chunks_out_of_order_are_told_where_it_goes_on() {
    let (_site, _server, user) = world().await;
    let content = noise(3000);
    let digest = Digest::sha256(&content);
    let location = begin(&user, "a").await;
    let chunk = |method: Method, from: usize, to: usize| {
        let path = if method == Method::PUT { format!("{location}?digest={digest}") } else { location.clone() };
        let (range, piece, user) = (format!("{from}-{}", to - 1), content[from..to].to_vec(), user.clone());
        async move { user.carry(method, &path, &[("content-range", &range)], piece).await }
    };
    let told = |answer: &Answer, range: &str| {
        assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{answer:?}");
        assert_eq!((answer.header("range"), answer.header("location")), (range, location.as_str()));
    };
    told(&chunk(Method::PATCH, 1000, 2000).await, "0-0");
    let answer = chunk(Method::PATCH, 0, 1000).await;
    assert_eq!((answer.status, answer.header("range")), (StatusCode::ACCEPTED, "0-999"));
    told(&chunk(Method::PATCH, 0, 1000).await, "0-999");
    told(&chunk(Method::PATCH, 2000, 3000).await, "0-999");
    told(&chunk(Method::PUT, 2000, 3000).await, "0-999");
    let status = user.get(&location).await;
    assert_eq!((status.status, status.header("range")), (StatusCode::NO_CONTENT, "0-999"));
    assert_eq!(chunk(Method::PATCH, 1000, 2000).await.status, StatusCode::ACCEPTED);
    assert_eq!(chunk(Method::PUT, 2000, 3000).await.status, StatusCode::CREATED);
    assert_eq!(user.get(&format!("/v2/a/blobs/{digest}")).await.body, content);
    assert_eq!(chunk(Method::PUT, 2000, 3000).await.error(), "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_chunk_whose_range_does_not_fit_its_length_is_refused() {
    let (_site, _server, user) = world().await;
    let location = begin(&user, "a").await;
    for range in ["0-99", "5-1", "x", "0-18446744073709551615"] {
        let answer = user.carry(Method::PATCH, &location, &[("content-range", range)], "12345").await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "SIZE_INVALID"), "{range}");
    }
}

#[tokio::test]
async fn a_mount_needs_no_source_and_falls_back_to_an_upload() {
    let (_site, _server, user) = world().await;
    let layer = push_blob(&user, "a", b"layer").await;
    let digest = layer["digest"].as_str().unwrap();
    for (target, query) in [("b", "&from=a"), ("c", "")] {
        let answer = user.send(Method::POST, &format!("/v2/{target}/blobs/uploads/?mount={digest}{query}"), &[]).await;
        assert_eq!((answer.status, answer.header("docker-content-digest")), (StatusCode::CREATED, digest));
        assert_eq!(user.get(answer.header("location")).await.body, "layer");
    }
    let absent = Digest::sha256(b"absent");
    for query in [format!("mount={absent}"), format!("mount={absent}&from=a"), format!("mount={digest}&from=nowhere")] {
        let answer = user.send(Method::POST, &format!("/v2/d/blobs/uploads/?{query}"), &[]).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{query}");
        assert!(answer.header("location").starts_with("/v2/d/blobs/uploads/"));
    }
}

#[tokio::test]
async fn deletes_are_seen_at_once_and_nothing_goes_from_under_a_manifest() {
    let (_site, _server, user) = world().await;
    let layer = push_blob(&user, "a", b"layer").await;
    let (manifest, blob) = (image(&[&layer]), format!("/v2/a/blobs/{}", layer["digest"].as_str().unwrap()));
    let by_digest = format!("/v2/a/manifests/{}", Digest::sha256(&manifest));
    put(&user, &format!("{by_digest}?tag=1&tag=2&tag=3"), MANIFEST, manifest).await;
    let delete = async |path: &str| user.send(Method::DELETE, path, &[]).await.status;
    assert_eq!(delete(&blob).await, StatusCode::CONFLICT);
    assert_eq!(delete("/v2/a/manifests/1").await, StatusCode::ACCEPTED);
    assert_eq!(user.head("/v2/a/manifests/1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete("/v2/a/manifests/1").await, StatusCode::NOT_FOUND);
    assert_eq!(user.head("/v2/a/manifests/2").await.status, StatusCode::OK);
    assert_eq!(delete(&by_digest).await, StatusCode::ACCEPTED);
    for gone in ["/v2/a/manifests/2", "/v2/a/manifests/3", &by_digest] {
        assert_eq!(user.head(gone).await.status, StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(delete(&blob).await, StatusCode::ACCEPTED);
    assert_eq!(user.head(&blob).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&blob).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_wrong_digest_in_any_form_of_upload_leaves_nothing() {
    let (site, _server, user) = world().await;
    let (content, wrong) = (noise(5000), Digest::sha256(b"something else"));
    let wrong_512 = Digest::of(Algorithm::Sha512, b"something else");
    for digest in [wrong, wrong_512] {
        let mut answers = Vec::new();
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        answers.push(user.carry(Method::POST, &path, &[], content.clone()).await);
        let whole = begin(&user, "a").await;
        answers.push(user.carry(Method::PUT, &format!("{whole}?digest={digest}"), &[], content.clone()).await);
        let streamed = begin(&user, "a").await;
        user.carry(Method::PATCH, &streamed, &[], content.clone()).await;
        answers.push(user.send(Method::PUT, &format!("{streamed}?digest={digest}"), &[]).await);
        let chunked = begin(&user, "a").await;
        user.carry(Method::PATCH, &chunked, &[("content-range", "0-2499")], content[..2500].to_vec()).await;
        let range = [("content-range", "2500-4999")];
        answers.push(
            user.carry(Method::PUT, &format!("{chunked}?digest={digest}"), &range, content[2500..].to_vec()).await,
        );
        answers.push(put(&user, &format!("/v2/a/manifests/{digest}?tag=1"), MANIFEST, "{}").await);
        for answer in answers {
            assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "DIGEST_INVALID"));
        }
        for location in [whole, streamed, chunked] {
            assert_eq!(user.get(&location).await.status, StatusCode::NOT_FOUND);
        }
        assert_eq!(user.head(&format!("/v2/a/blobs/{digest}")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(user.get("/v2/a/tags/list").await.status, StatusCode::NOT_FOUND);
    assert_eq!(user.get("/v2/_catalog").await.json(), json!({"repositories": []}));
    for algorithm in ["sha256", "sha512"] {
        assert_eq!(std::fs::read_dir(site.path("store/blobs").join(algorithm)).unwrap().count(), 0);
    }
    assert_eq!(std::fs::read_dir(site.path("store/uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn sha512_is_as_good_a_name() {
    let (_site, _server, user) = world().await;
    let digest = Digest::of(Algorithm::Sha512, b"layer");
    let answer = user.send(Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=sha512", &[]).await;
    let location = answer.header("location").to_owned();
    let answer = user.carry(Method::PUT, &format!("{location}?digest={digest}"), &[], "layer").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let layer = json!({"mediaType": "application/x", "digest": digest.to_string(), "size": 5});
    let manifest = image(&[&layer]);
    let name = Digest::of(Algorithm::Sha512, &manifest);
    let answer = put(&user, &format!("/v2/a/manifests/{name}?tag=1"), MANIFEST, manifest.clone()).await;
    assert_eq!((answer.status, answer.header("oci-tag")), (StatusCode::CREATED, "1"));
    let answer = user.get("/v2/a/manifests/1").await;
    assert_eq!(
        (answer.header("docker-content-digest"), answer.body.as_ref()),
        (name.to_string().as_str(), manifest.as_slice())
    );
}

#[tokio::test]
async fn a_manifest_is_called_what_it_calls_itself() {
    let (_site, _server, user) = world().await;
    let layer = push_blob(&user, "a", b"layer").await;
    let manifest = image(&[&layer]);
    for (media_type, body) in [
        (INDEX, manifest.clone()),
        ("nonsense", b"{\"schemaVersion\":2}".to_vec()),
        (MANIFEST, b"not JSON".to_vec()),
        (MANIFEST, b"{}".to_vec()),
        (MANIFEST, b"{\"config\":{}}".to_vec()),
        (MANIFEST, [b"{\"x\":".repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat()),
    ] {
        let answer = put(&user, "/v2/a/manifests/1", media_type, body).await;
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            "{media_type}"
        );
    }
    let answer = user.carry(Method::PUT, "/v2/a/manifests/1", &[], manifest).await;
    assert_eq!(answer.status, StatusCode::CREATED, "without a header its own word counts");
    assert_eq!(user.get("/v2/a/manifests/1").await.header("content-type"), MANIFEST);
}

#[tokio::test]
async fn an_upload_that_was_cut_off_goes_on_where_it_stands() {
    let (_site, server, user) = world().await;
    let content = noise(600_000);
    let digest = Digest::sha256(&content);
    let location = begin(&user, "a").await;
    let mut stream = server.client.connect().await.unwrap();
    let secret = user.authorization();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nhost: x\r\nauthorization: {secret}\r\ncontent-length: {}\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..400_000]).await.unwrap();
    // The server reads all that was sent, and then nothing more.
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;

    // Until the server has seen that nothing more comes, the upload is its.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let offset = loop {
        let range = user.get(&location).await.header("range").to_owned();
        let last: usize = range.strip_prefix("0-").unwrap().parse().unwrap();
        if last > 0 {
            break last + 1;
        }
        assert!(std::time::Instant::now() < deadline, "what came was not kept");
        tokio::task::yield_now().await;
    };
    let rest = content[offset..].to_vec();
    let range = format!("{offset}-{}", content.len() - 1);
    let path = format!("{location}?digest={digest}");
    let answer = loop {
        let answer = user.carry(Method::PUT, &path, &[("content-range", &range)], rest.clone()).await;
        if answer.status != StatusCode::CONFLICT {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "the upload is not given back");
    };
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(user.get(&format!("/v2/a/blobs/{digest}")).await.body, content);
}

#[tokio::test]
async fn who_sends_too_slowly_is_sent_away_and_may_come_again() {
    let mut site = Site::with_pushes();
    site.limits.stalled = std::time::Duration::from_millis(300);
    let (_site, server, user) = world_of(site).await;
    let location = begin(&user, "a").await;
    let mut stream = server.client.connect().await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: 10\r\n\r\n12345",
        user.authorization()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut answer);
    let length = tokio::time::timeout(std::time::Duration::from_secs(20), read).await.unwrap().unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..length]));
    assert_eq!(user.get(&location).await.status, StatusCode::NO_CONTENT);
    assert_eq!(user.send(Method::DELETE, &location, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(user.get(&location).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused() {
    let (site, _server, _user) = world().await;
    let mut config = site.config();
    config.control_socket = None;
    let error = sealock_server::Server::bind(config).await.unwrap_err();
    assert!(error.is_environment() && error.to_string().contains("is served by another process"), "{error}");
}
