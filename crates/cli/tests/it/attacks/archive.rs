//! On the file: its length, its entries, its names.

use super::forge::{Cargo, HEADER, Parts, TarEntry};
use super::{Attack, Expected, Scene};

use Expected::Refused;

pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 1,
        name: "the file ends in the header",
        expected: Refused("INCOMPLETE"),
        make: |scene| sample(scene)[..5000].to_vec(),
    },
    Attack {
        number: 1,
        name: "the file ends in the payload",
        expected: Refused("INCOMPLETE"),
        make: |scene| cut(scene, 4096),
    },
    Attack {
        number: 1,
        name: "the last byte is missing",
        expected: Refused("INCOMPLETE"),
        make: |scene| cut(scene, 1),
    },
    Attack { number: 2, name: "one bit of a blob flipped", expected: Refused("DIGEST"), make: flipped_blob },
    Attack { number: 3, name: "one bit of the manifest flipped", expected: Refused("SIG"), make: flipped_manifest },
    Attack { number: 4, name: "one byte follows", expected: Refused("TRAILING"), make: |scene| followed(scene, b"\0") },
    Attack {
        number: 4,
        name: "a second archive follows",
        expected: Refused("TRAILING"),
        make: |scene| followed(scene, &sample(scene)),
    },
    Attack {
        number: 7,
        name: "an entry called ../../etc/cron.d/x",
        expected: Refused("PATH"),
        make: |scene| with_name(scene, b"../../etc/cron.d/x"),
    },
    Attack {
        number: 7,
        name: "an entry with an absolute name",
        expected: Refused("PATH"),
        make: |scene| with_name(scene, b"/etc/passwd"),
    },
    Attack {
        number: 7,
        name: "an entry with a backslash in its name",
        expected: Refused("PATH"),
        make: |scene| with_name(scene, b"tuf\\x"),
    },
    Attack {
        number: 7,
        name: "an entry whose name is no UTF-8",
        expected: Refused("PATH"),
        make: |scene| with_name(scene, b"\xff\xfe"),
    },
    Attack {
        number: 7,
        name: "an entry that differs from another in case only",
        expected: Refused("PATH"),
        make: |scene| with_name(scene, b"INDEX.JSON"),
    },
    Attack {
        number: 8,
        name: "a symbolic link",
        expected: Refused("LINK"),
        make: |scene| with_kind(scene, tar::EntryType::Symlink),
    },
    Attack {
        number: 8,
        name: "a hard link",
        expected: Refused("LINK"),
        make: |scene| with_kind(scene, tar::EntryType::Link),
    },
    Attack {
        number: 9,
        name: "a device",
        expected: Refused("TYPE"),
        make: |scene| with_kind(scene, tar::EntryType::Char),
    },
    Attack {
        number: 9,
        name: "a pipe",
        expected: Refused("TYPE"),
        make: |scene| with_kind(scene, tar::EntryType::Fifo),
    },
    Attack { number: 9, name: "a setuid bit", expected: Refused("AMBIGUOUS"), make: setuid },
    Attack {
        number: 10,
        name: "a PAX header that other readers obey",
        expected: Refused("AMBIGUOUS"),
        make: |scene| with_kind(scene, tar::EntryType::XHeader),
    },
    Attack { number: 10, name: "a size in base 256", expected: Refused("FORMAT"), make: base_256 },
    Attack {
        number: 12,
        name: "more metadata files than any root chain has",
        expected: Refused("LIMIT"),
        make: many_entries,
    },
    Attack { number: 13, name: "an entry that stands twice", expected: Refused("AMBIGUOUS"), make: doubled },
    Attack {
        number: 18,
        name: "an entry that nobody signed for",
        expected: Refused("UNDECLARED"),
        make: |scene| with_name(scene, b"install.sh"),
    },
    Attack {
        number: 18,
        name: "another tool's manifest.json at the root",
        expected: Refused("UNDECLARED"),
        make: |scene| with_name(scene, b"manifest.json"),
    },
    Attack { number: 18, name: "content hidden in the padding", expected: Refused("FORMAT"), make: hidden_in_padding },
    Attack {
        number: 55,
        name: "terminal escapes in a name",
        expected: Refused("PATH"),
        make: |scene| with_name(scene, b"a\x1b[2Jb"),
    },
];

fn sample(scene: &Scene<'_>) -> Vec<u8> {
    scene.honest(&Cargo::sample(1))
}

fn cut(scene: &Scene<'_>, bytes: usize) -> Vec<u8> {
    let bundle = sample(scene);
    bundle[..bundle.len() - bytes].to_vec()
}

fn followed(scene: &Scene<'_>, by: &[u8]) -> Vec<u8> {
    [sample(scene), by.to_vec()].concat()
}

fn flipped_blob(scene: &Scene<'_>) -> Vec<u8> {
    let mut bundle = sample(scene);
    let at = bundle.windows(64).rposition(|window| window == [7; 64]).expect("the aligned blob");
    bundle[at] ^= 1;
    bundle
}

fn flipped_manifest(scene: &Scene<'_>) -> Vec<u8> {
    let mut parts = Parts::of(&sample(scene));
    let manifest = parts.content("tuf/targets/manifest.json");
    let at = manifest.windows(7).position(|window| window == b"plant-7").expect("the name") + 6;
    manifest[at] ^= 1;
    parts.to_bytes()
}

/// The honest header with one more entry, in front of the manifest.
fn with_entry(scene: &Scene<'_>, entry: TarEntry) -> Vec<u8> {
    let mut parts = Parts::of(&sample(scene));
    let last = parts.entries.len() - 1;
    parts.entries.insert(last, entry);
    parts.to_bytes()
}

fn with_name(scene: &Scene<'_>, name: &[u8]) -> Vec<u8> {
    let bend = |header: &mut tar::Header| {
        header.as_old_mut().name = [0; 100];
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
    };
    with_entry(scene, TarEntry::bent("x", bend))
}

fn with_kind(scene: &Scene<'_>, kind: tar::EntryType) -> Vec<u8> {
    with_entry(
        scene,
        TarEntry::bent("x", |header| {
            header.set_entry_type(kind);
            header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        }),
    )
}

fn setuid(scene: &Scene<'_>) -> Vec<u8> {
    with_entry(scene, TarEntry::bent("tuf/metadata/9.root.json", |header| header.set_mode(0o4755)))
}

fn base_256(scene: &Scene<'_>) -> Vec<u8> {
    with_entry(
        scene,
        TarEntry::bent("tuf/metadata/9.root.json", |header| {
            header.as_old_mut().size = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        }),
    )
}

fn many_entries(scene: &Scene<'_>) -> Vec<u8> {
    let mut parts = Parts::of(&sample(scene));
    let roots = (2..1100).map(|version| TarEntry::honest(&format!("tuf/metadata/{version}.root.json"), b""));
    parts.entries.splice(3..3, roots);
    parts.to_bytes()
}

fn doubled(scene: &Scene<'_>) -> Vec<u8> {
    with_entry(scene, TarEntry::honest("index.json", b"{}"))
}

fn hidden_in_padding(scene: &Scene<'_>) -> Vec<u8> {
    let mut bundle = sample(scene);
    bundle[HEADER - 100] = b'#';
    bundle
}
