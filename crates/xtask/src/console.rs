//! Builds the console with npm when its sources have changed. Knows nothing of what the console shows.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::Result;

use crate::setup;
use crate::workspace::{self, Workspace};

/// Builds the console and says what it did.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    println!("{}", setup::node()?);
    println!("console: usually 20 seconds");
    println!("console: {}", build(workspace)?);
    Ok(())
}

/// Installs and builds what is out of date; gives the words for what was done.
pub(crate) fn build(workspace: &Workspace) -> Result<&'static str> {
    let folder = folder(workspace);
    let installed = changed(&folder.join("node_modules/.package-lock.json"));
    if installed.is_none() || installed < changed(&folder.join("package-lock.json")) {
        workspace::run_quietly(&mut npm(workspace, &["ci", "--no-audit", "--no-fund"]))?;
    }
    // Where git is absent nothing tells sources from what is made of them: then build each time.
    if workspace.files().is_ok_and(|files| !is_stale(&workspace.root, &files)) {
        return Ok("up to date");
    }
    workspace::run_quietly(&mut npm(workspace, &["run", "build"]))?;
    Ok("built")
}

/// `npm` in the folder of the console, without standard input.
pub(crate) fn npm(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(folder(workspace)).stdin(Stdio::null());
    command
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("console")
}

/// Whether one of `sources`, given relative to `root`, is newer than what was built last.
fn is_stale(root: &Path, sources: &[String]) -> bool {
    let Some(built) = changed(&root.join("console/dist/index.html")) else { return true };
    let mut sources = sources.iter().filter(|file| file.starts_with("console/"));
    sources.any(|file| changed(&root.join(file)).is_some_and(|source| source > built))
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

    use super::*;

    /// A folder with these files, each changed so many seconds after the epoch; all but `dist` are sources.
    fn check(files: &[(&str, u64)], expected_stale: bool) {
        let root = tempfile::tempdir().unwrap();
        for (name, changed_secs) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(*changed_secs)).unwrap();
        }
        let sources: Vec<String> =
            files.iter().map(|(name, _)| (*name).to_owned()).filter(|name| !name.contains("/dist/")).collect();
        assert_eq!(is_stale(root.path(), &sources), expected_stale, "{files:?}");
    }

    #[test]
    fn the_console_is_stale_when_a_source_is_newer_than_what_was_built() {
        check(&[("console/src/app.ts", 10)], true);
        check(&[("console/src/app.ts", 10), ("console/dist/index.html", 20)], false);
        check(&[("console/src/deep/er/app.ts", 30), ("console/dist/index.html", 20)], true);
        check(&[("console/package.json", 30), ("console/dist/index.html", 20)], true);
        check(&[("console/dist/index.html", 20), ("console/dist/app.js", 40)], false);
        check(&[("crates/server/src/lib.rs", 30), ("console/dist/index.html", 20)], false);
    }
}
