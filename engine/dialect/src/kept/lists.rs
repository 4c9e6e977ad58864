//! Lists of what an account has: which of it a caller is shown.

use crate::scan::{Next, Scan};
use crate::whole;
use bytes::Bytes;
use bytestring::ByteString;
use std::ops::Range;

/// A list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The ids of its items, in order; of one without, nothing.
    pub ids: Vec<Option<ByteString>>,
    /// Where each item stands.
    items: Vec<Range<usize>>,
    /// Where its array stands, brackets included.
    array: Range<usize>,
    /// The ids that pages are asked by, and where they stand.
    pub places: Vec<(Range<u32>, ByteString)>,
}

/// The list that a reply is: an object with an array `data`, as OpenAI and Anthropic have it. `None` if it is none.
pub fn list(raw: &Bytes) -> Option<List> {
    let whole = whole(raw).ok()?;
    let mut list = List::default();
    let mut is_list = false;
    let mut scan = Scan::all(&whole).ok()?;
    scan.object(&["data", "first_id", "last_id"], |scan, name, _| match (name, scan.next()?) {
        ("data", Next::Array) => {
            is_list = true;
            let start = scan.place();
            scan.array(|scan, _| {
                scan.next()?;
                let (from, mut id) = (scan.place(), None);
                match scan.next()? {
                    Next::Object => {
                        scan.object(&["id"], |scan, name, _| match (name, scan.next()?) {
                            ("id", Next::String) => {
                                let lit = scan.string()?;
                                id = Some(scan.shared(&lit)?);
                                Ok(())
                            }
                            _ => scan.skip().map(|_| ()),
                        })?;
                    }
                    _ => {
                        scan.skip()?;
                    }
                }
                list.ids.push(id);
                list.items.push(from..scan.place());
                Ok(())
            })?;
            list.array = start..scan.place();
            Ok(())
        }
        ("first_id" | "last_id", Next::String) => {
            let lit = scan.string()?;
            let at = crate::scan::place(lit.at.clone());
            list.places.push((at, scan.shared(&lit)?));
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })
    .ok()?;
    scan.end().ok()?;
    is_list.then_some(list)
}

/// The array of a list with only those items that are `kept`, and where the whole array stands.
pub fn only(raw: &Bytes, list: &List, kept: &[bool]) -> Option<(Range<u32>, ByteString)> {
    let text = std::str::from_utf8(raw).ok()?;
    let mut out = String::from("[");
    for (item, _) in list.items.iter().zip(kept).filter(|(_, kept)| **kept) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(text.get(item.clone())?);
    }
    out.push(']');
    Some((crate::scan::place(list.array.clone()), out.into()))
}
