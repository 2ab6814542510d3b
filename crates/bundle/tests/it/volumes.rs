//! Bundles in volumes: cut, lost, mixed up, rebuilt, and imported without being joined.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealock_bundle::Archive;
use sealock_bundle::import::{ImportError, ImportOutcome, Terms, import_archive};
use sealock_bundle::volumes::{
    Needs, Sending, Sent, Target, Verdict, VolumeError, VolumeSet, VolumeSize, repair, scan, send,
};

use crate::support::{Cargo, Publisher, Site, noise, now};

/// Some 14 MiB: small blobs and large ones.
pub(crate) fn cargo(sequence: u64) -> Cargo {
    let files = [
        ("small", noise(sequence, 1000)),
        ("large", noise(sequence + 10, (7 << 20) + 17)),
        ("other", noise(sequence + 20, (5 << 20) - 3)),
    ];
    Cargo::of_files("base", sequence, &files)
}

pub(crate) fn send_to(
    bundle: &Path,
    publisher: &Publisher,
    folders: &[PathBuf],
    (size, parity): (&str, &str),
) -> Result<Sent, VolumeError> {
    let size: VolumeSize = size.parse().unwrap();
    let sending = Sending { folders, size: Some(size), parity: parity.parse().unwrap() };
    send(Archive::open(bundle)?, &publisher.against(), &sending, &mut |_| {})
}

/// A bundle and its volumes, in folders of their own.
pub(crate) struct Media {
    folder: tempfile::TempDir,
    publisher: Publisher,
    bundle: PathBuf,
    pub(crate) sent: Sent,
}

impl Media {
    pub(crate) fn new(size: &str, parity: &str) -> Self {
        let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
        let bundle = cargo(1).build(folder.path(), &publisher);
        let media = folder.path().join("media");
        fs::create_dir(&media).unwrap();
        let sent = send_to(&bundle, &publisher, &[media], (size, parity)).unwrap();
        Self { folder, publisher, bundle, sent }
    }

    /// A site that believes the publisher.
    pub(crate) fn site(&self) -> Site {
        Site::new(&self.publisher)
    }

    fn media(&self) -> PathBuf {
        self.folder.path().join("media")
    }

    pub(crate) fn find(&self) -> Result<VolumeSet, VolumeError> {
        VolumeSet::find(&[self.media()])
    }

    pub(crate) fn repair(&self, to: &str) -> Result<PathBuf, VolumeError> {
        let to = self.folder.path().join(to);
        repair(&self.find()?, Target::File(&to), &mut |_| {}).map(|_| to)
    }

    fn needs(&self) -> Needs {
        match self.repair("joined").unwrap_err() {
            VolumeError::BeyondRepair(needs) => needs,
            other => panic!("{other}"),
        }
    }

    /// The joined bundle is there, and nothing else.
    pub(crate) fn assert_repaired(&self, to: &str) {
        let to = self.repair(to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), fs::read(&self.bundle).unwrap());
        fs::remove_file(to).unwrap();
    }

    pub(crate) fn volume(&self, number: usize) -> &Path {
        &self.sent.volumes[number].path
    }

    pub(crate) fn flip(&self, number: usize, at: u64) {
        flip(self.volume(number), at);
    }

    /// Imports the volumes where they lie; their header is whole.
    fn import(&self) -> (Site, Result<ImportOutcome, ImportError>) {
        self.import_archive(self.find().unwrap().archive().unwrap())
    }

    fn import_archive(&self, archive: Archive) -> (Site, Result<ImportOutcome, ImportError>) {
        let site = Site::new(&self.publisher);
        let outcome = import_archive(archive, site.station(), &Terms::at(now()), &mut |_| {});
        (site, outcome)
    }

    /// The reason for which the damaged volumes are refused, be it their header's or their content's.
    pub(crate) fn refusal(&self) -> String {
        match self.find().unwrap().archive() {
            Err(error) => code(&error),
            Ok(archive) => {
                let (site, outcome) = self.import_archive(archive);
                assert_eq!(site.release(), None);
                outcome.unwrap_err().code().unwrap().to_string()
            }
        }
    }
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

fn code(error: &VolumeError) -> String {
    assert!(error.is_refusal() && !error.is_environment(), "{error}");
    error.code().unwrap().to_string()
}

