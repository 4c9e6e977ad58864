//! The top-level fields of a request's body, in every dialect: kept as parameters, and read as values of a type.

use crate::scan::{Flaw, Lit, Scan, Scanned, What, place};
use bytestring::ByteString;
use serde::Deserialize;
use std::collections::HashSet;
use std::ops::Range;
use weir_message::{ErrorCode, Fault, Head, Param, Params, Request};

/// The most top-level fields taken; each is kept as a parameter.
const MAX_FIELDS: usize = 512;

/// Fields gathered while a body is read.
#[derive(Default)]
pub(crate) struct Fields {
    params: Params,
    /// Names of parameters, once there are too many to look through.
    names: HashSet<ByteString>,
}

impl Fields {
    /// Keeps the field whose value stands at this place.
    pub(crate) fn add<'a>(&mut self, scan: &Scan<'a>, key: &Lit<'a>, at: Range<usize>) -> Scanned<()> {
        let name = scan.shared(key)?;
        let params = &mut self.params.0;
        if params.len() >= MAX_FIELDS {
            return Err(Flaw::new(What::TooMany, key.at.start));
        }
        let is_known = match params.len() {
            ..16 => params.iter().any(|param| param.name == name),
            _ => {
                if self.names.is_empty() {
                    self.names.extend(params.iter().map(|param| param.name.clone()));
                }
                !self.names.insert(name.clone())
            }
        };
        if is_known {
            return Err(Flaw::new(What::Repeated, key.at.start));
        }
        params.push(Param { name, json: scan.share(scan.spelt(at.clone())), at: Some(place(at)) });
        Ok(())
    }

    /// Whether there is a field of this name that is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|json| &**json != "null")
    }

    /// Hands them to the request. Parameters that stages set before the body was read stay as they set them.
    pub(crate) fn settle(self, request: &mut Request) {
        let mut params = self.params;
        for set in request.params.0.drain(..).filter(|param| param.at.is_none()) {
            match params.0.iter_mut().find(|param| param.name == set.name) {
                Some(param) => *param = set,
                None => params.0.push(set),
            }
        }
        request.params = params;
    }
}

/// Takes over what was read of the head, but for a model that a stage chose since.
pub(crate) fn set_head(request: &mut Request, mut head: Head) {
    let is_changed = request.outgoing().is_ok_and(|out| out.as_ptr() != request.raw.as_ptr());
    if is_changed && let Some(model) = request.head.model.take() {
        head.model = Some(model);
    }
    request.head = head;
}

/// The value of a field, or the fault that names it.
pub(crate) fn typed<'a, T: Deserialize<'a>>(json: &'a str, field: &str) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|_| wrong(field))
}

/// The fault for a field with a value that it cannot have.
pub(crate) fn wrong(field: &str) -> Fault {
    Fault::new(ErrorCode::BadRequest, format!("`{field}` has a type or value that it cannot have"))
        .param(field)
}

/// A number, as spelt.
pub(crate) fn number(json: &ByteString, field: &str) -> Result<ByteString, Fault> {
    typed::<f64>(json, field).map(|_| json.clone())
}

/// A string.
pub(crate) fn text(json: &str, field: &str) -> Result<ByteString, Fault> {
    typed::<String>(json, field).map(ByteString::from)
}

/// Whether a text is Base64 in either alphabet (RFC 4648, 4 and 5), with or without its padding.
pub(crate) fn is_base64(data: &str) -> bool {
    let bare = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    data.len() - bare.len() <= 2
        && bare.len() % 4 != 1
        && bare.as_bytes().chunks(64).all(|chunk| chunk.iter().fold(true, |all, byte| all & is_digit(*byte)))
}

/// Several strings, or one.
pub(crate) fn texts(json: &str, field: &str) -> Result<Vec<ByteString>, Fault> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match typed(json, field)? {
        Texts::One(one) => vec![one.into()],
        Texts::Many(many) => many.into_iter().map(ByteString::from).collect(),
    })
}
