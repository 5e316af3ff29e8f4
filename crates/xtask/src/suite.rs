//! Every test there is: Rust, console, and the console against the running product in a headless browser.
//!
//! Must not know what any of them tests.

use std::process::Command;

use anyhow::{Context, Result};

use crate::demo::Demo;
use crate::steps::Steps;
use crate::workspace::{self, Workspace};
use crate::{console, setup};

/// What tests in other languages need, if there are any.
const REQUIREMENTS: &str = "tests/requirements.txt";

/// Sets up and runs every test.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::default();
    prepare(workspace, &mut steps);
    test(workspace, &mut steps);
    steps.finish("test")
}

/// Installs what is missing, and builds the console that goes into the binary.
pub(crate) fn prepare(workspace: &Workspace, steps: &mut Steps) {
    steps.run("set-up", || setup::install(&[&setup::CHROMIUM, &setup::XMLLINT, &setup::PSQL, &setup::VMAGENT]));
    match setup::node() {
        Ok(_) => steps.run("console build", || console::run(workspace)),
        Err(problem) => steps.skip("console build", &format!("{problem:#}")),
    }
}

/// Runs every test; what cannot be tried here is skipped with the reason.
pub(crate) fn test(workspace: &Workspace, steps: &mut Steps) {
    for (name, script) in [("console check", "check"), ("console tests", "test")] {
        match setup::node() {
            Ok(_) => steps.run(name, || workspace::run(&mut console::npm(workspace, &["run", script]))),
            Err(problem) => steps.skip(name, &format!("{problem:#}")),
        }
    }
    if setup::find(setup::XMLLINT.names).is_none() {
        steps.skip("tests with xmllint", "xmllint was not found (Debian: libxml2-utils)");
    }
    if setup::find(setup::PSQL.names).is_none() {
        steps.skip("tests with psql", "psql was not found (Debian: postgresql-client)");
    }
    if setup::find(setup::VMAGENT.names).is_none() {
        steps.skip("tests with vmagent", "vmagent was not found (Debian: victoria-metrics)");
    }
    if !workspace.has_built_engine("dev") {
        println!("\nbuilding the tests: the first time usually 5 minutes on 2 cores, most of it DataFusion");
    }
    steps.run("rust tests", || rust_tests(workspace));
    steps.run("rust doc tests", || workspace::run(&mut workspace.cargo(&["test", "--workspace", "--doc"])));
    match (setup::node(), setup::find(setup::CHROMIUM.names)) {
        (Ok(_), Some(chromium)) => {
            let mut browser_tests = console::npm(workspace, &["run", "e2e"]);
            steps.run("end to end", || end_to_end(workspace, browser_tests.env("CHROMIUM", chromium)));
        }
        (Err(problem), _) => steps.skip("end to end", &format!("{problem:#}")),
        (_, None) => steps.skip("end to end", "chromium was not found (Debian: chromium)"),
    }
}

fn rust_tests(workspace: &Workspace) -> Result<()> {
    let mut command = if setup::find(&["cargo-nextest"]).is_some() {
        workspace.cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        workspace.cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"])
    };
    let requirements = workspace.root.join(REQUIREMENTS);
    if requirements.is_file() {
        let programs = setup::python(workspace, "tests-python")?;
        setup::install_requirements(&programs, &requirements)?;
        command.env("TONGMAI_PYTHON", programs.join("python"));
    }
    workspace::run(&mut command)
}

/// Runs the browser's tests against the demo plant, and sees that the demo ends as it should.
fn end_to_end(workspace: &Workspace, browser_tests: &mut Command) -> Result<()> {
    workspace::run(&mut workspace.cargo(&["build", "--package", "cli"]))?;
    let mut command = Command::new(workspace.tongmai("dev"));
    let demo = Demo::start(command.args(["demo", "--listen", "127.0.0.1:0"]))?;
    println!("the demo runs at {}", demo.address);
    workspace::run(browser_tests.env("TONGMAI_URL", &demo.address)).context("the browser's tests")?;
    demo.stop()
}
