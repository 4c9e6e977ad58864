//! `allow`: whoever an expression holds for.

use super::{Found, Grade, Mapping, Scene};
use crate::Exchange;
use serde_json::Map;
use std::sync::Arc;
use weir_message::{Caller, ErrorCode, Fault, Request};
use weir_script::Expression;

/// Whoever an expression holds for.
pub(crate) struct AllowWay {
    pub when: Arc<Expression>,
    caller: Arc<Caller>,
}

impl AllowWay {
    pub(crate) fn new(when: Arc<Expression>, mapping: &Mapping) -> Self {
        Self { when, caller: Arc::new(mapping.caller("allow", Map::new())) }
    }

    pub(super) fn ask(&self, scene: Scene<'_>) -> Found {
        let shown = scene.shown;
        let mut request = Request::new("", shown.dialect, shown.operation, shown.path);
        request.method = shown.method.clone();
        request.query = shown.query.map(|query| query.to_owned().into());
        request.headers = shown.headers.clone();
        request.listener = Arc::from(shown.listener);
        request.source = shown.source;
        request.caller = scene.so_far.cloned();
        let x = Exchange::arrive(scene.gateway, scene.plan, request);
        match self.when.eval_bool(&x.view(), &**scene.plan.services()) {
            Ok(true) => Found::Known(Arc::clone(&self.caller)),
            Ok(false) => Found::Nothing,
            Err(fault) => {
                let message = "who calls could not be decided";
                let fault = Fault::new(ErrorCode::StageUnavailable, message).detail(fault.to_string());
                Found::Refused(Grade::Wrong, fault)
            }
        }
    }
}
