//! Reason codes: the stable name of every refusal, with its meaning, cause and remedy.
//!
//! This is the one table from which `sealock explain CODE` and `docs/reference/reason-codes.md` are made.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $code:literal { meaning: $meaning:literal, cause: $cause:literal, remedy: $remedy:literal })*) => {
        /// The stable name of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it is printed, like `SIG`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What the refusal says.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What usually leads to it.
            pub fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause,)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    Digest = "DIGEST" {
        meaning: "The content does not have the digest it was promised to have.",
        cause: "Damage on the way, a failing disk or medium, or tampering.",
        remedy: "Carry the bundle again, and compare its SHA-256 with the sender's. If it repeats, suspect the medium or the sender."
    }
    Sig = "SIG" {
        meaning: "A signature does not fit the signed content.",
        cause: "The signed part was changed after signing, or was signed with another key than it names.",
        remedy: "Do not use the bundle. Ask the publisher for a fresh copy, and compare the fingerprints of the keys by voice."
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The code whose printed form is `text`, whatever its case.
pub fn find(text: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
}
