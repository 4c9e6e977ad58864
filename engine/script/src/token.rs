//! The words and signs of CEL (language definition, "Syntax").

use std::ops::Range;

/// A range of bytes in an expression.
pub(crate) type At = Range<u32>;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Name(String),
    /// A whole number without its sign.
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
    End,
}

/// A token and its place.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: At,
}

/// What does not parse, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slip {
    pub(crate) at: At,
    pub(crate) message: String,
}

impl Slip {
    pub(crate) fn new(at: At, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}",
];

/// All tokens of a text, ending with [`Kind::End`]; the first that is none is an error.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Slip> {
    let mut scan = Scan { text, at: 0 };
    let mut out = Vec::new();
    loop {
        scan.skip_space();
        let start = scan.at;
        let kind = scan.token()?;
        let end = kind == Kind::End;
        out.push(Token { kind, at: place(start..scan.at) });
        if end {
            return Ok(out);
        }
    }
}

fn place(range: Range<usize>) -> At {
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    clamp(range.start)..clamp(range.end)
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, while_it: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let len = rest.find(|c| !while_it(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or("")
    }

    fn skip_space(&mut self) {
        loop {
            self.take(char::is_whitespace);
            if !self.rest().starts_with("//") {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    fn slip(&self, start: usize, message: impl Into<String>) -> Slip {
        Slip::new(place(start..self.at.max(start + 1).min(self.text.len().max(start))), message)
    }

    fn token(&mut self) -> Result<Kind, Slip> {
        let start = self.at;
        let Some(first) = self.peek() else { return Ok(Kind::End) };
        let dotted = first == '.' && self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || dotted {
            return self.number();
        }
        if let Some((raw, bytes, prefix)) = self.quote_prefix() {
            self.at += prefix;
            return self.quoted(start, raw, bytes);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Kind::Name(self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned()));
        }
        if let Some(sign) = SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
            self.at += sign.len();
            return Ok(Kind::Sign(sign));
        }
        self.bump();
        let hint = match first {
            '=' => "`=` is no operator; to compare, write `==`",
            '&' => "`&` is no operator; write `&&`",
            '|' => "`|` is no operator; write `||`",
            _ => "this sign has no meaning here",
        };
        Err(self.slip(start, hint))
    }

    fn number(&mut self) -> Result<Kind, Slip> {
        let start = self.at;
        let too_large = |scan: &Self| scan.slip(start, "the number is too large");
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            let value = u64::from_str_radix(digits, 16).map_err(|_| too_large(self))?;
            return Ok(self.whole(value));
        }
        self.take(|c| c.is_ascii_digit());
        let mut broken = false;
        if self.peek() == Some('.') && self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
            self.take(|c| c.is_ascii_digit());
            broken = true;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let back = self.at;
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            if self.take(|c| c.is_ascii_digit()).is_empty() {
                self.at = back;
            } else {
                broken = true;
            }
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        if broken {
            return text.parse().map(Kind::Double).map_err(|_| too_large(self));
        }
        let value = text.parse::<u64>().map_err(|_| too_large(self))?;
        Ok(self.whole(value))
    }

    fn whole(&mut self, value: u64) -> Kind {
        if matches!(self.peek(), Some('u' | 'U')) {
            self.bump();
            Kind::Uint(value)
        } else {
            Kind::Int(value)
        }
    }

    /// Whether a quoted text starts here: (raw, bytes, length of the prefix).
    fn quote_prefix(&self) -> Option<(bool, bool, usize)> {
        let (mut raw, mut bytes) = (false, false);
        for (n, c) in self.rest().char_indices().take(3) {
            match c {
                '"' | '\'' => return Some((raw, bytes, n)),
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes => bytes = true,
                _ => return None,
            }
        }
        None
    }

    fn quoted(&mut self, start: usize, raw: bool, bytes: bool) -> Result<Kind, Slip> {
        let Some(quote) = self.bump() else { return Err(self.slip(start, "a quote is missing")) };
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let long = self.text.get(self.at - 1..).is_some_and(|rest| rest.starts_with(&triple));
        if long {
            self.at += 2;
        }
        let mut out = Vec::new();
        loop {
            if long && self.rest().starts_with(&triple) {
                self.at += 3;
                break;
            }
            match self.bump() {
                Some(c) if c == quote && !long => break,
                Some('\n') if !long => {
                    return Err(self.slip(start, "the text has no closing quote on its line"));
                }
                Some('\\') if !raw => self.escape(bytes, &mut out)?,
                Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => return Err(self.slip(start, "the text has no closing quote")),
            }
        }
        if bytes {
            return Ok(Kind::Bytes(out));
        }
        String::from_utf8(out).map(Kind::Text).map_err(|_| self.slip(start, "the text is not UTF-8"))
    }

    fn escape(&mut self, bytes: bool, out: &mut Vec<u8>) -> Result<(), Slip> {
        let start = self.at - 1;
        let plain = match self.bump() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('v') => '\x0b',
            Some(c @ ('\\' | '\'' | '"' | '`' | '?')) => c,
            Some('x' | 'X') => return self.code(start, 2, 16, bytes, out),
            Some('u') if !bytes => return self.code(start, 4, 16, false, out),
            Some('U') if !bytes => return self.code(start, 8, 16, false, out),
            Some('0'..='3') => {
                self.at -= 1;
                return self.code(start, 3, 8, bytes, out);
            }
            _ => return Err(self.slip(start, "this escape is unknown; in a pattern write it raw: r\"\\d+\"")),
        };
        out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn code(
        &mut self,
        start: usize,
        digits: usize,
        radix: u32,
        byte: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Slip> {
        let text = self.rest().get(..digits).unwrap_or("");
        let bad = |scan: &Self| scan.slip(start, "this escape is not a character");
        let value = u32::from_str_radix(text, radix).map_err(|_| bad(self))?;
        self.at += digits;
        if byte {
            out.push(u8::try_from(value).map_err(|_| bad(self))?);
        } else {
            let c = char::from_u32(value).ok_or_else(|| bad(self))?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}
