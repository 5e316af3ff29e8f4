//! Cuts a `multipart/x-mixed-replace` stream into its parts (MTConnect part 1, "Streaming Data"), however the network
//! cut it into chunks. Knows no socket and no XML beyond the name of the end tag.

use memchr::memmem;

/// The most bytes that may stand before the first boundary or between two parts.
const PREAMBLE_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that the header lines of one part may take.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Roots of documents that end a part which says no length.
const ROOTS: [&[u8]; 2] = [b"MTConnectStreams>", b"MTConnectError>"];

/// Why the rest of a stream cannot be cut into parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MultipartError {
    #[error("no boundary within {PREAMBLE_BYTES_MAX} bytes at offset {offset}")]
    NoBoundary { offset: u64 },
    #[error("header lines of a part longer than {HEAD_BYTES_MAX} bytes at offset {offset}")]
    HeadTooLong { offset: u64 },
    #[error("part of at least {bytes} bytes at offset {offset}, at most {bytes_max} are read")]
    PartTooLong { offset: u64, bytes: usize, bytes_max: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a boundary line.
    Between,
    /// In the header lines.
    Head,
    /// In a body of so many bytes.
    Sized(usize),
    /// In a body that ends at the next boundary or with the end tag of its document; so many bytes were searched.
    Open(usize),
    /// Behind the last boundary, `--boundary--`.
    Ended,
}

/// The parts of one stream.
#[derive(Debug)]
pub(super) struct Multipart {
    /// The boundary without its leading dashes: agents disagree on whether these belong to it.
    boundary: Vec<u8>,
    part_bytes_max: usize,
    state: State,
    unread: Vec<u8>,
    /// Bytes of the stream before `unread`.
    offset: u64,
}

impl Multipart {
    /// Reads `content_type`; `None` when it says that the answer is not in parts.
    pub(super) fn new(content_type: &str, part_bytes_max: usize) -> Option<Self> {
        let kind = content_type.get(..10)?;
        if !kind.eq_ignore_ascii_case("multipart/") {
            return None;
        }
        let boundary = content_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        })?;
        let bare = boundary.trim_start_matches('-');
        let boundary = if bare.is_empty() { boundary } else { bare };
        (!boundary.is_empty()).then(|| Self {
            boundary: boundary.into(),
            part_bytes_max,
            state: State::Between,
            unread: Vec::new(),
            offset: 0,
        })
    }

    /// Takes the next chunk, cut anywhere.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.unread.extend_from_slice(chunk);
    }

    /// Whether the sender has said that no part follows.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The body of the next part that is there in full; never one that was cut off.
    ///
    /// # Errors
    /// When what comes is not in parts, or is larger than the bounds; nothing further can then be read.
    pub(super) fn next_part(&mut self) -> Result<Option<Vec<u8>>, MultipartError> {
        loop {
            match self.state {
                State::Ended => return Ok(None),
                State::Between => {
                    if !self.enter_part()? {
                        return Ok(None);
                    }
                }
                State::Head => {
                    if !self.read_head()? {
                        return Ok(None);
                    }
                }
                State::Sized(bytes) => {
                    if self.unread.len() < bytes {
                        return Ok(None);
                    }
                    return Ok(Some(self.take_body(bytes)));
                }
                State::Open(searched) => match self.find_end(searched)? {
                    Some(0) => self.state = State::Between,
                    Some(bytes) => return Ok(Some(self.take_body(bytes))),
                    None => return Ok(None),
                },
            }
        }
    }

    fn drop_front(&mut self, bytes: usize) {
        self.unread.drain(..bytes);
        self.offset += bytes as u64;
    }

    fn take_body(&mut self, bytes: usize) -> Vec<u8> {
        let rest = self.unread.split_off(bytes);
        let body = std::mem::replace(&mut self.unread, rest);
        self.offset += bytes as u64;
        self.state = State::Between;
        body
    }

    /// Finds the boundary line and goes behind it; false when it is not there in full.
    fn enter_part(&mut self) -> Result<bool, MultipartError> {
        if let Some((start, name_end)) = find_boundary(&self.unread, &self.boundary, 0) {
            let rest = &self.unread[name_end..];
            if rest.starts_with(b"--") {
                self.state = State::Ended;
                return Ok(false);
            }
            if let Some(line_end) = memchr::memchr(b'\n', rest) {
                self.drop_front(name_end + line_end + 1);
                self.state = State::Head;
                return Ok(true);
            }
            if self.unread.len() - start > HEAD_BYTES_MAX {
                return Err(MultipartError::HeadTooLong { offset: self.offset });
            }
            return Ok(false);
        }
        if self.unread.len() > PREAMBLE_BYTES_MAX {
            return Err(MultipartError::NoBoundary { offset: self.offset });
        }
        Ok(false)
    }

    /// Reads the header lines up to the empty one; false when they are not there in full.
    fn read_head(&mut self) -> Result<bool, MultipartError> {
        let mut length = None;
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &self.unread[start..]) {
            let line = self.unread[start..start + end].trim_ascii();
            start += end + 1;
            if line.is_empty() {
                self.drop_front(start);
                self.state = match length {
                    Some(bytes) if bytes > self.part_bytes_max => return Err(self.too_long(bytes)),
                    Some(bytes) => State::Sized(bytes),
                    None => State::Open(0),
                };
                return Ok(true);
            }
            let field = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'));
            if let Some((name, value)) = field
                && name.trim().eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        if self.unread.len() > HEAD_BYTES_MAX {
            return Err(MultipartError::HeadTooLong { offset: self.offset });
        }
        Ok(false)
    }

    /// Where a body without a length ends, once that can be told.
    fn find_end(&mut self, searched: usize) -> Result<Option<usize>, MultipartError> {
        // A mark that was cut by the end of the chunk before begins at most so far back.
        let from = searched.saturating_sub(self.boundary.len() + 64);
        let boundary = find_boundary(&self.unread, &self.boundary, from).map(|(start, _)| start);
        // The next boundary may come only with the next document; the end tag tells as well and at once.
        let end_tag = ROOTS.iter().filter_map(|root| find_end_tag(&self.unread, root, from)).min();
        if let Some(bytes) = boundary.into_iter().chain(end_tag).min() {
            return Ok(Some(bytes));
        }
        if self.unread.len() > self.part_bytes_max {
            return Err(self.too_long(self.unread.len()));
        }
        self.state = State::Open(self.unread.len());
        Ok(None)
    }

    fn too_long(&self, bytes: usize) -> MultipartError {
        MultipartError::PartTooLong { offset: self.offset, bytes, bytes_max: self.part_bytes_max }
    }
}