#[test]
fn the_data_volumes_in_a_row_are_the_bundle() {
    let media = Media::new("3MiB", "30%");
    let data = media.sent.volumes.iter().filter(|volume| !volume.is_parity);
    let joined: Vec<u8> = data.flat_map(|volume| fs::read(&volume.path).unwrap()).collect();
    assert_eq!(joined, fs::read(&media.bundle).unwrap());
    let names: Vec<_> = fs::read_dir(media.media()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), media.sent.volumes.len() + 1, "{names:?}");
    let set = media.find().unwrap();
    assert_eq!(set.index().set(), &media.sent.set);
    assert_eq!(scan(&set, 0, &mut |_| {}).verdict(), &Verdict::Whole);
}

/// The header is refused before anything of it is believed: its first entry's name, and the padding behind a name.
#[test]
fn a_flipped_byte_in_the_header_is_refused() {
    for at in [0, 90, 510] {
        let media = Media::new("3MiB", "25%");
        media.flip(0, at);
        assert_eq!(media.refusal(), "FORMAT", "byte {at}");
        media.assert_repaired("joined");
    }
}

#[test]
fn volumes_are_imported_where_they_lie_whatever_they_are_called() {
    let media = Media::new("2MiB", "10%");
    for (number, volume) in media.sent.volumes.iter().enumerate() {
        fs::rename(&volume.path, media.media().join(format!("{}", (number * 7919) % 1000))).unwrap();
    }
    let (site, outcome) = media.import();
    assert!(matches!(outcome.unwrap(), ImportOutcome::Published(_)));
    assert_eq!(site.release(), Some(1));
    media.assert_repaired("joined");
}

#[test]
fn volumes_are_spread_over_media_and_each_has_the_index() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let bundle = cargo(1).build(folder.path(), &publisher);
    let sticks = ["a", "b", "c"].map(|name| folder.path().join(name));
    sticks.iter().for_each(|stick| fs::create_dir(stick).unwrap());
    let sent = send_to(&bundle, &publisher, &sticks, ("3MiB", "34%")).unwrap();
    assert_eq!(sent.index.len(), 3);
    let of = |stick: &PathBuf| sent.volumes.iter().filter(|volume| volume.path.starts_with(stick)).count();
    let counts = sticks.each_ref().map(of);
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    let set = VolumeSet::find(&sticks).unwrap();
    assert_eq!(set.archive().unwrap().length(), fs::metadata(&bundle).unwrap().len());
    // A damaged copy of the index is passed over.
    flip(&sent.index[0], 30);
    assert!(VolumeSet::find(&sticks).unwrap().archive().is_ok());
    // One file of each stick is enough to find the index beside it.
    let files: Vec<PathBuf> = sent.volumes.iter().map(|volume| volume.path.clone()).collect();
    assert!(VolumeSet::find(&files).unwrap().archive().is_ok());
}

#[test]
fn an_unsigned_or_underselling_bundle_is_not_cut() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let bundle = cargo(1).write(&folder.path().join("base-1.tar"));
    let media = folder.path().join("media");
    fs::create_dir(&media).unwrap();
    let refused =
        |bundle: &Path| send_to(bundle, &publisher, std::slice::from_ref(&media), ("2MiB", "10%")).unwrap_err();
    assert_eq!(code(&refused(&bundle)), "UNSIGNED");
    let one = &publisher.signers()[..1];
    sealock_bundle::sign(&bundle, std::slice::from_ref(&publisher.root), one).unwrap();
    assert_eq!(code(&refused(&bundle)), "THRESHOLD");
    assert_eq!(fs::read_dir(&media).unwrap().count(), 0);
}

#[test]
fn a_damaged_bundle_gets_no_index() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let bundle = cargo(1).build(folder.path(), &publisher);
    flip(&bundle, 5 << 20);
    let media = folder.path().join("media");
    fs::create_dir(&media).unwrap();
    assert_eq!(
        code(&send_to(&bundle, &publisher, std::slice::from_ref(&media), ("2MiB", "10%")).unwrap_err()),
        "DIGEST"
    );
    assert_eq!(code(&VolumeSet::find(&[media]).unwrap_err()), "VOLUME_SET");
}

