//! etcd's own programs for the station, out of the image that a cluster's etcd runs from: the release holds its layers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sealock_store::release::{Reference, ReferenceKind};
use sealock_trust::{Algorithm, Digest, Hasher};
use serde::Deserialize;
use tar::{Archive, EntryType};

use super::{MAX_MANIFEST, MAX_PROGRAM, ToolError, Toolbox, Verifying, oci_architecture};
use crate::etcd::restore::Programs;
use crate::release::{Program, compare_versions};

/// Where images of etcd have their programs.
const PROGRAMS: &str = "usr/local/bin/";
const NAMES: [&str; 2] = ["etcd", "etcdutl"];
/// Nothing needs it, but a person may.
const CTL: &str = "etcdctl";
/// What stands in a layer where one below it had a file (OCI image layer specification, "Whiteouts").
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// An image's manifest, or an index of such.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    #[serde(default)]
    manifests: Vec<Platformed>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Platformed {
    digest: Digest,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
}

impl Toolbox<'_> {
    /// `etcd` and `etcdutl` in exactly `version`, like `3.6.8`: out of the image that the release has of it, else out of etcd's own archive.
    ///
    /// # Errors
    /// The release lacks both, or the store does not hold what the release names.
    pub fn etcd(&self, version: &str) -> Result<Programs, ToolError> {
        let is_it = |tag: &str| tag.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let Some(image) = self.image_of(is_it) else {
            let tag = format!("v{version}");
            let program = |program| self.program(program, Some(&tag));
            return Ok(Programs { etcd: program(Program::Etcd)?, etcdutl: program(Program::Etcdutl)? });
        };
        self.all_out_of(image, &mut NAMES.into())?;
        Ok(Programs { etcd: self.place_of(image, "etcd"), etcdutl: self.place_of(image, "etcdutl") })
    }

    /// `etcd`, `etcdutl` and, where there is one, `etcdctl`, in the newest version that the release has: out of etcd's own archive, else out of
    /// the image that a cluster's etcd runs from.
    ///
    /// # Errors
    /// As [`Self::etcd`].
    pub fn newest_etcd(&self) -> Result<Vec<(&'static str, PathBuf)>, ToolError> {
        let archived = [(NAMES[0], Program::Etcd), (NAMES[1], Program::Etcdutl), (CTL, Program::Etcdctl)];
        let of_archive = || archived.map(|(name, program)| self.program(program, None).map(|path| (name, path)));
        let is_archived = self.release.program(Program::Etcd, oci_architecture(), None).is_ok();
        let Some(image) = self.image_of(|_| true).filter(|_| !is_archived) else {
            return of_archive().into_iter().collect();
        };
        let mut wanted: BTreeSet<&str> = NAMES.into();
        wanted.insert(CTL);
        self.all_out_of(image, &mut wanted)?;
        let has = [NAMES[0], NAMES[1], CTL].into_iter().filter(|name| !wanted.contains(name));
        Ok(has.map(|name| (name, self.place_of(image, name))).collect())
    }

    /// Takes those of the `wanted` that are in `image`, and leaves in them what it does not have.
    fn all_out_of(&self, image: &Reference, wanted: &mut BTreeSet<&str>) -> Result<(), ToolError> {
        for layer in self.layers_of(image)?.iter().rev() {
            if wanted.is_empty() {
                break;
            }
            self.out_of(image, layer, wanted)?;
        }
        match NAMES.iter().any(|name| wanted.contains(name)) {
            true => Err(ToolError::Artifact { what: image.name.clone() }),
            false => Ok(()),
        }
    }

    /// The newest image of etcd whose tag, without a `v`, `fits`.
    fn image_of(&self, fits: impl Fn(&str) -> bool) -> Option<&Reference> {
        let images = self.release.references().iter().filter(|reference| reference.kind == ReferenceKind::Image);
        let fitting = images.filter_map(|reference| {
            let tag = reference.name.rsplit('/').next()?.strip_prefix("etcd:")?;
            fits(tag.strip_prefix('v').unwrap_or(tag)).then_some((tag, reference))
        });
        fitting.max_by(|(a, _), (b, _)| compare_versions(a, b)).map(|(_, reference)| reference)
    }

    fn layers_of(&self, image: &Reference) -> Result<Vec<Layer>, ToolError> {
        if let Some(fact) = self.revoked.of(&image.digest).filter(|fact| fact.blocked) {
            return Err(ToolError::Revoked(Box::new(fact.clone())));
        }
        let malformed = || ToolError::Artifact { what: image.name.clone() };
        let read = |digest: &Digest| -> Result<Image, ToolError> {
            let bytes = self.small_blob(&image.name, digest, MAX_MANIFEST)?;
            serde_json::from_slice(&bytes).map_err(|_| malformed())
        };
        let found = read(&image.digest)?;
        let is_ours = |one: &&Platformed| {
            one.platform.as_ref().is_some_and(|one| one.os == "linux" && one.architecture == oci_architecture())
        };
        let found = match found.manifests.iter().find(is_ours) {
            Some(platform) => read(&platform.digest)?,
            None => found,
        };
        if found.layers.is_empty() { Err(malformed()) } else { Ok(found.layers) }
    }

    fn place_of(&self, image: &Reference, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{}", &image.digest.hex()[..16]))
    }

    /// Takes those of the `wanted` that are in `layer`. What it says is gone is in none below it.
    fn out_of(&self, image: &Reference, layer: &Layer, wanted: &mut BTreeSet<&str>) -> Result<(), ToolError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ToolError::Io { action, path, source }
        };
        fs::create_dir_all(&self.folder).map_err(failed("make the folder", &self.folder))?;
        let new = tempfile::Builder::new().prefix("layer-").tempdir_in(&self.folder);
        let new = new.map_err(failed("make a folder in", &self.folder))?;
        let hasher = Hasher::new(Algorithm::Sha256);
        let mut blob = Verifying { inner: self.open(&image.name, &layer.digest)?, hasher };
        let taken = if layer.media_type.ends_with("gzip") {
            take(GzDecoder::new(&mut blob), new.path(), wanted)
        } else {
            take(&mut blob, new.path(), wanted)
        };
        let (found, gone) = taken.map_err(failed("take programs out of a layer into", &self.folder))?;
        io::copy(&mut blob, &mut io::sink()).map_err(failed("read a layer for", &self.folder))?;
        if blob.hasher.finish() != layer.digest {
            return Err(ToolError::Blob { what: image.name.clone(), digest: layer.digest.clone() });
        }
        for name in &found {
            let target = self.place_of(image, name);
            fs::rename(new.path().join(name), &target).map_err(failed("rename to", &target))?;
            wanted.remove(name.as_str());
        }
        match gone.iter().find(|name| wanted.contains(name.as_str())) {
            Some(_) => Err(ToolError::Artifact { what: image.name.clone() }),
            None => Ok(()),
        }
    }
}

