//! Data sets and tables: `key=value` pairs, separated by white space. Knows nothing of lines and signals.

use model::Entry;

use super::ENTRIES_MAX;

type Pairs = Box<[(Box<str>, Entry)]>;

/// A text that is no data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Where in the text, in bytes.
    pub(super) offset: usize,
    /// What should be there.
    pub(super) expected: &'static str,
}

/// Reads a data set: `a=1 b=text c="two words" d='…' e={…} f= g`; a key without value is removed.
pub(super) fn data_set(text: &str) -> Result<Pairs, Malformed> {
    let mut reader = Reader { text, at: 0, count: 0 };
    reader.pairs(Braces::Text, None)
}

/// Reads a table: `row={cell=1 cell="two words"}`; a row without value is removed.
pub(super) fn table(text: &str) -> Result<Pairs, Malformed> {
    let mut reader = Reader { text, at: 0, count: 0 };
    reader.pairs(Braces::Row, None)
}

/// What is between braces.
#[derive(Clone, Copy, PartialEq)]
enum Braces {
    Text,
    Row,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    count: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, Malformed> {
        Err(Malformed { offset: self.at, expected })
    }

    /// Pairs up to `end`, which is read too, or to the end of the text.
    fn pairs(&mut self, braces: Braces, end: Option<u8>) -> Result<Pairs, Malformed> {
        let mut pairs = Vec::new();
        loop {
            while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
                self.at += 1;
            }
            match self.peek() {
                None if end.is_none() => return Ok(pairs.into()),
                None => return self.expected("`}`"),
                Some(byte) if Some(byte) == end => {
                    self.at += 1;
                    return Ok(pairs.into());
                }
                Some(_) => {}
            }
            self.count += 1;
            if self.count > ENTRIES_MAX {
                return self.expected("at most 8,192 entries");
            }
            let key = self.bare(end, Some(b'='));
            if key.is_empty() {
                return self.expected("a key");
            }
            let key = key.into();
            let entry = if self.peek() == Some(b'=') {
                self.at += 1;
                self.value(braces, end)?
            } else {
                Entry::Removed
            };
            pairs.push((key, entry));
        }
    }

    fn value(&mut self, braces: Braces, end: Option<u8>) -> Result<Entry, Malformed> {
        let entry = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => Entry::Text(self.enclosed(quote)?),
            Some(b'{') if braces == Braces::Text => Entry::Text(self.enclosed(b'}')?),
            Some(b'{') => {
                self.at += 1;
                Entry::Row(self.pairs(Braces::Text, Some(b'}'))?)
            }
            _ => {
                let bare = self.bare(end, None);
                if bare.is_empty() {
                    Entry::Removed
                } else if braces == Braces::Row {
                    self.at -= bare.len();
                    return self.expected("`{`");
                } else {
                    number(bare).map_or_else(|| Entry::Text(bare.into()), Entry::Number)
                }
            }
        };
        match self.peek() {
            Some(byte) if !byte.is_ascii_whitespace() && Some(byte) != end => self.expected("white space"),
            _ => Ok(entry),
        }
    }

    /// What is up to white space, `end`, or the `sign` that ends a key.
    fn bare(&mut self, end: Option<u8>, sign: Option<u8>) -> &str {
        let begin = self.at;
        while let Some(byte) = self.peek()
            && !byte.is_ascii_whitespace()
            && Some(byte) != end
            && Some(byte) != sign
        {
            self.at += 1;
        }
        &self.text[begin..self.at]
    }

    /// What is between the present byte and `close`; a backslash makes the next character plain.
    fn enclosed(&mut self, close: u8) -> Result<Box<str>, Malformed> {
        self.at += 1;
        let mut plain = String::new();
        let mut characters = self.text[self.at..].char_indices();
        while let Some((offset, character)) = characters.next() {
            if character == char::from(close) {
                self.at += offset + 1;
                return Ok(plain.into());
            }
            plain.extend(if character == '\\' { characters.next().map(|(_, next)| next) } else { Some(character) });
        }
        self.at = self.text.len();
        self.expected(match close {
            b'}' => "`}`",
            b'"' => "a closing `\"`",
            _ => "a closing `'`",
        })
    }
}

/// A number, where it is written as one; words such as `inf` stay texts.
fn number(bare: &str) -> Option<f64> {
    if !bare.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    bare.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows entries in a form of our own: numbers bare, texts quoted, `-` for removed.
    fn show(pairs: &[(Box<str>, Entry)]) -> String {
        let shown: Vec<String> = pairs
            .iter()
            .map(|(key, entry)| match entry {
                Entry::Number(number) => format!("{key}:{number}"),
                Entry::Text(text) => format!("{key}:{text:?}"),
                Entry::Removed => format!("{key}:-"),
                Entry::Row(cells) => format!("{key}:({})", show(cells)),
            })
            .collect();
        shown.join(" ")
    }

    #[track_caller]
    fn check(result: &Result<Pairs, Malformed>, expected: Result<&str, (usize, &'static str)>) {
        let result = result.as_ref().map(|pairs| show(pairs)).map_err(|error| (error.offset, error.expected));
        assert_eq!(result, expected.map(str::to_owned));
    }

    #[test]
    fn data_sets() {
        check(&data_set("a=1 b=-2.5 c=text"), Ok(r#"a:1 b:-2.5 c:"text""#));
        check(&data_set("  a=1\tb=2  "), Ok("a:1 b:2"));
        check(&data_set(""), Ok(""));
        check(&data_set("a={x y} b=\"two words\" c='it\\'s'"), Ok(r#"a:"x y" b:"two words" c:"it's""#));
        check(&data_set(r#"a="1" b={2} c="""#), Ok(r#"a:"1" b:"2" c:"""#));
        check(&data_set("a b= c=3"), Ok("a:- b:- c:3"));
        check(&data_set("a=inf b=1e3 c=0x10 d=x=y"), Ok(r#"a:"inf" b:1000 c:"0x10" d:"x=y""#));
        check(&data_set("a=\"open"), Err((7, "a closing `\"`")));
        check(&data_set("a={open"), Err((7, "`}`")));
        check(&data_set("a=\"x\"y"), Err((5, "white space")));
        check(&data_set("=1"), Err((0, "a key")));
        check(&data_set(&"a=1 ".repeat(8_193)), Err((32_768, "at most 8,192 entries")));
    }

    #[test]
    fn tables() {
        check(
            &table("G53.1={X=1 Y=2.5 N=\"a }\"} G53.2={} G53.3= G53.4"),
            Ok(r#"G53.1:(X:1 Y:2.5 N:"a }") G53.2:() G53.3:- G53.4:-"#),
        );
        check(&table("r={a b=1}"), Ok("r:(a:- b:1)"));
        check(&table("r=5"), Err((2, "`{`")));
        check(&table("r={a=1"), Err((6, "`}`")));
        check(&table("r={a=1}x"), Err((7, "white space")));
        check(&table("r={a={b}}"), Ok(r#"r:(a:"b")"#));
    }
}
