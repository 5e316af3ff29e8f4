//! Files of labels: times in which something really was wrong, as JSON lines or CSV.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use server::backtest::Label;

use crate::export::time;

/// Longer files are refused.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A label as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    asset: String,
    from: String,
    to: String,
    rule: Option<String>,
    /// What was wrong, for people.
    #[serde(rename = "label")]
    _label: Option<String>,
}

/// The labels in the file `path`: JSON lines where it begins with a brace, CSV with a line of names otherwise.
pub(super) fn read(path: &Path) -> Result<Vec<Label>> {
    let failed = || format!("failed to read the labels `{}`", path.display());
    let bytes = fs::metadata(path).with_context(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("the labels `{}` have {bytes} bytes: expected at most {FILE_BYTES_MAX}", path.display());
    }
    let text = fs::read_to_string(path).with_context(failed)?;
    let lines = if text.trim_start().starts_with('{') { json_lines(&text) } else { csv_lines(&text) };
    let labels = lines.and_then(|lines| lines.into_iter().map(|(line, label)| label.read(line)).collect());
    labels.map_err(|problem: String| anyhow::anyhow!("{}: {problem}", path.display()))
}

fn json_lines(text: &str) -> Result<Vec<(usize, Line)>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(line, text)| Ok((line, serde_json::from_str(text).map_err(|error| at(line, error))?))).collect()
}

fn csv_lines(text: &str) -> Result<Vec<(usize, Line)>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| at(1, error))?.clone();
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        // A record is said to begin with the empty lines above it.
        let line = record.position().map_or(0, |position| {
            let from_there = text.get(position.byte() as usize..).unwrap_or_default();
            let empty = from_there.chars().take_while(|c| matches!(c, '\r' | '\n')).filter(|c| *c == '\n').count();
            position.line() as usize + empty
        });
        lines.push((line, record.deserialize(Some(&names)).map_err(|error| at(line, error))?));
    }
    Ok(lines)
}

fn at(line: usize, problem: impl std::fmt::Display) -> String {
    format!("line {line}: {problem}")
}

impl Line {
    fn read(self, line: usize) -> Result<Label, String> {
        let time = |name: &str, text: &str| time(text).map_err(|problem| at(line, format!("{name}: {problem}")));
        Ok(Label {
            asset: self.asset.parse().map_err(|error| at(line, format!("asset: {error}")))?,
            from: time("from", &self.from)?,
            to: time("to", &self.to)?,
            rule: self.rule,
            line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Label>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn json_lines_and_csv_say_the_same() {
        let json = "{\"asset\": \"vehicle/A\", \"from\": \"2026-01-31\", \"to\": \"2026-02-01T08:00:00Z\", \"rule\": \"one\"}\n\n\
                    {\"asset\": \"vehicle/B\", \"from\": \"2026-01-31\", \"to\": \"2026-02-01\", \"label\": \"leak, slow\"}\n";
        let csv = "asset,from,to,label,rule\nvehicle/A,2026-01-31,2026-02-01T08:00:00Z,,one\n\n\
                   vehicle/B, 2026-01-31, 2026-02-01,\"leak, slow\",\n";
        let (json, csv) = (read_text(json).unwrap(), read_text(csv).unwrap());
        let lines = |labels: &[Label]| labels.iter().map(|label| label.line).collect::<Vec<_>>();
        assert_eq!((lines(&json), lines(&csv)), (vec![1, 3], vec![2, 4]));
        let without_line = |labels: Vec<Label>| labels.into_iter().map(|label| Label { line: 0, ..label }).collect();
        let (json, csv): (Vec<Label>, Vec<Label>) = (without_line(json), without_line(csv));
        assert_eq!(json, csv);
        assert_eq!((json.len(), json[0].rule.as_deref()), (2, Some("one")));
        assert_eq!(json[0].from.to_string(), "2026-01-31T00:00:00Z");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, expected) in [
            ("asset,from,to\nvehicle/A,soon,2026-02-01", "line 2: from: `soon` is no time"),
            ("asset,from,to\nA,2026-01-31,2026-02-01", "line 2: asset: "),
            ("asset,from\nvehicle/A,2026-01-31", "line 2: "),
            ("asset,from,to,whom\nvehicle/A,2026-01-31,2026-02-01,x", "unknown field `whom`"),
            ("{\"asset\": \"vehicle/A\"}", "line 1: missing field `from`"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
