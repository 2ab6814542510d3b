//! Which version of a program spoke.

use super::scene::Scene;

/// The version of `tool` as the program itself says it, or as our own lock files pin it.
pub fn of(scene: &Scene, tool: &str) -> String {
    let said = match tool {
        "tar" | "skopeo" | "umoci" => scene.tool(tool, &["--version"]),
        "crane" | "oras" | "cosign" => scene.tool(tool, &["version"]),
        "python-tuf" => scene.tool("python3", &["-c", "import tuf; print(tuf.__version__)"]),
        "go-tuf" => Ok(after(include_str!("../../../../trust/tests/oracle/go_tuf/go.mod"), "go-tuf/v2 ")),
        "tough" => Ok(after(include_str!("../../../../../Cargo.lock"), "name = \"tough\"\nversion = \"")),
        other => Err(format!("nobody knows how {other} tells its version")),
    };
    said.ok().and_then(|text| version_in(&text)).unwrap_or_else(|| "?".to_owned())
}

fn after(text: &str, mark: &str) -> String {
    text.split_once(mark).and_then(|(_, rest)| rest.lines().next()).unwrap_or_default().replace('"', "")
}

/// The first word that looks like a version.
fn version_in(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.strip_prefix('v').unwrap_or(word));
    let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    words.filter(is_version).map(|word| word.trim_end_matches(',').to_owned()).next()
}

#[test]
fn a_version_is_found_in_what_programs_say() {
    for (said, version) in [
        ("tar (GNU tar) 1.34\nCopyright", "1.34"),
        ("skopeo version 1.9.3", "1.9.3"),
        ("Version:        1.3.6\nGo version: go1.26.8", "1.3.6"),
        ("v0.22.1\n", "0.22.1"),
    ] {
        assert_eq!(version_in(said).as_deref(), Some(version));
    }
}
