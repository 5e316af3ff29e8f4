//! What the README shows of the program is what the program does: every `$ tongmai …` in its console blocks is run over
//! the recording, in order, and prints what stands below it. An example that shows no output only has to go well.
//! Must not know the examples.

use std::path::Path;

use crate::program::{finish, tongmai};
use crate::{golden, real_log};

/// One command as it is typed, and the lines below it.
#[derive(Debug, PartialEq)]
struct Example {
    words: Vec<String>,
    shown: Vec<String>,
}

/// The examples in the console blocks of a Markdown text. A command may go on over lines within double quotes.
fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = markdown.lines();
    while lines.by_ref().any(|line| line == "```console") {
        let mut block = lines.by_ref().take_while(|line| *line != "```");
        while let Some(line) = block.next() {
            if let Some(command) = line.strip_prefix("$ tongmai ") {
                let mut command = command.to_owned();
                while command.matches('"').count() % 2 == 1 {
                    let more = block.next().unwrap_or_else(|| panic!("no end of the quotes in `{command}`"));
                    command = format!("{command}\n{more}");
                }
                examples.push(Example { words: words(&command), shown: Vec::new() });
            } else if let Some(example) = examples.last_mut()
                && !line.is_empty()
            {
                example.shown.push(line.trim_end().to_owned());
            }
        }
    }
    examples
}

/// The words of a command, as a shell takes them: double quotes hold one together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in command.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn check(file: &str) {
    let Some(recording) = real_log::recording(&format!("the examples of {file}")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let beside = |path: &Path| {
        let name = path.file_name().expect("a file");
        std::fs::copy(path, folder.path().join(name)).expect("it can be copied");
    };
    beside(&recording.devices);
    beside(&recording.log);
    let markdown = std::fs::read_to_string(golden::repository().join(file)).expect("it reads");
    let examples = examples(&markdown);
    let answered = examples.iter().filter(|example| example.words[0] == "sql" && !example.shown.is_empty()).count();
    assert!(answered > 0, "{file} shows no answer");
    for Example { words, shown } in examples {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).collect();
        let printed =
            finish(tongmai(&arguments).current_dir(folder.path()).spawn().expect("the program starts")).text();
        let printed: Vec<&str> = printed.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        assert!(shown.is_empty() || printed == shown, "{file}: {words:?} prints {printed:#?}, shown is {shown:#?}");
    }
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    check("README.md");
}

#[test]
fn the_chinese_readme_shows_what_the_program_prints() {
    check("README.zh.md");
}

#[test]
fn examples_are_found_with_what_they_show() {
    let text = "$ tongmai no\n```console\n$ tongmai import shdr a.log\n$ tongmai sql \"SELECT\n  1\" --x\nn  \n1\n\n\
                $ tongmai tables\nt\n```\nprose\n```sh\ntongmai no\n```\n";
    let example = |words: &[&str], shown: &[&str]| Example {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    let expected = [
        example(&["import", "shdr", "a.log"], &[]),
        example(&["sql", "SELECT\n  1", "--x"], &["n", "1"]),
        example(&["tables"], &["t"]),
    ];
    assert_eq!(examples(text), expected);
}
