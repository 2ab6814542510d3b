//! What was chosen becomes an artifact, with an SBOM beside it.

use std::collections::BTreeSet;

use sealock_bundle::ArtifactName;
use sealock_bundle::artifact::{self, Content, OCI_MANIFEST};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::os_packages::{
    self, ArchiveFacts, Described, INDEX, PACKAGE, Packaged, SetFacts, artifact_name, index_of,
};
use sealock_bundle::sbom;
use sealock_bundle::spec::OsPackageSet;
use sealock_trust::Digest;
use serde_json::json;

use super::super::Context;
use super::super::draft::Draft;
use super::archive::Known;
use crate::error::FetchError;
use crate::source::apt::{AptError, Offered};

/// The packages of a set for an architecture.
pub(super) struct Chosen<'a> {
    pub(super) set: &'a OsPackageSet,
    pub(super) architecture: &'a str,
    pub(super) archives: &'a [Known<'a>],
    pub(super) packages: &'a [&'a Offered],
}

impl Chosen<'_> {
    /// Adds artifact, packages and SBOM.
    pub(super) fn carry(&self, context: Context<'_>, draft: &mut Draft) -> Result<(), FetchError> {
        let name = artifact_name(&self.set.name, self.architecture);
        let name = name.map_err(|_| FetchError::Address { name: self.set.name.to_string() })?;
        let mut packages: Vec<Packaged> = self.packages.iter().map(|one| one.package.clone()).collect();
        let unfit = |source| AptError::Set { set: self.set.name.to_string(), source };
        let index = index_of(&mut packages).map_err(unfit)?;
        let contents: Vec<Content> = packages.iter().map(content).collect();
        let made = self.facts().artifact(&index, &contents);
        let manifest = made.blobs.first().map_or(0, |blob| blob.size);
        draft.blobs(made.blobs);
        draft.blobs([artifact::generated(INDEX, BlobRole::Layer, &index)]);
        for one in self.packages {
            draft.blobs([self.blob(one)?]);
        }
        self.describe((&name, &made.digest, manifest), draft)?;
        draft.reference(LockedReference {
            name,
            kind: ReferenceKind::OsPackages,
            digest: made.digest,
            media_type: OCI_MANIFEST.to_owned(),
            platform: self.platform(context),
            subject: None,
            source: self.sources(),
            requested_by: vec!["spec.osPackages".to_owned()],
            verdict: self.verdict(),
        })
    }

    fn facts(&self) -> SetFacts {
        let archive = |known: &Known<'_>| ArchiveFacts {
            uri: known.archive.0.uri.clone(),
            suite: known.archive.0.suite.clone(),
            components: known.archive.0.components.clone(),
            keyring: known.vouched.keyring.clone(),
        };
        let wanted: BTreeSet<String> = self.set.packages.iter().cloned().collect();
        SetFacts {
            name: self.set.name.clone(),
            architecture: self.architecture.to_owned(),
            archives: self.archives.iter().map(archive).collect(),
            wanted: wanted.into_iter().collect(),
        }
    }

    /// The package, where its archive has it.
    fn blob(&self, one: &Offered) -> Result<LockedBlob, FetchError> {
        let package = &one.package;
        let url = self.archives.get(one.archive).and_then(|known| known.archive.url(&package.path));
        let url = url.ok_or_else(|| FetchError::Address { name: package.path.clone() })?;
        Ok(LockedBlob {
            digest: package.digest.clone(),
            size: package.size,
            media_type: PACKAGE.to_owned(),
            role: BlobRole::Layer,
            source: BlobSource::Http { url: url.to_string(), inner: None },
        })
    }

    /// Adds the SBOM, which refers to the artifact.
    fn describe(
        &self,
        (name, subject, size): (&ArtifactName, &Digest, u64),
        draft: &mut Draft,
    ) -> Result<(), FetchError> {
        let origin = |one: &Offered| self.archives.get(one.archive).and_then(|known| known.release.origin.as_deref());
        let mut described: Vec<Described<'_>> =
            self.packages.iter().map(|one| Described { package: &one.package, origin: origin(one) }).collect();
        described.sort_by(|a, b| (&a.package.name, &a.package.version).cmp(&(&b.package.name, &b.package.version)));
        let bytes = os_packages::spdx(name.as_str(), subject, &described);
        let title = format!("{}-{}.spdx.json", self.set.name, self.architecture);
        let content = Content { digest: Digest::sha256(&bytes), size: bytes.len() as u64, title };
        let descriptor = json!({"mediaType": OCI_MANIFEST, "digest": subject, "size": size});
        let made = artifact::of_sbom(&content, &descriptor);
        draft.blobs(made.blobs);
        draft.blobs([artifact::generated(sbom::SPDX, BlobRole::Layer, &bytes)]);
        let at = format!("{}@{}", name.repository(), made.digest);
        draft.reference(LockedReference {
            name: at.parse().map_err(|_| FetchError::Address { name: at.clone() })?,
            kind: ReferenceKind::Referrer,
            digest: made.digest,
            media_type: OCI_MANIFEST.to_owned(),
            platform: None,
            subject: Some(subject.clone()),
            source: format!("the packages of {name}"),
            requested_by: vec!["spec.osPackages".to_owned()],
            verdict: Verdict::new(VerdictRule::Local).because("made of the index by `sealock lock`"),
        })
    }

    fn platform(&self, context: Context<'_>) -> Option<sealock_bundle::names::Platform> {
        let platforms = &context.request.bundle.spec.platforms;
        platforms.iter().find(|platform| os_packages::architecture(platform) == Some(self.architecture)).cloned()
    }

    /// As `sources.list` has them.
    fn sources(&self) -> String {
        let line = |known: &Known<'_>| format!("{} {}", known.archive.label(), known.archive.0.components.join(" "));
        self.archives.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    /// The indexes are signed, and name the SHA-256 of each package.
    fn verdict(&self) -> Verdict {
        let keyrings: BTreeSet<&Digest> = self.archives.iter().map(|known| &known.vouched.keyring).collect();
        let signers: BTreeSet<&str> =
            self.archives.iter().flat_map(|known| &known.vouched.signers).map(String::as_str).collect();
        let labels: Vec<String> = self.archives.iter().map(|known| known.archive.label()).collect();
        let reason = format!("signed indexes name the SHA-256 of each package: {}", labels.join("; "));
        Verdict {
            // Where the archives have several, the config of the set names each.
            key: keyrings.first().filter(|_| keyrings.len() == 1).map(|digest| (*digest).clone()),
            identity: Some(signers.into_iter().collect::<Vec<_>>().join(", ")),
            ..Verdict::new(VerdictRule::Gpg)
        }
        .because(reason)
    }
}

fn content(package: &Packaged) -> Content {
    Content { digest: package.digest.clone(), size: package.size, title: package.file_name() }
}
