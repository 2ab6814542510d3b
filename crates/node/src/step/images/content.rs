//! What containerd keeps of an image, read again: it hashes what it pulls and unpacks, and never again what lies on its disk.

use std::collections::BTreeSet;
use std::fmt;

use sealock_trust::Digest;
use serde::Deserialize;

use super::ctr;
use crate::error::StepError;
use crate::host::{self, Alteration, Entry, Host};
use crate::pull::Descriptor;

/// Where containerd keeps content by its digest, in the folder that it has unless it is told another one.
const BLOBS: &str = "/var/lib/containerd/io.containerd.content.v1.content/blobs";
/// Indexes in indexes; none is known that goes deeper than two.
const DEPTH: usize = 4;
/// No index or manifest is longer, in bytes.
const MAX_NODE: u64 = 8 << 20;

/// An index or a manifest, as far as it leads on.
#[derive(Default, Deserialize)]
struct Node {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// A file of containerd's that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damaged {
    path: String,
    digest: Digest,
    found: Digest,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not {} any more: it is {}", self.path, self.digest, self.found)
    }
}

/// Reads what images consist of, each blob once, however many images have it.
#[derive(Default)]
pub(super) struct Content {
    whole: BTreeSet<Digest>,
}

impl Content {
    /// All of `image` that is damaged. What is missing is not: other platforms never came, and containerd knows of the rest.
    pub(super) fn damage(&mut self, host: &dyn Host, image: &Digest) -> Result<Vec<Damaged>, StepError> {
        let mut damage = Vec::new();
        self.node(host, image, DEPTH, &mut damage)?;
        Ok(damage)
    }

    fn node(
        &mut self,
        host: &dyn Host,
        digest: &Digest,
        depth: usize,
        damage: &mut Vec<Damaged>,
    ) -> Result<(), StepError> {
        if depth == 0 || !self.blob(host, digest, damage)? {
            return Ok(());
        }
        let content = host::read(host, &path_of(digest), MAX_NODE)?.unwrap_or_default();
        // What holds to its digest, and is no JSON, leads nowhere.
        let node: Node = serde_json::from_slice(&content).unwrap_or_default();
        for leaf in node.config.iter().chain(&node.layers) {
            self.blob(host, &leaf.digest, damage)?;
        }
        node.manifests.iter().try_for_each(|below| self.node(host, &below.digest, depth - 1, damage))
    }

    /// Whether it is there and whole.
    fn blob(&mut self, host: &dyn Host, digest: &Digest, damage: &mut Vec<Damaged>) -> Result<bool, StepError> {
        if self.whole.contains(digest) {
            return Ok(true);
        }
        let path = path_of(digest);
        if !matches!(host.inspect(&path)?, Entry::File { .. }) {
            return Ok(false);
        }
        let found = host::digest_as(host, &path, digest.algorithm())?;
        if found == *digest {
            self.whole.insert(digest.clone());
            return Ok(true);
        }
        let one = Damaged { path, digest: digest.clone(), found };
        if !damage.contains(&one) {
            damage.push(one);
        }
        Ok(false)
    }
}

/// Lets containerd forget what is damaged, so that it fetches it again instead of taking the file for what its name says.
pub(super) fn discard(host: &dyn Host, damage: &[Damaged]) -> Result<(), StepError> {
    for one in damage {
        // Where a run was cut off between these two, containerd has forgotten it already, and says that it knows no such thing.
        host.run(&ctr(["content", "rm", &one.digest.to_string()]))?;
        // containerd removes the file when it next tidies up: until then it would be found, and taken.
        host.alter(Alteration::RemoveFile { path: &one.path })?;
    }
    Ok(())
}

fn path_of(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm().as_str(), digest.hex())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use sealock_trust::Digest;

    use super::{BLOBS, Content};
    use crate::host::Local;

    fn put(root: &Path, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let folder = root.join(&BLOBS[1..]).join("sha256");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(digest.hex()), content).unwrap();
        digest
    }

    fn descriptor(digest: &Digest) -> String {
        format!(r#"{{"digest":"{digest}","size":5}}"#)
    }

    #[test]
    fn a_flipped_bit_in_any_blob_of_an_image_is_found_with_its_file() {
        let root = tempfile::tempdir().unwrap();
        let (config, layer) = (put(root.path(), b"{\"os\":1}"), put(root.path(), b"layer"));
        let manifest = format!(r#"{{"config":{},"layers":[{}]}}"#, descriptor(&config), descriptor(&layer));
        let manifest = put(root.path(), manifest.as_bytes());
        let elsewhere = Digest::sha256(b"another platform, which was never fetched");
        let index = format!(r#"{{"manifests":[{},{}]}}"#, descriptor(&elsewhere), descriptor(&manifest));
        let image = put(root.path(), index.as_bytes());
        let host = Local::rooted(root.path());
        let damage = || Content::default().damage(&host, &image).unwrap();
        assert_eq!(damage(), []);
        for digest in [&image, &manifest, &config, &layer] {
            let file = root.path().join(&BLOBS[1..]).join("sha256").join(digest.hex());
            let whole = fs::read(&file).unwrap();
            let mut flipped = whole.clone();
            flipped[2] ^= 1;
            fs::write(&file, &flipped).unwrap();
            let found = damage();
            assert_eq!(found.len(), 1, "{digest}");
            let words =
                format!("{BLOBS}/sha256/{} is not {digest} any more: it is {}", digest.hex(), Digest::sha256(&flipped));
            assert_eq!(found[0].to_string(), words);
            fs::write(&file, &whole[1..]).unwrap();
            assert_eq!(damage().len(), 1, "{digest} that was cut short");
            fs::write(&file, &whole).unwrap();
        }
        assert_eq!(damage(), []);
    }
}
