//! A request for a certificate (PKCS #10), as a host makes it: hostile until it was looked at.
//!
//! Whoever signs uses another program than this one, and may have it copy what the request asks for. So a request is taken only where it is,
//! byte by byte, what would be written of what was read: nothing stands in it that another reader could see.

use std::net::IpAddr;

use rcgen::PublicKeyData;
use sealock_trust::Digest;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, Oid,
};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, Pem, X509Name};

use super::Unfit;
use super::expected::{Expected, expected_at};
use crate::certificates::{key_pair, name_of, pem_of};
use crate::suitable::kind_of;

/// Bytes that a request has at most.
pub const MOST: usize = 16 << 10;
const LABEL: &str = "CERTIFICATE REQUEST";
/// What kubeadm signs requests with.
const SIGNED_WITH: [(Oid<'static>, bool); 5] = [
    (OID_PKCS1_SHA256WITHRSA, true),
    (OID_PKCS1_SHA384WITHRSA, true),
    (OID_PKCS1_SHA512WITHRSA, true),
    (OID_SIG_ECDSA_WITH_SHA256, false),
    (OID_SIG_ECDSA_WITH_SHA384, false),
];

/// A request whose own signature holds, and in which nothing stands but what is told here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Common name.
    pub name: String,
    /// What it is to be a member of.
    pub organizations: Vec<String>,
    /// Host names and addresses.
    pub names: Vec<String>,
    /// The kind of its key, in words.
    kind: String,
    key: Vec<u8>,
    der: Vec<u8>,
}

impl Request {
    /// The request in the PEM text `pem`: one, and nothing else.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn of(pem: &str) -> Result<Self, Unfit> {
        if pem.len() > MOST {
            return Err(Unfit::TooLarge);
        }
        let mut pems = Pem::iter_from_buffer(pem.as_bytes());
        let found = pems.next().and_then(Result::ok).filter(|found| found.label == LABEL).ok_or(Unfit::Unreadable)?;
        if pems.next().is_some() {
            return Err(Unfit::Unreadable);
        }
        Self::of_der(found.contents)
    }

    /// The request in the DER encoding `der`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn of_der(der: Vec<u8>) -> Result<Self, Unfit> {
        if der.len() > MOST {
            return Err(Unfit::TooLarge);
        }
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| Unfit::Unreadable)?;
        if !rest.is_empty() {
            return Err(Unfit::Unreadable);
        }
        let info = &request.certification_request_info;
        let Subject { name, organizations, der: subject } = subject(&info.subject)?;
        let asked = asked(&request)?;
        let written = sequence(&[&[2, 1, 0], &subject, info.subject_pki.raw, &attributes(&asked)]);
        if written != info.raw || signed(&written, &request)? != der {
            return Err(Unfit::Ambiguous);
        }
        let kind = kind_of(&info.subject_pki);
        if !kind.is_taken {
            return Err(Unfit::Key(kind.words));
        }
        request.verify_signature().map_err(|_| Unfit::Signature)?;
        let names = asked.iter().filter_map(name_of).collect();
        let key = info.subject_pki.raw.to_vec();
        Ok(Self { name, organizations, names, kind: kind.words, key, der })
    }

    /// The request, PEM, and nothing around it.
    pub fn pem(&self) -> String {
        pem_of(LABEL, &self.der)
    }

    /// The public key, as it stands in a certificate (DER).
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether the private key `key` (PEM) is its own.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        key_pair(key).is_ok_and(|key| key.subject_public_key_info() == self.key)
    }

    /// SHA-256 of its public key.
    pub fn public_key_hash(&self) -> Digest {
        Digest::sha256(&self.key)
    }

    /// Whether it asks for the same as `other`, for another key of the same kind.
    pub(crate) fn asks_as(&self, other: &Self) -> bool {
        let of = |one: &Self| {
            let mut names = one.names.clone();
            names.sort();
            (one.name.clone(), one.organizations.clone(), names, one.kind.clone())
        };
        of(self) == of(other)
    }

    /// Whether `node` may have what it asks for at `path`: `names` are the names and addresses by which its servers may be called, beside
    /// those that every control plane has.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self, path: &str, node: &str, names: &[String]) -> Result<(), Unfit> {
        let expected = expected_at(path).ok_or_else(|| Unfit::NotAsked(path.to_owned()))?;
        let name = expected.name(node);
        if self.name != name {
            return Err(Unfit::Name { found: self.name.clone(), wanted: name });
        }
        if !expected.organizations.iter().any(|known| self.organizations == *known) {
            let wanted = expected.organizations.last().map(|known| known.concat()).unwrap_or_default();
            return Err(Unfit::Organizations { found: self.organizations.join(", "), wanted });
        }
        match self.names.iter().find(|name| !may_be_called(name, &expected, node, names)) {
            Some(name) => Err(Unfit::Called(name.clone())),
            None => Ok(()),
        }
    }
}

