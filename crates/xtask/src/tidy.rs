//! The project's own rules, which no other tool knows: documents, sizes, names, places, dependencies.
//!
//! A rule looks at text or at what cargo says and must not change anything. Each violation is one line
//! `path:line: what, expected`. Exceptions stand in `tidy-exceptions.txt`, each with its reason.

mod dependencies;
mod exceptions;
mod names;
mod places;
mod readmes;
mod sources;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use exceptions::Exceptions;

/// Where the allowed dependencies are written down, as a picture for people and a rule for tidy.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// Where exceptions are written down.
const EXCEPTIONS: &str = "crates/xtask/tidy-exceptions.txt";

/// One place where a rule does not hold.
#[derive(Debug, Clone, PartialEq)]
struct Violation {
    /// The word by which an exception names the rule.
    rule: &'static str,
    /// The file, relative to the root of the repository.
    path: String,
    /// The line, from 1.
    line: usize,
    /// What is there, and what was expected.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the whole repository.
///
/// # Errors
/// When a rule is violated; the violations have been printed by then.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let read = |path: &str| {
        std::fs::read_to_string(workspace.root.join(path)).with_context(|| format!("failed to read `{path}`"))
    };
    let files = workspace.files()?;
    let mut violations = dependencies::check(ARCHITECTURE, &read(ARCHITECTURE)?, &workspace.packages);
    violations.extend(readmes::check(&|path| read(path).ok()));
    for path in &files {
        violations.extend(names::check_path(path));
        let bytes = std::fs::read(workspace.root.join(path)).with_context(|| format!("failed to read `{path}`"))?;
        // What is not UTF-8 is a picture or a recording: the rules are about texts.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        violations.extend(names::check_text(path, &text));
        violations.extend(places::check(path, &text));
        violations.extend(sources::check(path, &text));
    }
    let mut exceptions = Exceptions::parse(EXCEPTIONS, &read(EXCEPTIONS)?);
    violations.retain(|violation| !exceptions.cover(violation));
    violations.extend(exceptions.complaints());
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy found {} violations in {} files", violations.len(), files.len());
    }
    println!("tidy: {} files", files.len());
    Ok(())
}

/// The violations as text, for the tests of the rules.
#[cfg(test)]
fn shown(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n")
}
