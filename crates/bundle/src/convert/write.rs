//! Writes the spec, commented, in the form that a person would write.

use std::borrow::Cow;
use std::fmt::Write as _;

use sealock_trust::StreamName;

use super::draft::{Chart, Draft, Level};
use super::{Format, Options};
use crate::names::BundleName;
use crate::plain::Plain;
use crate::reference::Reference;

/// The spec of `draft`, which came from `file`.
pub(super) fn spec(file: &str, format: Format, draft: &Draft, options: &Options) -> String {
    let file = Plain::of(file);
    let mut out = format!(
        "# Converted by `sealock convert` from {file} ({}). Review it, then run `sealock lock`.\n",
        format.name()
    );
    comments(&file, draft, &mut out);
    let name = name(draft, options);
    let stream = options.stream.as_ref().map_or_else(|| stream(&name), ToString::to_string);
    let _ = writeln!(out, "apiVersion: sealock/v1alpha1\nkind: Bundle");
    let _ = writeln!(out, "metadata: {{name: {}, stream: {}}}\nspec:", scalar(&name), scalar(&stream));
    if options.sites.is_empty() {
        out.push_str("  # Who may import it: nobody yet. `lock` asks for at least one site.\n");
    }
    let _ = writeln!(out, "  audience: {{sites: {}}}", list(options.sites.iter().map(ToString::to_string)));
    if !draft.platforms.is_empty() {
        let _ = writeln!(out, "  platforms: {}", list(draft.platforms.iter().map(ToString::to_string)));
    }
    images(draft, &mut out);
    charts(draft, &mut out);
    if !draft.manifests.is_empty() {
        out.push_str("  manifests:\n");
        for path in &draft.manifests {
            let _ = writeln!(out, "    - {}", scalar(&path.to_string_lossy()));
        }
    }
    if !draft.files.is_empty() {
        out.push_str("  files:\n");
        for file in &draft.files {
            let (url, digest, line) = (scalar(&file.url), &file.digest, file.line);
            let _ = writeln!(out, "    - url: {url} # line {line}\n      digest: {digest}");
        }
    }
    out
}

/// The name given, and else the input's own made legal.
fn name(draft: &Draft, options: &Options) -> Cow<'static, str> {
    if let Some(name) = &options.name {
        return Cow::Owned(name.to_string());
    }
    let legal = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
    let legal: String = draft.name.iter().flat_map(|name| name.chars()).map(legal).take(63).collect();
    let name = words(&legal);
    if stream(&name) == name && name.parse::<BundleName>().is_ok() {
        Cow::Owned(name)
    } else {
        Cow::Borrowed("converted")
    }
}

/// The stream that is called like the bundle `name`, where that may be.
fn stream(name: &str) -> String {
    let stream = words(name);
    let is_free = stream.parse::<StreamName>().is_ok_and(|stream| !stream.is_reserved());
    if is_free { stream } else { "converted".to_owned() }
}

/// With single hyphens, and only between words, as streams are named.
fn words(name: &str) -> String {
    name.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn comments(file: &Plain, draft: &Draft, out: &mut String) {
    let heads = [
        (Level::Credential, "Left out, since a spec holds no credentials"),
        (Level::Lost, "Not carried over"),
        (Level::Changed, "Carried over in another form"),
        (Level::Decide, "To be decided"),
    ];
    for (level, head) in heads {
        let found: Vec<_> = draft.findings.iter().filter(|finding| finding.level == level).collect();
        if !found.is_empty() {
            let _ = writeln!(out, "#\n# {head} ({}):", found.len());
        }
        for finding in found {
            let _ = writeln!(out, "#   {file}:{}:{} {}: {}", finding.line, finding.column, finding.at, finding.text);
        }
    }
    if draft.left_out > 0 {
        let _ = writeln!(out, "#   … and {} more findings", draft.left_out);
    }
}

fn images(draft: &Draft, out: &mut String) {
    if draft.images.is_empty() {
        return;
    }
    if draft.images.iter().any(|image| image.key.is_none()) {
        out.push_str(
            "  # An image without `verify` stops `sealock lock` until a person says which key or identity must have signed it,\n  \
             # or why it may come unsigned: verify: {unsigned: \"why\"}. A rule in spec.verify can cover several.\n",
        );
    }
    out.push_str("  images:\n");
    for image in &draft.images {
        let _ = writeln!(out, "    - ref: {} # line {}", scalar(&image.reference.to_string()), image.line);
        if let Some(key) = &image.key {
            let _ = writeln!(out, "      verify: {{key: {}}}", scalar(&key.to_string_lossy()));
        }
    }
}

fn charts(draft: &Draft, out: &mut String) {
    if draft.charts.is_empty() {
        return;
    }
    out.push_str("  # The images of charts are found by rendering them. Rules in spec.verify have to cover those too.\n  charts:\n");
    for Chart { name, repository, oci, version, values, namespace, images, line } in &draft.charts {
        let _ = writeln!(out, "    - name: {} # line {line}", scalar(name));
        for (key, value) in [("repository", repository), ("oci", oci)] {
            if let Some(value) = value {
                let _ = writeln!(out, "      {key}: {}", scalar(value));
            }
        }
        let _ = writeln!(out, "      version: {}", scalar(version));
        if let Some(namespace) = namespace {
            let _ = writeln!(out, "      namespace: {}", scalar(namespace));
        }
        for (key, values) in [
            ("values", values.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()),
            ("images", images.iter().map(Reference::to_string).collect()),
        ] {
            if !values.is_empty() {
                let _ = writeln!(out, "      {key}: {}", list(values.into_iter()));
            }
        }
    }
}

fn list(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.map(|value| scalar(&value).into_owned()).collect();
    format!("[{}]", values.join(", "))
}

/// `text` as YAML: plain where it can be nothing but this text, else in double quotes, whose escapes are those of JSON
/// (YAML 1.2.2, 5.7).
fn scalar(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./_-:@+".contains(&byte);
    let is_word = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(plain)
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_word { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            other if u32::from(other) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            other => {
                let _ = write!(out, "\\U{:08x}", u32::from(other));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_again_as_the_same_text() {
        for text in
            ["plain", "1.20", "no", "a: b", "x #y", "", "ü\u{1b}\u{1f600}", "- a", "\"", "\\n", "1e3", "{a}", "~"]
        {
            let yaml = format!("value: {}\n", scalar(text));
            let read: std::collections::BTreeMap<String, String> =
                crate::document::load_plain(std::path::Path::new("x"), &yaml).unwrap();
            assert_eq!(read["value"], text, "{yaml}");
        }
    }
}
