//! Pushed content against a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sealock_store::pushed::{PushError, Pushed};
use sealock_trust::{Algorithm, Digest};

use super::support::*;

const REPOSITORIES: [&str; 2] = ["a", "b/c"];
const CONTENTS: [&[u8]; 3] = [b"", b"one", b"two"];
const TAGS: [&str; 2] = ["1", "latest"];

#[derive(Clone, Debug)]
enum Step {
    Blob(usize, usize),
    Mount(usize, usize),
    Manifest(usize, usize, Vec<usize>),
    DeleteTag(usize, usize),
    DeleteManifest(usize, usize),
    DeleteBlob(usize, usize),
    Reopen,
    ReopenWithoutIndex,
}

fn step() -> impl Strategy<Value = Step> {
    let (repository, content, tag) = (0..REPOSITORIES.len(), 0..CONTENTS.len(), 0..TAGS.len());
    prop_oneof![
        4 => (repository.clone(), content.clone()).prop_map(|(r, c)| Step::Blob(r, c)),
        2 => (repository.clone(), content.clone()).prop_map(|(r, c)| Step::Mount(r, c)),
        4 => (repository.clone(), content.clone(), prop::collection::vec(tag.clone(), 0..3))
            .prop_map(|(r, c, t)| Step::Manifest(r, c, t)),
        2 => (repository.clone(), tag).prop_map(|(r, t)| Step::DeleteTag(r, t)),
        2 => (repository.clone(), content.clone()).prop_map(|(r, c)| Step::DeleteManifest(r, c)),
        2 => (repository, content).prop_map(|(r, c)| Step::DeleteBlob(r, c)),
        1 => Just(Step::Reopen),
        1 => Just(Step::ReopenWithoutIndex),
    ]
}

/// One repository: which of the contents it holds, of which it has the manifest, and what the tags stand for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Model {
    blobs: BTreeSet<usize>,
    manifests: BTreeSet<usize>,
    tags: BTreeMap<usize, usize>,
}

fn manifest(content: usize) -> Vec<u8> {
    manifest_of(&[CONTENTS[content]], None)
}

/// Does `step`, and returns whether it was let through.
fn push(pushed: &Pushed, step: &Step) -> bool {
    let who = |repository: usize| (REPOSITORIES[repository], WHO);
    match step {
        Step::Blob(r, c) => blob(pushed, REPOSITORIES[*r], CONTENTS[*c]).is_ok(),
        Step::Mount(r, c) => pushed.mount(who(*r), &Digest::sha256(CONTENTS[*c]), "elsewhere", moment()).is_ok(),
        Step::Manifest(r, c, tags) => {
            let tags: Vec<_> = tags.iter().map(|&tag| TAGS[tag]).collect();
            pushed.put_manifest(put(REPOSITORIES[*r], &manifest(*c), &tags), WHO, moment()).is_ok()
        }
        Step::DeleteTag(r, t) => pushed.delete_tag(who(*r), TAGS[*t], moment()).is_ok(),
        Step::DeleteManifest(r, c) => pushed.delete_manifest(who(*r), &Digest::sha256(&manifest(*c)), moment()).is_ok(),
        Step::DeleteBlob(r, c) => pushed.delete_blob(who(*r), &Digest::sha256(CONTENTS[*c]), moment()).is_ok(),
        Step::Reopen | Step::ReopenWithoutIndex => true,
    }
}

/// What the model says of `step`; `stored` is what was ever uploaded.
fn expect(models: &mut [Model], stored: &mut BTreeSet<usize>, step: &Step) -> bool {
    match step {
        Step::Blob(r, c) => {
            stored.insert(*c);
            models[*r].blobs.insert(*c);
            true
        }
        Step::Mount(r, c) => {
            let is_there = stored.contains(c);
            if is_there {
                models[*r].blobs.insert(*c);
            }
            is_there
        }
        Step::Manifest(r, c, tags) => {
            let model = &mut models[*r];
            let is_whole = model.blobs.contains(c);
            if is_whole {
                model.manifests.insert(*c);
                model.tags.extend(tags.iter().map(|tag| (*tag, *c)));
            }
            is_whole
        }
        Step::DeleteTag(r, t) => models[*r].tags.remove(t).is_some(),
        Step::DeleteManifest(r, c) => {
            models[*r].tags.retain(|_, stands_for| stands_for != c);
            models[*r].manifests.remove(c)
        }
        Step::DeleteBlob(r, c) => !models[*r].manifests.contains(c) && models[*r].blobs.remove(c),
        Step::Reopen | Step::ReopenWithoutIndex => true,
    }
}

