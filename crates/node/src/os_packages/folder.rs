//! The folders that packages are laid down in, and what is in them.

use sealock_trust::{Algorithm, Digest, Hasher};

use super::FOLDER;
use crate::error::StepError;
use crate::host::{self, Entry, Host};

/// The folder of the set `name`.
pub(crate) fn set_folder(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Where `file` of the set `name` is.
pub(crate) fn place_of(name: &str, file: &str) -> String {
    format!("{FOLDER}/{name}/{file}")
}

/// Whether `name` can be one part of a path, and names nothing that is hidden.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\n', ' '])
}

/// The digest of all that lies in the folders of `sets`: names, and the digests of what they name. Whatever is missing, changed or too much
/// gives another one.
pub(crate) fn contents(host: &dyn Host, sets: &[&str]) -> Result<Digest, StepError> {
    let mut lines = Vec::new();
    for set in sets {
        let folder = set_folder(set);
        for file in host.list(&folder)? {
            let place = format!("{folder}/{file}");
            match host.inspect(&place)? {
                Entry::File { .. } => lines.push(line(set, &file, &host::digest(host, &place)?)),
                _ => lines.push(format!("{set}/{file} is no file\n")),
            }
        }
    }
    Ok(of_lines(lines))
}

/// What [`contents`] is where exactly `files` lie there: set, name and digest.
pub(crate) fn contents_of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str, &'a Digest)>) -> Digest {
    of_lines(files.into_iter().map(|(set, file, digest)| line(set, file, digest)).collect())
}

fn line(set: &str, file: &str, digest: &Digest) -> String {
    format!("{set}/{file} {digest}\n")
}

fn of_lines(mut lines: Vec<String>) -> Digest {
    lines.sort();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    lines.iter().for_each(|line| hasher.update(line.as_bytes()));
    hasher.finish()
}
