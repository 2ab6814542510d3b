//! Pushing beside a release: what it brought stays, and what is built on it outlives it.

use http::{Method, StatusCode};
use sealock_server::control::ControlError;
use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::client::Client;
use crate::push::{image, push_blob, put, world_of};
use crate::site::{Content, INDEX, MANIFEST, Running, Site};

/// A site that has a release beside what is pushed.
async fn with_release() -> (Site, Running, Client, Value, Vec<u8>) {
    let site = Site::with_pushes();
    let mut content = Content::default();
    let released = content.image(&[b"released".to_vec()]);
    content.name("team/app:1", &released);
    let layer = content.blobs[1].clone();
    site.publish(content);
    let (site, server, user) = world_of(site).await;
    (site, server, user, released, layer)
}

#[tokio::test]
async fn what_a_release_brought_cannot_be_pushed_over_or_deleted() {
    let (_site, _server, user, released, _) = with_release().await;
    let layer = push_blob(&user, "team/app", b"mine").await;
    let mine = image(&[&layer]);
    let answer = put(&user, "/v2/team/app/manifests/1", MANIFEST, mine.clone()).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::FORBIDDEN, "DENIED"));
    let digest = released["digest"].as_str().unwrap();
    for path in ["/v2/team/app/manifests/1".to_owned(), format!("/v2/team/app/manifests/{digest}")] {
        assert_eq!(user.send(Method::DELETE, &path, &[]).await.error(), "DENIED", "{path}");
    }
    assert_eq!(put(&user, "/v2/team/app/manifests/2", MANIFEST, mine).await.status, StatusCode::CREATED);
    assert_eq!(user.get("/v2/team/app/tags/list").await.json()["tags"], json!(["1", "2"]));
    assert_eq!(user.get("/v2/team/app/tags/list?n=1&last=1").await.json()["tags"], json!(["2"]));
    assert_eq!(user.head("/v2/team/app/manifests/1").await.header("docker-content-digest"), digest);
}

#[tokio::test]
async fn a_signature_of_a_release_is_listed_with_it() {
    let (_site, _server, user, released, _) = with_release().await;
    let signature = push_blob(&user, "team/app", b"signature").await;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": signature, "layers": [signature], "subject": released});
    let manifest = manifest.to_string();
    let path = format!("/v2/team/app/manifests/{}", Digest::sha256(manifest.as_bytes()));
    assert_eq!(put(&user, &path, MANIFEST, manifest).await.status, StatusCode::CREATED);
    let list = user.get(&format!("/v2/team/app/referrers/{}", released["digest"].as_str().unwrap())).await.json();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_built_on_a_release_stays_when_the_release_goes() -> Result<(), ControlError> {
    let (site, _server, user, released, layer) = with_release().await;
    // A pusher sees that the layer is there, does not send it, and refers to it; and an index refers to the whole image.
    let digest = Digest::sha256(&layer);
    assert_eq!(user.head(&format!("/v2/team/app/blobs/{digest}")).await.status, StatusCode::OK);
    let on_top = push_blob(&user, "team/app", b"on top").await;
    let below = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest.to_string(), "size": layer.len()});
    assert_eq!(
        put(&user, "/v2/team/app/manifests/mine", MANIFEST, image(&[&on_top, &below])).await.status,
        StatusCode::CREATED
    );
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [released]}).to_string();
    assert_eq!(put(&user, "/v2/team/app/manifests/all", INDEX, index).await.status, StatusCode::CREATED);
    // And a mount takes it into another repository.
    let mounted = user.send(Method::POST, &format!("/v2/other/blobs/uploads/?mount={digest}&from=team/app"), &[]).await;
    assert_eq!(mounted.status, StatusCode::CREATED);

    let mut next = Content::default();
    let other = next.image(&[b"something else".to_vec()]);
    next.name("other/app:1", &other);
    site.publish(next);
    site.reload().await?;
    assert_eq!(user.head("/v2/team/app/manifests/1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(user.get(&format!("/v2/team/app/blobs/{digest}")).await.body, layer);
    let child = format!("/v2/team/app/manifests/{}", released["digest"].as_str().unwrap());
    assert_eq!(user.head(&child).await.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn the_catalog_comes_in_pages() {
    let (_site, _server, user, _, _) = with_release().await;
    for name in ["a", "b/c", "team/app", "z"] {
        push_blob(&user, name, b"x").await;
    }
    let first = user.get("/v2/_catalog?n=2").await;
    assert_eq!(first.json(), json!({"repositories": ["a", "b/c"]}));
    assert_eq!(first.header("link"), "</v2/_catalog?n=2&last=b/c>; rel=\"next\"");
    assert_eq!(user.get("/v2/_catalog?n=2&last=b/c").await.json(), json!({"repositories": ["team/app", "z"]}));
    assert_eq!(user.get("/v2/_catalog?n=x").await.error(), "PAGINATION_NUMBER_INVALID");
}