fn seen(pushed: &Pushed, repository: usize) -> Model {
    let snapshot = pushed.snapshot();
    let Some(repository) = snapshot.repository(REPOSITORIES[repository]) else { return Model::default() };
    let contents = 0..CONTENTS.len();
    let manifests: BTreeSet<_> =
        contents.clone().filter(|&c| repository.manifest(&Digest::sha256(&manifest(c))).is_some()).collect();
    let content_of = |digest: &Digest| (0..CONTENTS.len()).find(|&c| Digest::sha256(&manifest(c)) == *digest).unwrap();
    Model {
        blobs: contents.filter(|&c| repository.blob(&Digest::sha256(CONTENTS[c])).is_some()).collect(),
        manifests,
        tags: (0..TAGS.len()).filter_map(|t| Some((t, content_of(&repository.tag(TAGS[t])?.digest)))).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_pushed_and_deleted_it_is_what_the_model_says(steps in prop::collection::vec(step(), 1..30)) {
        let world = World::new();
        let mut pushed = world.open();
        let (mut models, mut stored) = ([Model::default(), Model::default()], BTreeSet::new());
        for step in &steps {
            match step {
                Step::Reopen => {
                    drop(pushed);
                    pushed = world.open();
                }
                Step::ReopenWithoutIndex => {
                    drop(pushed);
                    world.store().forget_pushed_index().unwrap();
                    pushed = world.open();
                }
                _ => {}
            }
            prop_assert_eq!(push(&pushed, step), expect(&mut models, &mut stored, step), "{:?}", step);
            for (repository, model) in models.iter().enumerate() {
                prop_assert_eq!(&seen(&pushed, repository), model);
            }
        }
        check(&world.store(), &pushed.snapshot());
    }

    #[test]
    fn of_many_who_write_one_upload_one_wins_each_piece(
        content in prop::collection::vec(any::<u8>(), 1..5000),
        piece in 1..700_usize,
    ) {
        let world = World::new();
        let pushed = world.open();
        let id = pushed.begin("a", WHO, Algorithm::Sha256, moment()).unwrap().to_string();
        let digest = Digest::sha256(&content);
        let winners = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if write_and_finish(&pushed, &id, (&content, &digest), piece) {
                        winners.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        prop_assert_eq!(winners.load(Ordering::SeqCst), 1);
        prop_assert_eq!(std::fs::read(world.store().blob_path(&digest)).unwrap(), content);
        check(&world.store(), &pushed.snapshot());
    }
}

/// Writes piece after piece wherever the upload stands, against others who do the same; whether it was this one who finished.
fn write_and_finish(pushed: &Pushed, id: &str, (content, digest): (&[u8], &Digest), piece: usize) -> bool {
    loop {
        let offset = match pushed.acknowledged("a", WHO, id) {
            Ok(offset) => offset,
            Err(PushError::UnknownUpload { .. }) => return false,
            Err(error) => panic!("{error:?}"),
        };
        let mut append = match pushed.append("a", WHO, id, Some(offset)) {
            Ok(append) => append,
            Err(PushError::Busy | PushError::OutOfOrder { .. }) => continue,
            Err(PushError::UnknownUpload { .. }) => return false,
            Err(error) => panic!("{error:?}"),
        };
        let from = usize::try_from(offset).unwrap();
        if from == content.len() {
            pushed.finish(append, ("a", WHO), digest, moment()).unwrap();
            return true;
        }
        append.write(&content[from..content.len().min(from + piece)], moment()).unwrap();
        append.acknowledge(moment()).unwrap();
    }
}
