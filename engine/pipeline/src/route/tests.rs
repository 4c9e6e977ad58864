//! Properties of nested routes: who is asked, how often, and in what shares.

use super::{Ask, Child, Fallback, FallbackChild, Models, Pick, Retry, Route, Target, Weighted};
use crate::{Access, AuthScheme, Credential, Provider, Timeouts};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Attempt, Cause, Dialect, Operation, Request, StatusSet};

/// A route as a shape: how deep, how wide, and which tries.
#[derive(Clone, Debug)]
enum Shape {
    Leaf,
    Weighted(Vec<(u32, Shape)>),
    Fallback(u32, Vec<Shape>),
}

fn shapes() -> impl Strategy<Value = Shape> {
    Just(Shape::Leaf).prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec((1..5u32, inner.clone()), 1..4).prop_map(Shape::Weighted),
            (1..4u32, prop::collection::vec(inner, 1..4)).prop_map(|(tries, of)| Shape::Fallback(tries, of)),
        ]
    })
}

pub(super) fn target(n: usize) -> Arc<Target> {
    let provider = Provider {
        name: Arc::from("p"),
        row: None,
        dialect: Dialect::OpenAi,
        has_responses: true,
        access: Access::Echo,
        auth: AuthScheme::None,
        credential: Arc::new(Credential::default()),
        is_available: true,
        headers: http::HeaderMap::new(),
        region: None,
        hosting: weir_dialect::Hosting::default(),
        drops_unsupported: false,
        timeouts: Timeouts::default(),
    };
    Arc::new(Target {
        provider: Arc::new(provider),
        model: Some(Arc::from(n.to_string())),
        price: None,
        price_text: None,
        tokenizer: None,
        context: None,
        output_limit: None,
        breaker: Arc::default(),
        shown: None,
        names: None,
    })
}

fn failures() -> StatusSet {
    let mut on = StatusSet::default();
    on.add("server-error");
    on
}

/// The route of a shape; counts its leaves, each with the most tries that a ladder above gives it.
fn route(shape: &Shape, tries: u32, leaves: &mut Vec<u32>) -> Child {
    match shape {
        Shape::Leaf => {
            leaves.push(tries);
            Child::Target(target(leaves.len() - 1))
        }
        Shape::Weighted(of) => {
            let children = of.iter().map(|(weight, shape)| (*weight, route(shape, tries, leaves))).collect();
            Child::Route(Arc::new(Weighted::new(children, failures())))
        }
        Shape::Fallback(own, of) => {
            let tries = tries.max(*own);
            let children = of
                .iter()
                .map(|shape| FallbackChild { child: route(shape, tries, leaves), on: None })
                .collect();
            let retry = Retry { tries: *own, on: failures() };
            Child::Route(Arc::new(Fallback { children, retry, deadline: None }))
        }
    }
}

fn ask<'a>(
    request: &'a Request,
    attempts: &'a [&'a Attempt],
    last: Option<&'a Arc<Target>>,
    models: &'a Models,
    dice: u64,
) -> Ask<'a> {
    Ask {
        request,
        model: request.model(),
        attempts,
        last_target: last,
        elapsed: Duration::ZERO,
        routed: None,
        models,
        depth: 0,
        dice,
        allows: &|_| true,
    }
}

fn failed(n: usize, pick: &Pick) -> Attempt {
    Attempt {
        n: u32::try_from(n).unwrap(),
        provider: Arc::from("p"),
        model: pick.target.model.clone().unwrap(),
        region: None,
        path: pick.path.clone(),
        cause: Some(Cause::ServerError),
        status: Some(500),
        retry_after: None,
        began: Duration::ZERO,
        first_byte: None,
        took: None,
        usage: None,
        cost: None,
    }
}

proptest! {
    #[test]
    fn with_all_failing_every_target_is_tried_and_none_beyond_its_tries(shape in shapes(), dice: u64) {
        let mut leaves = Vec::new();
        let Child::Route(route) = route(&shape, 1, &mut leaves) else { return Ok(()) };
        let request = Request::new("r", Dialect::OpenAi, Operation::Chat, "/");
        let models = Models::default();
        let (mut attempts, mut last): (Vec<Attempt>, Option<Arc<Target>>) = (Vec::new(), None);
        loop {
            let seen: Vec<&Attempt> = attempts.iter().collect();
            let Some(pick) = route.next(ask(&request, &seen, last.as_ref(), &models, dice)) else { break };
            attempts.push(failed(attempts.len(), &pick));
            last = Some(pick.target);
            prop_assert!(attempts.len() < 1000, "it never gives up");
        }
        let mut asked: BTreeMap<usize, u32> = BTreeMap::new();
        for attempt in &attempts {
            *asked.entry(attempt.model.parse().unwrap()).or_default() += 1;
        }
        prop_assert_eq!(asked.len(), leaves.len(), "every target once: {:?}", asked);
        for (leaf, times) in asked {
            prop_assert!(times <= leaves[leaf], "target {} was asked {} times", leaf, times);
        }
    }
}

#[test]
fn weights_are_honoured_at_first_and_among_the_rest() {
    let request = Request::new("r", Dialect::OpenAi, Operation::Chat, "/");
    let models = Models::default();
    let weights = [1u32, 2, 5, 0];
    let children =
        weights.iter().enumerate().map(|(n, weight)| (*weight, Child::Target(target(n)))).collect();
    let route = Weighted::new(children, failures());
    let rolls = 20_000u32;
    let (mut first, mut second) = ([0u32; 4], [0u32; 4]);
    for roll in 0..rolls {
        // Dice that are anything but even.
        let dice = u64::from(roll) << 7;
        let pick = route.next(ask(&request, &[], None, &models, dice)).unwrap();
        first[usize::from(pick.path[0])] += 1;
        if pick.path[0] == 2 {
            let attempt = failed(1, &pick);
            let next = route.next(ask(&request, &[&attempt], Some(&pick.target), &models, dice)).unwrap();
            second[usize::from(next.path[0])] += 1;
        }
    }
    let near = |seen: u32, of: u32, share: f64| (f64::from(seen) / f64::from(of) - share).abs() < 0.02;
    assert!(
        near(first[0], rolls, 0.125) && near(first[1], rolls, 0.25) && near(first[2], rolls, 0.625),
        "{first:?}"
    );
    assert!(near(second[0], first[2], 1.0 / 3.0) && near(second[1], first[2], 2.0 / 3.0), "{second:?}");
    assert_eq!((first[3], second[3]), (0, 0), "no weight, no share");
}
