//! The direction of dependencies: what `ARCHITECTURE.md` draws is what the manifests may say.
//!
//! The picture is a fenced block named `dependencies`, one statement a line:
//!
//! ```text
//! store: model                 the crates that `store` may depend on; only ones from lines above
//! store (tests): sim           what its tests may depend on besides
//! only query: datafusion       an outside crate that no other crate may depend on
//! model needs only: jiff       all the outside crates that `model` may depend on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::workspace::{Package, Purpose};

/// The most integration-test binaries of one crate: linking them is the slow part.
const INTEGRATION_TESTS_MAX: usize = 1;

/// What the picture allows.
#[derive(Debug, Default)]
struct Picture {
    /// The line of each crate, and the crates it may depend on.
    allowed: BTreeMap<String, (usize, BTreeSet<String>)>,
    /// The crates that the tests of a crate may depend on besides.
    allowed_in_tests: BTreeMap<String, BTreeSet<String>>,
    /// Outside crates, and the only crate that may depend on each.
    owners: BTreeMap<String, String>,
    /// Crates with a closed list of outside crates.
    closed: BTreeMap<String, BTreeSet<String>>,
}

/// Holds `packages` to the picture in `text`, the content of `path`.
pub(super) fn check(path: &str, text: &str, packages: &[Package]) -> Vec<Violation> {
    let (picture, mut problems) = Picture::parse(text);
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for (name, (line, _)) in &picture.allowed {
        if !names.contains(name.as_str()) {
            problems.push((*line, format!("`{name}` is drawn but is no crate, expected only crates that exist")));
        }
    }
    let in_picture = problems.into_iter().map(|(line, message)| violation(path, line, message));
    in_picture.chain(packages.iter().flat_map(|package| picture.check(package, &names))).collect()
}

fn violation(path: &str, line: usize, message: String) -> Violation {
    Violation { rule: "dependencies", path: path.to_owned(), line, message }
}

impl Picture {
    /// Reads the block; gives what cannot be read with its line.
    fn parse(text: &str) -> (Self, Vec<(usize, String)>) {
        let (mut picture, mut problems) = (Self::default(), Vec::new());
        let numbered = (1..).zip(text.lines());
        let block = numbered.skip_while(|(_, line)| line.trim() != "```dependencies").skip(1);
        let block: Vec<(usize, &str)> = block.take_while(|(_, line)| line.trim() != "```").collect();
        if block.is_empty() {
            problems.push((1, "no picture, expected a fenced block named `dependencies`".to_owned()));
        }
        for (line, statement) in block {
            if !statement.trim().is_empty()
                && let Err(problem) = picture.read(line, statement)
            {
                problems.push((line, problem));
            }
        }
        (picture, problems)
    }

    fn read(&mut self, line: usize, statement: &str) -> Result<(), String> {
        let Some((subject, list)) = statement.split_once(':') else {
            return Err(format!("`{statement}` is no statement, expected `crate: what it may depend on`"));
        };
        let list: BTreeSet<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
        let list: BTreeSet<String> = list.into_iter().filter(|name| !name.is_empty()).collect();
        let subject = subject.trim();
        if let Some(owner) = subject.strip_prefix("only ") {
            self.owners.extend(list.into_iter().map(|name| (name, owner.to_owned())));
        } else if let Some(name) = subject.strip_suffix(" needs only") {
            self.closed.insert(name.to_owned(), list);
        } else if let Some(name) = subject.strip_suffix(" (tests)") {
            self.allowed_in_tests.insert(name.to_owned(), list);
        } else {
            if let Some(below) = list.iter().find(|name| !self.allowed.contains_key(*name)) {
                return Err(format!("`{subject}` depends on `{below}`, expected only crates from lines above"));
            }
            self.allowed.insert(subject.to_owned(), (line, list));
        }
        Ok(())
    }

    fn check(&self, package: &Package, crates: &BTreeSet<&str>) -> Vec<Violation> {
        let name = &package.name;
        let mut messages = Vec::new();
        if !self.allowed.contains_key(name) {
            messages.push(format!("`{name}` is not in the picture, expected a line for it in ARCHITECTURE.md"));
        }
        for dependency in &package.dependencies {
            let problem = if crates.contains(dependency.name.as_str()) {
                self.inside_problem(name, &dependency.name, dependency.purpose)
            } else if dependency.purpose == Purpose::Product {
                self.outside_problem(name, &dependency.name)
            } else {
                None
            };
            messages.extend(problem);
        }
        let tests = &package.integration_tests;
        if tests.len() > INTEGRATION_TESTS_MAX {
            let expected = "expected one with modules, since each is linked anew";
            messages.push(format!("{} integration-test binaries ({}), {expected}", tests.len(), tests.join(", ")));
        }
        let manifest = format!("crates/{name}/Cargo.toml");
        messages.into_iter().map(|message| violation(&manifest, 1, message)).collect()
    }

