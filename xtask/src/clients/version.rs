//! Which version of a program spoke.

use super::scene::Scene;

/// As the program itself says it; nothing for requests of our own.
pub(super) fn of(scene: &Scene, tool: &str) -> String {
    let said = match tool {
        "skopeo" | "podman" | "buildah" | "containerd" => scene.tool(tool, &["--version"]),
        "crane" | "oras" | "cosign" => scene.tool(tool, &["version"]),
        "helm" => scene.tool(tool, &["version", "--short"]),
        _ => return "own requests".to_owned(),
    };
    said.ok().and_then(|text| version_in(&text)).unwrap_or_else(|| "?".to_owned())
}

/// The first word that looks like a version.
fn version_in(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.strip_prefix('v').unwrap_or(word));
    let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    words.filter(is_version).map(|word| word.split(['+', ',']).next().unwrap_or(word).to_owned()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        for (said, version) in [
            ("skopeo version 1.9.3", "1.9.3"),
            ("containerd github.com/containerd/containerd/v2 v2.4.2 ", "2.4.2"),
            ("v3.22.0+g1a2b3c", "3.22.0"),
            ("buildah version 1.28.2 (image-spec 1.1.0-rc2)", "1.28.2"),
        ] {
            assert_eq!(version_in(said).as_deref(), Some(version));
        }
    }
}