#[test]
fn without_a_size_the_bundle_is_copied_and_read_back() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let bundle = cargo(1).build(folder.path(), &publisher);
    let folders = ["a", "b"].map(|name| folder.path().join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let sending = Sending { folders: &folders, size: None, parity: "0".parse().unwrap() };
    let copy = || send(Archive::open(&bundle).unwrap(), &publisher.against(), &sending, &mut |_| {});
    let sent = copy().unwrap();
    for volume in &sent.volumes {
        assert_eq!(fs::read(&volume.path).unwrap(), fs::read(&bundle).unwrap());
    }
    assert!(copy().unwrap().volumes.iter().all(|volume| volume.was_there));
    flip(&sent.volumes[1].path, 4 << 20);
    assert!(matches!(copy().unwrap_err(), VolumeError::InTheWay { .. }));
    flip(&bundle, 5 << 20);
    fs::remove_file(&sent.volumes[0].path).unwrap();
    assert_eq!(code(&copy().unwrap_err()), "DIGEST");
    assert_eq!(fs::read_dir(&folders[0]).unwrap().count(), 0);
}

#[test]
fn sending_again_writes_only_what_is_missing_or_wrong() {
    let media = Media::new("2MiB", "20%");
    let again = || send_to(&media.bundle, &media.publisher, &[media.media()], ("2MiB", "20%")).unwrap();
    let inode = |number: usize| std::os::unix::fs::MetadataExt::ino(&fs::metadata(media.volume(number)).unwrap());
    let before: Vec<u64> = (0..media.sent.volumes.len()).map(inode).collect();
    again();
    assert_eq!(before, (0..media.sent.volumes.len()).map(inode).collect::<Vec<_>>());
    let last = media.sent.volumes.len() - 1;
    media.flip(1, 100);
    media.flip(last, 100);
    fs::remove_file(media.volume(3)).unwrap();
    again();
    let changed = |number: &usize| before[*number] != inode(*number);
    let written: Vec<usize> = (0..before.len()).filter(changed).collect();
    assert!([1, last].iter().all(|number| written.contains(number)) && written.len() <= 3, "{written:?}");
    assert_eq!(scan(&media.find().unwrap(), 0, &mut |_| {}).verdict(), &Verdict::Whole);
}

#[test]
fn what_was_signed_once_more_is_sent_anew() {
    let media = Media::new("2MiB", "20%");
    let before = fs::read(&media.bundle).unwrap();
    let rebuilt = cargo(1).build(media.folder.path(), &media.publisher);
    assert_eq!(rebuilt, media.bundle);
    assert_ne!(before, fs::read(&rebuilt).unwrap(), "ECDSA signatures differ each time");
    send_to(&rebuilt, &media.publisher, &[media.media()], ("2MiB", "20%")).unwrap();
    assert_eq!(scan(&media.find().unwrap(), 0, &mut |_| {}).verdict(), &Verdict::Whole);
    media.assert_repaired("joined");
}

#[test]
fn nothing_of_somebody_elses_is_replaced() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let bundle = cargo(1).build(folder.path(), &publisher);
    let media = folder.path().join("media");
    fs::create_dir(&media).unwrap();
    let there = media.join("base-1.sealock.002");
    fs::write(&there, b"holiday pictures").unwrap();
    let error = send_to(&bundle, &publisher, &[media], ("2MiB", "10%")).unwrap_err();
    assert!(matches!(&error, VolumeError::InTheWay { path } if *path == there), "{error}");
    assert_eq!(fs::read(&there).unwrap(), b"holiday pictures");
}

