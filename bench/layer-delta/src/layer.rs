//! Layers: a tar of files, sorted, and compressed as container tools do.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};

/// A tar of everything below `folder`; `time` is given to every file where it is said.
pub fn tar_of(folder: &Path, time: Option<u64>) -> Result<Vec<u8>> {
    let mut paths = Vec::new();
    collect(folder, &mut paths)?;
    paths.sort();
    let mut tar = tar::Builder::new(Vec::new());
    for path in paths {
        let metadata = fs::symlink_metadata(&path)?;
        let name = path.strip_prefix(folder)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata_in_mode(&metadata, tar::HeaderMode::Complete);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(time.unwrap_or(metadata.mtime().unsigned_abs()));
        if metadata.is_symlink() {
            tar.append_link(&mut header, name, fs::read_link(&path)?)?;
        } else if metadata.is_dir() {
            tar.append_data(&mut header, name, std::io::empty())?;
        } else {
            tar.append_data(&mut header, name, fs::File::open(&path)?)?;
        }
    }
    Ok(tar.into_inner()?)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_dir() {
            collect(&path, paths)?;
        }
        paths.push(path);
    }
    Ok(())
}

/// What compressed a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Go's compress/gzip at its default level: docker, BuildKit, containerd, buildah, kaniko, ko.
    Go,
    /// zlib at its default level, 6: Python, Bazel's rules.
    Zlib,
}

impl Maker {
    pub fn compress(self, plain: &[u8], gogzip: &Path) -> Result<Vec<u8>> {
        match self {
            Self::Go => go_gzip(plain, gogzip),
            Self::Zlib => zlib(plain),
        }
    }
}

fn zlib(plain: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

fn go_gzip(plain: &[u8], program: &Path) -> Result<Vec<u8>> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let output = std::thread::scope(|scope| {
        let feeding = scope.spawn(move || stdin.write_all(plain));
        let output = child.wait_with_output();
        feeding.join().map_err(|_| anyhow::anyhow!("feeding gogzip panicked"))??;
        anyhow::Ok(output?)
    })?;
    ensure!(output.status.success(), "gogzip failed");
    Ok(output.stdout)
}
