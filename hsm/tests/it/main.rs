//! `sealock-hsm` as `sealock` talks to it, with SoftHSM behind it.
#![expect(clippy::expect_used, reason = "a test's helper fails by panicking")]

mod helper;
#[path = "../../../crates/testkit/src/softhsm.rs"]
#[expect(dead_code, unreachable_pub, reason = "the same file serves the tests of the command")]
mod softhsm;
mod vectors;

use helper::{Helper, base64, hex_of};
use softhsm::{PIN, SoftHsm};

/// What each kind of key signs here: a digest, or for Ed25519 a message.
const KINDS: [(&str, &str, &str, usize, usize); 4] = [
    ("p256", "ecdsa", "ec", 32, 64),
    ("p384", "ecdsa", "ec", 48, 96),
    ("rsa", "rsa-pss-sha256", "rsa", 32, 256),
    ("ed25519", "eddsa", "edwards", 1000, 64),
];

#[test]
fn it_is_linked_dynamically() {
    let output =
        std::process::Command::new("readelf").args(["-l", "--wide", env!("CARGO_BIN_EXE_sealock-hsm")]).output();
    let output = output.expect("readelf (Debian package binutils) is needed for this test");
    assert!(String::from_utf8_lossy(&output.stdout).contains("INTERP"), "it has no dynamic loader");
}

#[test]
fn every_kind_of_key_shows_its_public_half_and_signs() {
    let hsm = SoftHsm::with_keys("plant");
    for (name, mechanism, public, input, output) in KINDS {
        let mut helper = Helper::start(&hsm);
        let opened = helper.open("plant", name);
        assert_eq!(opened["opened"]["label"], "plant");
        assert_eq!((&opened["opened"]["login"], &opened["opened"]["pin"]), (&"pin".into(), &"ok".into()));
        let ready = helper.login(PIN);
        assert!(ready["ready"]["public"][public].is_object(), "{name}: {ready}");
        let mechanisms = ready["ready"]["mechanisms"].as_array().expect("mechanisms");
        assert!(mechanisms.contains(&mechanism.into()), "{name}: {ready}");
        for _ in 0..2 {
            let signed = helper.sign(mechanism, &vec![0xab; input]);
            let signature = signed["signed"]["signature"].as_str().expect("a signature");
            assert_eq!(base64(signature).len(), output, "{name}");
        }
        assert!(helper.finish().success());
    }
}

