//! Sealock's own binary, as a thing that is carried: what a file says of itself, and the artifact that it travels as.
//!
//! Each binary holds one line that names its version and its build; the processor stands in its ELF header. So nobody has to
//! be believed about what a file is, and a version that was only claimed is found out (docs/formats/binary.md).

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::artifact::{self, Artifact, Content};
use crate::names::{ParseNameError, Platform};
use crate::reference::{self, ArtifactName};

/// What stands in front of version and build in a binary.
pub const IDENTITY: &str = "sealock-identity/1 ";

/// Bytes of a binary at most.
pub const MAX_BYTES: u64 = 512 << 20;

/// Bytes of the line behind [`IDENTITY`] at most.
const MAX_LINE: usize = 128;

/// What a binary is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Its version (Semantic Versioning 2.0.0).
    pub version: Version,
    /// Whether it can fetch from upstreams.
    pub build: Build,
    /// What it runs on, as Go names it: `linux`.
    pub os: String,
    /// The processor, as Go names it: `amd64`, `arm64`.
    pub architecture: String,
}

/// Which of the two builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Build {
    /// Can fetch from upstreams.
    Outside,
    /// Holds no code for it: what runs at a site.
    Inside,
}

/// Why a file is not a binary of Sealock that can be carried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// Not a program of a machine that Sealock runs on.
    #[error("it is no ELF program for Linux on amd64 or arm64")]
    NotAProgram,
    /// It does not say that it is Sealock.
    #[error("it does not call itself Sealock")]
    NotSealock,
    /// It says two things about itself.
    #[error("it names itself {first} and {second}")]
    Ambiguous {
        /// Once.
        first: String,
        /// And again.
        second: String,
    },
    /// It holds code that can reach upstreams.
    #[error("it is the outside build, which can reach upstreams")]
    Outside,
}

impl Description {
    /// What the binary in `bytes` says that it is.
    ///
    /// # Errors
    /// [`BinaryError`].
    pub fn of(bytes: &[u8]) -> Result<Self, BinaryError> {
        let architecture = architecture(bytes).ok_or(BinaryError::NotAProgram)?;
        let mut found: Option<&str> = None;
        let needle = IDENTITY.as_bytes();
        // Whoever looks for such a line has its beginning in it too: only whole lines count.
        for at in memchr::memmem::find_iter(bytes, needle) {
            let rest = bytes.get(at + needle.len()..).unwrap_or_default();
            let Some(line) = line(rest) else { continue };
            match found {
                Some(first) if first != line => {
                    return Err(BinaryError::Ambiguous { first: first.to_owned(), second: line.to_owned() });
                }
                _ => found = Some(line),
            }
        }
        let (version, build) = found.and_then(parse).ok_or(BinaryError::NotSealock)?;
        Ok(Self { version, build, os: "linux".to_owned(), architecture: architecture.to_owned() })
    }

    /// The same, where it is an inside build.
    ///
    /// # Errors
    /// [`BinaryError::Outside`].
    pub fn inside(self) -> Result<Self, BinaryError> {
        if self.build == Build::Inside { Ok(self) } else { Err(BinaryError::Outside) }
    }

    /// What it runs on.
    pub fn platform(&self) -> Platform {
        Platform { os: self.os.clone(), architecture: self.architecture.clone(), ..Platform::linux_amd64() }
    }

    /// The name that it travels and is kept under: `sealock/linux-amd64:0.2.0`.
    ///
    /// # Errors
    /// When the version makes no legal tag.
    pub fn artifact_name(&self) -> Result<ArtifactName, ParseNameError> {
        let tag = reference::legal_tag(&self.version.to_string());
        format!("sealock/{}-{}:{tag}", self.os, self.architecture).parse()
    }

    /// The artifact of the binary with this description; `content` is the file.
    pub fn artifact(&self, content: &Content) -> Artifact {
        let config = serde_json::to_value(self).unwrap_or_default();
        artifact::of_binary(content, &config)
    }
}

/// The first word behind the identity is the version, the second the build.
fn parse(line: &str) -> Option<(Version, Build)> {
    let (version, build) = line.split_once(' ')?;
    let build = match build.trim_end() {
        "inside" => Build::Inside,
        "outside" => Build::Outside,
        _ => return None,
    };
    Some((Version::parse(version).ok()?, build))
}

/// Up to the line feed, where what stands there is a version and a build.
fn line(rest: &[u8]) -> Option<&str> {
    let end = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(rest.get(..end)?).ok()?;
    parse(line).map(|_| line)
}

/// The processor by the ELF header (System V ABI, "ELF Header"): 64 bits, little endian, executable or position-independent.
fn architecture(bytes: &[u8]) -> Option<&'static str> {
    let header: &[u8; 20] = bytes.first_chunk()?;
    let is_elf = header.starts_with(b"\x7fELF\x02\x01\x01");
    let kind = u16::from_le_bytes([header[16], header[17]]);
    let machine = u16::from_le_bytes([header[18], header[19]]);
    match (is_elf && matches!(kind, 2 | 3), machine) {
        (true, 62) => Some("amd64"),
        (true, 183) => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(machine: u8, text: &str) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend([machine, 0]);
        bytes.extend(b"code sealock-identity/1 \0data ");
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn a_binary_says_what_it_is() {
        let said = Description::of(&binary(62, "sealock-identity/1 0.2.0 inside\n\0")).unwrap();
        assert_eq!(
            (said.version.to_string().as_str(), said.build, said.architecture.as_str()),
            ("0.2.0", Build::Inside, "amd64")
        );
        assert_eq!(said.artifact_name().unwrap().as_str(), "sealock/linux-amd64:0.2.0");
        assert!(said.inside().is_ok());
        let arm = Description::of(&binary(183, "sealock-identity/1 0.2.0-rc.1+x outside\n")).unwrap();
        assert_eq!(arm.artifact_name().unwrap().as_str(), "sealock/linux-arm64:0.2.0-rc.1_x");
        assert_eq!(arm.inside(), Err(BinaryError::Outside));
    }

    #[test]
    fn what_is_none_is_refused() {
        let twice = "sealock-identity/1 0.2.0 inside\n sealock-identity/1 0.3.0 inside\n";
        assert!(matches!(Description::of(&binary(62, twice)), Err(BinaryError::Ambiguous { .. })));
        let same = "sealock-identity/1 0.2.0 inside\n sealock-identity/1 0.2.0 inside\n";
        assert!(Description::of(&binary(62, same)).is_ok());
        for text in [
            "",
            "sealock-identity/1 0.2 inside\n",
            "sealock-identity/1 0.2.0 inside",
            "sealock-identity/1 0.2.0 side\n",
        ] {
            assert_eq!(Description::of(&binary(62, text)), Err(BinaryError::NotSealock), "{text}");
        }
        assert_eq!(Description::of(&binary(3, "sealock-identity/1 0.2.0 inside\n")), Err(BinaryError::NotAProgram));
        assert_eq!(Description::of(b"#!/bin/sh\nsealock-identity/1 0.2.0 inside\n"), Err(BinaryError::NotAProgram));
        assert_eq!(Description::of(b"\x7fELF"), Err(BinaryError::NotAProgram));
    }
}
