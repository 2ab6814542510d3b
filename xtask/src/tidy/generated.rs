//! Generated docs must be what the binary says now (`cargo xtask codegen` writes them).

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::codegen;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let fresh = codegen::render(root)?;
    let mut findings = Vec::new();
    for (path, content) in &fresh {
        let committed = fs::read_to_string(root.join(path)).unwrap_or_default();
        if committed != *content {
            findings.push(Finding::new(path.to_string_lossy(), "has drifted: run `cargo xtask codegen`"));
        }
    }
    Ok(findings)
}
