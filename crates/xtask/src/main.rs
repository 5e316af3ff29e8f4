//! `cargo xtask`: sets up, builds, tests and checks Tongmai with one command each.
//!
//! It is what everybody runs first, so it builds in seconds and depends on next to nothing. It must not know how the
//! product works inside: it starts `cargo`, `npm` and the binary `tongmai`, and reads files as text.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its standard output")]

mod ci;
mod console;
mod demo;
mod docs;
mod setup;
mod steps;
mod suite;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask <command>

  demo [ARGUMENTS…]   build everything and run `tongmai demo` with these arguments
  test                every test: Rust, console, end to end in a headless browser
  ci                  what has to hold before a change lands: test, format, lints, tidy, licences, spelling
  tidy                the project's own rules on sizes, names, documents and dependencies
  console             build the console only
  docs [--check]      write the generated documents anew, or see whether they are up to date";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = || Workspace::find();
    match words.as_slice() {
        ["demo", rest @ ..] => demo::run(&workspace()?, rest.strip_prefix(&["--"]).unwrap_or(rest)),
        ["test"] => suite::run(&workspace()?),
        ["ci"] => ci::run(&workspace()?),
        ["tidy"] => tidy::run(&workspace()?),
        ["console"] => console::run(&workspace()?),
        ["docs"] => docs::write(&workspace()?),
        ["docs", "--check"] => docs::check(&workspace()?),
        ["help" | "--help" | "-h"] | [] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is not a command\n{USAGE}", arguments.join(" ")),
    }
}