#[test]
fn a_key_is_found_by_its_id_as_well() {
    let hsm = SoftHsm::with_keys("plant");
    let mut helper = Helper::start(&hsm);
    helper.open_with(r#"{"label":"plant"}"#, &format!(r#"{{"id":"{}"}}"#, helper::to_base64(b"p384")));
    assert!(helper.login(PIN)["ready"]["public"]["ec"].is_object());
}

#[test]
fn a_wrong_pin_is_tried_once_and_the_token_counts_it() {
    let hsm = SoftHsm::with_keys("plant");
    let mut helper = Helper::start(&hsm);
    helper.open("plant", "p256");
    let told = helper.login("000000");
    assert_eq!((&told["error"]["code"], &told["error"]["pin"]), (&"wrong-pin".into(), &"low".into()), "{told}");
    assert!(!helper.finish().success(), "it goes on after a wrong PIN");
    let mut again = Helper::start(&hsm);
    assert_eq!(again.open("plant", "p256")["opened"]["pin"], "low");
    assert!(again.login(PIN)["ready"].is_object());
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let hsm = SoftHsm::with_keys("plant");
    let told = Helper::start(&hsm).open("plnat", "p256");
    assert_eq!(told["error"]["code"], "no-token", "{told}");
    assert!(told["error"]["found"][0].as_str().expect("a name").starts_with("token=plant;serial="), "{told}");
    let mut helper = Helper::start(&hsm);
    helper.open("plant", "p265");
    let told = helper.login(PIN);
    assert_eq!((&told["error"]["code"], told["error"]["found"].as_array().map(Vec::len)), (&"no-key".into(), Some(4)));
}

#[test]
fn what_fits_twice_is_told_with_both() {
    let hsm = SoftHsm::with_keys("plant");
    hsm.init("plant");
    let told = Helper::start(&hsm).open("plant", "p256");
    assert_eq!(
        (&told["error"]["code"], told["error"]["found"].as_array().map(Vec::len)),
        (&"ambiguous-token".into(), Some(2))
    );
    hsm.init("other");
    hsm.pkcs11_tool("other", &["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin", "--id", "01"]);
    hsm.pkcs11_tool("other", &["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin", "--id", "02"]);
    let mut helper = Helper::start(&hsm);
    helper.open("other", "twin");
    let told = helper.login(PIN);
    assert_eq!(told["error"]["code"], "ambiguous-key");
    let mut found: Vec<&str> =
        told["error"]["found"].as_array().expect("names").iter().filter_map(|name| name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["object=twin;id=%01", "object=twin;id=%02"]);
    let mut helper = Helper::start(&hsm);
    helper.open_with(r#"{"label":"other"}"#, r#"{"label":"twin","id":"Ag=="}"#);
    assert!(helper.login(PIN)["ready"].is_object());
}

#[test]
fn keys_that_are_of_no_use_are_told_by_name() {
    let hsm = SoftHsm::new();
    hsm.init("plant");
    make_one_that_decrypts_only(&hsm);
    hsm.generate("plant", "careful", "EC:prime256v1", &["--always-auth"]);
    hsm.generate("plant", "shy", "EC:prime256v1", &[]);
    hsm.pkcs11_tool("plant", &["--delete-object", "--type", "pubkey", "--id", &softhsm::id_of("shy")]);
    for (name, code) in [("decrypts", "key-cannot-sign"), ("careful", "always-authenticate"), ("shy", "no-public-half")]
    {
        let mut helper = Helper::start(&hsm);
        helper.open("plant", name);
        let told = helper.login(PIN);
        assert_eq!(told["error"]["code"], code, "{name}: {told}");
    }
}

/// No tool makes such a key, so it is made by the library, in a process that finds this token.
fn make_one_that_decrypts_only(hsm: &SoftHsm) {
    let mut this = std::process::Command::new(std::env::current_exe().expect("this program"));
    this.args(["--exact", "in_another_process_a_key_is_made", "--ignored", "--nocapture"]);
    let output = this.env("SOFTHSM2_CONF", hsm.settings()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "it is run by another test, which gives it a token"]
fn in_another_process_a_key_is_made() {
    use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
    use cryptoki::mechanism::Mechanism;
    use cryptoki::object::Attribute;
    use cryptoki::session::UserType;

    let library = Pkcs11::new(SoftHsm::module()).expect("a library");
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("it starts");
    let slot = library.get_slots_with_initialized_token().expect("slots")[0];
    let session = library.open_rw_session(slot).expect("a session");
    session.login(UserType::User, Some(&PIN.to_owned().into())).expect("a login");
    let label = || Attribute::Label(b"decrypts".to_vec());
    let public = [Attribute::Token(true), Attribute::ModulusBits(2048.into()), label()];
    let private = [Attribute::Token(true), Attribute::Decrypt(true), Attribute::Sign(false), label()];
    session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).expect("a key pair");
}

#[test]
fn a_token_that_is_pulled_out_signs_no_more() {
    let hsm = SoftHsm::with_keys("plant");
    let mut helper = Helper::start(&hsm);
    helper.open("plant", "p256");
    helper.login(PIN);
    hsm.pull_out();
    let told = helper.sign("ecdsa", &[0xab; 32]);
    let code = told["error"]["code"].as_str().expect("a code");
    assert!(["token-gone", "device"].contains(&code), "{told}");
}

#[test]
fn what_is_no_library_is_told() {
    let hsm = SoftHsm::new();
    for (module, code) in [("/nowhere/vendor.so", "module-missing"), ("/etc/passwd", "module-unusable")] {
        let mut helper = Helper::start(&hsm);
        let told = helper.ask(&format!(r#"{{"open":{{"module":"{module}","token":{{}},"key":{{"label":"a"}}}}}}"#));
        assert_eq!(told["error"]["code"], code, "{told}");
    }
}

#[test]
fn what_is_out_of_order_ends_it() {
    let hsm = SoftHsm::with_keys("plant");
    for line in
        [r#"{"login":{"pin":"1"}}"#, r#"{"sign":{"mechanism":"ecdsa","data":"AA=="}}"#, "{}", "nonsense", "\u{1}"]
    {
        let mut helper = Helper::start(&hsm);
        assert_eq!(helper.ask(line)["error"]["code"], "protocol", "{line}");
        assert!(!helper.finish().success());
    }
    let mut helper = Helper::start(&hsm);
    helper.open("plant", "p256");
    assert_eq!(helper.sign("ecdsa", &[0xab; 32])["error"]["code"], "protocol", "signs before a login");
}

#[test]
fn what_a_token_cannot_sign_is_told() {
    let hsm = SoftHsm::with_keys("plant");
    let mut helper = Helper::start(&hsm);
    helper.open("plant", "rsa");
    helper.login(PIN);
    let told = helper.sign("rsa-pss-sha256", &[0xab; 31]);
    assert!(told["error"]["code"].is_string(), "signs what is no digest: {told}");
}

#[test]
fn a_pin_is_neither_in_its_arguments_nor_in_its_environment() {
    let hsm = SoftHsm::with_keys("plant");
    let mut helper = Helper::start(&hsm);
    helper.open("plant", "p256");
    helper.login(PIN);
    let hex = hex_of(PIN);
    for file in ["cmdline", "environ"] {
        // Not even root reads what is not dumpable without a capability; where it can, it finds nothing.
        let bytes = std::fs::read(format!("/proc/{}/{file}", helper.id())).unwrap_or_default();
        assert!(!hex_of(&String::from_utf8_lossy(&bytes)).contains(&hex), "{file}");
    }
}

#[test]
fn by_hand_it_says_what_it_is() {
    let run = |arg: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealock-hsm")).arg(arg).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = run("--version");
    assert_eq!((code, said), (Some(0), format!("sealock-hsm {} (hsm/1.0)\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!(run("--pin=1234").0, Some(2));
}