/// Which of the `wanted` were written into `folder`, and which a layer says are gone.
fn take(layer: impl Read, folder: &Path, wanted: &BTreeSet<&str>) -> io::Result<(Vec<String>, Vec<String>)> {
    let (mut found, mut gone) = (Vec::new(), Vec::new());
    let mut archive = Archive::new(layer);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").trim_start_matches('/').to_owned();
        let Some(name) = path.strip_prefix(PROGRAMS) else { continue };
        match name.strip_prefix(WHITEOUT) {
            _ if name == OPAQUE => gone.extend(wanted.iter().map(ToString::to_string)),
            Some(name) => gone.push(name.to_owned()),
            None if wanted.contains(name) && entry.header().entry_type() == EntryType::Regular => {
                let mut options = File::options();
                let file = options.write(true).create_new(true).mode(0o755).open(folder.join(name));
                io::copy(&mut entry.take(MAX_PROGRAM), &mut file?)?;
                found.push(name.to_owned());
            }
            None => {}
        }
    }
    Ok((found, gone))
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    fn layer(entries: &[(&str, EntryType)]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (path, kind) in entries {
            let mut header = Header::new_ustar();
            let content: &[u8] = if *kind == EntryType::Regular { path.as_bytes() } else { b"" };
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            if *kind == EntryType::Symlink {
                header.set_link_name("/bin/sh").unwrap();
            }
            archive.append_data(&mut header, path, content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn programs_are_files_of_the_layer_and_what_it_says_is_gone_is_told() {
        let wanted: BTreeSet<&str> = NAMES.into();
        let taken = |entries: &[(&str, EntryType)]| {
            let folder = tempfile::tempdir().unwrap();
            let (found, gone) = take(layer(entries).as_slice(), folder.path(), &wanted).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), found.len());
            (found, gone)
        };
        let file = EntryType::Regular;
        let (found, gone) =
            taken(&[("usr/local/bin/etcd", file), ("usr/local/bin/etcdctl", file), ("bin/etcdutl", file)]);
        assert_eq!((found, gone), (vec!["etcd".to_owned()], vec![]));
        let (found, _) = taken(&[("usr/local/bin/etcd", EntryType::Symlink), ("usr/local/bin/sub/etcdutl", file)]);
        assert_eq!(found, Vec::<String>::new(), "a link is no program");
        let (_, gone) = taken(&[("usr/local/bin/.wh.etcd", file)]);
        assert_eq!(gone, ["etcd"]);
        let (_, gone) = taken(&[("usr/local/bin/.wh..wh..opq", file)]);
        assert_eq!(gone, NAMES);
    }
}
