//! Upstream signatures, as cosign makes them: in its first form (simple signing) and as Sigstore bundles, by a key or by an
//! identity; and OpenPGP signatures.

mod bundle;
mod demand;
mod keyless;
mod logged;
pub(crate) mod openpgp;
pub(crate) mod rule_file;
mod simple;

use sealock_trust::Digest;
use sealock_trust::reason::Code;

pub(crate) use demand::Demand;

use crate::error::FetchError;
use crate::http::{Expected, Http};
use crate::source::oci::{Content, Descriptor, Repository};
use crate::source::referrers::{Referrer, SIGSTORE_BUNDLE};

/// A Sigstore bundle, or a signed payload, is larger nowhere.
pub(crate) const SIGNED_LIMIT: u64 = 1 << 20;
/// Signatures that are looked at for one image.
pub(crate) const CANDIDATES: usize = 64;

/// An image whose signature is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) digest: &'a Digest,
}

/// A signature that satisfies the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holds {
    /// Which of the referrers it stands in.
    pub(crate) referrer: usize,
    /// Who signed it, where a certificate says so.
    pub(crate) signer: Option<Signer>,
}

/// Who signed, by whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) identity: String,
    pub(crate) issuer: String,
}

/// Why one signature does not satisfy the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl Unfit {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Looks for a signature that satisfies `demand`: one is enough; the reasons of all others are told where there is none.
pub(crate) async fn check(
    http: &Http,
    signed: Signed<'_>,
    referrers: &[Referrer],
    demand: &Demand,
) -> Result<Holds, FetchError> {
    let candidates: Vec<(usize, &Descriptor)> = candidates(referrers).collect();
    let image = format!("{}@{}", signed.repository, signed.digest);
    if candidates.is_empty() {
        return Err(FetchError::NoSignature { image });
    }
    if candidates.len() > CANDIDATES {
        let what = format!("it has {} signatures, and at most {CANDIDATES} are borne", candidates.len());
        return Err(FetchError::Referrers { image, what });
    }
    let mut unfit = Vec::new();
    for (referrer, layer) in candidates {
        match judge(http, signed, layer, demand).await? {
            Ok(signer) => return Ok(Holds { referrer, signer }),
            Err(reason) => unfit.push(reason),
        }
    }
    Err(FetchError::BadSignature { image, by: demand.to_string(), code: worst(&unfit), reason: list(&unfit) })
}

fn candidates(referrers: &[Referrer]) -> impl Iterator<Item = (usize, &Descriptor)> {
    let is_signed = |layer: &&Descriptor| is_bundle(layer) || layer.media_type == simple::PAYLOAD;
    referrers.iter().enumerate().filter(|(_, referrer)| referrer.is_signature).flat_map(move |(number, referrer)| {
        let layers = match &referrer.fetched.content {
            Content::Manifest { layers, .. } => layers.as_slice(),
            Content::Index(_) => &[],
        };
        layers.iter().filter(is_signed).map(move |layer| (number, layer))
    })
}

fn is_bundle(layer: &Descriptor) -> bool {
    layer.media_type.starts_with(SIGSTORE_BUNDLE)
}

async fn judge(
    http: &Http,
    signed: Signed<'_>,
    layer: &Descriptor,
    demand: &Demand,
) -> Result<Result<Option<Signer>, Unfit>, FetchError> {
    if layer.size > SIGNED_LIMIT {
        return Ok(Err(Unfit::new(Code::Limit, "what is signed is too large")));
    }
    let request = http.blob_request(signed.repository, &layer.digest)?;
    let (bytes, _) = http.read(&request, &Expected::exactly(&layer.digest, layer.size)).await?;
    if !is_bundle(layer) {
        return Ok(simple::judge(signed, layer, &bytes, demand));
    }
    // A message signature is one over the image's manifest itself.
    let manifest = http.manifest(signed.repository, &signed.digest.to_string()).await?;
    Ok(bundle::judge(signed, &manifest.bytes, &bytes, demand))
}

/// Codes by how much they say: a binding that does not hold is worse news than a signature by another key.
fn worst(unfit: &[Unfit]) -> Code {
    let order = [Code::TlogBinding, Code::VersionFloor, Code::Subject, Code::Identity];
    let told = |code: &&Code| unfit.iter().any(|unfit| unfit.code == **code);
    let first = unfit.first().map_or(Code::Sig, |unfit| unfit.code);
    order.iter().find(told).copied().unwrap_or(first)
}

fn list(unfit: &[Unfit]) -> String {
    unfit.iter().map(|unfit| unfit.reason.as_str()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sealock_bundle::spec::{Claims, KeyRule};

    use super::*;

    const DIGEST: &str = "sha256:ea4b841f3d02d046910d4a51f91d91260e1d65c146654df8394fadcdcc7bacf7";

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/cosign-3.1.3"))
    }

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(folder().join(name)).unwrap()
    }

    fn demand(signed_as: &[&str]) -> Demand {
        let claims =
            Claims { signed_as: signed_as.iter().map(|text| (*text).to_owned()).collect(), ..Claims::default() };
        Demand::by_key(&KeyRule { file: "cosign.pub".into(), claims }, folder()).unwrap()
    }

    #[test]
    fn what_cosign_wrote_is_judged() {
        let repository = Repository { host: "quay.io".to_owned(), path: "team/tool".to_owned() };
        let (digest, other) = (DIGEST.parse().unwrap(), Digest::sha256(b"another"));
        let (signed, moved) =
            (Signed { repository: &repository, digest: &digest }, Signed { repository: &repository, digest: &other });
        let bundle = |signed, name| bundle::judge(signed, b"", &file(name), &demand(&[])).map_err(|unfit| unfit.code);
        assert_eq!(bundle(signed, "bundle.json"), Ok(None));
        assert_eq!(bundle(moved, "bundle.json"), Err(Code::Subject));
        assert_eq!(bundle(signed, "attestation.json"), Err(Code::Subject));
        let layer: Descriptor = serde_json::from_slice(&file("simple-layer.json")).unwrap();
        let simple = |signed, signed_as: &[&str]| {
            simple::judge(signed, &layer, &file("simple.json"), &demand(signed_as)).map_err(|unfit| unfit.code)
        };
        assert_eq!(simple(signed, &["127.0.0.1:5599/quay.io/*"]), Ok(None));
        assert_eq!(simple(signed, &[]), Err(Code::Subject));
        assert_eq!(simple(moved, &["*"]), Err(Code::Subject));
    }
}
