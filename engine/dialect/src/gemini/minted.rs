//! Ids of calls where Gemini gives none: other dialects answer a call by its id, Gemini by the tool's name.
//!
//! They are made of what stays the same however often a conversation is sent, so that a call has one id in all its turns, and
//! are not shown to Gemini.

use bytestring::ByteString;
use std::collections::{HashMap, VecDeque};
use weir_message::{Message, Part};

/// In front of an id that was made here.
const MARK: &str = "gemini-";

/// In front of the name of a tool whose call is not known yet.
const NAMED: &str = "gemini-tool:";

/// Whether Gemini gave this id.
pub(crate) fn is_real(id: &str) -> bool {
    !id.is_empty() && !id.starts_with(MARK)
}

/// The id of a call of a reply: the same for the same reply, whole or streamed.
pub(crate) fn of_reply(reply: Option<&str>, choice: u32, n: u32, name: &str, arguments: &str) -> ByteString {
    let (choice, n) = (choice.to_string(), n.to_string());
    let told = [reply.unwrap_or_default(), &choice, &n];
    let parts = if reply.is_some() { &told[..] } else { &[&choice, &n, name, arguments][..] };
    // FNV-1a (draft-eastlake-fnv), with a byte that no text holds between the parts.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{MARK}{hash:016x}").into()
}

/// What stands for the id of a result's call until [`settle`] looks for it.
pub(crate) fn by_name(tool: &str) -> ByteString {
    format!("{NAMED}{tool}").into()
}

/// Gives every call of a conversation an id, and every result that of the call it answers: the first of its tool that has no
/// answer yet, or the tool's name if there is none.
pub(crate) fn settle(messages: &mut [Message]) {
    let mut open: HashMap<ByteString, VecDeque<ByteString>> = HashMap::new();
    for (turn, message) in messages.iter_mut().enumerate() {
        for (n, part) in message.parts.iter_mut().enumerate() {
            match part {
                Part::ToolCall(call) => {
                    if call.id.is_empty() {
                        call.id = format!("{MARK}{turn}-{n}").into();
                    }
                    open.entry(call.name.clone()).or_default().push_back(call.id.clone());
                }
                Part::ToolResult(result) => {
                    if let Some(name) = result.call.strip_prefix(NAMED) {
                        let first = open.get_mut(name).and_then(VecDeque::pop_front);
                        result.call = first.unwrap_or_else(|| result.call.slice_ref(name));
                    }
                }
                _ => {}
            }
        }
    }
}
