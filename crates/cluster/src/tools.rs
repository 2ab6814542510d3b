//! Programs of the release, for the station itself: kubeadm, kubectl and Helm are those that the bundle brought.

mod image;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealock_store::{Blob, Store, StoreError};
use sealock_trust::reason::Code;
use sealock_trust::{Algorithm, Digest, Hasher};
use serde::Deserialize;

use crate::release::{NotInRelease, Program, ReleaseView};
use crate::render::{self, RenderError};
use crate::revoked::{Fact, Revoked};
use crate::spec::Cluster;

/// An OCI manifest of ours is a few hundred bytes.
const MAX_MANIFEST: u64 = 1 << 20;
/// The largest program is a tenth of this.
pub(crate) const MAX_PROGRAM: u64 = 1 << 30;

/// Why a program of the release cannot be used at the station.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The release lacks it.
    #[error("the release cannot make this cluster")]
    NotInRelease(#[from] NotInRelease),
    /// It was revoked.
    #[error("{} must not be used any more: {}", .0.name, .0.reason)]
    Revoked(Box<Fact>),
    /// The store does not give it out.
    #[error("the store does not give out {what}")]
    Store {
        /// What was asked for.
        what: String,
        /// Why.
        source: Box<StoreError>,
    },
    /// The store has not the blob that its release names, or another in its place.
    #[error("{what}: the blob {digest} is missing from the store, or damaged")]
    Blob {
        /// The program or chart.
        what: String,
        /// The blob.
        digest: Digest,
    },
    /// The artifact is not put together as the release says.
    #[error("{what} is no artifact of one file")]
    Artifact {
        /// The program or chart.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// kubeadm refuses its configuration.
    #[error("kubeadm does not take the configuration: {said}")]
    Kubeadm {
        /// What it says.
        said: String,
    },
    /// kubeadm's configuration could not be written.
    #[error("a configuration cannot be rendered")]
    Render(#[from] RenderError),
}

impl ToolError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::NotInRelease(_) => Some(Code::NotInRelease),
            Self::Revoked(_) => Some(Code::Revoked),
            Self::Blob { .. } => Some(Code::Digest),
            Self::Artifact { .. } => Some(Code::Format),
            Self::Kubeadm { .. } => Some(Code::Spec),
            Self::Store { .. } | Self::Io { .. } | Self::Render(_) => None,
        }
    }

    /// Whether trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }
}

/// Takes programs and charts out of the store, each verified as it is taken.
#[derive(Clone, Debug)]
pub struct Toolbox<'a> {
    store: &'a Store,
    release: ReleaseView<'a>,
    revoked: &'a Revoked,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct OciManifest {
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

impl<'a> Toolbox<'a> {
    /// Programs go to `folder`, which must allow execution. What is blocked among the `revoked` is not given out.
    pub fn new(store: &'a Store, release: ReleaseView<'a>, revoked: &'a Revoked, folder: PathBuf) -> Self {
        Self { store, release, revoked, folder }
    }

    /// Where programs are put.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What of the release is revoked.
    pub fn revoked(&self) -> &'a Revoked {
        self.revoked
    }

    /// The release that the programs come from.
    pub fn release(&self) -> ReleaseView<'a> {
        self.release
    }

    /// `program`, ready to run on this machine, in exactly `version` where one is asked for.
    ///
    /// # Errors
    /// The release lacks it, or the store does not hold what the release names.
    pub fn program(&self, program: Program, version: Option<&str>) -> Result<PathBuf, ToolError> {
        let architecture = oci_architecture();
        let found = self.release.program(program, architecture, version)?;
        let what = format!("{} {}", program.as_str(), found.version);
        let layer = self.only_layer(&what, &found.artifact.digest)?;
        let target = self.folder.join(format!("{}-{}", program.as_str(), &layer.digest.hex()[..16]));
        let member = program.member(&found.version, architecture);
        self.take(&what, &layer, &target, member.as_deref())?;
        Ok(target)
    }

    /// The bytes of the only layer of the artifact `digest`: a chart or a file of manifests, of at most `limit` bytes.
    ///
    /// # Errors
    /// The store does not hold what the release names.
    pub fn content(&self, what: &str, digest: &Digest, limit: u64) -> Result<Vec<u8>, ToolError> {
        let layer = self.only_layer(what, digest)?;
        self.small_blob(what, &layer.digest, limit)
    }

    fn only_layer(&self, what: &str, manifest: &Digest) -> Result<Descriptor, ToolError> {
        if let Some(fact) = self.revoked.of(manifest).filter(|fact| fact.blocked) {
            return Err(ToolError::Revoked(Box::new(fact.clone())));
        }
        let bytes = self.small_blob(what, manifest, MAX_MANIFEST)?;
        let malformed = || ToolError::Artifact { what: what.into() };
        let manifest: OciManifest = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        let mut layers = manifest.layers;
        match (layers.pop(), layers.is_empty()) {
            (Some(layer), true) => Ok(layer),
            _ => Err(malformed()),
        }
    }

    fn open(&self, what: &str, digest: &Digest) -> Result<Blob, ToolError> {
        let opened = self
            .store
            .open_blob(digest)
            .map_err(|source| ToolError::Store { what: what.into(), source: Box::new(source) })?;
        let missing = || ToolError::Blob { what: what.into(), digest: digest.clone() };
        opened.ok_or_else(missing)
    }

    fn small_blob(&self, what: &str, digest: &Digest, limit: u64) -> Result<Vec<u8>, ToolError> {
        let mut bytes = Vec::new();
        let blob = self.open(what, digest)?;
        let path = blob.path().to_owned();
        let failed = |source| ToolError::Io { action: "read", path, source };
        blob.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            return Err(ToolError::Blob { what: what.into(), digest: digest.clone() });
        }
        Ok(bytes)
    }

    /// Writes the layer, or the archive's member of it, to `target`: verified before it gets its name.
    fn take(&self, what: &str, layer: &Descriptor, target: &Path, member: Option<&str>) -> Result<(), ToolError> {
        let damaged = || ToolError::Blob { what: what.into(), digest: layer.digest.clone() };
        if layer.size > MAX_PROGRAM {
            return Err(damaged());
        }
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ToolError::Io { action, path, source }
        };
        fs::create_dir_all(&self.folder).map_err(failed("make the folder", &self.folder))?;
        let blob = Verifying { inner: self.open(what, &layer.digest)?, hasher: Hasher::new(Algorithm::Sha256) };
        let new = target.with_extension(format!("new-{}", std::process::id()));
        let _ = fs::remove_file(&new);
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o755).open(&new).map_err(failed("write", &new))?;
        let digest = copy(blob, &file, member).map_err(failed("write", &new))?;
        drop(file);
        if digest.as_ref() != Some(&layer.digest) {
            let _ = fs::remove_file(&new);
            return Err(damaged());
        }
        fs::rename(&new, target).map_err(failed("rename", &new))
    }
}

