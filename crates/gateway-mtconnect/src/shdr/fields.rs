//! The fields of a line: what stands between the bars, white space around it removed. Knows no meaning of theirs.

use std::borrow::Cow;

use memchr::memchr;

/// One field, borrowed from the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// The bytes, without white space around them and without the quotes.
    pub(super) bytes: &'a [u8],
    /// Where it begins in the line.
    pub(super) offset: usize,
    /// Whether a backslash in it makes the next byte plain.
    escaped: bool,
}

impl<'a> Field<'a> {
    /// The field as text.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, std::str::Utf8Error> {
        let text = std::str::from_utf8(self.bytes)?;
        if !self.escaped {
            return Ok(Cow::Borrowed(text));
        }
        let mut plain = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            plain.extend(if character == '\\' { characters.next() } else { Some(character) });
        }
        Ok(Cow::Owned(plain))
    }

    /// A field without content at the same place.
    pub(super) fn emptied(self) -> Self {
        Self { bytes: b"", ..self }
    }

    /// Whether it is the standard's word for "nothing is known".
    pub(super) fn is_unavailable(&self) -> bool {
        self.bytes.eq_ignore_ascii_case(b"UNAVAILABLE")
    }
}

/// Walks over the fields of one line. The last field may be given apart, when it spans lines.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    line: &'a [u8],
    /// Where the next field begins; beyond the line when there is none.
    at: usize,
    taken: usize,
    last: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(line: &'a [u8], last: Option<&'a [u8]>) -> Self {
        Self { line, at: 0, taken: 0, last }
    }

    /// Whether no field is left.
    pub(super) fn is_finished(&self) -> bool {
        self.at > self.line.len()
    }

    /// How many fields were read.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// What was read since `offset`, to show it.
    pub(super) fn since(&self, offset: usize) -> &'a [u8] {
        let end = self.at.saturating_sub(1).min(self.line.len());
        &self.line[offset.min(end)..end]
    }

    /// All that is left, bars included.
    pub(super) fn rest(&mut self) -> Option<Field<'a>> {
        if self.is_finished() {
            return None;
        }
        let offset = self.at;
        self.at = self.line.len() + 1;
        let bytes = match self.last {
            Some(last) if memchr(b'|', &self.line[offset..]).is_none() => last,
            _ => &self.line[offset..],
        };
        Some(Field { bytes: bytes.trim_ascii(), offset, escaped: false })
    }

    /// Whether the next field begins with `byte`.
    pub(super) fn next_begins_with(&self, byte: u8) -> bool {
        let bytes = self.line.get(self.at..).unwrap_or_default();
        let bytes = if bytes.is_empty() { self.last.unwrap_or_default() } else { bytes };
        bytes.trim_ascii_start().first() == Some(&byte)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let offset = self.at;
        let rest = self.line.get(offset..)?;
        self.taken += 1;
        let end = memchr(b'|', rest).unwrap_or(rest.len());
        if let Some(last) = self.last
            && offset + end == self.line.len()
        {
            self.at = offset + end + 1;
            return Some(Field { bytes: last.trim_ascii(), offset, escaped: false });
        }
        let bytes = rest[..end].trim_ascii();
        if bytes.first() == Some(&b'"')
            && let Some((inner, length)) = quoted(rest)
        {
            self.at = offset + length + 1;
            return Some(Field { bytes: inner, offset, escaped: true });
        }
        self.at = offset + end + 1;
        Some(Field { bytes, offset, escaped: false })
    }
}

/// The inside of a quoted field at the beginning of `rest`, and the length up to the bar behind it. A bar inside has
/// to have a backslash before it; a quote that is not followed by a bar or the end does not close. `None` where
/// nothing closes: then the quote is an ordinary character.
fn quoted(rest: &[u8]) -> Option<(&[u8], usize)> {
    let open = rest.iter().position(|byte| *byte == b'"')? + 1;
    let mut at = open;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            b'|' => return None,
            b'"' => {
                let behind = &rest[at + 1..];
                let space = behind.len() - behind.trim_ascii_start().len();
                if behind.get(space).is_none_or(|byte| *byte == b'|') {
                    return Some((&rest[open..at], at + 1 + space));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let fields: Vec<String> =
            Fields::new(line.as_bytes(), None).map(|field| field.text().unwrap().into_owned()).collect();
        assert_eq!(fields, expected, "{line}");
    }

    #[test]
    fn bars_separate_and_quotes_protect() {
        check("a|b", &["a", "b"]);
        check(" a b |\tc\r", &["a b", "c"]);
        check("a||b|", &["a", "", "b", ""]);
        check("", &[""]);
        check(r#"a|"x\|y"|b"#, &["a", "x|y", "b"]);
        check(r#"a|  "x\|y"  |b"#, &["a", "x|y", "b"]);
        check(r#"a|"say \"hi\" \\ "|b"#, &["a", r#"say "hi" \ "#, "b"]);
        check(r#"a|"an "inner" quote"|b"#, &["a", r#"an "inner" quote"#, "b"]);
        check(r#"a|"not closed|b"#, &["a", r#""not closed"#, "b"]);
        check(r#"a|"x|y"|b"#, &["a", r#""x"#, r#"y""#, "b"]);
        check(r#"a|"closed" then more|b"#, &["a", r#""closed" then more"#, "b"]);
        check(r"a|x\|y", &["a", r"x\", "y"]);
        check(r#"a|""|b"#, &["a", "", "b"]);
    }

    #[test]
    fn the_last_field_may_span_lines() {
        let fields: Vec<&[u8]> = Fields::new(b"t|k|", Some(b"one\ntwo|x")).map(|field| field.bytes).collect();
        assert_eq!(fields, [&b"t"[..], b"k", b"one\ntwo|x"]);
        let mut fields = Fields::new(b"t|@ASSET@|", Some(b"<a/>"));
        assert!(fields.nth(1).is_some() && fields.next_begins_with(b'<'));
        assert_eq!(fields.rest().unwrap().bytes, b"<a/>");
        assert!(fields.is_finished());
    }
}
