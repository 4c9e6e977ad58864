//! What a client was sent, and that what is sent later says the same.

use super::super::output::{Entry, Shape, Stand};
use super::super::place_of;
use super::super::stream::{Said, Step};
use super::Encoder;
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{Finish, Splices};

impl Encoder {
    /// Takes an event that says more than a piece of text into what was sent.
    pub(super) fn follow(&mut self, said: &Said) {
        if let Some(response) = &said.response
            && !std::mem::replace(&mut self.is_learnt, true)
        {
            let keep = |now: &Option<ByteString>, had: &mut String| {
                if let Some(now) = now {
                    *had = now.to_string();
                }
            };
            keep(&response.id, &mut self.identity.id);
            keep(&response.model, &mut self.identity.model);
            self.identity.created = response.created.unwrap_or(self.identity.created);
        }
        let entries = &mut self.sent.entries;
        match said.step() {
            Some(Step::Begin(n, item)) => {
                entries.entry(n).or_insert_with(|| Entry::begun(item));
            }
            Some(Step::End(n, item)) => {
                let entry = entries.entry(n).or_insert_with(|| Entry::begun(item));
                entry.stand = Stand::Over(Finish::Stop);
                entry.words.values_mut().for_each(|words| words.is_done = true);
                match &mut entry.shape {
                    Shape::Reasoning { sealed } => sealed.clone_from(&item.sealed),
                    Shape::Other(whole) => *whole = item.raw.clone(),
                    Shape::Message | Shape::Call { .. } => {}
                }
            }
            Some(Step::PartBegin(block) | Step::PartEnd(block)) => {
                let (n, part) = place_of(block);
                let entry = entries.entry(n).or_insert_with(|| Entry::of_text(block.kind));
                let words = entry.words.entry((part, block.kind)).or_default();
                words.is_done |= matches!(said.step(), Some(Step::PartEnd(_)));
            }
            Some(Step::Citation(block, citation)) => {
                let (n, part) = place_of(block);
                let words = entries.get_mut(&n).and_then(|entry| entry.words.get_mut(&(part, block.kind)));
                if let Some(words) = words {
                    words.citations.push(citation.clone());
                }
            }
            None => {}
        }
    }

    /// An event with its texts as they were sent.
    pub(super) fn agreeing(&self, raw: &Bytes, said: &Said) -> Bytes {
        let (mut splices, mut is_changed) = (Splices::default(), false);
        for (block, text) in &said.texts {
            let sent = self.sent.text(*block);
            if let Some(at) = text.at.clone().filter(|_| sent != text.as_str()) {
                splices.set(at, serde_json::Value::from(sent).to_string());
                is_changed = true;
            }
        }
        // They spell what was told first.
        for at in said.repeats.iter().filter(|_| is_changed) {
            splices.set(at.clone(), "null");
        }
        splices.apply(raw)
    }
}
