//! Keys, signatures and TLS of a gateway that vehicles connect to, as the configuration names them; and the file where keys
//! are kept that vehicles make known. Must not know what is encrypted with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gateway::GatewayError;
use gateway_gbt32960::{KeyRecord, KeyStore, Security, SecurityOptions, SignaturePolicy, Tls, mode_of_text};
use gbt32960_security::{Mode, PrivateKey};
use model::Timestamp;

use crate::config::{SecurityConfig, SignaturesConfig, TlsConfig};

/// What the configuration says of keys and signatures, with what has been learned until `now`.
pub(crate) fn security(config: &SecurityConfig, now: Timestamp) -> Result<Security, GatewayError> {
    let mode = mode_of_text(&config.mode).unwrap_or_default();
    let seed = seed().map_err(GatewayError::Configuration)?;
    let mut options = SecurityOptions { mode, user_id: config.user_id.clone(), ..SecurityOptions::new(seed) };
    options.signatures = match config.signatures {
        SignaturesConfig::Ignore => SignaturePolicy::Ignore,
        SignaturesConfig::Check => SignaturePolicy::Check,
        SignaturesConfig::Require => SignaturePolicy::Require,
    };
    for path in &config.private_keys {
        let key = PrivateKey::from_pem(&text(path)?).map_err(|error| invalid(path, &error))?;
        options.own.push(key);
    }
    let list = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(String::new()), text);
    let lists = (list(&config.data_keys)?, list(&config.public_keys)?);
    let security = Security::new(options, &lists.0, &lists.1)
        .map_err(|error| GatewayError::Configuration(format!("in a list of keys of vehicles: {error}")))?;
    let Some(path) = &config.learned_keys else { return Ok(security) };
    let (store, kept) = FileKeyStore::open(path, mode, now).map_err(|error| invalid(path, &error))?;
    Ok(security.with_store(Arc::new(store), kept))
}

/// Where random numbers begin.
///
/// # Errors
/// When the system gives none.
pub(crate) fn seed() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(seed)
}

/// What the configuration says of TLS.
pub(crate) fn tls(config: &TlsConfig) -> Result<Tls, GatewayError> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| invalid(path, &error));
    let authority = config.client_ca.as_ref().map(read).transpose()?;
    Tls::new(&read(&config.certificate)?, &read(&config.key)?, authority.as_deref()).map_err(|error| {
        let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        invalid(&config.certificate, &format!("{error}{source}"))
    })
}

fn text(path: &Path) -> Result<String, GatewayError> {
    fs::read_to_string(path).map_err(|error| invalid(path, &error))
}

fn invalid(path: &Path, error: &dyn std::fmt::Display) -> GatewayError {
    GatewayError::Configuration(format!("in `{}`: {error}", path.display()))
}

/// Keys that vehicles have made known, a line each. New ones are added at the end and synced; when it is opened, what does
/// not hold any more is left out, in a new file that takes the place of the old one.
struct FileKeyStore {
    kept: Mutex<Kept>,
}

struct Kept {
    file: File,
    /// What is known to be good; behind it may be what a write left that failed.
    bytes: u64,
}

impl FileKeyStore {
    /// Opens or makes the file `path`; gives what is kept in it and still holds at `now`.
    fn open(path: &Path, mode: Mode, now: Timestamp) -> io::Result<(Self, Vec<KeyRecord>)> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for (line, text) in (1..).zip(text.split_inclusive('\n')) {
            // What does not end was being written when the program ended, and was not acknowledged.
            let Some(text) = text.strip_suffix('\n') else { break };
            let record = KeyRecord::parse(text, mode)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {error}")))?;
            records.push(record);
        }
        records.retain(|record| !record.is_over(now));
        let lines: String = records.iter().map(|record| record.to_line() + "\n").collect();
        let temporary = path.with_extension("new");
        let mut file = private().create(true).truncate(true).write(true).open(&temporary)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)?;
        #[cfg(unix)]
        File::open(path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")))?.sync_all()?;
        let file = private().append(true).open(path)?;
        Ok((Self { kept: Mutex::new(Kept { file, bytes: lines.len() as u64 }) }, records))
    }
}

/// For files that nobody else may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl KeyStore for FileKeyStore {
    fn append(&self, records: &[KeyRecord]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: String = records.iter().map(|record| record.to_line() + "\n").collect();
        kept.file.set_len(kept.bytes)?;
        kept.file.write_all(lines.as_bytes())?;
        kept.file.sync_data()?;
        kept.bytes += lines.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    fn exchanged(vehicle: u32, expires: u32) -> String {
        format!("exchanged LTMTEST{vehicle:010} SM4 {KEY} 1000 {expires}")
    }

    fn open(path: &Path) -> io::Result<(FileKeyStore, Vec<String>)> {
        let (store, kept) = FileKeyStore::open(path, Mode::Ecb, Timestamp::from_millis(2_000))?;
        Ok((store, kept.iter().map(KeyRecord::to_line).collect()))
    }

    #[test]
    fn what_is_learned_is_there_again_and_what_is_over_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned.txt");
        let (store, kept) = open(&path).unwrap();
        assert!(kept.is_empty());
        let lines = [exchanged(1, 2_000), exchanged(2, 3_000), exchanged(3, 4_000)];
        let records = lines.clone().map(|line| KeyRecord::parse(&line, Mode::Ecb).unwrap());
        store.append(&records[..2]).unwrap();
        store.append(&records[2..]).unwrap();
        drop(store);
        assert_eq!(fs::read_to_string(&path).unwrap(), lines.join("\n") + "\n");
        // A crash while a line was written.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"exchanged LTMTEST00").unwrap();
        let (store, kept) = open(&path).unwrap();
        assert_eq!(kept, lines[1..]);
        store.append(&records[..1]).unwrap();
        drop(store);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n{}\n{}\n", lines[1], lines[2], lines[0]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_line_that_was_changed_is_told_and_shows_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned.txt");
        fs::write(&path, format!("{}\nexchanged {KEY}\n", exchanged(1, 3_000))).unwrap();
        let error = open(&path).err().unwrap().to_string();
        assert!(error.starts_with("line 2: expected `activated`") && !error.contains(KEY), "{error}");
        assert!(fs::read_to_string(&path).unwrap().contains(KEY), "the file is as it was");
    }
}
