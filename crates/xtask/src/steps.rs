//! A list of steps that all run, each timed, with a table at the end. Knows no step in particular.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold; holds the reason.
    Failed(String),
    /// It could not be tried here; holds the reason.
    Skipped(String),
}

/// What has been run so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Outcome, Duration)>,
}

impl Steps {
    /// Runs one step; whatever its outcome, the next ones still run.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let started = now();
        let outcome = match step() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                println!("{error:#}");
                Outcome::Failed(first_line(&format!("{error:#}")))
            }
        };
        self.done.push((name.to_owned(), outcome, now().duration_since(started)));
    }

    /// Notes that a step cannot be tried here.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n== {name}\nskipped: {reason}");
        self.done.push((name.to_owned(), Outcome::Skipped(reason.to_owned()), Duration::ZERO));
    }

    /// Prints the table and the counts.
    ///
    /// # Errors
    /// When a step has failed.
    pub(crate) fn finish(self, title: &str) -> Result<()> {
        println!("\n{}", self.summary(title));
        let failed = self.names(|outcome| matches!(outcome, Outcome::Failed(_)));
        if !failed.is_empty() {
            bail!("{title} failed: {}", failed.join(", "));
        }
        Ok(())
    }

    fn names(&self, wanted: impl Fn(&Outcome) -> bool) -> Vec<&str> {
        self.done.iter().filter(|(_, outcome, _)| wanted(outcome)).map(|(name, _, _)| name.as_str()).collect()
    }

    fn summary(&self, title: &str) -> String {
        let mut text = String::new();
        for (name, outcome, took) in &self.done {
            let (word, reason) = match outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(reason) => ("FAILED", reason.as_str()),
                Outcome::Skipped(reason) => ("skipped", reason.as_str()),
            };
            let line = format!("{word:<8}{:>8.1} s  {name:<24}{reason}", took.as_secs_f64());
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let count = |wanted: fn(&Outcome) -> bool| self.names(wanted).len();
        let passed = count(|outcome| *outcome == Outcome::Passed);
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let _ = write!(text, "{title}: {passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "how long a step takes is for the person who waits, no engine sees it")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_the_summary_tells_of_each() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(()));
        steps.run("second", || bail!("the reason\nand its details"));
        steps.skip("third", "no browser");
        steps.run("fourth", || Ok(()));
        let expected = "\
passed       0.0 s  first
FAILED       0.0 s  second                  the reason
skipped      0.0 s  third                   no browser
passed       0.0 s  fourth
ci: 2 passed, 1 failed, 1 skipped";
        assert_eq!(steps.summary("ci"), expected);
        assert_eq!(steps.finish("ci").unwrap_err().to_string(), "ci failed: second");
    }

    #[test]
    fn nothing_failed_is_a_success_even_if_something_was_skipped() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(()));
        steps.skip("second", "no node");
        assert!(steps.finish("test").is_ok());
    }
}
