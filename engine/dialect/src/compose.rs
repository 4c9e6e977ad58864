//! JSON written straight into its bytes, each value copied once.

use std::ops::Range;

/// The bytes of an object.
pub(crate) fn object(build: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write_object(&mut out, build);
    out
}

/// Writes an object behind what is there.
pub(crate) fn write_object(out: &mut Vec<u8>, build: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    build(&mut Object { out, is_empty: true });
    out.push(b'}');
}

/// Writes a string literal.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// An object under way.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(b',');
        }
        write_string(self.out, name);
        self.out.push(b':');
    }

    /// A string.
    pub(crate) fn string(&mut self, name: &str, text: &str) -> &mut Self {
        self.place_of(name, text);
        self
    }

    /// A string; where its literal stands in the bytes.
    pub(crate) fn place_of(&mut self, name: &str, text: &str) -> Range<usize> {
        self.name(name);
        let start = self.out.len();
        write_string(self.out, text);
        start..self.out.len()
    }

    /// A value as spelt. It must be JSON.
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.raw_place_of(name, json);
        self
    }

    /// A value as spelt; where it stands in the bytes.
    pub(crate) fn raw_place_of(&mut self, name: &str, json: &str) -> Range<usize> {
        self.name(name);
        let start = self.out.len();
        self.out.extend_from_slice(json.as_bytes());
        start..self.out.len()
    }

    /// A count.
    pub(crate) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.raw(name, &number.to_string())
    }

    /// A boolean.
    pub(crate) fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// Null.
    pub(crate) fn null(&mut self, name: &str) -> &mut Self {
        self.raw(name, "null")
    }

    /// A string of Base64 behind `before`, in the usual alphabet (RFC 4648, 4) whichever it came in.
    pub(crate) fn base64(&mut self, name: &str, before: &str, data: &str) -> &mut Self {
        self.place_of(name, before);
        self.out.pop();
        self.out.reserve(data.len() + 1);
        // No character of Base64 is escaped; what is none must not end the string.
        self.out.extend(data.bytes().map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            b'"' | b'\\' | ..b' ' => b'!',
            other => other,
        }));
        self.out.push(b'"');
        self
    }

    /// A string, if there is one.
    pub(crate) fn string_if(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.string(name, text);
        }
        self
    }

    /// A value as spelt, if there is one.
    pub(crate) fn raw_if(&mut self, name: &str, json: Option<&str>) -> &mut Self {
        if let Some(json) = json {
            self.raw(name, json);
        }
        self
    }

    /// A count, if there is one.
    pub(crate) fn number_if(&mut self, name: &str, number: Option<u64>) -> &mut Self {
        if let Some(number) = number {
            self.number(name, number);
        }
        self
    }

    /// An object inside.
    pub(crate) fn object(&mut self, name: &str, build: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.name(name);
        write_object(self.out, build);
        self
    }

    /// An array inside.
    pub(crate) fn array(&mut self, name: &str, build: impl FnOnce(&mut Array<'_>)) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        build(&mut Array { out: self.out, is_empty: true });
        self.out.push(b']');
        self
    }
}

/// An array under way.
pub(crate) struct Array<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Array<'_> {
    fn next(&mut self) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(b',');
        }
    }

    /// Whether nothing was put in yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// A string.
    pub(crate) fn string(&mut self, text: &str) {
        self.next();
        write_string(self.out, text);
    }

    /// A value as spelt. It must be JSON.
    pub(crate) fn raw(&mut self, json: &str) {
        self.next();
        self.out.extend_from_slice(json.as_bytes());
    }

    /// An object.
    pub(crate) fn object(&mut self, build: impl FnOnce(&mut Object<'_>)) {
        self.next();
        write_object(self.out, build);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_json_and_knows_where_strings_stand() {
        let mut place = 0..0;
        let bytes = object(|o| {
            o.string("a\"", "b\n").number("n", 7).bool("t", true).null("z");
            o.array("list", |a| {
                a.string("x");
                a.raw("1.0e3");
                a.object(|o| place = o.place_of("in", "é"));
            });
            o.object("o", |_| {}).string_if("no", None).number_if("yes", Some(1));
            o.base64("b", "data:image/png;base64,", "aQ-_+/==").base64("c", "", "\"\n");
        });
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            r#"{"a\"":"b\n","n":7,"t":true,"z":null,"list":["x",1.0e3,{"in":"é"}],"o":{},"yes":1,"b":"data:image/png;base64,aQ+/+/==","c":"!!"}"#
        );
        assert_eq!(&text[place], "\"é\"");
    }
}
