//! A model by a name that only a pattern knows (`gpt-5*`): that name is what targets are asked for, whatever the client asks for.

use super::{Ask, Models, Pick, Reaches, Route, Target};
use std::sync::Arc;
use std::time::Duration;

/// The route of a pattern, under one name.
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) route: Arc<dyn Route>,
}

impl Named {
    fn ask<'a>(&'a self, ask: Ask<'a>) -> Ask<'a> {
        Ask { model: &self.name, ..ask }
    }
}

impl Route for Named {
    fn next(&self, ask: Ask<'_>) -> Option<Pick> {
        self.route.next(self.ask(ask))
    }

    fn deadline(&self) -> Option<Duration> {
        self.route.deadline()
    }

    fn left_of_last(&self, ask: Ask<'_>) -> Option<Duration> {
        self.route.left_of_last(self.ask(ask))
    }

    fn targets(&self, models: &Models) -> Vec<Arc<Target>> {
        self.route.targets_for(models, &self.name)
    }

    fn reaches(&self) -> Reaches {
        self.route.reaches()
    }
}
