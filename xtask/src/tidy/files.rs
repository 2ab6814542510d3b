//! Every file has a home, and no source file outgrows the house.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Finding;
use crate::repo;

/// Lines of a source file, tests aside (DESIGN §4, house numbers).
const FILE_LINES: usize = 500;

/// Folder → endings of the files that live there.
const HOMES: &[(&str, &[&str])] = &[
    (
        "crates/",
        &[
            "rs",
            "toml",
            "snap",
            "json",
            "yaml",
            "pub",
            "pem",
            "md",
            "txt",
            "tar",
            "tgz",
            "proptest-regressions",
            "bin",
            "py",
            "sha256",
            "crt",
            "key",
            "tpl",
            "conf",
            "go",
            "mod",
            "sum",
            "lock",
            "css",
        ],
    ),
    ("xtask/", &["rs", "toml", "snap"]),
    (
        "lab/",
        &["go", "sh", "py", "c", "md", "env", "toml", "conf", "yaml", "json", "service", "in", "sum", "mod", "yml"],
    ),
    ("e2e/", &["yaml", "md", "json", "ini", "toml", "conf", "service"]),
    ("integrations/", &["py", "yml", "md"]),
    ("bench/", &["md", "yaml", "json", "rs", "toml", "lock", "go", "mod"]),
    ("fuzz/", &["rs", "toml", "md", "lock"]),
    ("hsm/", &["rs", "toml", "md", "lock"]),
    ("docs/", &["md", "json", "svg", "1", "txt", "html"]),
    (".cargo/", &["toml"]),
];

/// Files that stand at the top, and those without an ending.
const AT_THE_TOP: &[&str] = &[
    ".ci/run",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "GLOSSARY.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "RELEASING.md",
    "SECURITY.md",
    "STYLE.md",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "bootstrap.sh",
    ".gitattributes",
];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in repo::files(root)? {
        findings.extend(homeless(&file));
        if file.extension().is_some_and(|ending| ending == "rs") {
            findings.extend(outgrown(root, &file)?);
        }
    }
    Ok(findings)
}

fn homeless(file: &Path) -> Option<Finding> {
    let name = file.to_string_lossy();
    let ending = file.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
    let at_home = AT_THE_TOP.contains(&&*name)
        || name.contains("/testdata/")
        || HOMES.iter().any(|(folder, endings)| name.starts_with(folder) && endings.contains(&&*ending));
    (!at_home).then(|| Finding::new(name, "has no home: see the tree in ARCHITECTURE.md"))
}

fn outgrown(root: &Path, file: &PathBuf) -> Result<Option<Finding>> {
    let text = fs::read_to_string(root.join(file))?;
    let lines = lines_without_tests(&text);
    let is_test = file.components().any(|part| part.as_os_str() == "tests");
    Ok((!is_test && lines > FILE_LINES)
        .then(|| Finding::new(file.to_string_lossy(), format!("{lines} lines without tests (house: {FILE_LINES})"))))
}

/// Lines up to the file's own `#[cfg(test)]` module.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_file_is_found() {
        assert_eq!(homeless(Path::new("crates/trust/src/lib.rs")), None);
        assert_eq!(homeless(Path::new("README.md")), None);
        assert!(homeless(Path::new("notes.txt")).is_some());
        assert!(homeless(Path::new("crates/trust/a.exe")).is_some());
    }

    #[test]
    fn tests_do_not_count() {
        assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {}\n"), 2);
    }
}
