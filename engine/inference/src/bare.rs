//! The embedder as one call, to measure the rest of the crate against.

use crate::Error;
use crate::embed::pooled;
use crate::models::Loading;
use crate::reader::Reader;
use crate::session::Model;

/// An embedder that works on the caller's thread: tokenize, run, pool; no batch, no queue, no memo.
pub struct BareEmbedder {
    name: String,
    model: Model,
    reader: Reader,
    dimensions: usize,
}

impl BareEmbedder {
    pub(crate) fn load(loading: &Loading<'_>) -> Result<Self, Error> {
        let dimensions = loading
            .manifest
            .dimensions
            .ok_or_else(|| loading.fault("its manifest lacks `dimensions`".to_owned()))?;
        let reader = loading.reader()?;
        let model = loading.models(&reader, 1)?.pop();
        let model = model.ok_or_else(|| loading.fault("it has no session".to_owned()))?;
        Ok(BareEmbedder { name: loading.name.to_owned(), model, reader, dimensions })
    }

    /// The vector of a text that the model reads whole.
    pub fn embed(&mut self, text: &str) -> Result<Vec<f32>, Error> {
        let failed = |cause: String| Error::Run { name: self.name.as_str().into(), cause: cause.into() };
        let ids = self.reader.ids(text).map_err(failed)?;
        let dimensions = self.dimensions;
        let rows = self.model.run(&[&ids], |row| pooled(&row, dimensions)).map_err(failed)?;
        rows.into_iter().next().unwrap_or_else(|| Err("no answer".to_owned())).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use crate::DEFAULT_EMBEDDER;
    use crate::testing::{block_on, models};

    #[test]
    fn agrees_with_the_embedder() {
        let Some(models) = models() else { return };
        let text = "The same text by two ways.";
        let bare = models.bare_embedder(DEFAULT_EMBEDDER).unwrap().embed(text).unwrap();
        let vector = block_on(models.embedder(DEFAULT_EMBEDDER).unwrap().embed(text)).unwrap();
        assert!(bare.iter().zip(&*vector).all(|(one, other)| (one - other).abs() < 1e-4));
    }
}
