//! What `guard: pii` puts back into streams cut anywhere.

use crate::chance::Chance;
use crate::gateway::{Pipeline, says, streams, together, user};
use crate::room::{Outcome, Room};
use crate::table::{Row, Shown, Table, share};

const RESTORED: &str = "A request with personal data goes out with placeholders; the provider's stream brings them back, cut at \
    random places into random pieces. The client must get what it sent, byte for byte. Made up here; not shown: placeholders \
    that a model writes otherwise than it read them.";

/// What the client sends, and the provider says again.
const SAID: &[&str] = &[
    "Write to bob@example.com and to eve.müller@example.org, then call +1 212 555 0187.",
    "Card 4111 1111 1111 1111, account DE89 3704 0044 0532 0130 00, from 203.0.113.7. 😀 done",
    "{\"mail\": \"ana@example.pt\", \"n\": 7, \"again\": \"ana@example.pt\", \"ip\": \"2001:db8::8a2e:370:7334\"}",
    "a@example.com,b@example.com;c@example.com<d@example.com>(e@example.com)<EMAIL_9> <EMAIL> <",
];

/// Byte-for-byte restoration over random splits of streams.
pub(crate) fn tables(room: &Room) -> Outcome<Vec<Table>> {
    let guard =
        "{ guard: pii, with: { find: [email, phone, card, iban, ip], then: replace, restore: true } }";
    let pipeline = Pipeline::new(&[guard], None)?;
    let splits = if room.quick { 1_000 } else { 10_000 };
    let mut chance = Chance::new(10);
    let mut asks = Vec::with_capacity(splits);
    for said in SAID {
        let first = room.runtime.block_on(pipeline.ask(&user(said), says("ok")));
        let sent = first.sent_text(0).ok_or("the request was not sent")?.to_owned();
        if SAID.iter().any(|said| *said == sent) {
            return Err(format!("nothing was replaced in {said}").into());
        }
        for _ in 0..splits / SAID.len() {
            let mut body = user(said);
            body["stream"] = true.into();
            asks.push((*said, body, streams(&cut(&sent, &mut chance))));
        }
    }
    let went = room.runtime.block_on(together(&asks, |(_, body, reply)| pipeline.ask(body, reply.clone())));
    let right = asks.iter().zip(&went).filter(|((said, ..), went)| went.text() == *said).count();
    for ((said, _, reply), went) in asks.iter().zip(&went).filter(|((said, ..), went)| went.text() != *said) {
        room.say(|| format!("not restored: {said}\n as {}\n of {reply}", went.text()));
    }
    let title = format!("`guard: pii` with `restore`, {} random splits", asks.len());
    let row = Row::at_least("restored byte for byte", share(right, asks.len()), 1.0, Shown::Share);
    Ok(vec![Table::new(title, RESTORED, vec![row])])
}

/// A text cut at random places: often in pieces of a byte or two, sometimes in two halves.
fn cut<'a>(text: &'a str, chance: &mut Chance) -> Vec<&'a str> {
    let most = *chance.of(&[1, 2, 3, 5, 8, 20, 200]).unwrap_or(&1);
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let mut at = (1 + chance.below(most)).min(rest.len());
        while !rest.is_char_boundary(at) {
            at += 1;
        }
        let (piece, behind) = rest.split_at(at);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_text_again() {
        let mut chance = Chance::new(3);
        let mut most = 0;
        for text in SAID.iter().cycle().take(400) {
            let pieces = cut(text, &mut chance);
            most = most.max(pieces.len());
            assert_eq!(pieces.concat(), *text);
        }
        assert!(most > 60, "{most}");
    }
}
