//! `WWW-Authenticate` (RFC 9110, 11.6.1), as far as registries use it.

/// What a server wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from a token service (distribution specification, token authentication).
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// A name and a password.
    Basic,
    /// Something else.
    Unknown,
}

impl Challenge {
    pub(super) fn is_known(&self) -> bool {
        *self != Self::Unknown
    }
}

/// The challenges in one header value. Registries send one per header; further ones in the same header are found too.
pub(super) fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let (scheme, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (parameters, next) = parameters(after);
        challenges.push(challenge(scheme, &parameters));
        rest = next;
    }
    challenges
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Challenge {
    let found = |wanted: &str| {
        parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
    };
    if scheme.eq_ignore_ascii_case("basic") {
        return Challenge::Basic;
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Challenge::Unknown;
    }
    match found("realm") {
        Some(realm) => Challenge::Bearer { realm, service: found("service"), scope: found("scope") },
        None => Challenge::Unknown,
    }
}

/// `name="value"` pairs up to the end or to the next scheme, and what follows.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((name, after)) = rest.split_once('=') {
        if name.contains(' ') {
            break;
        }
        let (value, next) = value(after);
        found.push((name.to_owned(), value));
        rest = next.trim_start_matches([' ', ',']);
    }
    let end = if found.is_empty() && !rest.contains('=') { "" } else { rest };
    (found, end)
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_docker_hub_form() {
        let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        let wanted = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
            scope: Some("repository:library/nginx:pull".into()),
        };
        assert_eq!(parse(text), [wanted]);
    }

    #[test]
    fn several_challenges_in_one_header() {
        let text = r#"Negotiate, Basic realm="a, b", Bearer realm="https://x/t""#;
        let found = parse(text);
        assert!(found.contains(&Challenge::Basic), "{found:?}");
        assert!(
            found.contains(&Challenge::Bearer { realm: "https://x/t".into(), service: None, scope: None }),
            "{found:?}"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_it_ends(text in ".{0,200}") {
            parse(&text);
        }
    }
}