fn may_be_called(name: &str, expected: &Expected, node: &str, names: &[String]) -> bool {
    let is_it = |one: &str| match (one.parse::<IpAddr>(), name.parse::<IpAddr>()) {
        (Ok(one), Ok(name)) => one == name,
        _ => one.eq_ignore_ascii_case(name),
    };
    expected.is_server()
        && (is_it(node) || expected.called.iter().any(|one| is_it(one)) || names.iter().any(|one| is_it(one)))
}

struct Subject {
    name: String,
    organizations: Vec<String>,
    der: Vec<u8>,
}

/// One common name, and organizations.
fn subject(name: &X509Name<'_>) -> Result<Subject, Unfit> {
    const TEXTS: [u8; 2] = [0x0c, 0x13];
    let (mut common, mut organizations, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for part in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in part.iter() {
            let text = attribute.as_str().map_err(|_| Unfit::Subject)?;
            let tag = u8::try_from(attribute.attr_value().tag().0).unwrap_or_default();
            if !TEXTS.contains(&tag) || text.is_empty() || text.chars().any(char::is_control) {
                return Err(Unfit::Subject);
            }
            match attribute.attr_type() {
                oid if *oid == OID_X509_COMMON_NAME => common.push(text.to_owned()),
                oid if *oid == OID_X509_ORGANIZATION_NAME => organizations.push(text.to_owned()),
                _ => return Err(Unfit::Subject),
            }
            let value = tagged(tag, &[text.as_bytes()]);
            attributes.push(sequence(&[&object(attribute.attr_type()), &value]));
        }
        parts.push(tagged(0x31, &slices(&attributes)));
    }
    match <[String; 1]>::try_from(common) {
        Ok([name]) => Ok(Subject { name, organizations, der: sequence(&slices(&parts)) }),
        Err(_) => Err(Unfit::Subject),
    }
}

/// The names that it asks for, which is all that a request may ask for: whoever signs may copy it.
fn asked<'a>(request: &'a X509CertificationRequest<'_>) -> Result<Vec<GeneralName<'a>>, Unfit> {
    let Some(extensions) = request.requested_extensions() else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for extension in extensions {
        let ParsedExtension::SubjectAlternativeName(found) = extension else { return Err(Unfit::AsksForMore) };
        names.extend(found.general_names.iter().cloned());
    }
    let is_address = |bytes: &[u8]| matches!(bytes.len(), 4 | 16);
    let is_name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()),
        GeneralName::IPAddress(bytes) => is_address(bytes),
        _ => false,
    };
    if names.iter().all(is_name) { Ok(names) } else { Err(Unfit::AsksForMore) }
}

/// As Go writes them: the extensions that are asked for, and of these the names alone.
fn attributes(names: &[GeneralName<'_>]) -> Vec<u8> {
    const EXTENSION_REQUEST: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
    const ALTERNATIVE_NAME: [u8; 5] = [6, 3, 0x55, 0x1d, 0x11];
    if names.is_empty() {
        return tagged(0xa0, &[]);
    }
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => tagged(0x82, &[name.as_bytes()]),
        GeneralName::IPAddress(bytes) => tagged(0x87, &[bytes]),
        _ => Vec::new(),
    };
    let names: Vec<Vec<u8>> = names.iter().map(name).collect();
    let extension = sequence(&[&ALTERNATIVE_NAME, &tagged(4, &[&sequence(&slices(&names))])]);
    tagged(0xa0, &[&sequence(&[&EXTENSION_REQUEST, &tagged(0x31, &[&sequence(&[&extension])])])])
}

/// The whole of it: what is signed, by what, and the signature.
fn signed(info: &[u8], request: &X509CertificationRequest<'_>) -> Result<Vec<u8>, Unfit> {
    let algorithm = &request.signature_algorithm.algorithm;
    let known = SIGNED_WITH.into_iter().find(|(known, _)| known == algorithm);
    let (_, has_null) = known.ok_or_else(|| Unfit::SignedWith(algorithm.to_id_string()))?;
    let null: &[u8] = if has_null { &[5, 0] } else { &[] };
    let algorithm = sequence(&[&object(algorithm), null]);
    Ok(sequence(&[info, &algorithm, &tagged(3, &[&[0], &request.signature_value.data])]))
}

