//! The people of the PKI: they have the keys of the authorities, and sign what lies in the folder of requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::custody::{make_all, make_root, office, openssl, pki};
use crate::story::{self, Desk};

/// The authorities of the spec, by the files that it names.
pub(super) const AUTHORITIES: [&str; 3] = ["kubernetes", "front-proxy", "etcd"];

/// Makes the authorities, and brings their certificates to the station, without a key.
pub(super) fn open(desk: &Desk) -> Result<()> {
    let office = office(desk);
    fs::create_dir_all(&office)?;
    make_root(&office)?;
    make_all(&keys(desk), &office)?;
    fs::create_dir_all(pki(desk))?;
    for name in AUTHORITIES.map(|name| format!("{name}.crt")) {
        fs::copy(keys(desk).join(&name), pki(desk).join(&name))?;
    }
    Ok(())
}

/// Where the keys are.
pub(super) fn keys(desk: &Desk) -> PathBuf {
    office(desk).join("first")
}

/// The folder of requests at the station.
pub(super) fn requests(desk: &Desk) -> PathBuf {
    pki(desk).join("requests")
}

/// Requests of the list that the station has written last.
pub(super) fn list(desk: &Desk) -> Result<Vec<Value>> {
    Ok(serde_json::from_str(&fs::read_to_string(requests(desk).join("requests.json"))?)?)
}

/// How a certificate is signed; otherwise than it should be where a test says so.
pub(super) struct Signing<'a> {
    pub(super) authority: &'a str,
    pub(super) usages: &'a str,
    pub(super) constraints: &'a str,
    pub(super) names: bool,
    pub(super) dates: &'a [&'a str],
}

impl Default for Signing<'_> {
    fn default() -> Self {
        Self { authority: "", usages: "", constraints: "CA:FALSE", names: true, dates: &["-days", "400"] }
    }
}

/// Signs everything in the list.
pub(super) fn sign_all(desk: &Desk) -> Result<()> {
    list(desk)?.iter().try_for_each(|one| sign(desk, one, &Signing::default()))
}

/// When so many seconds are over, as OpenSSL writes it.
pub(super) fn for_seconds(seconds: u64) -> Result<String> {
    story::text(Command::new("date").args(["-u", "-d", &format!("{seconds} seconds"), "+%y%m%d%H%M%SZ"]))
        .map(|end| end.trim().to_owned())
}

/// Signs everything in the list until `end`, a moment and not a day: by an authority with a database of its own.
pub(super) fn sign_all_until(desk: &Desk, end: &str) -> Result<()> {
    let folder = keys(desk);
    fs::write(folder.join("database"), "")?;
    let configuration = "[ca]\ndefault_ca=own\n[own]\ndatabase=database\nnew_certs_dir=.\ndefault_md=sha256\nrand_serial=yes\n\
                         unique_subject=no\npolicy=any\ncopy_extensions=copy\n[any]\norganizationName=optional\ncommonName=supplied\n";
    fs::write(folder.join("short.cnf"), configuration)?;
    for one in list(desk)? {
        let leaf = Leaf::of(desk, &one)?;
        let extensions = leaf.extensions(desk, &leaf.usages, "CA:FALSE")?;
        let (authority, key) = (format!("{}.crt", leaf.authority), format!("{}.key", leaf.authority));
        let words =
            ["ca", "-batch", "-notext", "-preserveDN", "-config", "short.cnf", "-cert", &authority, "-keyfile", &key];
        let files = ["-in", &leaf.request, "-out", &leaf.certificate, "-extfile", &extensions, "-enddate", end];
        openssl(&folder, &[&words[..], &files].concat())?;
    }
    Ok(())
}

/// What an entry of the list says of one certificate.
struct Leaf {
    authority: String,
    usages: String,
    /// Files, by their whole paths.
    request: String,
    certificate: String,
}

impl Leaf {
    fn of(desk: &Desk, one: &Value) -> Result<Self> {
        let text = |name: &str| one[name].as_str().with_context(|| format!("{name} is not in the list"));
        let path = |name: &str| Ok::<_, anyhow::Error>(requests(desk).join(text(name)?).display().to_string());
        let own = Path::new(text("authorityFile")?).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let usages: Vec<&str> = one["usages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let (authority, usages) = (own.to_owned(), usages.join(","));
        Ok(Self { authority, usages, request: path("request")?, certificate: path("certificate")? })
    }

    /// The file of what a certificate says beside its names.
    fn extensions(&self, desk: &Desk, usages: &str, constraints: &str) -> Result<String> {
        let file = office(desk).join("leaf.ext");
        let content = format!(
            "basicConstraints=critical,{constraints}\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage={usages}\n"
        );
        fs::write(&file, content)?;
        Ok(file.display().to_string())
    }
}

/// The entry of the list for a request.
pub(super) fn entry(desk: &Desk, request: &str) -> Result<Value> {
    list(desk)?
        .into_iter()
        .find(|one| one["request"] == request)
        .with_context(|| format!("{request} is not in the list"))
}

/// Signs one, as its entry in the list says where `signing` does not.
pub(super) fn sign(desk: &Desk, one: &Value, signing: &Signing<'_>) -> Result<()> {
    let leaf = Leaf::of(desk, one)?;
    let authority = if signing.authority.is_empty() { &leaf.authority } else { signing.authority };
    let usages = if signing.usages.is_empty() { &leaf.usages } else { signing.usages };
    let extensions = leaf.extensions(desk, usages, signing.constraints)?;
    let (authority, key) = (format!("{authority}.crt"), format!("{authority}.key"));
    let mut words =
        vec!["x509", "-req", "-in", &leaf.request, "-CA", &authority, "-CAkey", &key, "-extfile", &extensions];
    words.extend(["-out", &leaf.certificate, "-copy_extensions", if signing.names { "copy" } else { "none" }]);
    words.extend(signing.dates);
    openssl(&keys(desk), &words)
}