/// Hashes what it reads.
struct Verifying {
    inner: Blob,
    hasher: Hasher,
}

impl Read for Verifying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// Copies all, or one member of a gzipped tar archive, and gives back the digest of all that was read; nothing where the
/// archive has no such member.
fn copy(mut blob: Verifying, file: &File, member: Option<&str>) -> io::Result<Option<Digest>> {
    let found = copy_member(&mut blob, file, member)?;
    Ok(found.then(|| blob.hasher.finish()))
}

/// Copies all of `blob`, or one member of the gzipped tar archive that it is, and reads it to its end: whether there is such a member.
pub(crate) fn copy_member(mut blob: impl Read, mut file: &File, member: Option<&str>) -> io::Result<bool> {
    let Some(member) = member else {
        io::copy(&mut blob, &mut file)?;
        return Ok(true);
    };
    let mut found = false;
    {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&mut blob));
        for entry in archive.entries()? {
            let entry = entry?;
            if entry.header().entry_type().is_file() && entry.path()?.as_os_str() == member {
                io::copy(&mut entry.take(MAX_PROGRAM), &mut file)?;
                found = true;
                break;
            }
        }
    }
    io::copy(&mut blob, &mut io::sink())?;
    Ok(found)
}

/// This machine's architecture, as OCI platforms have it.
pub fn oci_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The images that the cluster's own kubeadm asks for, by full name. It reads the very configuration that it will be
/// given, so what it does not take is found here, before any host is touched.
///
/// # Errors
/// The release lacks kubeadm, or kubeadm refuses the configuration.
pub fn kubernetes_images(toolbox: &Toolbox<'_>, cluster: &Cluster) -> Result<Vec<String>, ToolError> {
    let mut images = images_for(toolbox, cluster)?;
    if cluster.external_etcd().is_some() {
        // kubeadm names none then; whoever takes a backup rehearses its restore, with etcd's own programs.
        let own = images_for(toolbox, &cluster.with_own_etcd())?;
        images.extend(own.into_iter().filter(|image| image.contains("/etcd:")));
    }
    Ok(images)
}

/// The same, as kubeadm says them.
fn images_for(toolbox: &Toolbox<'_>, cluster: &Cluster) -> Result<Vec<String>, ToolError> {
    let version = cluster.spec().kubernetes.version.to_string();
    let kubeadm = toolbox.program(Program::Kubeadm, Some(&version))?;
    let Some(first) = cluster.control_planes().next() else { return Ok(Vec::new()) };
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ToolError::Io { action, path, source }
    };
    let mut config = tempfile::NamedTempFile::new_in(&toolbox.folder).map_err(failed("write in", &toolbox.folder))?;
    config.write_all(render::kubeadm::init(cluster, first)?.as_bytes()).map_err(failed("write", config.path()))?;
    let output = Command::new(&kubeadm)
        .args(["config", "images", "list", "--config"])
        .arg(config.path())
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(failed("run", &kubeadm))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(6).collect();
        return Err(ToolError::Kubeadm { said: said.join("; ") });
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect())
}
