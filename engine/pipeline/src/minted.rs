//! Ids in replies that a provider minted: sealed for the caller, with their account inside; lists of an account cut to what is the
//! caller's; results of batches booked once.

use crate::run::Run;
use crate::{Exchange, Target};
use bytestring::ByteString;
use http::Method;
use std::sync::Arc;
use weir_dialect::{Id, Spent};
use weir_message::{Money, Operation, Reply, Request, Usage};
use weir_state::{Kind, Minted, MintedIds, Owned, StateError, owner_of};

/// Whether a reply to this request, by a provider that is asked the same, may hold ids that the provider minted.
pub(crate) fn may_mint(request: &Request) -> bool {
    request.operation == Operation::Response || weir_dialect::is_passed(request.operation)
}

/// What seals the ids of a stream.
pub(crate) fn sealer(
    x: &Exchange,
    target: &Target,
) -> impl Fn(&str) -> Option<String> + Send + Sync + 'static {
    let (owner, gateway) = (owner_of(x.request.caller.as_deref()), Arc::clone(&x.gateway));
    let (provider, model) = (Arc::clone(&target.provider.name), Arc::<str>::from(x.request.model()));
    move |id| {
        let (provider, model) = (Arc::clone(&provider), Arc::clone(&model));
        gateway.state.minted.seal(&owner, &Minted { provider, model, kind: Kind::Plain, id: id.to_owned() })
    }
}

impl Run {
    /// Seals the ids of a whole response, before any stage sees it.
    pub(crate) fn seal_response(&self, target: &Target, reply: &mut Reply) {
        let ids = weir_dialect::reply_ids(Operation::Response, &reply.raw);
        if !ids.is_empty() {
            reply.raw = weir_dialect::with_ids(&reply.raw, &ids, sealer(&self.x, target));
        }
    }

    /// Seals the ids of a reply that tells of what is kept, before any stage sees it.
    ///
    /// # Errors
    /// Whose it is cannot be written down.
    pub(crate) async fn seal_kept(&mut self, target: &Target, reply: &mut Reply) -> Result<(), String> {
        let request = &self.x.request;
        // What a file holds, or what a batch came to, is told as it is.
        if is_content(request) {
            return Ok(());
        }
        let seal = Sealing {
            owner: owner_of(request.caller.as_deref()),
            provider: Arc::clone(&target.provider.name),
            now: self.x.gateway.clock.unix_nanos() / 1_000_000_000,
            is_strict: request.operation != Operation::Http,
            is_below: self.home.as_ref().is_some_and(|home| home.thing.is_some()),
            makes: request.method != Method::GET,
            is_gone: request.method == Method::DELETE,
            kind: match weir_dialect::asks_many(request) {
                Ok(true) => Kind::Requests,
                _ => Kind::Plain,
            },
        };
        let (state, raw) = (Arc::clone(&self.x.gateway.state), reply.raw.clone());
        // It may write to a file.
        let sealed = tokio::task::spawn_blocking(move || seal.all(&state.minted, raw)).await;
        let sealed = sealed.map_err(|error| error.to_string())?;
        reply.raw = sealed.map_err(|error| format!("whose it is cannot be written down: {error}"))?;
        Ok(())
    }

    /// What a reply for what is kept spent: the results of a batch when they are first read, and what other paths say.
    pub(crate) async fn spent_by_kept(&mut self, target: &Target, reply: &Reply) -> Usage {
        let request = &self.x.request;
        if request.operation == Operation::Http {
            return reply.usage.unwrap_or_default();
        }
        if !is_content(request) {
            return Usage::default();
        }
        let Some(id) = self.home.as_ref().and_then(|home| home.thing.as_ref()).map(|thing| thing.id.clone())
        else {
            return Usage::default();
        };
        let results = weir_dialect::spent(request.dialect, &reply.raw);
        if results.is_empty() {
            return Usage::default();
        }
        let now = self.x.gateway.clock.unix_nanos() / 1_000_000_000;
        let (state, provider) = (Arc::clone(&self.x.gateway.state), Arc::clone(&target.provider.name));
        let first = tokio::task::spawn_blocking(move || state.minted.first(&provider, &id, now)).await;
        match first {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => self.book_results(target, &results),
            Ok(Err(error)) => tracing::error!(%error, "the results of a batch cannot be booked"),
            Err(_) => {}
        }
        Usage::default()
    }

    /// The target that an account's model is priced by: of the set's models that are this one there, else what is known of it.
    fn priced(&self, target: &Target, model: &str) -> Arc<Target> {
        let provider = &target.provider.name;
        for name in [model, undated(model)] {
            let is_it = |known: &Arc<Target>| {
                known.provider.name == *provider
                    && known.model.as_deref() == Some(name)
                    && known.price.is_some()
            };
            let models = self.x.plan.models();
            let own = models.iter().flat_map(|(_, route)| route.targets(models)).find(is_it);
            let known = || Some(Arc::new(target.clone()).named(name)).filter(|known| known.price.is_some());
            if let Some(target) = own.or_else(known) {
                return target;
            }
        }
        Arc::new(target.clone()).named(model)
    }

