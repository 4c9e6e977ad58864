//! Models: the routes behind the names that clients ask for.

use super::{Compiler, known};
use crate::registry::Accounts;
use crate::route::Names;
use crate::{Child, Fallback, FallbackChild, Models, Provider, Retry, Target, Weighted};
use http::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_catalog::{Catalogue, Price};
use weir_diagnostic::{Code, Diagnostic};
use weir_message::StatusSet;
use weir_policy::{ModelRoute, Spanned};
use weir_state::State;

impl Compiler<'_> {
    pub(super) fn models(&mut self, providers: &BTreeMap<Arc<str>, Arc<Provider>>) -> Models {
        let mut models = Models::default();
        for (name, decl) in &self.set.models {
            self.check_tokenizer(decl.value.tokenizer.as_ref());
            let targets: Vec<(u32, Arc<Target>)> = decl
                .value
                .targets
                .iter()
                .filter_map(|target| {
                    let provider = providers.get(target.provider.value.as_str())?;
                    let maker = self.maker(&decl.value, provider);
                    let made = match (&target.model, name.strip_suffix('*')) {
                        (Some(model), _) => maker.target(model),
                        // The name that clients ask for is the provider's too.
                        (None, None) => maker.target(name),
                        (None, Some(prefix)) => maker.pattern(prefix),
                    };
                    Some((target.weight, Arc::new(made)))
                })
                .collect();
            let route: Arc<dyn crate::Route> = match decl.value.route {
                ModelRoute::Weighted => {
                    let children =
                        targets.into_iter().map(|(weight, target)| (weight, Child::Target(target)));
                    Arc::new(Weighted::new(children.collect(), another_may_mend()))
                }
                ModelRoute::Fallback => Arc::new(Fallback {
                    children: targets
                        .into_iter()
                        .map(|(_, target)| FallbackChild { child: Child::Target(target), on: None })
                        .collect(),
                    retry: Retry::default(),
                    deadline: None,
                }),
            };
            models.insert(name, route);
        }
        // A name whose definition is wrong is defined all the same.
        for name in &self.set.gaps.models {
            models.insert(name, Arc::new(Weighted::new(Vec::new(), another_may_mend())));
        }
        if self.set.gaps.may_hold("models") {
            models.leave_open();
        }
        models
    }

    /// What makes the targets of a model at one provider.
    fn maker(&self, decl: &weir_policy::Model, provider: &Arc<Provider>) -> Maker {
        Maker {
            provider: Arc::clone(provider),
            price: decl.price.as_ref().map(known::price),
            tokenizer: decl.tokenizer.as_ref().map(|name| Arc::from(name.value.as_str())),
            context: decl.context,
            own: self.own.get(&provider.name).cloned().unwrap_or_default(),
            catalogue: self.workshop.catalogue,
            state: Arc::clone(&self.workshop.state),
        }
    }

    /// The accounts, as targets for requests that name no model.
    pub(super) fn accounts(&self, providers: &BTreeMap<Arc<str>, Arc<Provider>>) -> Accounts {
        let (providers, own) = (providers.clone(), self.own.clone());
        let (catalogue, state) = (self.workshop.catalogue, Arc::clone(&self.workshop.state));
        let names = self.set.providers.keys().cloned().collect();
        // One whose definition is wrong is defined all the same.
        let is_open = providers.len() < self.set.providers.len() || self.set.gaps.may_hold("providers");
        Accounts::new(names, is_open, move |name| {
            let maker = Maker {
                provider: Arc::clone(providers.get(name)?),
                price: None,
                tokenizer: None,
                context: None,
                own: own.get(name).cloned().unwrap_or_default(),
                catalogue,
                state: Arc::clone(&state),
            };
            Some(Target { shown: HeaderValue::try_from(name).ok(), ..maker.pattern("") })
        })
    }

    /// Says it where nobody here counts by this vocabulary.
    pub(super) fn check_tokenizer(&mut self, tokenizer: Option<&Spanned<String>>) {
        let Some(tokenizer) = tokenizer else { return };
        let names = weir_inference::TokenCounter::names();
        if names.contains(&tokenizer.value.as_str()) {
            return;
        }
        let message = format!("no vocabulary is called `{}`", tokenizer.value);
        let help = match weir_diagnostic::nearest(&tokenizer.value, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}; leave it out, and tokens are estimated", names.join(", ")),
        };
        self.diagnostics.push(Diagnostic::new(Code::UnknownName, message).at(tokenizer.span).help(help));
    }
}

/// Makes the targets of a model at one provider: what the set says of the model counts, else what is known of the name.
struct Maker {
    provider: Arc<Provider>,
    price: Option<Price>,
    tokenizer: Option<Arc<str>>,
    context: Option<u64>,
    /// What the account says of its models, above the catalogue.
    own: Arc<[weir_catalog::Model]>,
    catalogue: &'static Catalogue,
    state: Arc<State>,
}

impl Maker {
    /// The target for an upstream model.
    fn target(&self, model: &str) -> Target {
        let row = weir_catalog::find(&self.own, model)
            .or_else(|| self.catalogue.model(self.provider.row.as_deref()?, model));
        let tokenizer = || row.and_then(|row| row.tokenizer.as_deref().map(Arc::from));
        let shown = format!("{}/{model}", self.provider.name);
        let price = self.price.clone().or_else(|| row?.price.clone());
        Target {
            provider: Arc::clone(&self.provider),
            model: Some(Arc::from(model)),
            price_text: price.as_ref().map(|price| price.to_json().to_string().into()),
            price,
            tokenizer: self.tokenizer.clone().or_else(tokenizer),
            context: self.context.or_else(|| row?.context),
            output_limit: row.and_then(|row| row.output_limit),
            breaker: self.state.breakers.target(&shown),
            shown: HeaderValue::try_from(shown).ok(),
            names: None,
        }
    }

    /// The target for all names that begin so, each with what is known of it.
    fn pattern(self, prefix: &str) -> Target {
        let row = self.provider.row.as_deref().and_then(|row| self.catalogue.provider(row));
        let rows = self.own.iter().chain(row.into_iter().flat_map(|row| &row.models));
        let may_be = |row: &&weir_catalog::Model| {
            let name = row.name.trim_end_matches('*');
            name.starts_with(prefix) || (row.name.ends_with('*') && prefix.starts_with(name))
        };
        let mut tokenizers: Vec<Arc<str>> =
            rows.filter(may_be).filter_map(|row| row.tokenizer.as_deref().map(Arc::from)).collect();
        tokenizers.sort_unstable();
        tokenizers.dedup();
        let breaker = self.state.breakers.target(&format!("{}/{prefix}*", self.provider.name));
        let all = Target { model: None, shown: None, breaker, ..self.target(prefix) };
        Target { names: Some(Names::new(tokenizers, move |name| self.target(name))), ..all }
    }
}

/// What a request must fail with for another target to be tried, where nothing is said: all that another may mend.
fn another_may_mend() -> StatusSet {
    let causes =
        weir_message::Cause::ALL.iter().copied().filter(|cause| crate::route::mendable(*cause)).collect();
    StatusSet { statuses: Vec::new(), classes: Vec::new(), causes }
}
