//! Numbers and texts in few bytes: LEB128, signed ones zigzag, texts behind their length.

use std::borrow::Cow;

/// Writes behind what a vector holds.
pub(super) struct Packer<'a>(&'a mut Vec<u8>);

impl<'a> Packer<'a> {
    pub(super) fn over(into: &'a mut Vec<u8>) -> Self {
        Self(into)
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            #[allow(clippy::cast_possible_truncation, reason = "seven bits")]
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        #[allow(clippy::cast_possible_truncation, reason = "below 128")]
        self.0.push(number as u8);
    }

    pub(super) fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63).cast_unsigned());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A text that is most often a UUID, which takes half the room.
    pub(super) fn id(&mut self, id: &str) {
        match uuid(id) {
            Some(number) => {
                self.0.push(1);
                self.0.extend_from_slice(&number.to_be_bytes());
            }
            None => {
                self.0.push(0);
                self.text(id);
            }
        }
    }
}

/// Reads what [`Packer`] wrote; `None` where that ends or is something else.
pub(super) struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    pub(super) fn id(&mut self) -> Option<Cow<'a, str>> {
        let (form, rest) = self.0.split_first()?;
        self.0 = rest;
        if *form == 0 {
            return self.text().map(Cow::Borrowed);
        }
        let (number, rest) = self.0.split_first_chunk::<16>()?;
        self.0 = rest;
        Some(Cow::Owned(shown(u128::from_be_bytes(*number))))
    }
}

/// A UUID in its usual form as a number.
fn uuid(text: &str) -> Option<u128> {
    if text.len() != 36 {
        return None;
    }
    let number = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    (shown(number) == text).then_some(number)
}

fn shown(uuid: u128) -> String {
    let hex = format!("{uuid:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers in any::<Vec<(u64, i64)>>(), text in ".{0,40}", id in any::<u128>()) {
            let mut bytes = Vec::new();
            let mut to = Packer::over(&mut bytes);
            for (number, signed) in &numbers {
                to.number(*number);
                to.signed(*signed);
            }
            to.text(&text);
            to.id(&text);
            to.id(&shown(id));
            let mut from = Unpacker::of(&bytes);
            for (number, signed) in numbers {
                prop_assert_eq!(from.number(), Some(number));
                prop_assert_eq!(from.signed(), Some(signed));
            }
            prop_assert_eq!(from.text(), Some(&*text));
            prop_assert_eq!(from.id(), Some(Cow::Owned(text)));
            prop_assert_eq!(from.id(), Some(Cow::Owned(shown(id))));
            prop_assert_eq!(from.number(), None);
        }

        #[test]
        fn rubbish_is_no_panic(bytes in any::<Vec<u8>>()) {
            let mut from = Unpacker::of(&bytes);
            while from.number().is_some() && from.text().is_some() && from.id().is_some() {}
        }
    }

    #[test]
    fn a_uuid_takes_seventeen_bytes_and_what_only_looks_like_one_stays_as_it_is() {
        for (text, length) in [
            ("01936f0e-9c1a-7abc-8def-0123456789ab", 17),
            ("01936F0E-9C1A-7ABC-8DEF-0123456789AB", 38),
            ("01936f0e9c1a-7abc-8def-0123-456789ab", 38),
            ("+1936f0e-9c1a-7abc-8def-0123456789ab", 38),
            ("", 2),
        ] {
            let mut bytes = Vec::new();
            Packer::over(&mut bytes).id(text);
            assert_eq!(bytes.len(), length, "{text}");
            assert_eq!(Unpacker::of(&bytes).id().as_deref(), Some(text));
        }
    }
}
