//! What is pushed, and what is deleted again.

use std::fs::OpenOptions;
use std::io::Write;

use sealock_store::pushed::{PushError, Pushed};
use sealock_trust::{Algorithm, Digest};

use super::{Outcome, PLAIN, Work};
use crate::faults::place::{Place, WHO};
use crate::faults::told::{Client, NOTHING};
use crate::pushed::support::{self, begun, manifest_of, moment, put};

pub(super) const WORKS: &[Work] = &[
    Work { name: "start", prepare: store, run: start, ..PLAIN },
    Work { name: "resume after a cut", prepare: cut, run: go_on, ..PLAIN },
    Work { name: "start on a full disk", prepare: filled, run: start, full: Some(("write", 0)), ..PLAIN },
    Work {
        name: "push in one piece",
        prepare: store,
        run: |place, client| with(place, |pushed| in_one_piece(pushed, "a", client)),
        ..PLAIN
    },
    Work {
        name: "push what is there",
        prepare: filled,
        run: |place, client| with(place, |pushed| in_one_piece(pushed, "b", client)),
        ..PLAIN
    },
    Work { name: "push in chunks", prepare: filled, run: in_chunks, ..PLAIN },
    Work { name: "cancel an upload", prepare: filled, run: cancel, ..PLAIN },
    Work {
        name: "push onto a full disk",
        prepare: filled,
        run: in_chunks,
        full: Some(("write pushed log", 1)),
        ..PLAIN
    },
    Work {
        name: "push a manifest",
        prepare: filled,
        run: |place, client| with(place, |pushed| image(pushed, client)),
        ..PLAIN
    },
    Work { name: "mount", prepare: filled, run: mount, ..PLAIN },
    Work { name: "rebuild the index", prepare: without_index, run: rebuild, ..PLAIN },
    Work { name: "delete", prepare: with_image, run: delete, ..PLAIN },
];

/// Two pages and a bit, so that a page can be lost.
fn layer() -> Vec<u8> {
    b"a layer of an image".repeat(500)
}

fn other() -> Vec<u8> {
    b"another layer, that comes in two chunks".repeat(500)
}

fn manifest() -> Vec<u8> {
    manifest_of(&[&layer()], None)
}

fn store(place: &Place, _: &mut Client<'_>) {
    sealock_store::Store::init(&place.site.store).unwrap();
}

fn filled(place: &Place, client: &mut Client<'_>) {
    store(place, client);
    in_one_piece(&place.open().unwrap(), "a", client).unwrap();
}

fn with_image(place: &Place, client: &mut Client<'_>) {
    filled(place, client);
    image(&place.open().unwrap(), client).unwrap();
}

/// As a power loss leaves it: half a line in the log, bytes that nobody acknowledged, and no index.
fn cut(place: &Place, client: &mut Client<'_>) {
    filled(place, client);
    let pushed = place.open().unwrap();
    let id = half(&pushed, client).unwrap();
    drop(pushed);
    let append = |path: &str, bytes: &[u8]| {
        let path = place.site.store.join(path);
        OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    };
    append("pushed/log/00000000000000000001.log", b"{\"at\":\"2026-09-21T14:13:20Z\",\"digest\":\"sha256:");
    append(&format!("uploads/{id}/data"), b"not acknowledged");
    std::fs::remove_file(place.site.store.join("pushed/index.redb")).unwrap();
}

fn start(place: &Place, _: &mut Client<'_>) -> Outcome {
    place.open().map(drop)
}

/// Opens what was pushed, and does `work` to it. Whatever comes of that, requests see nothing torn from then on.
fn with<T>(place: &Place, work: impl FnOnce(&Pushed) -> Result<T, PushError>) -> Result<T, PushError> {
    let pushed = place.open()?;
    let done = work(&pushed);
    support::check_whole(&place.store(), &pushed.snapshot());
    done
}

/// Goes on with the upload that is there, or begins anew.
fn go_on(place: &Place, client: &mut Client<'_>) -> Outcome {
    let pushed = place.open()?;
    let folder = std::fs::read_dir(place.site.store.join("uploads")).unwrap();
    let mut uploads: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let id = match uploads.pop() {
        Some(id) => id,
        None => half(&pushed, client)?,
    };
    rest(&pushed, &id, client)
}

fn in_chunks(place: &Place, client: &mut Client<'_>) -> Outcome {
    with(place, |pushed| {
        let id = half(pushed, client)?;
        rest(pushed, &id, client)
    })
}

