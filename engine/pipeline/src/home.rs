//! Ids in requests that a provider minted: opened, so that the provider knows them again; the request goes home to its account.

use crate::{Gateway, Plan};
use bytestring::ByteString;
use http::Method;
use std::sync::Arc;
use weir_message::{Dialect, ErrorCode, Fault, Operation, Request, Text};
use weir_state::{Kind, Minted, owner_of};

/// Where a request goes whose ids say so.
#[derive(Debug)]
pub(crate) struct Home {
    /// The account, by its name in the set.
    pub provider: Arc<str>,
    /// The thing that the path names.
    pub thing: Option<Minted>,
}

/// Parts of a query that say where a list goes on.
const PLACES: [&str; 5] = ["after", "before", "after_id", "before_id", "starting_after"];

/// Opens the ids of a request, in its path, query and body. `None`: it names none.
///
/// # Errors
/// [`ErrorCode::UnknownId`] for one that was not given to this caller here; [`ErrorCode::BadRequest`] for ids of several accounts.
pub(crate) fn find(
    gateway: &Gateway,
    plan: &Plan,
    request: &mut Request,
) -> Result<Option<Box<Home>>, Fault> {
    let is_kept = weir_dialect::is_kept(request);
    let ids = match is_kept {
        true => weir_dialect::request_ids(request)?,
        false => weir_dialect::sealed_ids(request, plan.keeps_files)?,
    };
    if !is_kept && ids.is_empty() {
        return Ok(None);
    }
    let mut opener = Opener {
        gateway,
        owner: owner_of(request.caller.as_deref()),
        home: None,
        thing: None,
        wants_requests: (request.dialect, request.operation) == (Dialect::OpenAi, Operation::Batch)
            && request.method == Method::POST,
    };
    if is_kept {
        opener.path(request)?;
        opener.query(request)?;
    }
    if !ids.is_empty() {
        let mut opened = Vec::with_capacity(ids.len());
        for id in &ids {
            opened.push(opener.body(&id.id)?);
        }
        let mut opened = opened.into_iter();
        request.raw = weir_dialect::with_ids(&request.raw, &ids, |_| opened.next());
        // What was packed names what nobody else knows.
        request.packed = None;
    }
    let Opener { home, thing, .. } = opener;
    let Some(provider) = home else { return Ok(None) };
    if !plan.providers.iter().any(|known| known.name == provider) {
        return Err(unknown("its provider is no longer here"));
    }
    if let Some(thing) = thing.as_ref().filter(|thing| !thing.model.is_empty()) {
        request.head.model = Some(Text::added(&*thing.model));
    }
    Ok(Some(Box::new(Home { provider, thing })))
}

struct Opener<'g> {
    gateway: &'g Gateway,
    owner: [u8; 32],
    home: Option<Arc<str>>,
    thing: Option<Minted>,
    /// Whether files must have been read as requests when they came.
    wants_requests: bool,
}

impl Opener<'_> {
    /// What an id stands for.
    fn open(&mut self, id: &str, is_place: bool) -> Result<Minted, Fault> {
        let minted = self.gateway.state.minted.unseal(&self.owner, id);
        let minted = minted.filter(|minted| is_place || minted.kind != Kind::Place);
        let minted = minted.ok_or_else(|| unknown("it was not given to this caller here"))?;
        match &self.home {
            Some(home) if *home != minted.provider => {
                let message = "the request names things of several accounts, and no provider has them all";
                return Err(Fault::new(ErrorCode::BadRequest, message));
            }
            _ => self.home = Some(Arc::clone(&minted.provider)),
        }
        Ok(minted)
    }

    /// The segments of the path that are ids.
    fn path(&mut self, request: &mut Request) -> Result<(), Fault> {
        let item = weir_dialect::item(request.dialect, &request.path);
        let mut out = String::with_capacity(request.path.len());
        for segment in request.path.split('/').skip(1) {
            out.push('/');
            let plain = weir_dialect::percent_decoded(segment);
            match plain {
                Some(plain) if weir_dialect::is_minted(&plain) || item.as_ref() == Some(&plain) => {
                    let minted = self.open(&plain, false)?;
                    encode(&minted.id, &mut out);
                    self.thing.get_or_insert(minted);
                }
                _ => out.push_str(segment),
            }
        }
        if self.thing.is_some() {
            request.path = out.into();
        }
        Ok(())
    }

    fn query(&mut self, request: &mut Request) -> Result<(), Fault> {
        let Some(query) = &request.query else { return Ok(()) };
        let mut out = String::with_capacity(query.len());
        for pair in query.split('&') {
            if !out.is_empty() {
                out.push('&');
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match weir_dialect::percent_decoded(value) {
                Some(id) if weir_dialect::is_minted(&id) => {
                    let minted = self.open(&id, PLACES.contains(&name))?;
                    out.push_str(name);
                    out.push('=');
                    encode(&minted.id, &mut out);
                }
                _ => out.push_str(pair),
            }
        }
        request.query = Some(out.into());
        Ok(())
    }

    fn body(&mut self, id: &ByteString) -> Result<String, Fault> {
        let minted = self.open(id, false)?;
        if self.wants_requests && minted.kind != Kind::Requests {
            let message =
                "the file was not sent here with the purpose `batch`, so that its requests were not read";
            return Err(Fault::new(ErrorCode::BadRequest, message).param("input_file_id"));
        }
        Ok(minted.id)
    }
}

fn unknown(why: &str) -> Fault {
    let message = "the request names something by an id that is not known here: send ids as they were given out, \
                   by the same caller";
    Fault::new(ErrorCode::UnknownId, message).detail(why)
}

/// An id as a part of a path or a query; none leads out of it.
fn encode(id: &str, out: &mut String) {
    for byte in id.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
}
