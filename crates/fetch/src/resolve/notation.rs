//! Checks images that are signed with Notation (Notary Project), by the `notation` of this machine.
//!
//! It is given one image and one signature at a time as an OCI layout, and asks the network for nothing.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::lock::{Verdict, VerdictRule};
use sealock_bundle::spec::NotationRule;
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use serde_json::json;

use super::{Context, tools};
use crate::error::FetchError;
use crate::http::Expected;
use crate::signature::{CANDIDATES, SIGNED_LIMIT, Signed, rule_file};
use crate::source::layout::{self, Layout};
use crate::source::oci::{Content, Descriptor, Fetched};
use crate::source::referrers::{NOTATION, Referrer};

/// Authorities of a whole company are a few.
const CERTIFICATES_LIMIT: u64 = 1 << 20;
/// What the trust store is called.
const STORE: &str = "sealock";

/// Looks for a signature that satisfies `rule`: what it came to, and which of the referrers it stands in.
pub(super) async fn judge(
    context: Context<'_>,
    signed: Signed<'_>,
    referrers: &[Referrer],
    rule: &NotationRule,
) -> Result<(Verdict, usize), FetchError> {
    let image = format!("{}@{}", signed.repository, signed.digest);
    let candidates: Vec<(usize, &Fetched)> = candidates(referrers).collect();
    if candidates.is_empty() {
        let place = "Notation signature that refers to it".to_owned();
        return Err(FetchError::NotSigned { what: image, place });
    }
    if candidates.len() > CANDIDATES {
        let what = format!("it has {} signatures, and at most {CANDIDATES} are borne", candidates.len());
        return Err(FetchError::Referrers { image, what });
    }
    let check = Check::prepare(context, signed, rule).await?;
    let mut reasons = Vec::new();
    for (referrer, signature) in candidates {
        match check.verify(context, signed, signature).await? {
            Ok(()) => return Ok((check.verdict(rule), referrer)),
            Err(reason) => reasons.push(reason),
        }
    }
    let by = format!("{} by the certificates {}", rule.identity, check.file.display());
    Err(FetchError::BadSignature { image, by, code: Code::Sig, reason: reasons.join("; ") })
}

fn candidates(referrers: &[Referrer]) -> impl Iterator<Item = (usize, &Fetched)> {
    let is_candidate = |referrer: &&Referrer| referrer.artifact_type == NOTATION;
    let numbered = referrers.iter().enumerate();
    numbered.filter(move |(_, referrer)| is_candidate(referrer)).map(|(number, referrer)| (number, &referrer.fetched))
}

/// What all signatures of one image are checked with.
struct Check {
    program: PathBuf,
    file: PathBuf,
    certificates: Digest,
    image: Fetched,
    /// The home that `notation` sees.
    home: tempfile::TempDir,
}

impl Check {
    async fn prepare(context: Context<'_>, signed: Signed<'_>, rule: &NotationRule) -> Result<Self, FetchError> {
        let asked = || format!("{}@{}", signed.repository, signed.digest);
        let program = tools::find(context, "notation");
        let program = program.ok_or_else(|| FetchError::NoTool { tool: "notation", asked: asked() })?;
        let file = context.request.folder.join(&rule.certificates);
        let certificates = read(&file)?;
        let home = tempfile::tempdir_in(context.work);
        let home = home.map_err(|source| FetchError::io("make a folder in", context.work, source))?;
        let config = home.path().join(".config/notation");
        configure(&config.join("trustpolicy.json"), policy(&rule.identity).as_bytes())?;
        configure(&config.join(format!("truststore/x509/ca/{STORE}/certificates.pem")), &certificates)?;
        let image = context.http.manifest(signed.repository, &signed.digest.to_string()).await?;
        Ok(Self { program, file, certificates: Digest::sha256(&certificates), image, home })
    }

    /// Checks one signature; why it does not hold, where it does not.
    async fn verify(
        &self,
        context: Context<'_>,
        signed: Signed<'_>,
        signature: &Fetched,
    ) -> Result<Result<(), String>, FetchError> {
        let Content::Manifest { config, layers } = &signature.content else {
            return Ok(Err("an index is no signature".to_owned()));
        };
        let parts: Vec<&Descriptor> = std::iter::once(config).chain(layers).collect();
        if parts.iter().any(|part| part.size > SIGNED_LIMIT) || parts.len() > 2 {
            return Ok(Err("what is signed is too large".to_owned()));
        }
        let folder = tempfile::tempdir_in(self.home.path());
        let folder = folder.map_err(|source| FetchError::io("make a folder in", self.home.path(), source))?;
        let layout = Layout(folder.path());
        for part in parts {
            let request = context.http.blob_request(signed.repository, &part.digest)?;
            let (bytes, _) = context.http.read(&request, &Expected::exactly(&part.digest, part.size)).await?;
            layout::write(&layout.blob(&part.digest)?, &bytes)?;
        }
        layout.finish(&[&self.image, signature])?;
        self.run(folder.path(), signed.digest).await
    }

    async fn run(&self, layout: &Path, digest: &Digest) -> Result<Result<(), String>, FetchError> {
        let image = format!("{}@{digest}", layout.display());
        let arguments = ["verify", "--verbose", "--oci-layout", &image, "--scope", "sealock/lock"].map(str::to_owned);
        let program = tools::Program {
            path: &self.program,
            home: self.home.path(),
            set: &[("NOTATION_EXPERIMENTAL", "1")],
            patience: tools::PATIENCE,
        };
        let output = program.output(&arguments).await;
        let output = output.map_err(|source| FetchError::io("run", &self.program, source))?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        Ok(Err(said(&String::from_utf8_lossy(&output.stderr))))
    }

    fn verdict(&self, rule: &NotationRule) -> Verdict {
        let (key, identity) = (Some(self.certificates.clone()), Some(rule.identity.clone()));
        Verdict { key, identity, ..Verdict::new(VerdictRule::Notation) }
    }
}

/// The reason that `notation --verbose` gives for a signature; paths of temporary folders mean nothing to anybody.
fn said(text: &str) -> String {
    let reason = |mark: &str| text.lines().find_map(|line| Some(line.split_once(mark)?.1.trim().to_owned()));
    let last = || text.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned());
    let reason = reason("Failure reason: ").or_else(|| reason("failed verification with error: ")).or_else(last);
    reason.unwrap_or_else(|| "notation does not find it good".to_owned())
}

/// One authority, strictly; only revocation, which has to be asked for over the network, is left out.
fn policy(identity: &str) -> String {
    json!({
        "version": "1.0",
        "trustPolicies": [{
            "name": STORE,
            "registryScopes": ["*"],
            "signatureVerification": {"level": "strict", "override": {"revocation": "skip"}},
            "trustStores": [format!("ca:{STORE}")],
            "trustedIdentities": [identity],
        }],
    })
    .to_string()
}

fn read(file: &Path) -> Result<Vec<u8>, FetchError> {
    let bytes = rule_file::read(file, "read the certificates", CERTIFICATES_LIMIT)?;
    match String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(bytes),
        false => {
            let reason = "it holds no certificate in PEM".to_owned();
            Err(FetchError::RuleFile { path: file.to_owned(), reason })
        }
    }
}

/// Writes a file of the configuration, its folders made.
fn configure(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|source| FetchError::io("make", folder, source))?;
    layout::write(path, bytes)
}
