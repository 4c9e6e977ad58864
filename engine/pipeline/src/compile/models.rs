//! Models: the routes behind the names that clients ask for.

use super::{Compiler, known};
use crate::{Child, Fallback, FallbackChild, Models, Provider, Retry, Target, Weighted};
use http::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::StatusSet;
use weir_policy::{ModelRoute, Named, Spanned};

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
                    let upstream: Option<Arc<str>> = target.model.as_deref().map(Arc::from);
                    Some((target.weight, self.target(name, &decl.value, provider, upstream)))
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
        models
    }

    fn target(
        &self,
        name: &str,
        decl: &weir_policy::Model,
        provider: &Arc<Provider>,
        upstream: Option<Arc<str>>,
    ) -> Arc<Target> {
        let asked = upstream.as_deref().unwrap_or_else(|| name.trim_end_matches('*'));
        let own = self.own.get(&provider.name).and_then(|rows| weir_catalog::find(rows, asked));
        let row = own.or_else(|| self.workshop.catalogue.model(provider.row.as_deref()?, asked));
        let price = decl.price.as_ref().map(known::price).or_else(|| row?.price.clone());
        let tokenizer = decl
            .tokenizer
            .as_ref()
            .map(|name| Arc::from(name.value.as_str()))
            .or_else(|| row.and_then(|row| row.tokenizer.as_deref().map(Arc::from)));
        let breaker = format!("{}/{}", provider.name, upstream.as_deref().unwrap_or(name));
        let shown = upstream.as_deref().map(|model| format!("{}/{model}", provider.name));
        Arc::new(Target {
            shown: shown.and_then(|shown| HeaderValue::try_from(shown).ok()),
            provider: Arc::clone(provider),
            model: upstream,
            price,
            tokenizer,
            context: decl.context.or_else(|| row.and_then(|row| row.context)),
            breaker: self.workshop.state.breakers.target(&breaker),
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

    /// The tokenizer that counts for a model: its own, or its first target's.
    pub(super) fn tokenizer(&self, model: &Named<weir_policy::Model>, models: &Models) -> Option<Arc<str>> {
        models
            .get(&model.name)
            .and_then(|route| route.targets(models).into_iter().find_map(|t| t.tokenizer.clone()))
    }
}

/// What a request must fail with for another target to be tried, where nothing is said: all that another may mend.
fn another_may_mend() -> StatusSet {
    let causes =
        weir_message::Cause::ALL.iter().copied().filter(|cause| crate::route::mendable(*cause)).collect();
    StatusSet { statuses: Vec::new(), classes: Vec::new(), causes }
}
