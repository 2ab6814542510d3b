//! Key files and public keys, with what OpenSSL wrote as the other side.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sealock_trust::reason::Code;
use sealock_trust::signer::KeyFileError;
use sealock_trust::{FileKey, Passphrase, PublicKey, Scheme, Signer};

const MESSAGE: &[u8] = b"what was signed";

fn openssl(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openssl").join(name)
}

fn public(name: &str) -> PublicKey {
    PublicKey::from_pem(&fs::read_to_string(openssl(name)).unwrap()).unwrap()
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

#[test]
fn signatures_that_openssl_made_verify() {
    for kind in ["ed25519", "p256", "p384", "rsa"] {
        let key = public(&format!("{kind}.pub.pem"));
        let signature = fs::read(openssl(&format!("{kind}.sig"))).unwrap();
        key.verify(MESSAGE, &signature).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(key.verify(b"something else", &signature).unwrap_err().code(), Code::Sig, "{kind}");
        assert_eq!(key.verify(MESSAGE, &signature[1..]).unwrap_err().code(), Code::Sig, "{kind}");
        assert_eq!(key.verify(MESSAGE, &[]).unwrap_err().code(), Code::Sig, "{kind}");
    }
}

#[test]
fn public_keys_keep_their_pem_form_and_their_id_as_a_tuf_object() {
    for kind in ["ed25519", "p256", "p384", "rsa"] {
        let key = public(&format!("{kind}.pub.pem"));
        assert_eq!(key.to_pem().unwrap(), fs::read_to_string(openssl(&format!("{kind}.pub.pem"))).unwrap());
        let object = serde_json::to_value(&key).unwrap();
        let read: PublicKey = serde_json::from_value(object).unwrap();
        assert_eq!((read.id(), read.identity()), (key.id(), key.identity()));
    }
}

#[test]
fn a_second_spelling_and_a_foreign_kind_of_key_are_refused() {
    for name in ["p256-compressed.pub.pem", "p521.pub.pem", "p256.scrypt.pem", "message"] {
        let text = fs::read_to_string(openssl(name)).unwrap();
        assert_eq!(PublicKey::from_pem(&text).unwrap_err().code(), Code::Format, "{name}");
    }
}

#[test]
fn key_objects_that_do_not_fit_their_scheme_are_refused_and_unknown_schemes_parse() {
    let object = |scheme: &str, public: &str| serde_json::json!({"keytype": scheme, "scheme": scheme, "keyval": {"public": public}});
    for public in ["", "00", &"zz".repeat(32), &"00".repeat(33)] {
        assert!(serde_json::from_value::<PublicKey>(object("ed25519", public)).is_err(), "{public}");
    }
    let pem = fs::read_to_string(openssl("p384.pub.pem")).unwrap();
    assert!(serde_json::from_value::<PublicKey>(object("ecdsa-sha2-nistp256", &pem)).is_err());
    let unknown: PublicKey = serde_json::from_value(object("ml-dsa-65", "…")).unwrap();
    assert!(!unknown.is_known());
    assert_eq!(unknown.verify(MESSAGE, b"").unwrap_err().code(), Code::Alg);
}

/// `openssl ARGS…`: makes keys and judges signatures, as the other side.
fn run_openssl(folder: &Path, args: &[&str]) -> bool {
    let output = std::process::Command::new("openssl").args(args).current_dir(folder).output();
    let missing = "this test needs openssl (Debian package `openssl`)";
    output.unwrap_or_else(|error| panic!("{missing}: {error}")).status.success()
}

#[test]
fn keys_that_openssl_makes_sign_here_and_openssl_believes_the_signatures() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("message"), MESSAGE).unwrap();
    let kinds: [(&str, &[&str], &[&str]); 4] = [
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["-sha384"]),
        ("rsa2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], &RSA_PSS),
        ("rsa4096", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"], &RSA_PSS),
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-sha256"]),
    ];
    for (name, generate, verify) in kinds {
        assert!(run_openssl(folder.path(), &[&["genpkey", "-out", name], generate].concat()), "{name}");
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let key = FileKey::load(&path, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(folder.path().join("public"), key.public_key().to_pem().unwrap()).unwrap();
        fs::write(folder.path().join("signature"), key.sign(MESSAGE).unwrap()).unwrap();
        let check = [&["dgst"], verify, &["-verify", "public", "-signature", "signature", "message"]].concat();
        assert!(run_openssl(folder.path(), &check), "{name}");
        key.public_key().verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();
    }
}

const RSA_PSS: [&str; 5] = ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];

