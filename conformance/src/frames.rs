//! AWS's event streams, read and written by AWS's own crate.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// The media type of such a stream.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

/// The payloads of the frames in these bytes, up to the first that is damaged or cut.
pub(crate) fn payloads(bytes: &[u8]) -> Vec<String> {
    let mut rest = BytesMut::from(bytes);
    let mut decoder = MessageFrameDecoder::new();
    let mut out = Vec::new();
    while let Ok(DecodedFrame::Complete(message)) = decoder.decode_frame(&mut rest) {
        out.push(String::from_utf8_lossy(message.payload()).into_owned());
    }
    out
}

/// A frame: an exception if its name says so, else an event.
pub(crate) fn frame(name: &str, data: &Value) -> Vec<u8> {
    let is_exception = name.ends_with("Exception");
    let (message_type, named) =
        if is_exception { ("exception", ":exception-type") } else { ("event", ":event-type") };
    let header =
        |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
    let message = Message::new(Bytes::from(data.to_string()))
        .add_header(header(named, name))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", message_type));
    let mut out = Vec::new();
    // Only headers that are too long cannot be written.
    let _ = write_message_to(&message, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn frames_are_read_as_they_were_written_up_to_what_is_damaged() {
        let one = frame("contentBlockDelta", &json!({ "a": "b" }));
        let two = frame("throttlingException", &json!({ "message": "c" }));
        let mut bytes = [one, two.clone(), two].concat();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(payloads(&bytes), [r#"{"a":"b"}"#, r#"{"message":"c"}"#]);
        assert!(payloads(b"data: hello").is_empty());
    }
}
