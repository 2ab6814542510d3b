//! Archives of Debian packages: packed by `dpkg-deb`, laid out and signed as real ones are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use flate2::write::GzEncoder;
use sealock_trust::Digest;

use crate::gpg::Gpg;

/// A package.
#[derive(Clone, Debug)]
pub struct Deb {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its control fields, as `dpkg-deb` reads them in the file.
    control: String,
    /// The name of the file.
    file: String,
}

impl Deb {
    /// Packs a package that installs one file with its version. `fields` are further lines of its control file.
    ///
    /// # Panics
    /// `dpkg-deb` is missing or fails.
    pub fn pack(name: &str, version: &str, architecture: &str, fields: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let content = tree.join("usr/share").join(name);
        std::fs::create_dir_all(&content).unwrap();
        std::fs::write(content.join("version"), format!("{version}\n")).unwrap();
        let mut control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: Team <team@example.org>\n\
             Installed-Size: 8\nSection: misc\nPriority: optional\n"
        );
        fields.iter().for_each(|field| writeln!(control, "{field}").unwrap());
        control.push_str("Description: for a test\n in more words\n");
        std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let file = format!("{name}_{}_{architecture}.deb", version.split_once(':').map_or(version, |(_, rest)| rest));
        let path = folder.path().join(&file);
        dpkg_deb(&["--root-owner-group", "-Zgzip", "--build", &tree.to_string_lossy(), &path.to_string_lossy()]);
        Self { bytes: std::fs::read(&path).unwrap(), control: dpkg_deb(&["--field", &path.to_string_lossy()]), file }
    }
}

fn dpkg_deb(arguments: &[&str]) -> String {
    let output = Command::new("dpkg-deb").args(arguments).env("SOURCE_DATE_EPOCH", "1767225600").output();
    let output = output.unwrap_or_else(|error| panic!("dpkg-deb (Debian's package dpkg) does not start: {error}"));
    assert!(output.status.success(), "dpkg-deb {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An archive, before it is laid out.
#[derive(Clone, Debug)]
pub struct Archive {
    /// `dists/…/` it stands in, and what it calls itself as suite and codename.
    pub suite: String,
    /// When its `Release` is of.
    pub date: String,
    /// Until when its `Release` is good; none says nothing.
    pub valid_until: Option<String>,
    /// Further lines of its `Release`.
    pub fields: Vec<String>,
    /// Its packages.
    pub packages: Vec<Deb>,
    /// How its indexes are packed: `.xz`, `.gz`, and an empty text.
    pub packed: Vec<&'static str>,
}

/// Every file of an archive, by its path.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Archive {
    /// An archive of amd64 packages, with indexes in every packing.
    pub fn new(suite: &str, date: &str, packages: &[Deb]) -> Self {
        Self {
            suite: suite.to_owned(),
            date: date.to_owned(),
            valid_until: None,
            fields: Vec::new(),
            packages: packages.to_vec(),
            packed: vec![".xz", ".gz", ""],
        }
    }

    /// All of its files, but for what is signed.
    ///
    /// # Panics
    /// `xz` is missing or fails.
    pub fn files(&self) -> Files {
        let mut files = Files::new();
        let mut index = String::new();
        for deb in &self.packages {
            let path = format!("pool/{}", deb.file);
            write!(index, "{}Filename: {path}\nSize: {}\n", deb.control, deb.bytes.len()).unwrap();
            write!(index, "MD5sum: x\nSHA256: {}\n\n", Digest::sha256(&deb.bytes).hex()).unwrap();
            files.insert(path, deb.bytes.clone());
        }
        for suffix in &self.packed {
            files.insert(self.path(&format!("main/binary-amd64/Packages{suffix}")), packed(suffix, index.as_bytes()));
        }
        let release = self.release(&files);
        files.insert(self.path("Release"), release.into_bytes());
        files
    }

    /// All of its files, its `InRelease` signed by `gpg`.
    ///
    /// # Panics
    /// As [`Archive::files`], and where `gpg` fails.
    pub fn signed(&self, gpg: &Gpg) -> Files {
        let mut files = self.files();
        let release = String::from_utf8(files[&self.path("Release")].clone()).unwrap();
        files.insert(self.path("InRelease"), gpg.clear_sign(&release));
        files
    }

    /// The `Release` that names the indexes among `files`.
    pub fn release(&self, files: &Files) -> String {
        let suite = &self.suite;
        let mut text = format!("Origin: Example\nSuite: {suite}\nCodename: {suite}\nDate: {}\n", self.date);
        self.valid_until.iter().for_each(|until| writeln!(text, "Valid-Until: {until}").unwrap());
        self.fields.iter().for_each(|field| writeln!(text, "{field}").unwrap());
        text.push_str("Architectures: amd64\nComponents: main\nSHA256:\n");
        let indexes = files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&self.path(""))?, bytes)));
        for (path, bytes) in indexes.filter(|(path, _)| path.contains("/binary-")) {
            writeln!(text, " {} {} {path}", Digest::sha256(bytes).hex(), bytes.len()).unwrap();
        }
        text
    }

    /// The path of `file` in the suite.
    pub fn path(&self, file: &str) -> String {
        format!("dists/{}/{file}", self.suite)
    }
}

/// `content` as `Packages` with this suffix holds it.
///
/// # Panics
/// `xz` is missing or fails.
pub fn packed(suffix: &str, content: &[u8]) -> Vec<u8> {
    match suffix {
        ".gz" => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        ".xz" => xz(content),
        _ => content.to_vec(),
    }
}

fn xz(content: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let output = Command::new("xz").args(["--stdout", "-0"]).stdin(Stdio::null()).arg(file.path()).output();
    let output = output.unwrap_or_else(|error| panic!("xz (Debian's package xz-utils) does not start: {error}"));
    assert!(output.status.success(), "xz: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