    /// Why `name` may not depend on the crate `other` of this workspace.
    fn inside_problem(&self, name: &str, other: &str, purpose: Purpose) -> Option<String> {
        let (_, allowed) = self.allowed.get(name)?;
        let in_tests = self.allowed_in_tests.get(name).filter(|_| purpose == Purpose::Tests);
        if name == other || allowed.contains(other) || in_tests.is_some_and(|more| more.contains(other)) {
            return None;
        }
        let drawn = allowed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let drawn = if drawn.is_empty() { "none" } else { &drawn };
        Some(format!("`{name}` depends on `{other}`, expected only what ARCHITECTURE.md draws: {drawn}"))
    }

    /// Why `name` may not depend on the outside crate `other`; tests may use what they like.
    fn outside_problem(&self, name: &str, other: &str) -> Option<String> {
        if let Some(owner) = self.owners.get(other).filter(|owner| *owner != name) {
            return Some(format!("`{name}` depends on `{other}`, expected that only `{owner}` does"));
        }
        let closed = self.closed.get(name)?;
        (!closed.contains(other)).then(|| {
            let needed = closed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("`{name}` depends on `{other}`, expected only: {needed}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::shown;
    use crate::workspace::Dependency;

    const PICTURE: &str = "\
# Architecture
```dependencies
model:
store: model
sim: model
store (tests): sim

only store: arrow
model needs only: jiff
```
";

    /// Packages as `name -> dependency, (dependency of tests), …`, one a line.
    fn packages(text: &str) -> Vec<Package> {
        let dependency = |word: &str| match word.strip_prefix('(') {
            Some(name) => Dependency { name: name.trim_end_matches(')').to_owned(), purpose: Purpose::Tests },
            None => Dependency { name: word.to_owned(), purpose: Purpose::Product },
        };
        let package = |line: &str| {
            let (name, list) = line.split_once(" ->").unwrap();
            let dependencies = list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(dependency).collect();
            Package { name: name.to_owned(), dependencies, integration_tests: Vec::new() }
        };
        text.lines().map(package).collect()
    }

    #[track_caller]
    fn check_against_picture(text: &str, expected: &str) {
        assert_eq!(shown(&check("A.md", PICTURE, &packages(text))), expected);
    }

    #[test]
    fn what_is_drawn_is_allowed() {
        check_against_picture("model -> jiff\nstore -> model, arrow, serde, (sim)\nsim -> model, (arrow)", "");
    }

    #[test]
    fn what_is_not_drawn_is_a_violation() {
        check_against_picture(
            "model ->\nstore -> sim\nsim -> model, (store)",
            "\
crates/store/Cargo.toml:1: `store` depends on `sim`, expected only what ARCHITECTURE.md draws: model
crates/sim/Cargo.toml:1: `sim` depends on `store`, expected only what ARCHITECTURE.md draws: model",
        );
        check_against_picture(
            "model -> sim\nstore ->\nsim ->\nnews -> model",
            "\
crates/model/Cargo.toml:1: `model` depends on `sim`, expected only what ARCHITECTURE.md draws: none
crates/news/Cargo.toml:1: `news` is not in the picture, expected a line for it in ARCHITECTURE.md",
        );
        check_against_picture(
            "model ->\nstore ->",
            "A.md:5: `sim` is drawn but is no crate, expected only crates that exist",
        );
    }

    #[test]
    fn outside_crates_stay_where_they_belong() {
        check_against_picture(
            "model -> tokio, (proptest)\nstore -> arrow\nsim -> arrow",
            "\
crates/model/Cargo.toml:1: `model` depends on `tokio`, expected only: jiff
crates/sim/Cargo.toml:1: `sim` depends on `arrow`, expected that only `store` does",
        );
    }

    #[test]
    fn one_binary_of_integration_tests_is_enough() {
        let mut crates = packages("model ->\nstore ->\nsim ->");
        crates[1].integration_tests = vec!["a".to_owned()];
        assert_eq!(check("A.md", PICTURE, &crates), []);
        crates[1].integration_tests.push("b".to_owned());
        let expected = "crates/store/Cargo.toml:1: 2 integration-test binaries (a, b), \
            expected one with modules, since each is linked anew";
        assert_eq!(shown(&check("A.md", PICTURE, &crates)), expected);
    }

    #[test]
    fn a_picture_that_cannot_be_read_is_a_violation() {
        let missing = "A.md:1: no picture, expected a fenced block named `dependencies`";
        assert_eq!(shown(&check("A.md", "# Architecture\n", &[])), missing);
        let upwards = "```dependencies\nmodel\na: b\n```\n";
        let expected = "\
A.md:2: `model` is no statement, expected `crate: what it may depend on`
A.md:3: `a` depends on `b`, expected only crates from lines above";
        assert_eq!(shown(&check("A.md", upwards, &[])), expected);
    }
}
