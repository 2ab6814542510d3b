//! Versions of Debian packages, and which of two is newer (Debian Policy Manual, 5.6.12).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// No version is longer; in bytes.
const LONGEST: usize = 256;

/// A version: `[epoch:]upstream[-revision]`.
///
/// Two texts may be the same version, like `1.0` and `1.00`.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    epoch: u32,
    /// Where the upstream part begins and ends in `text`.
    upstream: (usize, usize),
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no version of a Debian package: {reason}")]
pub struct ParseVersionError {
    /// The text, cut to what can be shown.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Version {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As written, without the epoch, which stands in no file name.
    pub fn without_epoch(&self) -> &str {
        self.text.get(self.upstream.0..).unwrap_or(&self.text)
    }

    fn upstream(&self) -> &str {
        self.text.get(self.upstream.0..self.upstream.1).unwrap_or_default()
    }

    fn revision(&self) -> &str {
        self.text.get(self.upstream.1 + 1..).unwrap_or_default()
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| ParseVersionError { text: text.chars().take(80).collect(), reason };
        if text.len() > LONGEST {
            return Err(wrong("it is longer than any is"));
        }
        let (epoch, begin) = match text.split_once(':') {
            Some((epoch, _)) => (parse_epoch(epoch).ok_or_else(|| wrong("its epoch is no number"))?, epoch.len() + 1),
            None => (0, 0),
        };
        let rest = text.get(begin..).unwrap_or_default();
        let end = rest.rfind('-').map_or(text.len(), |dash| begin + dash);
        let version = Self { text: text.to_owned(), epoch, upstream: (begin, end) };
        let legal = |part: &str, more: &[char]| part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c));
        if !version.upstream().starts_with(|c: char| c.is_ascii_digit()) {
            return Err(wrong("its upstream part does not begin with a digit"));
        }
        if !legal(version.upstream(), &['.', '+', '-', '~', ':']) || !legal(version.revision(), &['.', '+', '~']) {
            return Err(wrong("it holds a character that no version has"));
        }
        if end < text.len() && version.revision().is_empty() {
            return Err(wrong("its revision is empty"));
        }
        Ok(version)
    }
}

fn parse_epoch(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|epoch| digits && *epoch <= i32::MAX.cast_unsigned())
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_epoch = self.epoch.cmp(&other.epoch);
        let by_upstream = || compare(self.upstream(), other.upstream());
        by_epoch.then_with(by_upstream).then_with(|| compare(self.revision(), other.revision()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Text and numbers take turns: text by [`rank`], numbers by their value.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (a_text, b_text) =
            (take(&mut a, |byte| !byte.is_ascii_digit()), take(&mut b, |byte| !byte.is_ascii_digit()));
        let by_text = compare_text(a_text, b_text);
        if by_text != Ordering::Equal {
            return by_text;
        }
        let (a_number, b_number) = (take(&mut a, u8::is_ascii_digit), take(&mut b, u8::is_ascii_digit));
        let by_number = compare_numbers(a_number, b_number);
        if by_number != Ordering::Equal {
            return by_number;
        }
    }
    Ordering::Equal
}

fn take<'a>(text: &mut &'a [u8], is_part: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    part
}

/// `~` sorts before the end, the end before letters, letters before everything else.
fn rank(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    let mut orders = (0..a.len().max(b.len())).map(|at| rank(a.get(at)).cmp(&rank(b.get(at))));
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// By value, of numbers of any length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let bare = |number: &'_ [u8]| -> usize { number.iter().position(|byte| *byte != b'0').unwrap_or(number.len()) };
    let (a, b) = (a.get(bare(a)..).unwrap_or_default(), b.get(bare(b)..).unwrap_or_default());
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn the_newer_of_two_is_the_one_of_the_policy() {
        let rising = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "0a",
            "0+",
            "1.0~rc1-1",
            "1.0",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+deb12u1",
            "1.0-1+deb12u2",
            "1.0-1+deb12u10",
            "1.0a",
            "1.0.1",
            "1.10",
            "5.10.0-9",
            "5.10.0-10",
            "20240101",
            "99999999999999999999999",
            "1:0",
            "2:0",
        ];
        for (at, pair) in rising.windows(2).enumerate() {
            assert!(version(pair[0]) < version(pair[1]), "{at}: {} {}", pair[0], pair[1]);
        }
        assert_eq!(version("1.0"), version("1.00"));
        assert_eq!(version("0:1.0-0"), version("1.0"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "a1", ":1", "x:1", "-1:1", "1-", "1 2", "1_2", "1/../2", "99999999999:1", "1:", "1\n2", "+1"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
        assert!("1".repeat(LONGEST + 1).parse::<Version>().is_err());
        assert_eq!(version("1:2.0~rc1-3").without_epoch(), "2.0~rc1-3");
        assert_eq!(version("2.0-beta-3").upstream(), "2.0-beta");
    }

    /// dpkg's own word.
    fn dpkg_says(a: &str, relation: &str, b: &str) -> bool {
        let ended = Command::new("dpkg").args(["--compare-versions", a, relation, b]).status();
        ended.expect("this test asks dpkg: install the package dpkg").success()
    }

    fn part() -> impl Strategy<Value = String> {
        // Few characters, so that parts are often nearly the same.
        "[0-9][0-9a-bA.+~]{0,6}"
    }

    fn written() -> impl Strategy<Value = String> {
        (prop::option::of(0_u32..3), part(), prop::option::of("[0-9a-b.+~]{1,4}")).prop_map(
            |(epoch, upstream, revision)| {
                let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
                let revision = revision.map(|revision| format!("-{revision}")).unwrap_or_default();
                format!("{epoch}{upstream}{revision}")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

        #[test]
        fn dpkg_finds_the_same_one_newer(a in written(), b in written()) {
            let (ours, theirs) = (version(&a), version(&b));
            let relation = match ours.cmp(&theirs) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            prop_assert!(dpkg_says(&a, relation, &b), "{} {} {}", a, relation, b);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Version>();
        }
    }
}