/// The first chunk, acknowledged.
fn half(pushed: &Pushed, client: &mut Client<'_>) -> Result<String, PushError> {
    let other = other();
    let half = other.len() / 2;
    let id = pushed.begin("a", WHO, Algorithm::Sha256, moment())?.to_string();
    client.knows(&format!("upload a {id}"), &0);
    let mut append = pushed.append("a", WHO, &id, Some(0))?;
    client.changes(&format!("upload a {id}"));
    append.write(&other[..half], moment())?;
    append.acknowledge(moment())?;
    client.knows(&format!("upload a {id}"), &half);
    Ok(id)
}

/// The rest of it, wherever it stands.
fn rest(pushed: &Pushed, id: &str, client: &mut Client<'_>) -> Outcome {
    let (other, upload) = (other(), format!("upload a {id}"));
    let digest = Digest::sha256(&other);
    let offset = pushed.acknowledged("a", WHO, id)?;
    let mut append = pushed.append("a", WHO, id, Some(offset))?;
    // Once it is finished, it may be back after a power cut, until it is given up: nobody relies on its not being there.
    client.changes(&upload);
    append.write(&other[usize::try_from(offset).unwrap()..], moment())?;
    pushed.finish(append, ("a", WHO), &digest, moment())?;
    client.knows(&format!("blob a {digest}"), &other.len());
    client.knows(&format!("stored {digest}"), "yes");
    Ok(())
}

fn in_one_piece(pushed: &Pushed, repository: &str, client: &mut Client<'_>) -> Outcome {
    let layer = layer();
    let digest = support::blob(pushed, repository, &layer)?;
    client.knows(&format!("blob {repository} {digest}"), &layer.len());
    client.knows(&format!("stored {digest}"), "yes");
    Ok(())
}

fn cancel(place: &Place, client: &mut Client<'_>) -> Outcome {
    let pushed = place.open()?;
    let append = begun(&pushed, "a")?;
    let id = append.id().to_string();
    drop(append);
    // As for one that is finished.
    client.changes(&format!("upload a {id}"));
    pushed.cancel("a", WHO, &id)
}

fn image(pushed: &Pushed, client: &mut Client<'_>) -> Outcome {
    let (manifest, tags) = (manifest(), ["1", "latest"]);
    tags.iter().for_each(|tag| client.changes(&format!("tag a {tag}")));
    let record = pushed.put_manifest(put("a", &manifest, &tags), WHO, moment())?;
    let digest = Digest::sha256(&manifest);
    client.knows(&format!("manifest a {digest}"), &digest);
    tags.iter().for_each(|tag| client.knows(&format!("tag a {tag}"), &format!("{digest} by record {}", record.number)));
    Ok(())
}

fn without_index(place: &Place, client: &mut Client<'_>) {
    with_image(place, client);
    std::fs::write(place.site.store.join("pushed/index.redb"), b"damaged").unwrap();
}

fn rebuild(place: &Place, _: &mut Client<'_>) -> Outcome {
    place.store().rebuild_pushed_index(false).map(drop)
}

fn mount(place: &Place, client: &mut Client<'_>) -> Outcome {
    let digest = Digest::sha256(&layer());
    let size = with(place, |pushed| pushed.mount(("b", WHO), &digest, "a", moment()))?;
    client.knows(&format!("blob b {digest}"), &size);
    Ok(())
}

fn delete(place: &Place, client: &mut Client<'_>) -> Outcome {
    let pushed = place.open()?;
    let (manifest, layer) = (Digest::sha256(&manifest()), Digest::sha256(&layer()));
    let who = ("a", WHO);
    client.changes("tag a latest");
    unless_gone(pushed.delete_tag(who, "latest", moment()))?;
    client.knows("tag a latest", NOTHING);
    client.changes("tag a 1");
    client.changes(&format!("manifest a {manifest}"));
    unless_gone(pushed.delete_manifest(who, &manifest, moment()))?;
    client.knows("tag a 1", NOTHING);
    client.knows(&format!("manifest a {manifest}"), NOTHING);
    client.changes(&format!("blob a {layer}"));
    unless_gone(pushed.delete_blob(who, &layer, moment()))?;
    client.knows(&format!("blob a {layer}"), NOTHING);
    Ok(())
}

/// A delete that was cut off may have been done.
fn unless_gone<T>(result: Result<T, PushError>) -> Outcome {
    match result {
        Ok(_) => Ok(()),
        Err(PushError::UnknownTag { .. } | PushError::UnknownManifest { .. } | PushError::UnknownBlob { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
