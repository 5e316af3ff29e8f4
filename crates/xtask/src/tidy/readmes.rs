//! The project speaks Chinese and English: each readme exists and points to the other.

use super::Violation;

/// A readme, and the one in the other language.
const READMES: [(&str, &str); 2] = [("README.md", "README.zh.md"), ("README.zh.md", "README.md")];

/// Checks both readmes; `read` gives the text of a file that exists.
pub(super) fn check(read: &dyn Fn(&str) -> Option<String>) -> Vec<Violation> {
    let problems = READMES.iter().filter_map(|(path, other)| match read(path) {
        None => Some((path, "the readme is missing, expected one in each language".to_owned())),
        Some(text) if !text.contains(&format!("({other})")) => {
            Some((path, format!("no link to the other language, expected one to `{other}`")))
        }
        Some(_) => None,
    });
    problems.map(|(path, message)| Violation { rule: "readme", path: (*path).to_owned(), line: 1, message }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::shown;

    #[test]
    fn both_readmes_exist_and_point_to_each_other() {
        let both = |path: &str| Some(format!("[{path}](README.md) [中文](README.zh.md)"));
        assert_eq!(check(&both), []);
        let english_alone = |path: &str| (path == "README.md").then(|| "Tongmai".to_owned());
        let expected = "\
README.md:1: no link to the other language, expected one to `README.zh.md`
README.zh.md:1: the readme is missing, expected one in each language";
        assert_eq!(shown(&check(&english_alone)), expected);
    }
}