/// Attacks 1, 4, 5 and 6.
#[test]
fn volumes_that_do_not_belong_together_are_refused_by_name() {
    let media = Media::new("2MiB", "10%");
    let whole = |number: usize| fs::read(media.volume(number)).unwrap();
    let archive = || media.find().and_then(|set| set.archive().map(drop)).unwrap_err();

    let second = whole(1);
    fs::write(media.volume(1), &second[..second.len() - 1]).unwrap();
    assert_eq!(code(&archive()), "INCOMPLETE");
    fs::write(media.volume(1), [&second[..], b"x"].concat()).unwrap();
    assert_eq!(code(&archive()), "TRAILING");
    fs::remove_file(media.volume(1)).unwrap();
    assert_eq!(code(&archive()), "VOLUME_SET");

    fs::write(media.volume(1), whole(2)).unwrap();
    assert_eq!(code(&media.find().unwrap_err()), "VOLUME_SET");

    fs::write(media.volume(1), noise(99, 2 << 20)).unwrap();
    assert_eq!(code(&media.find().unwrap_err()), "SET_MISMATCH");

    fs::write(media.volume(1), &second).unwrap();
    fs::write(media.media().join("README.txt"), b"of this stick").unwrap();
    assert_eq!(media.find().unwrap().ignored().len(), 1);

    let next = cargo(2).build(media.folder.path(), &media.publisher);
    send_to(&next, &media.publisher, &[media.media()], ("2MiB", "10%")).unwrap();
    assert_eq!(code(&media.find().unwrap_err()), "SET_MISMATCH");
}

#[test]
fn swapped_names_do_not_matter() {
    let media = Media::new("2MiB", "10%");
    let (first, second) = (fs::read(media.volume(0)).unwrap(), fs::read(media.volume(1)).unwrap());
    fs::write(media.volume(0), second).unwrap();
    fs::write(media.volume(1), first).unwrap();
    media.import().1.unwrap();
}

