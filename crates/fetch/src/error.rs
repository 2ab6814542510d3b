//! Everything that can go wrong while gathering.

mod words;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use sealock_bundle::document::DocumentError;
use sealock_bundle::names::ParseNameError;
use sealock_bundle::{ArchiveError, ArtifactName, Reference};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::source::apt::AptError;
use crate::upstream::{Failure, UpstreamError};
use words::{decisions, known_versions, list, list_guesses};

/// Why gathering failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// An upstream did not give what was wanted.
    #[error(transparent)]
    Upstream(Box<UpstreamError>),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Client {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A certificate authority of the settings is unusable.
    #[error("{}: not a usable certificate authority: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Docker's `config.json` cannot be understood.
    #[error("{}: not a docker config.json", path.display())]
    DockerConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No address can be made of a name.
    #[error("no address can be made of the name {name:?}")]
    Address {
        /// The name.
        name: String,
    },
    /// The component table, or the spec's choice from it.
    #[error(transparent)]
    Components(#[from] sealock_bundle::components::ComponentsError),
    /// The table of add-ons, or the spec's choice from it.
    #[error(transparent)]
    AddOns(#[from] sealock_bundle::add_ons::AddOnsError),
    /// An archive of Debian packages, or what the spec wants of it.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// kubeadm does not tell which images it needs.
    #[error("kubeadm {version} does not tell which images it needs: {said}")]
    Kubeadm {
        /// Its version.
        version: String,
        /// What it said.
        said: String,
    },
    /// An image cannot be resolved.
    #[error("cannot resolve the image {image}, which is asked for by {}", requested_by.join(", "))]
    Image {
        /// The image.
        image: String,
        /// Who asks for it.
        requested_by: Vec<String>,
        /// Why.
        source: Box<FetchError>,
    },
    /// A chart in a registry cannot be resolved.
    #[error("cannot resolve {chart}")]
    Chart {
        /// The chart.
        chart: String,
        /// Why.
        source: Box<FetchError>,
    },
    /// No rule says who must have signed an image.
    #[error("no rule under `verify` says who must have signed {}", list(images))]
    NoRule {
        /// All such images.
        images: Vec<Unruled>,
    },
    /// The spec says nothing about what looks like an image.
    #[error("the spec neither accepts nor refuses what looks like an image:{}", list_guesses(guesses))]
    Undecided {
        /// All such guesses.
        guesses: Vec<UndecidedGuess>,
    },
    /// One name would stand for two digests.
    #[error("{name} would stand for two digests, {first} and {second}")]
    TwoDigests {
        /// The name.
        name: ArtifactName,
        /// One digest.
        first: Digest,
        /// The other.
        second: Digest,
    },
    /// Nothing in an image is for a platform of the spec.
    #[error("{image} has nothing for {}, only for {}", wanted.join(" or "), found.join(", "))]
    NoPlatform {
        /// The image.
        image: String,
        /// The platforms of the spec.
        wanted: Vec<String>,
        /// Those of the image.
        found: Vec<String>,
    },
    /// A public key of the spec is unusable.
    #[error("{}: not a usable public key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sealock_trust::key::KeyError,
    },
    /// An image that must be signed is not.
    #[error("{image} is not signed: no signature refers to it, and cosign's tag for one is not there")]
    NoSignature {
        /// The image.
        image: String,
    },
    /// What must be signed is not.
    #[error("{what} is not signed: there is no {place}")]
    NotSigned {
        /// The chart, file or image.
        what: String,
        /// Where the signature was looked for.
        place: String,
    },
    /// A program of this machine is needed, and is not there.
    #[error("{tool} is not installed, and {asked} is to be checked with it")]
    NoTool {
        /// The program.
        tool: &'static str,
        /// For what.
        asked: String,
    },
    /// What lies where an SBOM is kept is none.
    #[error("{} cannot be carried: {reason}", path.display())]
    Sbom {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// syft makes no SBOM of an image.
    #[error("syft makes no SBOM of {image}: {said}")]
    Syft {
        /// The image.
        image: String,
        /// What it said.
        said: String,
    },
    /// No signature of an image satisfies its rule.
    #[error("no signature of {image} holds for {by}: {reason}")]
    BadSignature {
        /// The image.
        image: String,
        /// By whom it must be signed.
        by: String,
        /// The code of the worst that is wrong.
        code: Code,
        /// What is wrong with each signature.
        reason: String,
    },
    /// More refers to an image than is borne.
    #[error("{image}: {what}")]
    Referrers {
        /// The image.
        image: String,
        /// What is too much.
        what: String,
    },
    /// Two rules of the spec cover an image equally well, and differ.
    #[error("{image} is covered by {:?} and by {:?} equally well, and these demand different things", conflict.first, conflict.second)]
    RuleConflict {
        /// The image.
        image: String,
        /// The patterns.
        conflict: sealock_bundle::spec::RuleConflict,
    },
    /// The verdicts cannot be restated.
    #[error("the verdicts cannot be restated")]
    Summary {
        /// Why.
        source: sealock_bundle::summary::SummaryError,
    },
    /// A file that a rule rests on is unusable.
    #[error("{}: not usable for a rule: {reason}", path.display())]
    RuleFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The spec gives a chart no source, or two.
    #[error("{chart}: either `repository` (https://…) or `oci` says where it is from")]
    ChartSource {
        /// The chart.
        chart: String,
    },
    /// A repository has no such chart.
    #[error("{repository} has no chart {name} {version}{}", known_versions(known))]
    NoChart {
        /// The chart.
        name: String,
        /// The version asked for.
        version: String,
        /// The repository.
        repository: String,
        /// Some versions that it has.
        known: Vec<String>,
    },
    /// What should be a chart is none.
    #[error("{chart}: not a Helm chart: {reason}")]
    ChartArchive {
        /// The chart.
        chart: String,
        /// What is wrong.
        reason: String,
    },
    /// A chart does not render.
    #[error("{chart} does not render: {said}")]
    ChartRender {
        /// The chart.
        chart: String,
        /// What Helm said.
        said: String,
    },
    /// A rendered chart or a manifest file is not YAML.
    #[error("{origin} is not YAML at line {line}: {reason}")]
    Objects {
        /// The file, or the chart and its template.
        origin: String,
        /// The line.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Where an image should stand there is something else.
    #[error("{place}: {text:?} is not an image that can be carried")]
    NotAnImage {
        /// What stands there.
        text: String,
        /// Where.
        place: String,
        /// Why it is none.
        source: ParseNameError,
    },
    /// A placeholder in a file is wrong, or cannot be filled in.
    #[error(transparent)]
    Parameters {
        /// What and where.
        source: DocumentError,
    },
    /// A file that is to be carried as Sealock's own binary is none.
    #[error("{} cannot be carried as Sealock's inside binary: {reason}", path.display())]
    Binary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// `DIGEST` where it is another file than the spec pins, else `TYPE_MISMATCH`.
        code: Code,
    },
    /// A secret would be carried that the spec does not accept.
    #[error("{place}: {what} would be carried, and the spec does not accept {name}")]
    Secret {
        /// Where it stands.
        place: String,
        /// What it is.
        what: &'static str,
        /// What to accept it by.
        name: String,
    },
    /// A path under `manifests` holds none.
    #[error("there are no manifests (.yaml, .yml, .json) in {}", path.display())]
    NoManifests {
        /// The path.
        path: PathBuf,
    },
    /// A file or folder of this machine.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The bundle cannot be written, or the lock is not fit for it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A local file is no longer what was locked.
    #[error("{} has changed since the lock was made: it must have {expected}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The digest in the lock.
        expected: Digest,
    },
    /// A member of an archive is asked for, which this version does not take out.
    #[error("the lock wants {inner} out of {url}, and this version takes whole files only")]
    Member {
        /// The archive.
        url: String,
        /// The member.
        inner: String,
    },
    /// A thread of ours panicked.
    #[error("a part of the work ended unexpectedly")]
    Panicked {
        /// What is known of it.
        source: tokio::task::JoinError,
    },
}

/// An image for which there is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unruled {
    /// The image.
    pub image: Reference,
    /// Who asks for it.
    pub requested_by: Vec<String>,
}

