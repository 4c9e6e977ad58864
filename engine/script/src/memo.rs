//! What one evaluation need not work out twice: a loop may ask for the same text at every turn.

use crate::value::{Text, Value};
use std::cell::RefCell;
use std::sync::Arc;
use weir_message::Request;

/// What was worked out of a request, by its place in memory, which does not move while an expression reads it.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    texts: RefCell<Vec<(*const Request, &'static str, Arc<str>)>>,
    tokens: RefCell<Vec<(*const Request, u64)>>,
    counted: RefCell<Vec<(Arc<str>, u64)>>,
}

impl Memo {
    /// A text of a request that has to be put together; whether it was now.
    pub(crate) fn text(
        &self,
        request: &Request,
        name: &'static str,
        build: impl FnOnce(&Request) -> String,
    ) -> (Value<'static>, bool) {
        let at = std::ptr::from_ref(request);
        let known = |texts: &Vec<(*const Request, &str, Arc<str>)>| {
            texts.iter().find(|(have, of, _)| *have == at && *of == name).map(|(.., text)| Arc::clone(text))
        };
        let found = known(&self.texts.borrow());
        if let Some(text) = found {
            return (Value::Text(Text::Shared(text)), false);
        }
        let text: Arc<str> = build(request).into();
        self.texts.borrow_mut().push((at, name, Arc::clone(&text)));
        (Value::Text(Text::Shared(text)), true)
    }

    /// The tokens of a request.
    pub(crate) fn tokens(&self, request: &Request, count: impl FnOnce() -> u64) -> u64 {
        let at = std::ptr::from_ref(request);
        let known = self.tokens.borrow().iter().find(|(have, _)| *have == at).map(|(_, tokens)| *tokens);
        known.unwrap_or_else(|| {
            let tokens = count();
            self.tokens.borrow_mut().push((at, tokens));
            tokens
        })
    }

    /// The tokens of a text that was put together before.
    pub(crate) fn counted(&self, text: &Text<'_>, count: impl FnOnce() -> u64) -> u64 {
        let Text::Shared(text) = text else { return count() };
        let known = |(have, tokens): &(Arc<str>, u64)| Arc::ptr_eq(have, text).then_some(*tokens);
        let found = self.counted.borrow().iter().find_map(known);
        found.unwrap_or_else(|| {
            let tokens = count();
            self.counted.borrow_mut().push((Arc::clone(text), tokens));
            tokens
        })
    }
}
