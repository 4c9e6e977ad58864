//! Embeddings: a text as a vector, so that texts that mean the same lie close together.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::Error;
use crate::engine::Engine;
use crate::memo::Memo;
use crate::models::Loading;
use crate::reader::{Piece, Reader};
use crate::session::Row;

/// A text with more bytes than this for each token that the model reads is too long without being read.
const BYTES_PER_TOKEN: usize = 32;

/// What the model says of a text.
struct Answer {
    vector: Arc<[f32]>,
    /// The vectors of its tokens one behind the other, those of the marks around the text included.
    tokens: Arc<[f32]>,
}

/// A text as an embedder reads it: the vector of the whole, and those of its tokens.
pub struct Reading {
    /// The vector of the whole text, as [`Embedder::embed`] gives it.
    pub vector: Arc<[f32]>,
    tokens: Arc<[f32]>,
    /// How many marks stand before the first token of the text.
    before: usize,
    pieces: Vec<Piece>,
}

impl Reading {
    /// The mean of the vectors of the tokens in these bytes of the text, of no fixed length, and the highest of their ids: a
    /// vocabulary of the BERT family is ordered from frequent to rare. None: no token is there.
    pub fn part(&self, bytes: &Range<usize>) -> Option<(Vec<f32>, u32)> {
        let dimensions = self.vector.len();
        let inside = |piece: &Piece| piece.start < bytes.end && bytes.start < piece.end;
        let mut mean = vec![0.0_f32; dimensions];
        let mut rarest = None;
        let rows = self.tokens.chunks_exact(dimensions.max(1)).skip(self.before);
        for (token, piece) in rows.zip(&self.pieces).filter(|(_, piece)| inside(piece)) {
            mean.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
            rarest = rarest.max(Some(piece.id));
        }
        rarest.map(|id| (mean, id))
    }
}

/// A model that embeds sentences.
pub struct Embedder {
    engine: Engine<Answer>,
    reader: Reader,
    max_tokens: usize,
    dimensions: usize,
    memo: Memo<f32>,
}

impl Embedder {
    pub(crate) fn load(loading: &Loading<'_>) -> Result<Self, Error> {
        let dimensions = loading
            .manifest
            .dimensions
            .ok_or_else(|| loading.fault("its manifest lacks `dimensions`".to_owned()))?;
        let reader = loading.reader()?;
        let head = move |row: Row<'_>| {
            let vector = pooled(&row, dimensions)?.into();
            Ok(Answer { vector, tokens: row.values.into() })
        };
        let engine = loading.engine(&reader, Arc::new(head))?;
        Ok(Embedder {
            engine,
            reader,
            max_tokens: loading.manifest.max_tokens,
            dimensions,
            memo: Memo::new(loading.options.memo_bytes, size_of::<f32>()),
        })
    }

    /// The most tokens that the model reads, its own marks included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The length of its vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether the model reads the whole text; if not, [`Embedder::embed`] refuses it.
    ///
    /// This reads the text (about 0.1 ms per KB): who embeds it anyway asks `embed` alone and looks for
    /// [`Error::TooLong`].
    pub fn fits(&self, text: &str) -> bool {
        self.read(text).is_ok()
    }

    /// The vector of a text embedded before, if it is still remembered.
    pub fn known(&self, text: &str) -> Option<Arc<[f32]>> {
        self.memo.known(text)
    }

    /// The vector of a text: the mean of its tokens, of length 1, so that a dot product is the cosine.
    ///
    /// The text is queued now; the future waits for the answer. A text longer than the model reads is
    /// [`Error::TooLong`], never cut.
    pub fn embed(
        &self,
        text: &str,
    ) -> impl Future<Output = Result<Arc<[f32]>, Error>> + Send + 'static + use<> {
        let ask = || {
            let asked = self.engine.ask(self.read(text)?);
            Ok(async { asked.await.map(|answer| answer.vector) })
        };
        self.memo.or_ask(text, ask).answer()
    }

    /// The same, waiting for it: for what is embedded once, before anything is served.
    ///
    /// # Errors
    /// As of [`Embedder::embed`].
    pub fn embed_now(&self, text: &str) -> Result<Arc<[f32]>, Error> {
        wait(self.embed(text))
    }

    /// The same with the vectors of the tokens. These are not remembered.
    pub fn embed_tokens(
        &self,
        text: &str,
    ) -> impl Future<Output = Result<Reading, Error>> + Send + 'static + use<> {
        let failed = |cause: String| Error::Run { name: Arc::clone(self.engine.name()), cause: cause.into() };
        let before = self.reader.before();
        let asked = self.read(text).and_then(|ids| {
            let pieces = self.reader.pieces(text, 0).map_err(failed)?;
            Ok((self.engine.ask(ids), pieces))
        });
        async move {
            let (answer, pieces) = asked?;
            let Answer { vector, tokens } = answer.await?;
            Ok(Reading { vector, tokens, before, pieces })
        }
    }

    fn read(&self, text: &str) -> Result<Vec<u32>, Error> {
        let name = self.engine.name();
        let too_long = || Error::TooLong { name: Arc::clone(name), most: self.max_tokens, unit: "tokens" };
        if text.len() > self.max_tokens * BYTES_PER_TOKEN {
            return Err(too_long());
        }
        let ids = self
            .reader
            .ids(text)
            .map_err(|cause| Error::Run { name: Arc::clone(name), cause: cause.into() })?;
        if ids.len() > self.max_tokens { Err(too_long()) } else { Ok(ids) }
    }
}