/// Attack 43: what was verified is what was kept, whatever the medium says the next time.
#[test]
fn a_medium_that_changes_while_it_is_read_brings_nothing_false_in() {
    let media = Media::new("2MiB", "0");
    let site = Site::new(&media.publisher);
    let before = site.snapshot();
    let archive = media.find().unwrap().archive().unwrap();
    let mut is_first = true;
    let outcome = import_archive(archive, site.station(), &Terms::at(now()), &mut |_| {
        if std::mem::take(&mut is_first) {
            media.flip(5, 1 << 20);
        }
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.code().unwrap().to_string(), "DIGEST");
    assert_eq!(site.snapshot(), before);
    media.flip(5, 1 << 20);

    // Changed behind what was read: the site has what it hashed.
    let archive = media.find().unwrap().archive().unwrap();
    let outcome = import_archive(archive, site.station(), &Terms::at(now()), &mut |at| {
        if at.done == at.total || at.done > 13 << 20 {
            media.flip(1, 1 << 20);
        }
    });
    assert!(matches!(outcome.unwrap(), ImportOutcome::Published(_)));
    for (digest, content) in &cargo(1).contents {
        assert_eq!(&fs::read(site.store.path().join("blobs/sha256").join(digest.hex())).unwrap(), content);
    }
}

#[test]
fn a_pipe_is_no_volume() {
    let media = Media::new("2MiB", "10%");
    let pipe = media.folder.path().join("base-1.sealock.001");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(code(&VolumeSet::find(&[media.media(), pipe]).unwrap_err()), "FORMAT");
}

#[test]
fn damaged_volumes_are_refused_and_told_and_repaired_into_new_ones() {
    let media = Media::new("2MiB", "20%");
    media.flip(2, 1_500_000);
    let (site, outcome) = media.import();
    assert_eq!(outcome.unwrap_err().code().unwrap().to_string(), "DIGEST");
    assert_eq!(site.release(), None);
    let damage = scan(&media.find().unwrap(), 0, &mut |_| {});
    assert_eq!((damage.verdict(), damage.lost_blocks()), (&Verdict::Repairable, 1));
    assert_eq!(damage.volumes()[2].lost.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1"]);

    fs::remove_file(media.volume(media.sent.volumes.len() - 1)).unwrap();
    let to = media.folder.path().join("repaired");
    fs::create_dir(&to).unwrap();
    let written = fs::read(media.volume(2)).unwrap();
    let repaired = repair(&media.find().unwrap(), Target::Folder(&to), &mut |_| {}).unwrap();
    assert_eq!(repaired.files.len(), 2);
    assert_eq!(fs::read(media.volume(2)).unwrap(), written, "the medium is left as it was");
    // Again finds what it has written.
    assert_eq!(repair(&media.find().unwrap(), Target::Folder(&to), &mut |_| {}).unwrap().files, repaired.files);
    fs::remove_file(media.volume(2)).unwrap();
    let set = VolumeSet::find(&[media.media(), to]).unwrap();
    assert_eq!(scan(&set, 0, &mut |_| {}).verdict(), &Verdict::Whole);
}

#[test]
fn in_place_the_medium_itself_becomes_whole() {
    let media = Media::new("2MiB", "40%");
    let wanted: Vec<Vec<u8>> = media.sent.volumes.iter().map(|volume| fs::read(&volume.path).unwrap()).collect();
    let last = media.sent.volumes.len() - 1;
    media.flip(0, 10);
    media.flip(last, 10);
    fs::remove_file(media.volume(1)).unwrap();
    let third = fs::OpenOptions::new().write(true).open(media.volume(3)).unwrap();
    third.set_len((1 << 20) + 5).unwrap();
    fs::OpenOptions::new().append(true).open(media.volume(4)).unwrap().write_all_at(b"x", 2 << 20).unwrap();
    repair(&media.find().unwrap(), Target::InPlace, &mut |_| {}).unwrap();
    let found: Vec<Vec<u8>> = media.sent.volumes.iter().map(|volume| fs::read(&volume.path).unwrap()).collect();
    assert!(wanted == found);
    assert_eq!(scan(&media.find().unwrap(), 0, &mut |_| {}).verdict(), &Verdict::Whole);
}

#[test]
fn beyond_parity_it_says_exactly_what_is_needed() {
    let media = Media::new("2MiB", "20%");
    fs::remove_file(media.volume(1)).unwrap();
    media.flip(3, (1 << 20) + 7);
    media.flip(4, 0);
    let needs = media.needs();
    let expected = "up to 1 more block of each stripe, from base-1.sealock.002 (blocks 0-1); base-1.sealock.004 (block 1); base-1.sealock.005 (block 0)";
    assert_eq!(needs.to_string(), expected);
    assert!(!media.folder.path().join("joined").exists());
    media.flip(4, 0);
    media.assert_repaired("joined");
}

#[test]
fn without_parity_damage_is_found_and_named() {
    let media = Media::new("4MiB", "0");
    media.flip(1, 9);
    assert_eq!(media.needs().to_string(), "up to 1 more block of each stripe, from base-1.sealock.002 (block 0)");
}

/// The index is a hint: one that describes another content makes no bundle of it.
#[test]
fn a_lying_index_brings_nothing_false_through() {
    let media = Media::new("2MiB", "20%");
    let honest = fs::read(&media.sent.index[0]).unwrap();
    // An index of the damaged bundle, made as an attacker would: cut without the checks, which only we insist on.
    media.flip(2, 77);
    let mut document: serde_json::Value = serde_json::from_slice(&honest).unwrap();
    forge(&mut document, 2, &fs::read(media.volume(2)).unwrap());
    fs::write(&media.sent.index[0], sealed(document)).unwrap();
    let set = media.find().unwrap();
    assert_eq!(scan(&set, 0, &mut |_| {}).verdict(), &Verdict::Whole, "the lie is consistent");
    assert_eq!(media.import().1.unwrap_err().code().unwrap().to_string(), "DIGEST");
    assert_eq!(code(&media.repair("joined").unwrap_err()), "DIGEST");
    let left: Vec<_> = fs::read_dir(media.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("joined")), "{left:?}");
}

/// Puts the digests of `content` into the description of one volume.
fn forge(document: &mut serde_json::Value, volume: usize, content: &[u8]) {
    use base64::Engine as _;
    let digest = |bytes: &[u8]| hex::decode(sealock_trust::Digest::sha256(bytes).hex()).unwrap();
    let blocks: Vec<u8> = content.chunks(1 << 20).flat_map(digest).collect();
    document["volumes"][volume]["blocks"] = base64::engine::general_purpose::STANDARD.encode(blocks).into();
    document["volumes"][volume]["digest"] = sealock_trust::Digest::sha256(content).to_string().into();
}

fn sealed(mut document: serde_json::Value) -> Vec<u8> {
    document["checksum"] = format!("sha256:{}", "0".repeat(64)).into();
    let sum = sealock_trust::Digest::sha256(&sealock_trust::json::jcs::to_vec(&document).unwrap());
    document["checksum"] = sum.to_string().into();
    sealock_trust::json::jcs::to_vec(&document).unwrap()
}