    /// Books the results of a batch: a row for each model, each result at the price that it has in a batch.
    fn book_results(&mut self, target: &Target, results: &[Spent]) {
        let mut models: Vec<(ByteString, Arc<Target>, Usage, Option<Money>)> = Vec::new();
        for Spent { model, usage } in results {
            let at = match models.iter().position(|(known, ..)| known == model) {
                Some(at) => at,
                None => {
                    models.push((
                        model.clone(),
                        self.priced(target, model),
                        Usage::default(),
                        Some(Money::ZERO),
                    ));
                    models.len() - 1
                }
            };
            let Some((_, target, sum, cost)) = models.get_mut(at) else { continue };
            let price = target.price.as_ref().map(|price| price.of_batch(usage));
            *sum += *usage;
            *cost = cost.zip(price).map(|(sum, price)| sum + price);
        }
        for (model, target, usage, cost) in models {
            self.book_result(&model, &target, usage, cost);
        }
    }
}

/// The name of a model without the day of its version (`-2025-08-07`, `-20250807`).
fn undated(name: &str) -> &str {
    let shapes: [&[usize]; 2] = [&[4, 2, 2], &[8]];
    for shape in shapes {
        let mut rest = name;
        let fits = shape.iter().rev().all(|digits| {
            let Some((before, last)) = rest.rsplit_once('-') else { return false };
            rest = before;
            last.len() == *digits && last.bytes().all(|byte| byte.is_ascii_digit())
        });
        if fits {
            return rest;
        }
    }
    name
}

/// Whether a reply is what is kept itself, and not what is told of it.
fn is_content(request: &Request) -> bool {
    request.method == Method::GET
        && (request.path.ends_with("/content") || request.path.ends_with("/results"))
}

/// How the ids of a reply are sealed.
struct Sealing {
    owner: [u8; 32],
    provider: Arc<str>,
    now: i64,
    /// Whether of a list nothing is shown that is not known to be the caller's.
    is_strict: bool,
    /// Whether the path names a thing of the caller's: what is told is part of it.
    is_below: bool,
    /// Whether the request may have made something.
    makes: bool,
    is_gone: bool,
    /// What is known of what it made.
    kind: Kind,
}

impl Sealing {
    fn all(&self, minted: &MintedIds, raw: bytes::Bytes) -> Result<bytes::Bytes, StateError> {
        let mut raw = raw;
        let is_own = self.is_below || self.makes;
        if !is_own && let Some(list) = weir_dialect::list(&raw) {
            let mut kept = Vec::with_capacity(list.ids.len());
            for id in &list.ids {
                kept.push(match id {
                    Some(id) if self.is_strict || weir_dialect::is_minted(id) => {
                        minted.owner(&self.provider, id)?.is_some_and(|owned| owned.owner == self.owner)
                    }
                    _ => !self.is_strict,
                });
            }
            if let Some((at, literal)) = weir_dialect::only(&raw, &list, &kept) {
                let id = Id { at, id: ByteString::new(), is_quoted: false };
                raw = weir_dialect::with_ids(&raw, &[id], |_| Some(literal.to_string()));
            }
        }
        let ids = weir_dialect::reply_ids(Operation::File, &raw);
        let mut shown = Vec::with_capacity(ids.len());
        for (n, id) in ids.iter().enumerate() {
            let kind = match minted.owner(&self.provider, &id.id)? {
                Some(owned) if owned.owner == self.owner => owned.kind,
                // Of another's, or of nobody's that is known, a place in a list is told and no more.
                Some(_) => Kind::Place,
                None if is_own && !self.is_gone => {
                    // The first is what was made; what it names besides has another kind.
                    let kind = if n == 0 { self.kind } else { Kind::Plain };
                    let owned = Owned { owner: self.owner, kind };
                    minted.keep(&self.provider, &id.id, owned, self.now)?;
                    kind
                }
                None if is_own => Kind::Plain,
                None => Kind::Place,
            };
            if self.is_gone {
                minted.forget(&self.provider, &id.id)?;
            }
            let (provider, model) = (Arc::clone(&self.provider), Arc::from(""));
            shown.push(minted.seal(&self.owner, &Minted { provider, model, kind, id: id.id.to_string() }));
        }
        let mut shown = shown.into_iter();
        // One that cannot be sealed is not shown at all.
        Ok(weir_dialect::with_ids(&raw, &ids, |_| Some(shown.next().flatten().unwrap_or_default())))
    }
}
