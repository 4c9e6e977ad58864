//! Classification of whole texts.

use std::sync::Arc;

use crate::Error;
use crate::engine::Engine;
use crate::memo::Memo;
use crate::models::Loading;
use crate::reader::Reader;
use crate::spans::softmax;

/// A class and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// One of [`Classifier::classes`].
    pub name: Arc<str>,
    /// 0 to 1; those of one text add up to 1.
    pub score: f32,
}

/// A model that sorts texts into classes.
pub struct Classifier {
    engine: Engine<Arc<[Class]>>,
    reader: Reader,
    classes: Arc<[Arc<str>]>,
    max_tokens: usize,
    most_bytes: usize,
    memo: Memo<Class>,
}

impl Classifier {
    pub(crate) fn load(loading: &Loading<'_>) -> Result<Self, Error> {
        let classes: Arc<[Arc<str>]> =
            loading.manifest.classes.iter().map(|name| name.as_str().into()).collect();
        let own = Arc::clone(&classes);
        let reader = loading.reader()?;
        let engine = loading.engine(
            &reader,
            Arc::new(move |row| {
                if row.values.len() != own.len() {
                    return Err(format!(
                        "it gives {} numbers, its manifest names {} classes",
                        row.values.len(),
                        own.len()
                    ));
                }
                let mut scores = Vec::with_capacity(own.len());
                softmax(row.values, &mut scores);
                Ok(own
                    .iter()
                    .zip(scores)
                    .map(|(name, score)| Class { name: Arc::clone(name), score })
                    .collect())
            }),
        )?;
        Ok(Classifier {
            engine,
            reader,
            classes,
            max_tokens: loading.manifest.max_tokens,
            most_bytes: loading.options.max_text_bytes,
            memo: Memo::new(loading.options.memo_bytes, size_of::<Class>()),
        })
    }

    /// The classes, in the order of the model's output.
    pub fn classes(&self) -> &[Arc<str>] {
        &self.classes
    }

    /// How likely each class is, in the order of [`Classifier::classes`].
    ///
    /// A text longer than the model reads is [`Error::TooLong`], never cut.
    pub fn classify(
        &self,
        text: &str,
    ) -> impl Future<Output = Result<Arc<[Class]>, Error>> + Send + 'static + use<> {
        self.memo.or_ask(text, || Ok(self.engine.ask(self.read(text)?))).answer()
    }

    fn read(&self, text: &str) -> Result<Vec<u32>, Error> {
        let name = self.engine.name();
        if text.len() > self.most_bytes {
            return Err(Error::TooLong { name: Arc::clone(name), most: self.most_bytes, unit: "bytes" });
        }
        let ids = self
            .reader
            .ids(text)
            .map_err(|cause| Error::Run { name: Arc::clone(name), cause: cause.into() })?;
        if ids.len() > self.max_tokens {
            return Err(Error::TooLong { name: Arc::clone(name), most: self.max_tokens, unit: "tokens" });
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::Error;
    use crate::testing::{block_on, models, with_own_model};

    /// A two-class model of twelve words, small enough to check by hand: `good` and `kind` count for one class, `bad` and
    /// `vile` for the other.
    const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tiny-classifier");

    #[test]
    fn classifies() {
        if models().is_none() {
            return;
        }
        let (_folder, models) = with_own_model("tiny", Path::new(TINY));
        let classifier = models.classifier("tiny").unwrap();
        for (text, likelier) in [
            ("good", "praise"),
            ("a bad day", "blame"),
            ("kind and good and bad", "praise"),
            ("vile and bad and good", "blame"),
        ] {
            let classes = block_on(classifier.classify(text)).unwrap();
            assert!((classes.iter().map(|class| class.score).sum::<f32>() - 1.0).abs() < 1e-5);
            let best = classes.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
            assert_eq!(&*best.name, likelier, "{text}: {classes:?}");
        }
        let refused = block_on(classifier.classify(&"good ".repeat(20))).unwrap_err();
        assert_eq!(refused, Error::TooLong { name: "tiny".into(), most: 16, unit: "tokens" });
    }
}
