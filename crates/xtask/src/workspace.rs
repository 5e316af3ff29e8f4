//! Where things are: the repository, the target directory, what cargo says of the packages.
//!
//! Must not know what is done with them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The repository and what cargo knows of it.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The packages of the repository.
    pub(crate) packages: Vec<Package>,
}

/// One crate of the workspace, as far as rules are made about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Package {
    /// Its name, which is also its folder's.
    pub(crate) name: String,
    /// What it depends on, outside crates included.
    pub(crate) dependencies: Vec<Dependency>,
    /// The binaries of its integration tests.
    pub(crate) integration_tests: Vec<String>,
}

/// One line below `[dependencies]`, `[build-dependencies]` or `[dev-dependencies]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dependency {
    /// The package depended on.
    pub(crate) name: String,
    /// Whether tests need it or the product.
    pub(crate) purpose: Purpose,
}

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    /// The crate itself, or its build script.
    Product,
    /// Its tests only.
    Tests,
}

impl Workspace {
    /// Asks cargo about the workspace in which `cargo xtask` was called.
    pub(crate) fn find() -> Result<Self> {
        // Cargo says at run time where this package is: clones that share a target directory share the program.
        let package = std::env::var_os("CARGO_MANIFEST_DIR").context("xtask is started by `cargo xtask`")?;
        let manifest = Path::new(&package).join("../../Cargo.toml");
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .stderr(Stdio::inherit())
            .output()
            .context("failed to run `cargo metadata`")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed ({})", output.status);
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("failed to read `cargo metadata`")?;
        Self::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &Value) -> Result<Self> {
        let folder = |key: &str| metadata[key].as_str().map(PathBuf::from).with_context(|| format!("no `{key}`"));
        let packages = metadata["packages"].as_array().context("no `packages`")?;
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
            packages: packages.iter().map(package).collect(),
        })
    }

    /// `cargo` in the root of the repository, without standard input.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// The binary `tongmai` as built with `profile`.
    pub(crate) fn tongmai(&self, profile: &str) -> PathBuf {
        self.built(profile).join(format!("tongmai{}", std::env::consts::EXE_SUFFIX))
    }

    /// Whether the part of the build that takes minutes has been done before: the SQL engine, DataFusion.
    pub(crate) fn has_built_engine(&self, profile: &str) -> bool {
        let libraries = std::fs::read_dir(self.built(profile).join("deps"));
        libraries.is_ok_and(|files| {
            files.flatten().any(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                name.starts_with("libdatafusion-") && name.ends_with(".rlib")
            })
        })
    }

    fn built(&self, profile: &str) -> PathBuf {
        self.target.join(if profile == "dev" { "debug" } else { profile })
    }

    /// The files of the repository, tracked or about to be, relative to its root, in order.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .stderr(Stdio::inherit())
            .output()
            .context("failed to run `git ls-files`")?;
        if !output.status.success() {
            bail!("`git ls-files` failed ({})", output.status);
        }
        let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut files: Vec<String> = listing.split_terminator('\0').map(str::to_owned).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// The cargo that started this program, or else the one on the path.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn package(package: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    Package {
        name: text(&package["name"]),
        dependencies: each(&package["dependencies"])
            .iter()
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                purpose: if dependency["kind"] == "dev" { Purpose::Tests } else { Purpose::Product },
            })
            .collect(),
        integration_tests: each(&package["targets"])
            .iter()
            .filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&"test".into())))
            .map(|target| text(&target["name"]))
            .collect(),
    }
}

/// Runs `command` to its end; an error says which command failed and how.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("failed to run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs `command` to its end and shows what it said only if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to run `{shown}`"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{shown}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_string_lossy();
    let mut words = vec![program.into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tells_packages_their_dependencies_and_tests() {
        let metadata = serde_json::json!({
            "workspace_root": "r", "target_directory": "t",
            "packages": [{
                "name": "query",
                "dependencies": [{"name": "model", "kind": null}, {"name": "sim", "kind": "dev"}],
                "targets": [{"name": "query", "kind": ["lib"]}, {"name": "sql", "kind": ["test"]}],
            }],
        });
        let workspace = Workspace::from_metadata(&metadata).unwrap();
        let dependency = |name: &str, purpose| Dependency { name: name.to_owned(), purpose };
        assert_eq!(workspace.packages[0].name, "query");
        assert_eq!(
            workspace.packages[0].dependencies,
            [dependency("model", Purpose::Product), dependency("sim", Purpose::Tests)]
        );
        assert_eq!(workspace.packages[0].integration_tests, ["sql"]);
        assert!(workspace.tongmai("dev").starts_with("t/debug"));
        assert!(workspace.tongmai("demo").starts_with("t/demo"));
    }

    #[test]
    fn a_failing_command_is_named_and_its_words_are_shown() {
        let error = run_quietly(Command::new("sh").args(["-c", "echo no such luck; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("3") && error.contains("no such luck"), "{error}");
        assert!(
            run(&mut Command::new("a-program-that-is-not-there")).unwrap_err().to_string().contains("failed to run")
        );
    }
}
