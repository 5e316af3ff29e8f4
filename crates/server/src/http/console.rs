//! The console: files that were built from `console/` and are part of the program. Without them, a page says how to
//! build them.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../../console/dist"]
#[allow_missing = true]
struct Console;

const MISSING: &str = "<!doctype html><meta charset=utf-8><title>Tongmai</title>
<h1>Tongmai is running; its console is not built in</h1>
<p>This program was built without Node. To build the console and the program with it:</p>
<pre>cargo xtask console\ncargo build -p cli</pre>
<p>The HTTP API works without it: <a href=/api/v1/openapi.json>its description</a>,
<a href=/api/v1/current>the latest values</a>, <a href=/api/v1/gateways>the gateways</a>,
<a href=/metrics>metrics</a>.</p>
<h1>通脉正在运行，但未内置控制台</h1><p>构建本程序时没有 Node。请运行上面的命令构建控制台。</p>";

/// The file that `uri` names; any other path is a page of the console.
pub(crate) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") {
        return ApiError::not_found("unknown_path", format!("there is no `/{path}`")).into_response();
    }
    if let Some(file) = Console::get(path) {
        return serve(path, &file, &headers);
    }
    match Console::get("index.html") {
        Some(page) => serve("index.html", &page, &headers),
        None => (StatusCode::OK, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], MISSING).into_response(),
    }
}

fn serve(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = file.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let tag = format!("\"{tag}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let content_type = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    };
    // Names below assets/ change with their content; everything else is asked for again.
    let caching = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let head = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CACHE_CONTROL, caching.to_owned()),
        (header::ETAG, tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
                .to_owned(),
        ),
    ];
    (head, file.data.clone()).into_response()
}
