//! The body of a request, read within bounds of size and time, and decompressed within the same bound of size.

use std::io::Read;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header;
use flate2::read::MultiGzDecoder;

use super::answer::{Problem, WriteError};
use crate::config::WriteConfig;
use crate::receive::blocking;

/// The body of `request`, decompressed if it is compressed with gzip.
pub(super) async fn read(request: Request, config: &WriteConfig) -> Result<Vec<u8>, WriteError> {
    let encoding = request.headers().get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    let bytes_max = config.body_bytes_max;
    match encoding.as_deref() {
        None | Some(b"" | b"identity") => read_plain(request, config).await,
        Some(b"gzip" | b"x-gzip") => {
            let body = read_plain(request, config).await?;
            blocking(move || decompressed(&body, bytes_max)).await?
        }
        Some(_) => Err(WriteError::new(Problem::MediaType, "expected `Content-Encoding: gzip`, or none")),
    }
}

/// The body of `request` as it is.
pub(super) async fn read_plain(request: Request, config: &WriteConfig) -> Result<Vec<u8>, WriteError> {
    let bytes_max = config.body_bytes_max;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: u64| bytes > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    let read = axum::body::to_bytes(request.into_body(), bytes_max);
    match tokio::time::timeout(Duration::from_secs(config.timeout_secs), read).await {
        Ok(Ok(body)) => Ok(body.into()),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large(bytes_max)),
        Ok(Err(_)) => Err(WriteError::new(Problem::Invalid, "the body ended early")),
        Err(_) => Err(WriteError::new(Problem::TooSlow, "the body came too slowly (write.timeout_secs)")),
    }
}

/// Whether reading ended because of the bound, rather than of the connection.
fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn decompressed(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, WriteError> {
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(body).take(bytes_max as u64 + 1).read_to_end(&mut plain);
    if plain.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    match read {
        Ok(_) => Ok(plain),
        Err(_) => Err(WriteError::new(Problem::Invalid, "the body is not compressed with gzip, or cut off")),
    }
}

fn too_large(bytes_max: usize) -> WriteError {
    let message = format!("the body has more than {bytes_max} bytes (write.body_bytes_max): send it in parts");
    WriteError::new(Problem::TooLarge, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::Body;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    async fn check(encoding: &str, body: Vec<u8>, expected: Result<&[u8], &str>) {
        let config = WriteConfig { body_bytes_max: 1_000, ..WriteConfig::default() };
        let request = Request::builder().header(header::CONTENT_ENCODING, encoding).body(Body::from(body)).unwrap();
        match (read(request, &config).await, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected),
            (Err(error), Err(expected)) => {
                let text = format!("{error:?}");
                assert!(text.contains(expected), "{text}");
            }
            (outcome, _) => panic!("{encoding}: {outcome:?}"),
        }
    }

    #[tokio::test]
    async fn a_body_is_read_and_decompressed_within_bounds() {
        let fits = vec![b'x'; 1_000];
        check("identity", fits.clone(), Ok(&fits)).await;
        check("gzip", gzip(&fits), Ok(&fits)).await;
        let two_members = [gzip(b"one "), gzip(b"two")].concat();
        check("GZIP", two_members, Ok(b"one two")).await;
        // These announce no length.
        check("identity", vec![b'x'; 1_001], Err("TooLarge")).await;
        check("gzip", gzip(&vec![0; 100 << 10]), Err("TooLarge")).await;
        check("gzip", gzip(&[b'x'; 1_001]), Err("TooLarge")).await;
        check("gzip", gzip(&fits)[..10].to_vec(), Err("not compressed with gzip, or cut off")).await;
        check("br", fits, Err("MediaType")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let stream = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let request = Request::new(Body::from_stream(stream));
        let error = read(request, &WriteConfig::default()).await.unwrap_err();
        assert!(format!("{error:?}").contains("TooSlow"), "{error:?}");
    }
}
