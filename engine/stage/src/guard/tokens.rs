//! Refuses prompts of more tokens than allowed, counted before the call by the model's own tokenizer: 400 `too-many-tokens`.
//!
//! Where a model leads to targets with different tokenizers, the highest count holds. A target whose tokenizer is not known
//! is estimated, which the trace tells.
//!
//! ```yaml
//! - guard: tokens
//!   with: { max: 8000 }
//! ```

use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_inference::{LONG_TEXT, TokenCounter};
use weir_message::{Denial, ErrorCode};
use weir_pipeline::{
    Declares, Exchange, Hook, Needs, Notes, Stage, TEXT_OPERATIONS, Verdict, Visit, Workbench,
};
use weir_policy::StageDecl;

/// The settings of `guard: tokens`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The most tokens that a prompt may have: all its turns, tool definitions included.
    #[schemars(range(min = 1))]
    max: u64,
}

/// Tokens that a turn costs besides its text, by OpenAI's published counting of chats.
const PER_MESSAGE: u64 = 3;

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let Settings { max } = bench.settings(decl)?;
    Some(Arc::new(Tokens { max }))
}

struct Tokens {
    max: u64,
}

impl Stage for Tokens {
    fn declares(&self) -> Declares {
        Declares {
            needs: Needs::BODY,
            only_judges: true,
            reads_operations: Some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let (x, notes) = (&*visit.exchange, visit.notes);
        if x.request.body.has_token_ids() {
            return Hook::Done(Verdict::Fault(
                "the prompt came as token ids, which cannot be counted here".into(),
            ));
        }
        let counters = counters(x);
        let besides = x.request.messages().len() as u64 * PER_MESSAGE;
        let mut texts = Vec::new();
        // What stands beside the turns goes with the tools, whole.
        x.request.each_text(|at| texts.extend((!at.is_beside()).then_some(at.text.as_str())));
        if let Some(chat) = x.request.chat() {
            texts.extend(chat.tools.iter().map(|tool| &*tool.raw));
        }
        if texts.iter().map(|text| text.len()).sum::<usize>() <= LONG_TEXT {
            let count = |counter: &TokenCounter| texts.iter().map(|text| counter.count(text)).sum::<u64>();
            let most = counters.iter().map(count).max().unwrap_or(0);
            return Hook::Done(self.verdict(besides + most, &counters, notes));
        }
        // Long texts are counted on threads of their own, all in one; a seam may cost a token.
        let whole: Arc<str> = texts.join("\n").into();
        Hook::Wait(Box::pin(async move {
            let mut most = 0;
            for counter in &counters {
                match counter.count_long(Arc::clone(&whole)).await {
                    Ok(count) => most = most.max(count),
                    Err(error) => return Verdict::Fault(error.to_string()),
                }
            }
            self.verdict(besides + most, &counters, notes)
        }))
    }
}

impl Tokens {
    fn verdict(&self, tokens: u64, counters: &[TokenCounter], notes: &mut Notes) -> Verdict {
        notes.fact("tokens", tokens);
        if counters.iter().any(TokenCounter::is_estimate) {
            notes.fact("estimated", true);
        }
        if tokens <= self.max {
            return Verdict::Continue;
        }
        let message = format!("the prompt has {tokens} tokens; at most {} are allowed", self.max);
        Verdict::Deny(Box::new(Denial::new(ErrorCode::TooManyTokens, message)))
    }
}

/// The counters of all targets that the model asked for may lead to, each once.
fn counters(x: &Exchange) -> Vec<TokenCounter> {
    let models = x.plan.models();
    let targets = models.get(x.request.model()).map(|route| route.targets(models)).unwrap_or_default();
    let targets: Vec<_> = targets.iter().map(|target| target.named(x.request.model())).collect();
    let mut names: Vec<Option<&str>> = targets.iter().map(|target| target.tokenizer.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        names.push(None);
    }
    names
        .into_iter()
        .map(|name| name.and_then(TokenCounter::for_tokenizer).unwrap_or_else(TokenCounter::estimate))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat};

    #[tokio::test]
    async fn refuses_a_long_prompt_and_says_both_numbers() {
        let world = World::new("- guard: tokens\n  with: { max: 50 }");
        assert_eq!(world.send(chat("short")).await.status, 200);
        let words = "word ".repeat(100);
        let got = world.send(chat(&words)).await;
        assert_eq!((got.status, &got.json()["error"]["code"]), (400, &"too-many-tokens".into()));
        let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
        let tokens = world.fact("tokens", "tokens").unwrap();
        assert!(message.contains(&tokens.to_string()) && message.contains("50"), "{message}");
        assert!(tokens.as_u64().unwrap() > 100);
    }

    #[tokio::test]
    async fn a_very_long_prompt_is_counted_elsewhere_and_alike() {
        let world = World::new("- guard: tokens\n  with: { max: 1000000 }");
        let words = "word ".repeat(20_000);
        assert_eq!(world.send(chat(&words)).await.status, 200);
        assert!(world.fact("tokens", "tokens").unwrap().as_u64().unwrap() > 20_000);
    }
}