/// A guess that the spec says nothing about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecidedGuess {
    /// The image that it would be.
    pub image: Reference,
    /// Where it stands.
    pub places: Vec<String>,
}

impl FetchError {
    pub(crate) fn panicked(source: tokio::task::JoinError) -> Self {
        Self::Panicked { source }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// Whether something untrusted or invalid was refused: trying again will not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the surroundings are to blame: the same command may succeed later.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Upstream(error) => error.failure.may_pass(),
            Self::Image { source, .. } | Self::Chart { source, .. } => source.is_environment(),
            Self::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Archive(error) => error.is_environment(),
            Self::NoTool { .. } => true,
            _ => false,
        }
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Upstream(error) => error.failure.is_refusal().then_some(Code::UpstreamDigest),
            Self::Image { source, .. } | Self::Chart { source, .. } => {
                let missing = matches!(&**source, Self::Upstream(error) if error.failure == Failure::NotFound);
                if missing { Some(Code::Unresolved) } else { source.code() }
            }
            Self::Components(source) => source.code(),
            Self::AddOns(source) => source.code(),
            Self::Apt(source) => Some(source.code()),
            Self::NoRule { .. } | Self::NoSignature { .. } | Self::NotSigned { .. } => Some(Code::Unsigned),
            Self::BadSignature { code, .. } | Self::Binary { code, .. } => Some(*code),
            Self::Referrers { .. } => Some(Code::Limit),
            Self::Key { source, .. } => Some(source.code()),
            Self::TwoDigests { .. } => Some(Code::Conflict),
            Self::Archive(error) => error.code(),
            Self::Changed { .. } => Some(Code::Digest),
            Self::ChartSource { .. }
            | Self::Secret { .. }
            | Self::Parameters { .. }
            | Self::NoManifests { .. }
            | Self::RuleConflict { .. }
            | Self::RuleFile { .. }
            | Self::Sbom { .. } => Some(Code::Spec),
            Self::NoPlatform { .. }
            | Self::NoChart { .. }
            | Self::ChartArchive { .. }
            | Self::ChartRender { .. }
            | Self::Objects { .. }
            | Self::NotAnImage { .. }
            | Self::Undecided { .. } => Some(Code::Unresolved),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Upstream(error) => error.failure.hint(),
            Self::Image { source, .. } | Self::Chart { source, .. } => return source.hint(),
            Self::Apt(source) => source.hint()?,
            Self::Undecided { guesses } => return Some(decisions(guesses)),
            Self::Archive(ArchiveError::DiskFull { .. }) => {
                "make room on the disk and run the same command again; what was fetched is kept"
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on the disk and run the same command again; what was fetched is kept"
            }
            Self::NoRule { .. } => {
                "add a rule under `verify`: {match: \"registry.k8s.io/*\", unsigned: \"why it may come unsigned\"} or {match: …, key: keys/upstream.pub} or {match: …, keyless: {…}}"
            }
            Self::NoSignature { .. } => {
                "check the rule of this image; if its upstream signs nothing, say so: {unsigned: \"why\"}"
            }
            Self::NotSigned { .. } => "check the rule, and where its publisher keeps signatures",
            Self::Sbom { .. } => "remove it, and it is made anew",
            Self::NoTool { .. } => {
                "install it, and see that it is in the PATH; Debian and Ubuntu have `gpgv` as a package"
            }
            Self::Referrers { .. } => "carry less of it: `referrers: signatures` or `referrers: none`",
            Self::RuleConflict { .. } => "make one of the two patterns narrower, or give the image a rule of its own",
            Self::BadSignature { code: Code::Subject, .. } => {
                "do not carry this image until its publisher explains; a signature that was made under another name is allowed by `signedAs`"
            }
            Self::BadSignature { .. } => {
                "do not carry this image until its publisher explains: compare the key or identity with the one the publisher announces"
            }
            Self::NotAnImage { .. } => {
                "correct the reference; if it is computed at run time, name the real image under `images` of the chart or of the spec"
            }
            Self::Secret { .. } => {
                "keep the secret out of the bundle (App takes it from a file at the station), or accept it by name under `acceptSecrets`"
            }
            Self::ChartRender { .. } => "check the values files: Helm's own words stand above",
            Self::NoChart { .. } => "check name and version; `helm search repo --versions` lists what there is",
            Self::NoPlatform { .. } => "choose another tag, or change `platforms`",
            Self::TwoDigests { .. } => {
                "a tag moved while it was resolved, or a digest pins another image than its tag names: pin one digest everywhere"
            }
            Self::Changed { .. } => "run `sealock lock` again and review the change",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<UpstreamError> for FetchError {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(Box::new(error))
    }
}
