//! Names that say nothing are not used: neither for files and folders nor for types.

use super::Violation;

/// Names under which anything could be kept.
const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "misc", "manager", "managers", "prelude"];
/// Ends of type names that tell of a doer instead of a thing.
const EMPTY_ENDINGS: [&str; 4] = ["Manager", "Helper", "Helpers", "Utils"];
/// The words after which a type or module gets its name.
const DECLARATIONS: [&str; 7] = ["struct", "enum", "trait", "mod", "class", "interface", "type"];

/// Checks the name of a file and of the folders it is in.
pub(super) fn check_path(path: &str) -> Vec<Violation> {
    let stem = |part: &str| part.split('.').next().unwrap_or_default().to_lowercase();
    let words = |part: &str| stem(part).split(['-', '_']).map(str::to_owned).collect::<Vec<_>>();
    let empty = path.split('/').flat_map(words).find(|word| EMPTY_NAMES.contains(&word.as_str()));
    empty.map(|word| violation(path, 1, &word)).into_iter().collect()
}

/// Checks the names of types and modules that a source declares.
pub(super) fn check_text(path: &str, text: &str) -> Vec<Violation> {
    if ![".rs", ".ts", ".svelte"].iter().any(|ending| path.ends_with(ending)) {
        return Vec::new();
    }
    let lines = (1..).zip(text.lines()).filter_map(|(line, content)| Some((line, declared(content)?)));
    let empty = lines
        .filter(|(_, name)| EMPTY_NAMES.contains(name) || EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending)));
    empty.map(|(line, name)| violation(path, line, name)).collect()
}

fn violation(path: &str, line: usize, name: &str) -> Violation {
    let message = format!("`{name}` says nothing about what is in it, expected a noun of the field");
    Violation { rule: "name", path: path.to_owned(), line, message }
}

/// The name that a line declares for a type or module.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let is_code = !line.trim_start().starts_with("//") && !line.trim_start().starts_with('*');
    words.by_ref().take(3).find(|word| DECLARATIONS.contains(word)).filter(|_| is_code)?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::shown;

    #[test]
    fn files_and_folders_are_named_after_what_is_in_them() {
        for path in ["crates/model/src/time.rs", "docs/commonwealth.md", "console/src/lib/board.ts", ".ci/run"] {
            assert_eq!(check_path(path), [], "{path}");
        }
        for (path, name) in [
            ("crates/store/src/utils.rs", "utils"),
            ("crates/common/Cargo.toml", "common"),
            ("console/src/date-helpers.test.ts", "helpers"),
            ("crates/a/src/Manager/x.rs", "manager"),
        ] {
            let expected = format!("{path}:1: `{name}` says nothing about what is in it, expected a noun of the field");
            assert_eq!(shown(&check_path(path)), expected);
        }
    }

    #[test]
    fn types_and_modules_are_named_after_what_they_are() {
        let text = "pub struct Board;\n// struct BoardManager\nfn prelude() {}\nlet manager = 1;\nuse a::prelude::*;\n";
        assert_eq!(check_text("a.rs", text), []);
        let text = "//! A.\npub(crate) struct BoardManager {\nmod utils {\nexport class DateHelper {\n";
        let expected = "\
a.rs:2: `BoardManager` says nothing about what is in it, expected a noun of the field
a.rs:3: `utils` says nothing about what is in it, expected a noun of the field
a.rs:4: `DateHelper` says nothing about what is in it, expected a noun of the field";
        assert_eq!(shown(&check_text("a.rs", text)), expected);
        assert_eq!(check_text("a.md", text), []);
    }
}
