//! What is asked and how it is answered: formats of `sql`, `tables`, `config`, and the generated documents. Must not know
//! how answers come about.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::program::{import, run, skipped};
use crate::{golden, lathe};

const LOG: &str = "2026-01-01T00:00:00Z|execution|ACTIVE|load|12.5\n\
                   2026-01-01T00:00:01Z|load|UNAVAILABLE|logic|FAULT|401|||say \"no\", twice\n";
const QUERY: &str = "SELECT time, signal, value, text, quality FROM observations ORDER BY time, signal";

/// A data directory with four observations.
fn four_observations(folder: &Path) -> PathBuf {
    let (log, data) = (folder.join("lathe.log"), folder.join("data"));
    fs::write(&log, LOG).unwrap();
    let profile = ["--profile", lathe::PROFILE];
    let devices = lathe::devices(folder);
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data, &profile[0], &profile[1]]).text();
    data
}

#[test]
fn an_answer_comes_in_the_format_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = four_observations(folder.path());
    let ask = |format: &str| run(&[&"sql", &"--data", &data, &"--format", &format, &QUERY]).text();
    let expected = "\
time,signal,value,text,quality
2026-01-01T00:00:00Z,execution,,ACTIVE,good
2026-01-01T00:00:00Z,load,12.5,,good
2026-01-01T00:00:01Z,load,,,unavailable
2026-01-01T00:00:01Z,logic,,FAULT,good
";
    assert_eq!(ask("csv"), expected);
    let rows: serde_json::Value = serde_json::from_str(&ask("json")).expect("the answer is JSON");
    let unavailable = json!({"time": "2026-01-01T00:00:01Z", "signal": "load", "value": null, "text": null,
                             "quality": "unavailable"});
    assert_eq!((rows.as_array().map(Vec::len), &rows[2]), (Some(4), &unavailable), "{rows}");
    let table = run(&[&"sql", &"--data", &data, &QUERY]).text();
    assert_eq!(table, ask("table"));
    assert!(table.lines().count() >= 6 && table.contains("execution") && table.contains("12.5"), "{table}");
}

#[test]
fn a_parquet_answer_is_one_for_other_tools() {
    let folder = tempfile::tempdir().unwrap();
    let data = four_observations(folder.path());
    let file = folder.path().join("answer.parquet");
    let piped = run(&[&"sql", &"--data", &data, &"--format", &"parquet", &QUERY]);
    assert_eq!(piped.code, Some(0), "{}", piped.stderr);
    run(&[&"sql", &"--data", &data, &"--format", &"parquet", &"--output", &file, &QUERY]).text();
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{} bytes", bytes.len());
    assert!(piped.stdout.starts_with(b"PAR1") && piped.stdout.ends_with(b"PAR1"));
    let readers = [
        (
            "duckdb",
            "import duckdb,sys; print(duckdb.sql(f\"select count(*), sum(value) from '{sys.argv[1]}'\").fetchall()[0])",
        ),
        (
            "pyarrow",
            "import pyarrow.parquet as p,sys; v=p.read_table(sys.argv[1]).column('value').to_pylist(); \
                     print((len(v), sum(x for x in v if x is not None)))",
        ),
    ];
    for (name, script) in readers {
        if let Some(read) = read_by(name, script, &file) {
            assert_eq!(read, "(4, 12.5)", "{name}");
        }
    }
}

#[test]
fn segments_are_read_by_other_tools_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = four_observations(folder.path());
    let script = "import duckdb,sys; print(duckdb.sql(f\"select signal, value, text, quality, time \
                  from '{sys.argv[1]}/segments/*/**/*.parquet' where signal = 'load' order by time\").fetchall()[0][:4])";
    if let Some(read) = read_by("duckdb", script, &data) {
        assert_eq!(read, "('load', 12.5, None, 'good')");
    }
}

/// What `script` says of `path`, in the Python that `cargo xtask test` names; `None` where it lacks the package.
pub(crate) fn read_by(package: &str, script: &str, path: &Path) -> Option<String> {
    let python = std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into());
    match Command::new(python).arg("-c").arg(script).arg(path).output() {
        Ok(read) if read.status.success() => Some(String::from_utf8_lossy(&read.stdout).trim().to_owned()),
        Ok(read) => {
            let said = String::from_utf8_lossy(&read.stderr).into_owned();
            assert!(said.contains("ModuleNotFoundError"), "{package}: {said}");
            skipped("reading Parquet", &format!("{package} is not installed"));
            None
        }
        Err(error) => {
            skipped("reading Parquet", &format!("python3 does not start: {error}"));
            None
        }
    }
}

#[test]
fn tables_describes_what_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = four_observations(folder.path());
    let text = run(&[&"tables", &"--data", &data]).text();
    for expected in ["observations — ", "assets — ", "signals — ", "lathe — changes of ", "mtconnect:EXECUTION"]
    {
        assert!(text.contains(expected), "`{expected}` is missing in: {text}");
    }
    let load = text.lines().find(|line| line.trim_start().starts_with("load ")).expect("the signal is described");
    assert!(load.contains("number in %") && load.contains("mtconnect:LOAD"), "{load}");
}

#[test]
fn the_printed_configuration_starts_a_server_when_it_is_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tongmai.toml");
    let text = run(&[&"config"]).text();
    fs::write(&config, &text).unwrap();
    let served = crate::served::Served::start(&folder.path().join("data"), &config);
    let (status, health) = crate::http::get(served.address(), "/health");
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    served.stop();
    assert_eq!(text, fs::read_to_string(golden::repository().join("docs/tongmai.example.toml")).unwrap());
}

#[test]
fn the_generated_documents_are_the_ones_in_the_repository() {
    for (document, file) in [("configuration", "docs/configuration.md"), ("openapi", "docs/openapi.json")] {
        let text = run(&[&"docs", &document]).text();
        assert!(text.len() > 1_000, "{document}: {text}");
        let path = golden::repository().join(file);
        if path.exists() {
            golden::check(&path, &text);
        } else {
            skipped("the generated documents", &format!("{file} is not there"));
        }
    }
}

#[test]
fn an_import_says_where_the_model_is_doubtful_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let devices = lathe::devices_with(folder.path(), "<DataItem id=\"odd\" category=\"SAMPLE\"/>");
    let (log, data) = (folder.path().join("lathe.log"), folder.path().join("data"));
    fs::write(&log, LOG).unwrap();
    let summary = import(&devices, &log, &data);
    let note = summary.lines().find(|line| line.starts_with("note on the device model: "));
    assert!(note.is_some_and(|note| note.contains("odd")), "{summary}");
}
