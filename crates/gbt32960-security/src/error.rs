//! What is wrong with a key, a signature, or bytes that should be decrypted. Shows lengths and kinds, never a key.

/// Something that does not decrypt, does not verify, or is no key: what was expected, what was there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: expected {expected}, got {found}")]
pub struct SecurityError {
    /// A constant text: what is counted.
    pub reason: &'static str,
    /// What would have been right.
    pub expected: String,
    /// What was there.
    pub found: String,
}

pub(crate) const UNDECRYPTABLE: &str = "undecryptable";
pub(crate) const UNENCRYPTABLE: &str = "unencryptable";
pub(crate) const BAD_KEY: &str = "unusable key";
pub(crate) const BAD_SIGNATURE: &str = "wrong signature";

impl SecurityError {
    #[cold]
    pub(crate) fn new(reason: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { reason, expected: expected.into(), found: found.into() }
    }
}
