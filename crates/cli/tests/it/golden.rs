//! Files of expected output. Must not know what is in them.

use std::path::{Path, PathBuf};

/// The folder of golden files.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares `actual` with the golden file at `path`, or writes that file when `TONGMAI_BLESS` is set.
#[track_caller]
pub(crate) fn check(path: &Path, actual: &str) {
    if std::env::var_os("TONGMAI_BLESS").is_some() {
        std::fs::write(path, actual).expect("the golden file can be written");
        return;
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}; TONGMAI_BLESS=1 writes it", path.display()));
    for (number, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "{} differs in line {}", path.display(), number + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{} has another length", path.display());
}
