//! From text to tokens. Lines end only outside of brackets, as in Python.

use std::iter::Peekable;
use std::str::CharIndices;

use super::super::error::ImportError;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or keyword.
    Name(String),
    /// A string's value.
    Text(String),
    /// A string that is computed or holds bytes: `f"..."`, `b"..."`.
    Computed,
    /// A number, as written.
    Number(String),
    /// One character of punctuation.
    Sign(char),
    /// The end of a statement.
    End,
}

/// A token and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
}

/// Reads all tokens.
///
/// # Errors
/// When a string or bracket has no end.
pub fn tokens(text: &str) -> Result<Vec<Token>, ImportError> {
    let mut reader = Reader { chars: text.char_indices().peekable(), text, line: 1, open: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = reader.next()? {
        tokens.push(token);
    }
    if reader.open > 0 {
        return Err(ImportError::Syntax { line: reader.line, why: "a bracket is not closed" });
    }
    tokens.push(Token { kind: Kind::End, line: reader.line });
    Ok(tokens)
}

struct Reader<'t> {
    chars: Peekable<CharIndices<'t>>,
    text: &'t str,
    line: usize,
    open: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<Token>, ImportError> {
        loop {
            let line = self.line;
            let Some((at, c)) = self.chars.next() else { return Ok(None) };
            let kind = match c {
                '\n' => {
                    self.line += 1;
                    if self.open > 0 {
                        continue;
                    }
                    Kind::End
                }
                ';' => Kind::End,
                // a line that goes on
                '\\' if self.skip_if('\n') => {
                    self.line += 1;
                    continue;
                }
                '\\' if self.skip_if('\r') => continue,
                '#' => {
                    while self.chars.next_if(|(_, c)| *c != '\n').is_some() {}
                    continue;
                }
                c if c.is_whitespace() || c == '\u{feff}' => continue,
                '\'' | '"' => Kind::Text(self.string(c, false)?),
                c if c.is_alphabetic() || c == '_' => self.word(at)?,
                c if c.is_ascii_digit() => self.number(at),
                '(' | '[' | '{' => {
                    self.open += 1;
                    Kind::Sign(c)
                }
                ')' | ']' | '}' => {
                    let Some(open) = self.open.checked_sub(1) else {
                        return Err(ImportError::Syntax { line, why: "a bracket was not opened" });
                    };
                    self.open = open;
                    Kind::Sign(c)
                }
                c => Kind::Sign(c),
            };
            return Ok(Some(Token { kind, line }));
        }
    }

    fn skip_if(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn from(&mut self, at: usize, belongs: impl Fn(char) -> bool) -> String {
        while self.chars.next_if(|(_, c)| belongs(*c)).is_some() {}
        let end = self.chars.peek().map_or(self.text.len(), |(end, _)| *end);
        self.text[at..end].to_owned()
    }

    /// A name, or the letters in front of a string.
    fn word(&mut self, at: usize) -> Result<Kind, ImportError> {
        let word = self.from(at, |c| c.is_alphanumeric() || c == '_');
        let quote = self.chars.peek().map(|(_, c)| *c).filter(|c| matches!(c, '\'' | '"'));
        let prefix = word.to_ascii_lowercase();
        let is_prefix =
            matches!(prefix.as_str(), "r" | "u" | "b" | "f" | "br" | "rb" | "fr" | "rf");
        let Some(quote) = quote.filter(|_| is_prefix) else { return Ok(Kind::Name(word)) };
        self.chars.next();
        let text = self.string(quote, prefix.contains('r'))?;
        Ok(if prefix.contains(['f', 'b']) { Kind::Computed } else { Kind::Text(text) })
    }

    fn number(&mut self, at: usize) -> Kind {
        Kind::Number(self.from(at, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
    }

    /// Behind the first quote.
    fn string(&mut self, quote: char, raw: bool) -> Result<String, ImportError> {
        let begin = self.line;
        let no_end = ImportError::Syntax { line: begin, why: "a text is not closed" };
        let triple = if self.skip_if(quote) {
            if !self.skip_if(quote) {
                return Ok(String::new());
            }
            true
        } else {
            false
        };
        let mut text = String::new();
        let mut quotes = 0;
        while let Some((_, c)) = self.chars.next() {
            if c == quote {
                quotes += 1;
                if !triple || quotes == 3 {
                    // two of the three are in the text already
                    text.truncate(text.len() - (quotes - 1));
                    return Ok(text);
                }
                text.push(c);
                continue;
            }
            quotes = 0;
            match c {
                '\n' if !triple => return Err(no_end),
                '\n' => {
                    self.line += 1;
                    text.push(c);
                }
                '\\' if raw => {
                    text.push(c);
                    if let Some((_, next)) = self.chars.next() {
                        self.line += usize::from(next == '\n');
                        text.push(next);
                    }
                }
                '\\' => self.escape(&mut text),
                c => text.push(c),
            }
        }
        Err(no_end)
    }

    /// Python reference, 2.4.1.1.
    fn escape(&mut self, text: &mut String) {
        let Some((_, c)) = self.chars.next() else { return };
        let plain = match c {
            '\n' => {
                self.line += 1;
                return;
            }
            '\\' | '\'' | '"' => c,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'x' => return self.numbered('x', 2, text),
            'u' => return self.numbered('u', 4, text),
            'U' => return self.numbered('U', 8, text),
            '0'..='7' => {
                let mut value = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    match self.chars.next_if(|(_, c)| c.is_digit(8)) {
                        Some((_, c)) => value = value * 8 + c.to_digit(8).unwrap_or(0),
                        None => break,
                    }
                }
                char::from_u32(value).unwrap_or('\u{fffd}')
            }
            // unknown ones stay as they are
            other => {
                text.push('\\');
                other
            }
        };
        text.push(plain);
    }

    fn numbered(&mut self, letter: char, digits: usize, text: &mut String) {
        let mut hex = String::new();
        while hex.len() < digits {
            match self.chars.next_if(|(_, c)| c.is_ascii_hexdigit()) {
                Some((_, c)) => hex.push(c),
                None => break,
            }
        }
        let value = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
        match value.map(|value| char::from_u32(value).unwrap_or('\u{fffd}')) {
            Some(c) => text.push(c),
            None => text.push_str(&format!("\\{letter}{hex}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(python: &str) -> Vec<String> {
        let text = |token: Token| match token.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        };
        tokens(python).unwrap().into_iter().filter_map(text).collect()
    }

    #[test]
    fn strings_are_read_as_python_reads_them() {
        let python = r#"'a\'b' "c\n" r'\n' u'x' '''d'e''' """f""g""" '' "\x41\u00e9\101\q" "" "#;
        let expected = ["a'b", "c\n", "\\n", "x", "d'e", "f\"\"g", "", "A\u{e9}A\\q", ""];
        assert_eq!(texts(python), expected);
        assert_eq!(texts("f'{x}' b'y' 'z'"), ["z"]);
        for bad in ["'a", "'a\nb'", "'''a''", "(", ")", "x = [1, 2"] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_ends_outside_of_brackets_only() {
        let ends = |text: &str| {
            tokens(text).unwrap().iter().filter(|token| token.kind == Kind::End).count()
        };
        assert_eq!(ends("a = 1\nb = (1,\n2)\n"), 3);
        assert_eq!(ends("a = 1 + \\\n 2 # c\n"), 2);
    }
}
