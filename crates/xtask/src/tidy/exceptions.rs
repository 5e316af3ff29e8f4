//! Where a rule need not hold, with the reason. Knows no rule in particular.

use super::Violation;

/// The exceptions of one list.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    entries: Vec<Entry>,
    malformed: Vec<Violation>,
    list: String,
}

#[derive(Debug)]
struct Entry {
    rule: String,
    path: String,
    line: usize,
    uses: usize,
}

impl Exceptions {
    /// Reads lines `RULE PATH: REASON`; empty ones and those that begin with `#` say nothing.
    pub(super) fn parse(list: &str, text: &str) -> Self {
        let mut exceptions = Self { list: list.to_owned(), ..Self::default() };
        for (line, content) in (1..).zip(text.lines()) {
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            let parts = content.split_once(": ").and_then(|(place, reason)| Some((place.split_once(' ')?, reason)));
            match parts {
                Some(((rule, path), reason)) if !reason.trim().is_empty() => {
                    let (rule, path) = (rule.to_owned(), path.trim().to_owned());
                    exceptions.entries.push(Entry { rule, path, line, uses: 0 });
                }
                _ => {
                    let message = format!("`{content}` is no exception, expected `RULE PATH: REASON`");
                    exceptions.malformed.push(exceptions.complaint(line, message));
                }
            }
        }
        exceptions
    }

    /// Whether an exception covers `violation`; notes that it was needed.
    pub(super) fn cover(&mut self, violation: &Violation) -> bool {
        let covers = |entry: &&mut Entry| entry.rule == violation.rule && entry.path == violation.path;
        self.entries.iter_mut().find(covers).map(|entry| entry.uses += 1).is_some()
    }

    /// What is wrong with the list itself, once everything has been looked at.
    pub(super) fn complaints(self) -> Vec<Violation> {
        let unused = self.entries.iter().filter(|entry| entry.uses == 0).map(|entry| {
            let what = format!("the exception from {} for `{}` is not needed, expected none", entry.rule, entry.path);
            self.complaint(entry.line, what)
        });
        self.malformed.iter().cloned().chain(unused).collect()
    }

    fn complaint(&self, line: usize, message: String) -> Violation {
        Violation { rule: "exceptions", path: self.list.clone(), line, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::shown;

    fn violation(rule: &'static str, path: &str) -> Violation {
        Violation { rule, path: path.to_owned(), line: 3, message: String::new() }
    }

    #[test]
    fn an_exception_covers_one_rule_in_one_file() {
        let mut exceptions = Exceptions::parse("list", "# why\n\nfile-size a.rs: one table\n");
        assert!(exceptions.cover(&violation("file-size", "a.rs")));
        assert!(!exceptions.cover(&violation("file-size", "b.rs")));
        assert!(!exceptions.cover(&violation("name", "a.rs")));
        assert_eq!(exceptions.complaints(), []);
    }

    #[test]
    fn exceptions_without_reason_or_need_are_violations() {
        let exceptions = Exceptions::parse("list", "name a.rs\nname b.rs: \nname c.rs: the standard's word\n");
        let expected = "\
list:1: `name a.rs` is no exception, expected `RULE PATH: REASON`
list:2: `name b.rs: ` is no exception, expected `RULE PATH: REASON`
list:3: the exception from name for `c.rs` is not needed, expected none";
        assert_eq!(shown(&exceptions.complaints()), expected);
    }
}