/// The first line from `from` on that is `boundary` behind at least one dash or at the line's begin: where the dashes
/// start and where the name ends.
fn find_boundary(text: &[u8], boundary: &[u8], from: usize) -> Option<(usize, usize)> {
    memmem::find_iter(&text[from..], boundary).find_map(|place| {
        let name = from + place;
        let dashes = text[..name].iter().rev().take_while(|byte| **byte == b'-').count();
        let start = name - dashes;
        let at_line_begin = start == 0 || text[start - 1] == b'\n';
        (at_line_begin && dashes > 0).then_some((start, name + boundary.len()))
    })
}

/// Behind the end tag `</root>`, with any prefix.
fn find_end_tag(text: &[u8], root: &[u8], from: usize) -> Option<usize> {
    memmem::find_iter(&text[from..], root).find_map(|place| {
        let name = from + place;
        let prefix = text[..name].iter().rev().take_while(|byte| !b"<>/ ".contains(byte)).count();
        text[..name - prefix].ends_with(b"</").then_some(name + root.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: &str = "<?xml version=\"1.0\"?>\n<m:MTConnectStreams a=\"--x\"><Header/></m:MTConnectStreams>";

    fn sized(line_end: &str, boundary: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "--{boundary}\r\nContent-type: text/xml{line_end}Content-length: {length}{line_end}{line_end}{body}{line_end}"
        )
    }

    /// Cuts the stream at every `step` bytes, for many steps: the parts must not depend on it.
    fn check(content_type: &str, stream: &str, parts: &[&str]) {
        for step in [1, 2, 3, 7, 31, 64, stream.len().max(1)] {
            let mut multipart = Multipart::new(content_type, 1_000).expect("in parts");
            let mut found = Vec::new();
            for chunk in stream.as_bytes().chunks(step) {
                multipart.push(chunk);
                while let Some(part) = multipart.next_part().unwrap() {
                    found.push(String::from_utf8(part).unwrap().trim().to_owned());
                }
            }
            assert_eq!(found, parts, "{content_type}, chunks of {step}");
        }
    }

    #[test]
    fn parts_are_found_however_the_stream_is_cut() {
        let two = sized("\r\n", "b1", "<a/>") + &sized("\r\n", "b1", STREAMS);
        check("multipart/x-mixed-replace;boundary=b1", &two, &["<a/>", STREAMS]);
        check("Multipart/X-Mixed-Replace; charset=utf-8; Boundary=\"b1\"", &two, &["<a/>", STREAMS]);
        // Agents that count the dashes into the boundary, and those that end lines with a bare line feed.
        check("multipart/x-mixed-replace;boundary=--b1", &two, &["<a/>", STREAMS]);
        check("multipart/x-mixed-replace;boundary=----b1", &two, &["<a/>", STREAMS]);
        let bare = sized("\n", "b1", "<a/>") + &sized("\n", "b1", "<b/>") + "--b1--\n";
        check("multipart/x-mixed-replace;boundary=b1", &bare, &["<a/>", "<b/>"]);
        check("multipart/x-mixed-replace;boundary=b1", &("junk before\r\n".to_owned() + &two), &["<a/>", STREAMS]);
    }

    #[test]
    fn a_part_without_length_ends_with_its_document_or_at_the_boundary() {
        let head = "--b1\r\nContent-type: text/xml\r\n\r\n";
        check("multipart/x-mixed-replace;boundary=b1", &format!("{head}{STREAMS}"), &[STREAMS]);
        check(
            "multipart/x-mixed-replace;boundary=b1",
            &format!("{head}{STREAMS}\r\n{head}{STREAMS}"),
            &[STREAMS, STREAMS],
        );
        check(
            "multipart/x-mixed-replace;boundary=b1",
            &format!("{head}<a>--b1</a>\r\n{head}{STREAMS}"),
            &["<a>--b1</a>", STREAMS],
        );
    }

    #[test]
    fn what_was_cut_off_is_no_part() {
        let two = sized("\r\n", "b1", "<a/>") + &sized("\r\n", "b1", STREAMS);
        check("multipart/x-mixed-replace;boundary=b1", &two[..two.len() - 10], &["<a/>"]);
    }

    #[test]
    fn an_answer_that_is_not_in_parts_is_told() {
        for content_type in ["text/xml", "", "multipart/x-mixed-replace", "multipart/x-mixed-replace;boundary=\"\""] {
            assert!(Multipart::new(content_type, 1).is_none(), "{content_type}");
        }
    }

    #[test]
    fn bounds_hold() {
        let read = |stream: &str| {
            let mut multipart = Multipart::new("multipart/x-mixed-replace;boundary=b1", 1_000).unwrap();
            multipart.push(stream.as_bytes());
            multipart.next_part().unwrap_err().to_string()
        };
        assert!(read(&"x".repeat(PREAMBLE_BYTES_MAX + 1)).starts_with("no boundary within"));
        assert!(read(&format!("--b1\r\n{}", "h: x\r\n".repeat(4_000))).starts_with("header lines of a part"));
        assert!(read("--b1\r\nContent-length: 1001\r\n\r\n").starts_with("part of at least 1001 bytes"));
        assert!(read(&format!("--b1\r\n\r\n{}", "y".repeat(1_001))).starts_with("part of at least 1001 bytes"));
    }

    proptest::proptest! {
        /// Whatever comes in whatever chunks, cutting ends without a panic, and never gives more than came.
        #[test]
        fn mangled_streams_are_answered(place in 0_usize..300, byte: u8, step in 1_usize..40) {
            let mut stream = (sized("\r\n", "b1", "<a/>") + "--b1\n\n" + STREAMS + &sized("\n", "b1", STREAMS)).into_bytes();
            if let Some(spot) = stream.get_mut(place) {
                *spot = byte;
            }
            let mut multipart = Multipart::new("multipart/x-mixed-replace;boundary=b1", 200).unwrap();
            let mut bytes = 0;
            for chunk in stream.chunks(step) {
                multipart.push(chunk);
                while let Ok(Some(part)) = multipart.next_part() {
                    bytes += part.len();
                }
            }
            assert!(bytes <= stream.len());
        }
    }
}
