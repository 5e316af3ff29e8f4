//! One run of the program from start to end, with all that it says. Must not know what any command does.

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any command of these tests may take, on a machine that is busy with other tests.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// The program with `arguments`, its output in pipes, not started yet.
pub(crate) fn tongmai(arguments: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongmai"));
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("TONGMAI_LOG");
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&dyn AsRef<OsStr>]) -> Outcome {
    finish(tongmai(arguments).spawn().expect("the program starts"))
}

/// Waits until `child` ends.
pub(crate) fn finish(mut child: Child) -> Outcome {
    let mut stdout = child.stdout.take().expect("the output is a pipe");
    let mut stderr = child.stderr.take().expect("the output is a pipe");
    let stdout = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let stderr = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            break status;
        }
        if started.elapsed() > WAIT_MAX {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the program did not end within {WAIT_MAX:?}; it said: {:?}", stderr.join());
        }
        thread::sleep(Duration::from_millis(2));
    };
    let stdout = stdout.join().expect("the reader ends").expect("the output reads");
    let stderr = stderr.join().expect("the reader ends").expect("the output reads");
    Outcome { code: status.code(), stdout, stderr }
}

impl Outcome {
    /// What it printed, of a run that went well.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        String::from_utf8(self.stdout).expect("the output is text")
    }

    /// What stands behind the one `error: ` of a run that failed.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        assert!(self.code.is_some_and(|code| code != 0), "expected a failure, got {self:?}");
        let errors: Vec<&str> = self.stderr.split('\n').filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && !self.stderr.contains("panicked"), "one error is told: {self:?}");
        let at = self.stderr.find(errors[0]).expect("it was found");
        self.stderr[at + "error: ".len()..].trim_end()
    }
}

/// The answer to `query` as CSV, header included.
#[track_caller]
pub(crate) fn csv(data: &Path, query: &str) -> String {
    run(&[&"sql", &"--data", &data, &"--format", &"csv", &query]).text()
}

/// The answer to a query for numbers in one row.
#[track_caller]
pub(crate) fn numbers<const COUNT: usize>(data: &Path, query: &str) -> [u64; COUNT] {
    first_row(&csv(data, query))
}

/// The numbers in the first row of an answer as CSV.
#[track_caller]
pub(crate) fn first_row<const COUNT: usize>(answer: &str) -> [u64; COUNT] {
    let row = answer.lines().nth(1).unwrap_or_else(|| panic!("no row in `{answer}`"));
    let numbers: Vec<u64> = row.split(',').map(|field| field.parse().expect("a number")).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{COUNT} numbers expected, got `{row}`"))
}

/// Imports `log` into `data`; returns the closing summary.
#[track_caller]
pub(crate) fn import(devices: &Path, log: &Path, data: &Path) -> String {
    run(&[&"import", &"shdr", &"--devices", &devices, &log, &"--data", &data]).text()
}

/// The number behind `name` in a closing summary.
#[track_caller]
pub(crate) fn told(summary: &str, name: &str) -> u64 {
    let number = |line: &str| line.trim().strip_prefix(name)?.trim().parse().ok();
    summary.lines().find_map(number).unwrap_or_else(|| panic!("no number for `{name}` in: {summary}"))
}

/// The value of an environment variable, or `default`.
pub(crate) fn setting<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}=`{text}` is no number")),
        Err(_) => default,
    }
}

/// Says that a test, or a part of one, is left out.
pub(crate) fn skipped(what: &str, reason: &str) {
    // Not by a macro: of a test that passes, what those print is not shown.
    let _ = writeln!(io::stderr(), "skipped: {what}: {reason}");
}