/// Waits for a future on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Waiting(std::thread::Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Waiting(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// The mean of a text's token vectors, brought to length 1.
pub(crate) fn pooled(row: &Row<'_>, dimensions: usize) -> Result<Vec<f32>, String> {
    if row.width != dimensions {
        return Err(format!("its vectors have {} numbers, its manifest says {dimensions}", row.width));
    }
    let mut mean = vec![0.0_f32; dimensions];
    for token in row.values.chunks_exact(row.width) {
        mean.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
    }
    let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Err("its vector has no direction".to_owned());
    }
    mean.iter_mut().for_each(|value| *value /= length);
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use crate::testing::{block_on, models};
    use crate::{DEFAULT_EMBEDDER, Error, Models, Options};

    fn cosine(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn near_sentences_are_nearer_than_far_ones() {
        let Some(models) = models() else { return };
        let embedder = models.embedder(DEFAULT_EMBEDDER).unwrap();
        let embed = |text: &str| block_on(embedder.embed(text)).unwrap();
        for (text, near, far) in [
            (
                "How do I reset my password?",
                "I forgot my password, how can I change it?",
                "How do I bake bread?",
            ),
            ("How long is the warranty?", "What is the warranty period?", "Where is the next train station?"),
            ("The cat sat on the mat.", "A cat is sitting on a rug.", "Interest rates rose again in March."),
        ] {
            let (text, near, far) = (embed(text), embed(near), embed(far));
            assert_eq!(text.len(), embedder.dimensions());
            assert!((cosine(&text, &text) - 1.0).abs() < 1e-4);
            assert!(cosine(&text, &near) > 0.6, "{}", cosine(&text, &near));
            assert!(cosine(&text, &far) < 0.4, "{}", cosine(&text, &far));
        }
    }

    #[test]
    fn tokens_of_a_text_have_vectors_that_tell_its_parts_apart() {
        let Some(models) = models() else { return };
        let embedder = models.embedder(DEFAULT_EMBEDDER).unwrap();
        let text = "the gööd boss of Lisbon";
        let reading = block_on(embedder.embed_tokens(text)).unwrap();
        assert!(cosine(&reading.vector, &block_on(embedder.embed(text)).unwrap()) > 0.9999);
        let unit = |word: &str| {
            let at = text.find(word).unwrap();
            let (mut vector, id) = reading.part(&(at..at + word.len())).unwrap();
            let length = cosine(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|value| *value /= length);
            (vector, id)
        };
        let (boss, lisbon) = (unit("boss"), unit("Lisbon"));
        assert!(cosine(&boss.0, &lisbon.0) < 0.9);
        assert!(unit("of").1 < boss.1 && boss.1 < lisbon.1, "frequent words have low ids");
        assert!(reading.part(&(3..4)).is_none());
    }

    #[test]
    fn company_in_a_batch_does_not_change_a_vector() {
        let Some(models) = models() else { return };
        let one_at_a_time =
            Models::with_options(models.directory(), Options { batch: 1, ..Options::default() });
        let texts: Vec<String> =
            (1..24).map(|n| format!("Question {n}: {}?", "why is it so ".repeat(n))).collect();
        let together = models.embedder(DEFAULT_EMBEDDER).unwrap();
        let alone = one_at_a_time.embedder(DEFAULT_EMBEDDER).unwrap();
        let asked: Vec<_> = texts.iter().map(|text| together.embed(text)).collect();
        for (text, answer) in texts.iter().zip(asked) {
            let (one, other) = (block_on(answer).unwrap(), block_on(alone.embed(text)).unwrap());
            assert!(cosine(&one, &other) > 0.999, "{text}: {}", cosine(&one, &other));
        }
    }

    #[test]
    fn a_text_longer_than_the_model_reads_is_refused_and_not_cut() {
        let Some(models) = models() else { return };
        let embedder = models.embedder(DEFAULT_EMBEDDER).unwrap();
        for (text, fits) in [
            ("word ".repeat(254), true),
            ("word ".repeat(255), false),
            (" ".repeat(8_000), true),
            (" ".repeat(9_000), false),
            ("가".repeat(100), true),
            ("[SEP]".to_owned(), true),
            (String::new(), true),
        ] {
            assert_eq!(embedder.fits(&text), fits, "{} bytes", text.len());
            let answer = block_on(embedder.embed(&text));
            match answer {
                Ok(_) => assert!(fits),
                Err(error) => {
                    assert!(!fits);
                    assert_eq!(
                        error,
                        Error::TooLong { name: DEFAULT_EMBEDDER.into(), most: 256, unit: "tokens" }
                    );
                }
            }
        }
    }

    #[test]
    fn a_mark_in_the_text_is_text() {
        let Some(models) = models() else { return };
        let embedder = models.embedder(DEFAULT_EMBEDDER).unwrap();
        let embed = |text: &str| block_on(embedder.embed(text)).unwrap();
        assert!(cosine(&embed("a [SEP] b"), &embed("a b")) < 0.98);
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let Some(models) = models() else { return };
        let options = Options { queue: 1, batch: 1, ..Options::default() };
        let narrow = Models::with_options(models.directory(), options);
        let embedder = narrow.embedder(DEFAULT_EMBEDDER).unwrap();
        let asked: Vec<_> =
            (0..64).map(|n| embedder.embed(&format!("text {n} {}", "long ".repeat(200)))).collect();
        let answers: Vec<_> = asked.into_iter().map(block_on).collect();
        assert!(answers.iter().any(Result::is_ok));
        assert!(answers.contains(&Err(Error::QueueFull { name: DEFAULT_EMBEDDER.into(), waiting: 1 })));
        assert!(block_on(embedder.embed("later there is room again")).is_ok());
    }

    #[test]
    fn the_same_text_again_is_answered_from_memory() {
        let Some(models) = models() else { return };
        let embedder = models.embedder(DEFAULT_EMBEDDER).unwrap();
        let text = "Seen twice.";
        assert!(embedder.known(text).is_none());
        let first = block_on(embedder.embed(text)).unwrap();
        assert!(std::ptr::eq(&*first, &*embedder.known(text).unwrap()));
        assert!(std::ptr::eq(&*first, &*block_on(embedder.embed(text)).unwrap()));
    }

    #[test]
    fn a_request_that_went_away_is_skipped_and_the_next_is_answered() {
        let Some(models) = models() else { return };
        let embedder = models.embedder(DEFAULT_EMBEDDER).unwrap();
        drop((0..100).map(|n| embedder.embed(&format!("nobody waits for {n}"))).collect::<Vec<_>>());
        assert!(block_on(embedder.embed("somebody waits for this")).is_ok());
        assert!(embedder.known("nobody waits for 99").is_none());
    }
}
