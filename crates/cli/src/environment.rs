//! The environment variables Sealock reads: the one place that does, and the table its reference is made from.

#![expect(clippy::disallowed_methods, reason = "this module is where the command reads the environment")]

use std::ffi::OsString;
use std::path::PathBuf;

/// An environment variable and what it does.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($constant:ident = $meaning:literal)*) => {
        $(pub const $constant: Variable = Variable { name: stringify!($constant), meaning: $meaning };)*
        /// Every variable, in the order of the reference page.
        pub const ALL: &[Variable] = &[$($constant),*];
    };
}

variables! {
    SEALOCK_CONFIG = "Settings file to read instead of the usual ones. The same as `--config`."
    SEALOCK_STATE_DIR = "Where the station keeps store, trust and keys. The same as `--state-dir`."
    SEALOCK_PASSPHRASE_FILE = "File whose first line is the passphrase of private keys, or the PIN of tokens. The same as `--passphrase-file`."
    SEALOCK_PKCS11_MODULE = "The vendor's library that talks to PKCS#11 tokens, where a key's URI does not name it."
    SEALOCK_HSM_HELPER = "Where `sealock-hsm` is, if not beside `sealock`. What else is set reaches it, and so the vendor's library."
    SEALOCK_LOG = "What to log to standard error, as `tracing` filters, like `sealock_fetch=debug`."
    SOURCE_DATE_EPOCH = "Seconds since 1970 that `lock` takes as the issue time, so that a lock can be reproduced."
    PATH = "Where docker's credential helpers, `gpgv` and `notation` are looked for, outside; at the station `ssh`, and for `cluster hosts` `ansible-inventory` and `ssh-keygen`."
    TMPDIR = "Where temporary files go, instead of `/tmp`; and tools that `lock` runs, instead of `/var/tmp`."
    NO_COLOR = "Not empty: no colours."
    HOME = "Where the user's settings and docker's configuration are looked for."
    XDG_CONFIG_HOME = "Where the user's settings are looked for, instead of `~/.config`."
    XDG_CACHE_HOME = "Where `lock` keeps the tools that it downloads, in `sealock/tools`, instead of `~/.cache`."
    DOCKER_CONFIG = "Directory of docker's `config.json`, whose registry credentials are used outside."
    HTTPS_PROXY = "Proxy for https, outside. Also in lower case."
    HTTP_PROXY = "Proxy for http, outside. Also in lower case."
    ALL_PROXY = "Proxy for both, outside, where the more specific one is not set. Also in lower case."
    NO_PROXY = "Hosts that are reached without a proxy, separated by commas. Also in lower case."
    NOTIFY_SOCKET = "Where `serve` tells a service manager that it is ready. Set by systemd."
    RUNTIME_DIRECTORY = "Where `serve` makes its control socket. Set by systemd."
    SSL_CERT_FILE = "Further certificate authorities that are trusted outside, PEM."
}

/// The variable's value, where it is set and not empty.
pub fn read(variable: &Variable) -> Option<OsString> {
    std::env::var_os(variable.name).filter(|value| !value.is_empty())
}

/// The value as text. What is not UTF-8 counts as not set.
pub fn read_text(variable: &Variable) -> Option<String> {
    read(variable)?.into_string().ok()
}

/// The value of a proxy variable: curl and others read the lower-case name first.
pub fn read_proxy(variable: &Variable) -> Option<String> {
    let lower = std::env::var(variable.name.to_ascii_lowercase()).ok().filter(|value| !value.is_empty());
    lower.or_else(|| read_text(variable))
}

/// A program that is installed beside this one.
///
/// # Errors
/// The system does not tell where this one is.
pub fn beside_this_program(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// The user's settings folder: `$XDG_CONFIG_HOME/sealock`, or `~/.config/sealock`.
pub fn config_dir() -> Option<PathBuf> {
    let base = read(&XDG_CONFIG_HOME).map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(read(&HOME)?).join(".config")));
    Some(base?.join("sealock"))
}

/// The user's cache folder: `$XDG_CACHE_HOME/sealock`, or `~/.cache/sealock`.
#[cfg(feature = "outside")]
pub fn cache_dir() -> Option<PathBuf> {
    let base = read(&XDG_CACHE_HOME).map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(read(&HOME)?).join(".cache")));
    Some(base?.join("sealock"))
}

/// Docker's `config.json`: `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
pub fn docker_config() -> Option<PathBuf> {
    let folder = read(&DOCKER_CONFIG).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(read(&HOME)?).join(".docker")));
    Some(folder?.join("config.json"))
}
