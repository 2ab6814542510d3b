//! Headers that another program wrote: each kind of hostile entry has its reason code, and no bytes make the reader panic.

use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use sealock_bundle::Archive;

use crate::support::sample;

const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A header entry in our canonical form, which the tests then bend.
fn canonical(name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o444);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.as_old_mut().mode.copy_from_slice(b"0000444\0");
    set_checksum(&mut header);
    header
}

/// Spelled as we do: six digits, NUL, space.
fn set_checksum(header: &mut tar::Header) {
    header.as_old_mut().cksum = *b"        ";
    let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    header.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn append(bytes: &mut Vec<u8>, header: &tar::Header, content: &[u8]) {
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

/// `oci-layout` and `index.json` as they should be, then `header` with `content`.
fn third_entry(header: &tar::Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append(&mut bytes, &canonical("oci-layout", OCI_LAYOUT.len() as u64), OCI_LAYOUT);
    append(&mut bytes, &canonical("index.json", 2), b"{}");
    append(&mut bytes, header, content);
    bytes.resize(1 << 20, 0);
    bytes
}

fn code_of(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let error = Archive::open(file.path()).expect_err("the header should have been refused");
    error.code().unwrap_or_else(|| panic!("no refusal: {error}")).to_string()
}

fn code_of_name(name: &[u8]) -> String {
    let mut header = canonical("x", 0);
    header.as_old_mut().name = [0; 100];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    set_checksum(&mut header);
    code_of(&third_entry(&header, b""))
}

#[test]
fn hostile_names() {
    for name in [
        &b"../../etc/passwd"[..],
        b"/etc/passwd",
        b"tuf/../x",
        b"./x",
        b"a//b",
        b"a/",
        b"a\\b",
        b"\xff\xfe",
        b"a\nb",
        b"a\x1b[2Jb",
        b"caf\xc3\xa9",
        b"",
    ] {
        assert_eq!(code_of_name(name), "PATH", "{}", name.escape_ascii());
    }
}

#[test]
fn case_twins() {
    assert_eq!(code_of_name(b"OCI-LAYOUT"), "PATH");
    assert_eq!(code_of_name(b"Index.json"), "PATH");
}

#[test]
fn entries_that_nobody_declared() {
    assert_eq!(code_of_name(b"manifest.json"), "UNDECLARED");
    assert_eq!(code_of_name(b"tuf/metadata/mirrors.json"), "UNDECLARED");
    assert_eq!(code_of_name(b"tuf/metadata/01.root.json"), "UNDECLARED");
}

#[test]
fn entries_that_stand_twice_or_elsewhere() {
    assert_eq!(code_of_name(b"index.json"), "AMBIGUOUS");
    assert_eq!(code_of_name(b"pad"), "AMBIGUOUS");
    let mut bytes = Vec::new();
    append(&mut bytes, &canonical("index.json", 2), b"{}");
    bytes.resize(4096, 0);
    assert_eq!(code_of(&bytes), "AMBIGUOUS");
    let mut bytes = third_entry(&canonical("tuf/metadata/2.root.json", 2), b"{}");
    bytes.truncate(512 * 6);
    append(&mut bytes, &canonical("tuf/metadata/1.root.json", 2), b"{}");
    bytes.resize(1 << 20, 0);
    assert_eq!(code_of(&bytes), "AMBIGUOUS");
}

#[test]
fn links_and_other_things_that_are_no_files() {
    let code = |kind: tar::EntryType| {
        let mut header = canonical("tuf/targets/manifest.json", 0);
        header.set_entry_type(kind);
        header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        set_checksum(&mut header);
        code_of(&third_entry(&header, b""))
    };
    assert_eq!(code(tar::EntryType::Symlink), "LINK");
    assert_eq!(code(tar::EntryType::Link), "LINK");
    for kind in [tar::EntryType::Block, tar::EntryType::Char, tar::EntryType::Fifo, tar::EntryType::Directory] {
        assert_eq!(code(kind), "TYPE", "{kind:?}");
    }
    assert_eq!(code(tar::EntryType::GNUSparse), "TYPE");
    assert_eq!(code(tar::EntryType::Continuous), "TYPE");
}

#[test]
fn records_that_readers_could_take_for_two_things() {
    let code = |kind: u8| {
        let mut header = canonical("x", 28);
        header.as_old_mut().linkflag = [kind];
        set_checksum(&mut header);
        code_of(&third_entry(&header, b"28 size=99999999999999999999\n"))
    };
    for kind in [b'x', b'g', b'L', b'K'] {
        assert_eq!(code(kind), "AMBIGUOUS", "{}", char::from(kind));
    }
}

#[test]
fn fields_with_another_spelling() {
    let code = |bend: fn(&mut tar::Header)| {
        let mut header = canonical("tuf/targets/manifest.json", 0);
        bend(&mut header);
        set_checksum(&mut header);
        code_of(&third_entry(&header, b""))
    };
    assert_eq!(code(|header| header.set_mode(0o4755)), "AMBIGUOUS");
    assert_eq!(code(|header| header.set_uid(1000)), "AMBIGUOUS");
    assert_eq!(code(|header| header.set_mtime(1)), "AMBIGUOUS");
    assert_eq!(code(|header| header.as_ustar_mut().unwrap().set_username("root").unwrap()), "AMBIGUOUS");
    assert_eq!(code(|header| header.as_ustar_mut().unwrap().prefix[0] = b'a'), "AMBIGUOUS");
    assert_eq!(code(|header| header.as_old_mut().name[99] = b'x'), "AMBIGUOUS");
    assert_eq!(code(|header| header.as_old_mut().linkflag = [0]), "TYPE");
    // GNU tar's base-256 numbers.
    assert_eq!(code(|header| header.as_old_mut().size = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "FORMAT");
    assert_eq!(code(|header| header.as_old_mut().size = *b"          1 "), "FORMAT");
}

#[test]
fn a_checksum_with_another_spelling() {
    let mut header = canonical("tuf/targets/manifest.json", 0);
    header.set_cksum();
    assert_eq!(code_of(&third_entry(&header, b"")), "AMBIGUOUS");
    header.as_old_mut().cksum = *b"0012345\0";
    assert_eq!(code_of(&third_entry(&header, b"")), "FORMAT");
}

#[test]
fn sizes_beyond_every_limit_take_no_memory() {
    for name in ["tuf/targets/manifest.json", "tuf/metadata/1.root.json", "pad"] {
        let code = code_of(&third_entry(&canonical(name, (8 << 30) - 1), b""));
        assert!(["LIMIT", "AMBIGUOUS"].contains(&code.as_str()), "{name}: {code}");
    }
    let claims_more = third_entry(&canonical("tuf/targets/manifest.json", 20 << 20), b"");
    assert_eq!(code_of(&claims_more), "INCOMPLETE");
}

#[test]
fn a_million_tiny_entries() {
    let mut bytes = third_entry(&canonical("tuf/metadata/1.root.json", 0), b"");
    bytes.truncate(512 * 5);
    for version in 2..3000 {
        append(&mut bytes, &canonical(&format!("tuf/metadata/{version}.root.json"), 0), b"");
    }
    assert_eq!(code_of(&bytes), "LIMIT");
}

#[test]
fn padding_that_holds_something() {
    let mut bytes = third_entry(&canonical("tuf/targets/manifest.json", 2), b"{}");
    bytes[512 * 5 + 3] = 1;
    assert_eq!(code_of(&bytes), "FORMAT");
}

fn real_bundle(folder: &Path) -> Vec<u8> {
    fs::read(sample("base", 1).write(&folder.join("b"))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        prop_assert!(Archive::open(file.path()).is_err());
    }

    #[test]
    fn no_damage_makes_the_reader_panic(damage in proptest::collection::vec((0_usize..20_000, any::<u8>()), 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = real_bundle(folder.path());
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        let path = folder.path().join("damaged");
        fs::write(&path, &bytes).unwrap();
        if let Ok(archive) = Archive::open(&path) {
            drop(archive.unverified_manifest());
        }
    }
}
