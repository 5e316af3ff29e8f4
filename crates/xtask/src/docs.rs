//! The documents that the product writes about itself: made anew, or compared with what is committed.
//!
//! Must not know what stands in them: `tongmai docs` does.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// What `tongmai docs` is asked for, and where its answer is kept.
const DOCUMENTS: [(&str, &str); 2] = [("configuration", "docs/configuration.md"), ("openapi", "docs/openapi.json")];

/// Writes all documents anew.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for (subject, file) in DOCUMENTS {
        let text = generate(workspace, subject)?;
        std::fs::write(workspace.root.join(file), text).with_context(|| format!("failed to write `{file}`"))?;
        println!("wrote {file}");
    }
    Ok(())
}

/// Compares all documents with what the product would write now.
///
/// # Errors
/// When one is out of date; the message names all that are.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut stale = Vec::new();
    for (subject, file) in DOCUMENTS {
        let committed = std::fs::read(workspace.root.join(file)).unwrap_or_default();
        if committed != generate(workspace, subject)? {
            stale.push(file);
        }
    }
    if !stale.is_empty() {
        bail!("out of date: {}; run `cargo xtask docs` and commit", stale.join(", "));
    }
    Ok(())
}

fn generate(workspace: &Workspace, subject: &str) -> Result<Vec<u8>> {
    let mut command = workspace.cargo(&["run", "--quiet", "--package", "cli", "--", "docs", subject]);
    let output = command.stderr(Stdio::inherit()).output().context("failed to run cargo")?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("`tongmai docs {subject}` failed ({}) or wrote nothing", output.status);
    }
    Ok(output.stdout)
}
