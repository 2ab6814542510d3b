//! Kubeconfigs as kubeadm writes them, with a value on one line: what they believe, show and keep secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::kubernetes_certificates::KUBELET_CLIENT;

const BELIEVES: &str = "certificate-authority-data:";
const SHOWS: &str = "client-certificate-data:";
const KEY: &str = "client-key-data:";
const SERVER: &str = "server:";
/// The lines before which kubeadm writes them; its requests come with a kubeconfig in which they are not there yet.
const BEFORE: [(&str, &str); 3] = [(BELIEVES, SERVER), (SHOWS, KEY), (KEY, "")];

/// The private key in a kubeconfig, PEM.
pub(super) fn key_in(kubeconfig: &str) -> Option<Zeroizing<String>> {
    value(kubeconfig, KEY).map(Zeroizing::new)
}

/// The authorities that a kubeconfig believes, PEM.
pub(super) fn believed_in(kubeconfig: &str) -> Option<String> {
    value(kubeconfig, BELIEVES)
}

/// The kubeconfig with another key, and all else as it is.
pub(super) fn with_key(kubeconfig: &str, key: &str) -> Zeroizing<String> {
    with(kubeconfig, KEY, key)
}

/// The kubeconfig that believes `authority`, shows `certificate` and has its key (all PEM).
pub(super) fn complete(kubeconfig: &str, authority: &str, certificate: &str, key: &str) -> Zeroizing<String> {
    let believing = with(kubeconfig, BELIEVES, authority);
    with(&with(&believing, SHOWS, certificate), KEY, key)
}

/// Where a kubeconfig finds the API server.
pub(super) fn server_in(kubeconfig: &str) -> Option<&str> {
    kubeconfig.lines().find_map(|line| line.trim().strip_prefix(SERVER)).map(str::trim)
}

/// The kubeconfig of a kubelet, which keeps certificate and key in a file of their own, and speaks to `server` where that is another.
pub(super) fn of_kubelet(kubeconfig: &str, authority: &str, server: Option<&str>) -> Zeroizing<String> {
    let believing = with(kubeconfig, BELIEVES, authority);
    let mut text = Zeroizing::new(String::with_capacity(believing.len()));
    for line in believing.split_inclusive('\n') {
        match (indent_before(line, KEY), indent_before(line, SERVER), server) {
            (Some(indent), ..) => {
                for field in ["client-certificate", "client-key"] {
                    let parts = [indent, field, ": ", KUBELET_CLIENT, "\n"];
                    parts.into_iter().for_each(|part| text.push_str(part));
                }
            }
            (None, Some(indent), Some(server)) => {
                [indent, SERVER, " ", server, "\n"].into_iter().for_each(|part| text.push_str(part));
            }
            _ => text.push_str(line),
        }
    }
    text
}

fn value(kubeconfig: &str, field: &str) -> Option<String> {
    let encoded = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(field))?;
    String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()
}

/// With another value of `field`, or with one.
fn with(kubeconfig: &str, field: &str, value: &str) -> Zeroizing<String> {
    let is_there = kubeconfig.lines().any(|line| line.trim().starts_with(field));
    let before = BEFORE.iter().find(|(one, _)| *one == field).map(|(_, before)| *before).unwrap_or_default();
    let wanted = if is_there { field } else { before };
    let encoded = Zeroizing::new(STANDARD.encode(value));
    let mut text = Zeroizing::new(String::with_capacity(kubeconfig.len() + encoded.len() + 64));
    for line in kubeconfig.split_inclusive('\n') {
        let indent = indent_before(line, wanted);
        if let Some(indent) = indent {
            for part in [indent, field, " ", encoded.as_str(), "\n"] {
                text.push_str(part);
            }
        }
        if indent.is_none() || !is_there {
            text.push_str(line);
        }
    }
    text
}

/// The blanks before `field`, where it begins the line.
fn indent_before<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let rest = line.trim_start_matches(' ');
    (!field.is_empty() && rest.starts_with(field)).then(|| &line[..line.len() - rest.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "apiVersion: v1\nclusters:\n- cluster:\n    server: https://10.0.0.1:6443\n  name: kubernetes\nusers:\n- name: a\n  user:\n    client-key-data: AAAA\n";

    #[test]
    fn what_kubeadm_left_out_is_put_where_kubeadm_puts_it() {
        let text = complete(MADE, "ca", "certificate", "key");
        let encoded = |text: &str| STANDARD.encode(text);
        let wanted = MADE
            .replace("    server", &format!("    certificate-authority-data: {}\n    server", encoded("ca")))
            .replace(
                "    client-key-data: AAAA",
                &format!(
                    "    client-certificate-data: {}\n    client-key-data: {}",
                    encoded("certificate"),
                    encoded("key")
                ),
            );
        assert_eq!(*text, wanted);
        assert_eq!(*complete(&text, "ca", "certificate", "key"), *text, "a second time nothing changes");
        assert_eq!(key_in(&text).unwrap().as_str(), "key");
        assert_eq!(believed_in(&text).unwrap(), "ca");
        let renewed = complete(&text, "ca", "another", "other");
        assert_eq!(renewed.lines().count(), text.lines().count());
        assert_eq!(key_in(&renewed).unwrap().as_str(), "other");
    }

    #[test]
    fn a_kubelet_finds_certificate_and_key_in_their_file() {
        let text = of_kubelet(MADE, "ca", None);
        assert_eq!(server_in(&text), Some("https://10.0.0.1:6443"));
        assert!(text.ends_with(&format!(
            "  user:\n    client-certificate: {KUBELET_CLIENT}\n    client-key: {KUBELET_CLIENT}\n"
        )));
        assert_eq!((key_in(&text), believed_in(&text).as_deref()), (None, Some("ca")));
        let beside = of_kubelet(MADE, "ca", Some("https://10.0.0.2:6443"));
        assert_eq!(*beside, text.replace("10.0.0.1", "10.0.0.2"));
    }
}