#[test]
fn rsa_keys_of_fewer_than_2048_bits_are_of_no_use_in_either_half() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run_openssl(folder.path(), &["genrsa", "-out", "weak.pem", "1024"]));
    assert!(run_openssl(folder.path(), &["pkcs8", "-topk8", "-nocrypt", "-in", "weak.pem", "-out", "weak"]));
    assert!(run_openssl(folder.path(), &["pkey", "-in", "weak", "-pubout", "-out", "weak.pub"]));
    let path = folder.path().join("weak");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = FileKey::load(&path, None).unwrap_err();
    assert!(matches!(refused, KeyFileError::Kind(_)), "{refused}");
    let public = fs::read_to_string(folder.path().join("weak.pub")).unwrap();
    assert_eq!(PublicKey::from_pem(&public).unwrap_err().code(), Code::Format);
}

#[test]
fn keys_that_openssl_encrypted_are_read() {
    for (private, public_name) in [("ed25519.pbkdf2.pem", "ed25519.pub.pem"), ("p256.scrypt.pem", "p256.pub.pem")] {
        let key = FileKey::load(&openssl(private), Some(&passphrase("correct-horse"))).unwrap();
        assert_eq!(key.public_key(), &public(public_name));
        public(public_name).verify(MESSAGE, &key.sign(MESSAGE).unwrap()).unwrap();

        let asked = FileKey::load(&openssl(private), None).unwrap_err();
        assert!(matches!(asked, KeyFileError::PassphraseNeeded(_)), "{asked}");
        let wrong = FileKey::load(&openssl(private), Some(&passphrase("wrong-horse"))).unwrap_err();
        assert!(matches!(wrong, KeyFileError::WrongPassphrase(_)), "{wrong}");
    }
}

#[test]
fn keys_are_saved_for_their_owner_alone_encrypted_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP256, Scheme::EcdsaP384, Scheme::RsaPss] {
        let path = folder.path().join(scheme.as_str());
        let key = FileKey::generate(scheme).unwrap();
        key.save(&path, Some(&passphrase("correct-horse"))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));

        let again = FileKey::generate(scheme).unwrap().save(&path, None).unwrap_err();
        assert!(matches!(again, KeyFileError::Exists(_)), "{again}");
        let read = FileKey::load(&path, Some(&passphrase("correct-horse"))).unwrap();
        assert_eq!(read.public_key(), key.public_key());
        assert_eq!(key.public_key().scheme(), scheme.as_str());
        key.public_key().verify(MESSAGE, &read.sign(MESSAGE).unwrap()).unwrap();
    }
}

#[test]
fn a_key_in_clear_is_read_only_if_nobody_else_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    FileKey::generate(Scheme::Ed25519).unwrap().save(&path, None).unwrap();
    assert!(FileKey::load(&path, None).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = FileKey::load(&path, None).unwrap_err();
    assert!(matches!(exposed, KeyFileError::Exposed { mode: 0o640, .. }), "{exposed}");
}

#[test]
fn what_is_no_private_key_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["p256.sec1.pem", "p256.pub.pem", "message"] {
        let form = FileKey::load(&openssl(name), None).unwrap_err();
        assert!(matches!(form, KeyFileError::Form(_)), "{name}: {form}");
    }
    let missing = FileKey::load(&folder.path().join("none"), None).unwrap_err();
    assert!(matches!(missing, KeyFileError::Io { action: "read", .. }), "{missing}");
    let nowhere = folder.path().join("no/such/folder");
    let unwritten = FileKey::generate(Scheme::Ed25519).unwrap().save(&nowhere, None).unwrap_err();
    assert!(matches!(unwritten, KeyFileError::Io { action: "write", .. }), "{unwritten}");
    assert!(Passphrase::new("").is_none());
}