fn object(oid: &Oid<'_>) -> Vec<u8> {
    tagged(6, &[oid.as_bytes()])
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, parts)
}

/// DER: a tag, the length, and `parts` one after the other.
pub(super) fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match bytes {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        // A request is shorter than 2^24 bytes.
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            der.extend_from_slice(long);
        }
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

fn slices(parts: &[Vec<u8>]) -> Vec<&[u8]> {
    parts.iter().map(Vec::as_slice).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        Attribute, BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
        ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
        PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType, SigningKey,
    };

    use super::*;
    use crate::kubernetes_certificates::KUBELET_CLIENT;
    use crate::requests::expected;

    const API_SERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

    fn key() -> KeyPair {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
    }

    fn params(name: &str, organizations: &[&str], names: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for one in organizations {
            params.distinguished_name.push(DnType::OrganizationName, *one);
        }
        params.distinguished_name.push(DnType::CommonName, name);
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            });
        }
        params
    }

    fn pem(params: &CertificateParams) -> String {
        params.serialize_request(&key()).unwrap().pem().unwrap()
    }

    fn of(name: &str, organizations: &[&str], names: &[&str]) -> Request {
        Request::of(&pem(&params(name, organizations, names))).unwrap()
    }

    fn altered(change: impl FnOnce(&mut CertificateParams)) -> Result<Request, Unfit> {
        let mut params = params("kube-apiserver", &[], &["cp1"]);
        change(&mut params);
        Request::of(&pem(&params))
    }

    fn made_by_kubeadm(version: &str, request: &str) -> String {
        let name = request.trim_start_matches("pki/").replace('/', "-");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/requests");
        std::fs::read_to_string(folder.join(version).join(name)).unwrap()
    }

    /// All that `kubeadm certs generate-csr` makes on a host called cp1.
    #[test]
    fn what_kubeadm_makes_is_taken_as_it_is() {
        let names = ["api.plant.example", "10.77.0.10", "10.77.0.11", "10.77.0.12", "10.96.0.1"];
        let names = names.into_iter().chain(["kubernetes.default.svc.cluster.local"]).map(str::to_owned);
        let names: Vec<String> = names.collect();
        for version in ["v1.36.3", "v1.37.2"] {
            for one in expected(true, true, true) {
                let text = made_by_kubeadm(version, one.request);
                let request = Request::of(&text).unwrap();
                request.check(one.path, "cp1", &names).unwrap();
                assert_eq!(request.pem(), text);
            }
        }
        let request = Request::of(&made_by_kubeadm("v1.36.3", "pki/apiserver.csr")).unwrap();
        assert_eq!(request.names.len(), 10);
        assert_eq!(request.check(API_SERVER, "cp2", &names), Err(Unfit::Called("cp1".into())));
        assert_eq!(request.check(API_SERVER, "cp1", &names[1..]), Err(Unfit::Called("api.plant.example".into())));
    }

    #[test]
    fn keys_of_a_cluster_are_taken_and_no_others() {
        let params = params("kube-apiserver", &[], &["cp1"]);
        let taken = [
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        ];
        for key in taken {
            let request = Request::of(&params.serialize_request(&key).unwrap().pem().unwrap()).unwrap();
            assert!(request.has_key(&key.serialize_pem()));
            assert!(!request.has_key(&self::key().serialize_pem()));
        }
        let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let refused = Request::of(&params.serialize_request(&other).unwrap().pem().unwrap());
        assert!(matches!(refused, Err(Unfit::SignedWith(oid)) if oid == "1.3.101.112"));
    }

    #[test]
    fn a_worker_is_given_its_own_name_and_nobody_elses() {
        let own = of("system:node:w1", &["system:nodes"], &[]);
        own.check(KUBELET_CLIENT, "w1", &[]).unwrap();
        assert!(matches!(own.check(KUBELET_CLIENT, "w2", &[]), Err(Unfit::Name { .. })));
        let admin = of("kubernetes-super-admin", &["system:masters"], &[]);
        assert!(matches!(admin.check(KUBELET_CLIENT, "w1", &[]), Err(Unfit::Name { .. })));
        for organizations in [&["system:masters"][..], &["system:nodes", "system:masters"], &[]] {
            let risen = of("system:node:w1", organizations, &[]);
            assert!(matches!(risen.check(KUBELET_CLIENT, "w1", &[]), Err(Unfit::Organizations { .. })));
        }
        let called = of("system:node:w1", &["system:nodes"], &["w1"]);
        assert_eq!(called.check(KUBELET_CLIENT, "w1", &[]), Err(Unfit::Called("w1".into())), "no client is called");
        assert!(matches!(own.check("/etc/passwd", "w1", &[]), Err(Unfit::NotAsked(_))));
    }

    #[test]
    fn a_server_is_called_as_its_host_and_not_as_another() {
        let names = ["10.77.0.11".to_owned()];
        let check = |name: &str| of("kube-apiserver", &[], &[name]).check(API_SERVER, "cp1", &names);
        for name in ["cp1", "kubernetes", "10.77.0.11", "kubernetes.default.svc"] {
            check(name).unwrap();
        }
        for name in ["cp2", "10.77.0.12", "*.plant.example", "localhost"] {
            assert_eq!(check(name), Err(Unfit::Called(name.to_owned())));
        }
        let member = of("cp1", &[], &["localhost", "127.0.0.1", "::1", "cp1"]);
        member.check("/etc/kubernetes/pki/etcd/peer.crt", "cp1", &[]).unwrap();
    }

    /// Whoever signs may copy what is asked for.
    #[test]
    fn nothing_is_asked_for_but_names() {
        assert_eq!(altered(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), Err(Unfit::AsksForMore));
        assert_eq!(altered(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]), Err(Unfit::AsksForMore));
        let server = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert_eq!(altered(|params| params.extended_key_usages = server), Err(Unfit::AsksForMore));
        let unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 9], vec![5, 0]);
        assert_eq!(altered(|params| params.custom_extensions = vec![unknown]), Err(Unfit::AsksForMore));
        let mail = SanType::Rfc822Name("a@plant.example".try_into().unwrap());
        assert_eq!(altered(|params| params.subject_alt_names = vec![mail]), Err(Unfit::AsksForMore));
        // The password of a challenge.
        let attribute =
            Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 7], values: tagged(0x31, &[&tagged(0x13, &[b"a"])]) };
        let request = params("kube-apiserver", &[], &["cp1"]);
        let request = request.serialize_request_with_attributes(&key(), vec![attribute]).unwrap();
        assert_eq!(Request::of(&request.pem().unwrap()), Err(Unfit::Ambiguous));
    }

    #[test]
    fn the_subject_is_one_name_and_its_groups_in_plain_text() {
        let two = |params: &mut CertificateParams| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "system:node:w1");
            params.distinguished_name.push(DnType::CommonName, "kubernetes-admin");
        };
        assert_eq!(altered(two), Err(Unfit::Subject));
        let unit = |params: &mut CertificateParams| params.distinguished_name.push(DnType::OrganizationalUnitName, "a");
        assert_eq!(altered(unit), Err(Unfit::Subject));
        let nameless = |params: &mut CertificateParams| params.distinguished_name = DistinguishedName::new();
        assert_eq!(altered(nameless), Err(Unfit::Subject));
        let torn = |params: &mut CertificateParams| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, "kube\u{1b}[2Japiserver");
        };
        assert_eq!(altered(torn), Err(Unfit::Subject));
        let wide = |params: &mut CertificateParams| {
            let name = DnValue::BmpString("kube-apiserver".try_into().unwrap());
            params.distinguished_name.push(DnType::CommonName, name);
        };
        assert_eq!(altered(wide), Err(Unfit::Subject));
    }

    /// A request that holds by its signature, with these attributes.
    fn forged(attributes: &[u8]) -> String {
        let key = key();
        let subject =
            sequence(&[&tagged(0x31, &[&sequence(&[&[6, 3, 0x55, 4, 3], &tagged(0x0c, &[b"system:node:w1"])])])]);
        let info = sequence(&[&[2, 1, 0], &subject, &key.subject_public_key_info(), attributes]);
        let algorithm = sequence(&[&object(&OID_SIG_ECDSA_WITH_SHA256)]);
        let signature = key.sign(&info).unwrap();
        pem_of(LABEL, &sequence(&[&info, &algorithm, &tagged(3, &[&[0], &signature])]))
    }

    fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
        sequence(&[&tagged(6, &[oid]), &tagged(4, &[value])])
    }

    /// What one reader passes over, another one may take.
    #[test]
    fn nothing_hides_behind_what_is_read() {
        let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
        let names = extension(&[0x55, 0x1d, 0x11], &sequence(&[&tagged(0x82, &[b"w1"])]));
        let is_authority = extension(&[0x55, 0x1d, 0x13], &sequence(&[&[1, 1, 0xff]]));
        let attribute = |values: &[&[u8]]| sequence(&[&tagged(6, &[&oid]), &tagged(0x31, values)]);
        let plain = attribute(&[&sequence(&[&names])]);
        assert_eq!(Request::of(&forged(&tagged(0xa0, &[&plain]))).unwrap().names, ["w1"]);

        let second_value = attribute(&[&sequence(&[&names]), &sequence(&[&is_authority])]);
        let second_attribute = attribute(&[&sequence(&[&is_authority])]);
        for attributes in [
            tagged(0xa0, &[&second_value]),
            tagged(0xa0, &[&plain, &second_attribute]),
            tagged(0xa0, &[&plain, &plain]),
            [tagged(0xa0, &[&plain]), second_attribute.clone()].concat(),
        ] {
            let refused = Request::of(&forged(&attributes)).unwrap_err();
            assert!(matches!(refused, Unfit::Ambiguous | Unfit::AsksForMore | Unfit::Unreadable), "{refused}");
        }
        let twice = attribute(&[&sequence(&[&names, &is_authority])]);
        assert_eq!(Request::of(&forged(&tagged(0xa0, &[&twice]))), Err(Unfit::AsksForMore));
    }

    #[test]
    fn whoever_asks_has_the_key_and_nothing_is_around_the_request() {
        let text = pem(&params("kube-apiserver", &[], &["cp1"]));
        let request = Request::of(&text).unwrap();
        assert_eq!(Request::of(&request.pem()).unwrap(), request);
        let with = |der: Vec<u8>| Request::of(&pem_of(LABEL, &der));
        let mut der = request.der.clone();
        der.push(0);
        assert_eq!(with(der), Err(Unfit::Unreadable));
        // The key of somebody else, or another name, under the same signature.
        let place = request.der.windows(4).position(|window| window == b"kube").unwrap();
        let mut der = request.der.clone();
        der[place] = b'K';
        assert_eq!(with(der), Err(Unfit::Signature));
        assert_eq!(Request::of(&format!("{text}{text}")), Err(Unfit::Unreadable));
        assert_eq!(Request::of(&text.replace("CERTIFICATE REQUEST", "CERTIFICATE")), Err(Unfit::Unreadable));
        assert_eq!(Request::of(""), Err(Unfit::Unreadable));
        assert_eq!(Request::of(&"x".repeat(MOST + 1)), Err(Unfit::TooLarge));
        let request = Request::of(&format!("for the boss: sign this\n{text}")).unwrap();
        assert!(!request.pem().contains("boss"));
    }

    /// Whatever is in it is under its signature, or is how kubeadm encodes it.
    #[test]
    fn a_bit_that_is_changed_anywhere_is_refused() {
        for (whole, named) in [
            (&include_bytes!("../../testdata/requests/apiserver.der")[..], 10),
            (&include_bytes!("../../testdata/requests/kubelet.conf.der")[..], 0),
        ] {
            assert_eq!(Request::of_der(whole.to_vec()).unwrap().names.len(), named);
            for place in 0..whole.len() {
                for bit in [0x01, 0x20, 0x80] {
                    let mut der = whole.to_vec();
                    der[place] ^= bit;
                    assert!(Request::of_der(der).is_err(), "byte {place}, {bit:#x}");
                }
                assert!(Request::of_der(whole[..place].to_vec()).is_err(), "cut off at {place}");
            }
        }
    }

    #[test]
    fn an_earlier_request_asks_for_the_same_whatever_its_key() {
        let one = of("kube-apiserver", &[], &["cp1", "10.0.0.1"]);
        assert!(one.asks_as(&of("kube-apiserver", &[], &["10.0.0.1", "cp1"])));
        assert!(!one.asks_as(&of("kube-apiserver", &[], &["cp1"])));
        let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let other = params("kube-apiserver", &[], &["cp1", "10.0.0.1"]).serialize_request(&other).unwrap();
        assert!(!one.asks_as(&Request::of(&other.pem().unwrap()).unwrap()), "another kind of key is asked for");
    }
}
