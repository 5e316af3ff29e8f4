//! Sources open with their documentation, and neither files nor functions grow without limit.
//!
//! Reads text line by line and leans on `cargo fmt`: a function begins and ends at the same indentation.

use super::Violation;

/// The lines of a file without its tests.
const FILE_LINES_MAX: usize = 600;
/// The lines of a function from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// What may stand before `fn`.
const QUALIFIERS: [&str; 4] = ["const ", "async ", "unsafe ", "extern \"C\" "];

/// Checks one file; what is no source is left alone.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_rust = path.ends_with(".rs");
    if is_rust && !text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//!")) {
        let message = "the module has no documentation, expected `//!` first: what it is and must not know";
        violations.push(violation("module-docs", path, 1, message.to_owned()));
    }
    if !(is_rust || path.ends_with(".ts") || path.ends_with(".svelte")) || is_test(path) {
        return violations;
    }
    let lines = without_tests(text);
    if lines.len() > FILE_LINES_MAX {
        let message = format!("{} lines without tests, expected at most {FILE_LINES_MAX}", lines.len());
        violations.push(violation("file-size", path, FILE_LINES_MAX + 1, message));
    }
    if is_rust {
        let functions = (0..lines.len()).filter_map(|first| Some((first, function(&lines[first..])?)));
        let long = functions.filter(|(_, (_, size))| *size > FUNCTION_LINES_MAX).map(|(first, (name, size))| {
            let message = format!("function `{name}` has {size} lines, expected at most {FUNCTION_LINES_MAX}");
            violation("function-size", path, first + 1, message)
        });
        violations.extend(long);
    }
    violations
}

fn violation(rule: &'static str, path: &str, line: usize, message: String) -> Violation {
    Violation { rule, path: path.to_owned(), line, message }
}

/// Whether the whole file is a test.
fn is_test(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|folder| folder == "tests" || folder == "e2e")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
        || name.ends_with(".test.ts")
}

/// The lines before the tests at the end of the file.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0].starts_with("#[cfg(") && pair[1] == "mod tests {");
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

/// The name and size of the function that begins with the first of `lines`, if one with a body does.
fn function<'a>(lines: &[&'a str]) -> Option<(&'a str, usize)> {
    let first = lines[0].trim_start();
    let indentation = &lines[0][..lines[0].len() - first.len()];
    let name = function_name(first)?;
    let mut body = false;
    for (line, number) in lines.iter().zip(1..) {
        let Some(rest) = line.strip_prefix(indentation) else { continue };
        let closes = rest.starts_with('}') || (number == 1 && rest.ends_with('}'));
        if closes {
            return Some((name, number));
        }
        body |= rest.ends_with('{');
        if !body && rest.ends_with(';') {
            return None;
        }
    }
    None
}

/// The name of the function that `line` declares.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    if let Some(public) = rest.strip_prefix("pub") {
        rest = public.strip_prefix('(').and_then(|scope| Some(scope.split_once(')')?.1)).unwrap_or(public).trim_start();
    }
    while let Some(shorter) = QUALIFIERS.iter().find_map(|qualifier| rest.strip_prefix(qualifier)) {
        rest = shorter;
    }
    let rest = rest.strip_prefix("fn ")?;
    Some(&rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::shown;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &str) {
        assert_eq!(shown(&check(path, text)), expected);
    }

    fn lines(count: usize) -> String {
        "    x();\n".repeat(count)
    }

    #[test]
    fn every_module_opens_with_its_documentation() {
        let expected = "a.rs:1: the module has no documentation, expected `//!` first: what it is and must not know";
        check_file("a.rs", "//! What it is.\n", "");
        check_file("a.rs", "\n//! What it is.\n", "");
        check_file("a.rs", "use std::fmt;\n//! Too late.\n", expected);
        check_file("a.rs", "", expected);
        check_file("crates/a/tests/b.rs", "fn main() {}\n", &expected.replace("a.rs", "crates/a/tests/b.rs"));
        check_file("a.ts", "let x = 1;\n", "");
    }

    #[test]
    fn files_have_a_limit_that_tests_do_not_count_to() {
        let long = "console/a.svelte:601: 601 lines without tests, expected at most 600";
        check_file("console/a.svelte", &lines(600), "");
        check_file("console/a.svelte", &lines(601), long);
        check_file("console/a.test.ts", &lines(601), "");
        check_file("README.md", &lines(601), "");
        let source = |before| format!("//! A.\n{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(before), lines(900));
        check_file("a.rs", &source(599), "");
        check_file("a.rs", &source(600), "a.rs:601: 601 lines without tests, expected at most 600");
        check_file("a/tests.rs", &format!("//! A.\n{}", lines(900)), "");
        check_file("a/b_tests.rs", &format!("//! A.\n{}", lines(900)), "");
        let outside = format!("//! A.\n#[cfg(test)]\nmod tests;\n{}", lines(598));
        check_file("a.rs", &outside, "a.rs:601: 601 lines without tests, expected at most 600");
    }

    #[test]
    fn functions_have_a_limit_from_their_name_to_their_brace() {
        let file = |head: &str, body: usize| format!("//! A.\n{head}\n{}}}\n", lines(body));
        check_file("a.rs", &file("fn short() {", 68), "");
        for head in ["fn long() {", "pub fn long<T>() {", "pub(crate) const unsafe fn long() {", "async fn long() {"] {
            check_file("a.rs", &file(head, 69), "a.rs:2: function `long` has 71 lines, expected at most 70");
        }
        let method = "//! A.\nimpl A {\n    fn declared(\n        &self,\n    ) -> u8;\n    fn empty() {}\n    fn long(\n    ) {\n";
        let method = format!("{method}{}    }}\n}}\n", lines(70));
        check_file("a.rs", &method, "a.rs:7: function `long` has 73 lines, expected at most 70");
        check_file(
            "a.rs",
            &format!("//! A.\n#[cfg(test)]\nmod tests {{\n    fn f() {{\n{}    }}\n}}\n", lines(90)),
            "",
        );
    }

    #[test]
    fn only_declarations_name_a_function() {
        for (line, expected) in [
            ("fn a() {", Some("a")),
            ("pub(in crate::x) async fn b_2<T>(", Some("b_2")),
            ("extern \"C\" fn c() {", Some("c")),
            ("// fn a() {", None),
            ("let f: fn(u8) = g;", None),
            ("public fn a() {", None),
        ] {
            assert_eq!(function_name(line), expected, "{line}");
        }
    }
}
