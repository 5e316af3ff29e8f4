//! Rules as files: those that come with the program, and those that somebody names. What they mean is another crate's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnosis::{Case, Rule, RuleError};
use model::Profile;

/// The rules that come with the program, each file with its name.
const SHIPPED: [(&str, &str); 4] = [
    ("packs/vehicle/rules/traction-battery.toml", include_str!("../../../packs/vehicle/rules/traction-battery.toml")),
    ("packs/vehicle/rules/gbt32960-alarms.toml", include_str!("../../../packs/vehicle/rules/gbt32960-alarms.toml")),
    ("packs/vehicle/rules/early-warning.toml", include_str!("../../../packs/vehicle/rules/early-warning.toml")),
    ("packs/machine-tool/rules/process.toml", include_str!("../../../packs/machine-tool/rules/process.toml")),
];

/// What names of files end with that hold cases.
const CASES: &str = ".cases.toml";

/// Rules, and what is wrong with others.
#[derive(Debug, Default)]
pub struct Rules {
    /// Those that can be used.
    pub rules: Vec<Rule>,
    /// Why others cannot.
    pub mistakes: Vec<RuleError>,
    /// What they are to find in what assets say.
    pub cases: Vec<Case>,
    /// Profiles that cases are about.
    pub profiles: Vec<Arc<Profile>>,
    /// How each rule is written, by its id.
    pub texts: BTreeMap<String, String>,
}

/// A file or a folder that does not read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the rules `{}`", path.display())]
pub struct RulesError {
    path: PathBuf,
    source: io::Error,
}

impl Rules {
    /// The rules that come with the program.
    pub fn shipped() -> Self {
        let mut rules = Self::default();
        SHIPPED.iter().for_each(|(name, text)| rules.add(name, text));
        rules
    }

    /// The rules in the file `path`, or in the files of the folder `path`.
    ///
    /// # Errors
    /// When it does not read. A mistake in a file is no such error.
    pub fn read(&mut self, path: &Path) -> Result<(), RulesError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RulesError { path, source }
        };
        for file in files(path).map_err(failed(path))? {
            let text = fs::read_to_string(&file).map_err(failed(&file))?;
            self.add(&file.display().to_string(), &text);
        }
        Ok(())
    }

    fn add(&mut self, name: &str, text: &str) {
        if name.ends_with(CASES) {
            match diagnosis::read_cases(name, text) {
                Ok(read) => {
                    self.cases.extend(read.cases);
                    self.profiles.extend(read.profiles);
                }
                Err(mistake) => self.mistakes.push(mistake),
            }
            return;
        }
        let read = match diagnosis::read(name, text) {
            Ok(read) => read,
            Err(mistake) => return self.mistakes.push(mistake),
        };
        for rule in read {
            match rule {
                Ok(rule) if self.rules.iter().any(|known| known.id == rule.id) => self.mistakes.push(RuleError {
                    place: rule.place,
                    rule: Some(rule.id),
                    problem: "id: there is another rule of that name".to_owned(),
                }),
                Ok(rule) => {
                    self.texts.insert(rule.id.clone(), written(text, rule.place.line));
                    self.rules.push(rule);
                }
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
    }

    /// These, with `others` in place of those of the same name.
    #[must_use]
    pub fn replaced_by(mut self, others: Self) -> Self {
        self.rules.retain(|rule| others.rules.iter().all(|other| other.id != rule.id));
        self.rules.extend(others.rules);
        self.mistakes.extend(others.mistakes);
        self.cases.extend(others.cases);
        self.profiles.extend(others.profiles);
        self.texts.extend(others.texts);
        self
    }
}

/// The rule in `text` whose table begins at `line`, as it is written there, without what stands above the next one.
fn written(text: &str, line: usize) -> String {
    let mut lines = text.lines().skip(line - 1);
    let is_next = |line: &&str| !line.trim_start().starts_with("[[");
    let mut written: Vec<&str> = lines.by_ref().take(1).collect();
    written.extend(lines.take_while(is_next));
    while written.last().is_some_and(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        written.pop();
    }
    written.join("\n") + "\n"
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let paths = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_rules_and_others_take_their_place() {
        let shipped = Rules::shipped();
        assert!(shipped.mistakes.is_empty() && shipped.rules.len() > 4, "{:?}", shipped.mistakes);
        let vehicle = gbt32960::Standard::built_in();
        assert_eq!(diagnosis::check(&shipped.rules, vehicle.profile()), []);
        for rule in &shipped.rules {
            let text = &shipped.texts[&rule.id];
            let read = diagnosis::read("a text", text).unwrap().remove(0).unwrap();
            assert_eq!((&read.id, &read.when.text, read.place.line), (&rule.id, &rule.when.text, 1), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let own = SHIPPED[0].1.replace("version = 1", "version = 7");
        fs::write(folder.path().join("own.toml"), own).unwrap();
        fs::write(folder.path().join("twice.toml"), SHIPPED[0].1).unwrap();
        fs::write(folder.path().join("notes.txt"), "no rules").unwrap();
        let mut others = Rules::default();
        others.read(folder.path()).unwrap();
        assert_eq!(others.mistakes.len(), others.rules.len(), "each is there twice");
        let (count, own) = (shipped.rules.len(), others.rules.len());
        let all = shipped.replaced_by(others);
        assert_eq!(all.rules.len(), count);
        assert_eq!(all.rules.iter().filter(|rule| rule.version == 7).count(), own);
        let error = Rules::default().read(&folder.path().join("none.toml")).unwrap_err();
        assert!(error.to_string().contains("none.toml"));
    }
}
