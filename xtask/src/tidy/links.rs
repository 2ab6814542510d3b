//! Relative links and anchors in Markdown lead to a file and a heading that exist.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::repo;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in repo::files(root)? {
        if file.extension().is_some_and(|ending| ending == "md") {
            let text = fs::read_to_string(root.join(&file))?;
            let broken = targets(&text).into_iter().filter(|target| !resolves(root, &file, target));
            let place = file.to_string_lossy();
            findings.extend(broken.map(|target| Finding::new(&*place, format!("the link to {target} leads nowhere"))));
        }
    }
    Ok(findings)
}

/// Targets of inline links, code blocks and code spans aside.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        for part in prose.split("](").skip(1) {
            targets.extend(part.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    targets
}

fn resolves(root: &Path, file: &Path, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = root.join(file);
    let goal = if path.is_empty() { folder.clone() } else { folder.with_file_name("").join(path) };
    if !goal.exists() {
        return false;
    }
    anchor.is_empty() || fs::read_to_string(goal).is_ok_and(|text| anchors(&text).any(|known| known == anchor))
}

fn anchors(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#').trim()))
}

fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_from_prose_only() {
        let text = "see [a](b.md#c) and `[no](x)`\n```\n[no](y)\n```\n[d](e)";
        assert_eq!(targets(text), ["b.md#c", "e"]);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(slug("Who may import whom?"), "who-may-import-whom");
    }
}
