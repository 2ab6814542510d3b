//! One archive: its `Release`, which it has signed, and its indexes, which the `Release` names by their sums.

use jiff::Timestamp;
use sealock_bundle::os_packages::{IndexFile, Packaged, ReleaseFile, StanzaLimits};
use url::Url;

use super::super::Context;
use super::super::gpg::{Signed, Vouched};
use crate::blocking;
use crate::error::FetchError;
use crate::http::{Expected, FileLanding};
use crate::progress::Event;
use crate::signature::openpgp::SIGNATURE_LIMIT;
use crate::source::apt::{AptError, Archive, Compression, read_index};
use crate::upstream::Failure;

/// Bytes of a `Release` at most.
const RELEASE_LIMIT: u64 = 16 << 20;
/// Bytes of an index as it is fetched at most.
const INDEX_LIMIT: u64 = 256 << 20;

/// An archive whose `Release` was found good.
pub(super) struct Known<'a> {
    pub(super) archive: Archive<'a>,
    pub(super) release: ReleaseFile,
    pub(super) vouched: Vouched,
}

impl<'a> Known<'a> {
    /// Fetches the `Release` and checks it. `before` is the time of the one that the lock knows.
    pub(super) async fn fetch(
        context: Context<'_>,
        archive: Archive<'a>,
        before: Option<Timestamp>,
    ) -> Result<Self, FetchError> {
        let vouched = signed_release(context, archive).await?;
        let unfit = |source| AptError::Release { archive: archive.label(), source };
        let release = ReleaseFile::from_bytes(&vouched.text).map_err(unfit)?;
        archive.check_suite(&release)?;
        if let Some(until) = release.valid_until.filter(|until| *until < context.request.issued) {
            return Err(AptError::Expired { archive: archive.label(), until }.into());
        }
        if let Some(before) = before.filter(|before| release.date < *before) {
            return Err(AptError::Older { archive: archive.label(), date: release.date, before }.into());
        }
        Ok(Self { archive, release, vouched })
    }

    /// The packages for `architecture` in all of its components.
    pub(super) async fn packages(&self, context: Context<'_>, architecture: &str) -> Result<Vec<Packaged>, FetchError> {
        let mut packages = Vec::new();
        for component in &self.archive.0.components {
            let none = || AptError::NoIndex {
                archive: self.archive.label(),
                component: component.clone(),
                architecture: architecture.to_owned(),
            };
            let path = format!("{component}/binary-{architecture}/Packages");
            let index = self.index(&path).ok_or_else(none)?;
            packages.extend(index.read(context, architecture).await?);
            let of_all = self.index(&format!("{component}/binary-all/Packages")).filter(|_| self.release.has_all);
            if let Some(index) = of_all {
                packages.extend(index.read(context, architecture).await?);
            }
        }
        Ok(packages)
    }

    /// The index at `path`, packed as small as it is to be had.
    fn index(&self, path: &str) -> Option<Index<'_>> {
        let file = |compression: Compression| self.release.files.get(&format!("{path}{}", compression.suffix()));
        let (compression, packed) = Compression::ALL.iter().find_map(|one| Some((*one, file(*one)?)))?;
        let path = format!("{path}{}", compression.suffix());
        Some(Index { known: self, path, compression, packed, plain: file(Compression::None) })
    }

    fn address(&self, file: &str) -> Result<Url, FetchError> {
        address(self.archive, file)
    }
}

/// An index that the `Release` names.
struct Index<'a> {
    known: &'a Known<'a>,
    path: String,
    compression: Compression,
    packed: &'a IndexFile,
    /// What it is when it is unpacked, where the `Release` says so.
    plain: Option<&'a IndexFile>,
}

impl Index<'_> {
    async fn read(&self, context: Context<'_>, architecture: &str) -> Result<Vec<Packaged>, FetchError> {
        let limit = self.plain.map_or(StanzaLimits::INDEX.total, |plain| plain.size);
        for (size, limit) in [(self.packed.size, INDEX_LIMIT), (limit, StanzaLimits::INDEX.total)] {
            if size > limit {
                return Err(self.large(size, limit).into());
            }
        }
        let folder = tempfile::tempdir_in(context.work);
        let folder = folder.map_err(|source| FetchError::io("make a folder in", context.work, source))?;
        let file = folder.path().join("index");
        self.fetch(context, &file).await?;
        let (compression, of) = (self.compression, architecture.to_owned());
        let read = blocking::run(move || Ok(read_index(&file, compression, &of, limit))).await?;
        let index = read.map_err(|source| AptError::Index {
            archive: self.known.archive.label(),
            path: self.path.clone(),
            source,
        })?;
        if let Some((count, first)) = &index.unreadable {
            let archive = self.known.archive.label();
            let note = format!("{archive}: packages that cannot be read are left out ({count}): {first}");
            context.http.progress.report(&Event::Note(&note));
        }
        Ok(index.packages)
    }

    /// By its digest where the archive has it so: then it may change its indexes meanwhile.
    async fn fetch(&self, context: Context<'_>, file: &std::path::Path) -> Result<(), FetchError> {
        let expected = Expected::exactly(&self.packed.digest, self.packed.size);
        let (folder, _) = self.path.rsplit_once('/').unwrap_or_default();
        let by_hash = format!("{folder}/by-hash/SHA256/{}", self.packed.digest.hex());
        if self.known.release.by_hash {
            let request = context.http.file_request(&self.known.address(&by_hash)?);
            match context.http.download(&request, &expected, FileLanding::create(file)?).await {
                Err(FetchError::Upstream(error)) if error.failure == Failure::NotFound => {}
                fetched => return fetched.map(|_| ()),
            }
        }
        let request = context.http.file_request(&self.known.address(&self.path)?);
        context.http.download(&request, &expected, FileLanding::create(file)?).await.map(|_| ())
    }

    fn large(&self, size: u64, limit: u64) -> AptError {
        AptError::Large { archive: self.known.archive.label(), path: self.path.clone(), size, limit }
    }
}

/// `InRelease`, or `Release` with its signature beside it where there is none.
async fn signed_release(context: Context<'_>, archive: Archive<'_>) -> Result<Vouched, FetchError> {
    let what = format!("the Release of {}", archive.label());
    let keyring = &archive.0.signed_by;
    let inline = address(archive, "InRelease")?;
    if let Some(signature) = read(context, &inline, RELEASE_LIMIT).await? {
        return Signed { what: &what, keyring, signature: &signature }.archive(context, None).await;
    }
    let (release, place) = (address(archive, "Release")?, address(archive, "Release.gpg")?);
    let not_signed = || FetchError::NotSigned { what: what.clone(), place: format!("{inline} or {place}") };
    let signature = read(context, &place, SIGNATURE_LIMIT).await?.ok_or_else(not_signed)?;
    let text = read(context, &release, RELEASE_LIMIT).await?.ok_or_else(not_signed)?;
    Signed { what: &what, keyring, signature: &signature }.archive(context, Some(&text)).await
}

/// A small file; none where there is none.
async fn read(context: Context<'_>, url: &Url, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
    match context.http.read(&context.http.file_request(url), &Expected::at_most(limit)).await {
        Err(FetchError::Upstream(error)) if error.failure == Failure::NotFound => Ok(None),
        read => read.map(|(bytes, _)| Some(bytes)),
    }
}

fn address(archive: Archive<'_>, file: &str) -> Result<Url, FetchError> {
    archive.of_suite(file).ok_or_else(|| FetchError::Address { name: format!("{} {file}", archive.label()) })
}
