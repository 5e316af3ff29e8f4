//! Nothing in the repository depends on one person's machine: no home folders, no choice of package registry.

use super::Violation;

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 6] = ["/root/", "/home/", "/Users/", "/work/", "/workspace/", "C:\\Users\\"];
/// What chooses a package registry, or records the address of one.
const REGISTRY_CHOICES: [&str; 7] = [
    "replace-with =",
    "--index-url",
    "--extra-index-url",
    "--registry",
    "npm_config_registry",
    "\"resolved\": \"http",
    "index-url =",
];

/// Checks one text.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let mut report = |message| violations.push(Violation { rule: "place", path: path.to_owned(), line, message });
        if let Some(found) = MACHINE_PATHS.iter().find(|place| names_path(content, place)) {
            report(format!("`{found}` is a place on one machine, expected a relative path or a setting"));
        }
        let is_npmrc = path.ends_with(".npmrc") && content.contains("registry=");
        if is_npmrc || REGISTRY_CHOICES.iter().any(|choice| content.contains(choice)) {
            report("a package registry is chosen or recorded, expected the client's own setting".to_owned());
        }
    }
    violations
}

/// Whether `place` stands in `content` as the beginning of a path, and not within a longer path or address.
fn names_path(content: &str, place: &str) -> bool {
    content.match_indices(place).any(|(at, _)| {
        let before = content[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-~)}]/@$".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::shown;

    #[test]
    fn places_on_one_machine_are_found_and_other_paths_are_not() {
        let own = "cd ~/tongmai\nsee https://example.org/home/x\n$lib/home/page\n/rooted/tree\n/var/lib/tongmai/\n";
        assert_eq!(check("a.md", own), []);
        let expected = "\
a.md:1: `/root/` is a place on one machine, expected a relative path or a setting
a.md:3: `/home/` is a place on one machine, expected a relative path or a setting";
        assert_eq!(shown(&check("a.md", "target=/root/.cache\nx\n(`/home/ann/data`)\n")), expected);
    }

    #[test]
    fn no_registry_is_chosen_or_recorded() {
        let registry =
            |line| format!("f:{line}: a package registry is chosen or recorded, expected the client's own setting");
        assert_eq!(shown(&check("f", "pip install --index-url http://x\n")), registry(1));
        assert_eq!(shown(&check("f", "{\n  \"resolved\": \"https://x/y.tgz\",\n}\n")), registry(2));
        assert_eq!(shown(&check(".npmrc", "registry=https://x\n")).lines().count(), 1);
        assert_eq!(check("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"), []);
        assert_eq!(check("a.rs", "let registry=Registry::default();\n"), []);
    }
}
