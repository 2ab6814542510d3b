//! Client certificates: asked for where the site has authorities for them, never demanded.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::*;

use crate::access::document::CertificateName;
use crate::access::identity::is_name;
use crate::access::{Access, AccessError};
use crate::clock::Clock;

/// Longest file of authorities, in bytes.
const LONGEST: u64 = 1 << 20;

/// Who issues client certificates, and where the name of their holder stands.
#[derive(Debug)]
pub(crate) struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
    name: CertificateName,
}

impl Authorities {
    /// Reads the authorities of a PEM file.
    ///
    /// # Errors
    /// [`AccessError::Read`] and [`AccessError::Authorities`].
    pub(crate) fn read(path: &std::path::Path, name: CertificateName) -> Result<Self, AccessError> {
        let unfit = |problem: String| AccessError::Authorities { path: path.to_owned(), problem };
        let pem = crate::access::read_file(path, LONGEST)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unfit(error.to_string()))?;
            roots.add(certificate).map_err(|error| unfit(error.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = builder.allow_unauthenticated().build().map_err(|error| unfit(error.to_string()))?;
        Ok(Self { verifier, name })
    }

    /// The name of the holder of a certificate, if the authorities vouch for it at this moment: a session that goes on does
    /// so with what was true when it began.
    pub(crate) fn holder(&self, chain: &[CertificateDer<'_>], clock: &Clock) -> Option<Box<str>> {
        let (leaf, rest) = chain.split_first()?;
        self.verifier.verify_client_cert(leaf, rest, clock.current_time()?).ok()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        name_in(&certificate, self.name).filter(|name| is_name(name)).map(Into::into)
    }
}

fn name_in(certificate: &X509Certificate<'_>, place: CertificateName) -> Option<String> {
    if place == CertificateName::CommonName {
        return certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned);
    }
    let names = certificate.subject_alternative_name().ok().flatten()?;
    names.value.general_names.iter().find_map(|name| match (name, place) {
        (GeneralName::DNSName(name), CertificateName::DnsName) | (GeneralName::URI(name), CertificateName::Uri) => {
            Some((*name).to_owned())
        }
        _ => None,
    })
}

/// Judges client certificates by the authorities of the moment, so that these are replaced without a pause.
#[derive(Debug)]
pub(crate) struct ClientCertificates {
    access: Arc<Access>,
    provider: CryptoProvider,
}

impl ClientCertificates {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self { access, provider: aws_lc_rs::default_provider() }
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn offer_client_auth(&self) -> bool {
        self.access.policy().authorities.is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients show what they were told to show.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.access.policy().authorities {
            Some(authorities) => authorities.verifier.verify_client_cert(end_entity, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
