//! Tags: which parts of a text are names, places, addresses and the like, as a model sees it.

use std::sync::Arc;

use crate::engine::Engine;
use crate::memo::Memo;
use crate::models::Loading;
use crate::reader::{Piece, Reader, part_end};
use crate::spans::{Labels, Verdicts, join};
use crate::windows::{Window, windows};
use crate::{Error, threads};

/// Texts up to this many bytes are read where they stand; longer ones on the text threads.
const SHORT: usize = 4 * 1024;

/// The bytes of a long text that are read at once.
const PART: usize = 64 * 1024;

/// The windows of one text that may be in the queue together, so that a long text leaves room for others.
const TOGETHER: usize = 4;

/// A part of a text that has a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// The first byte; a character begins there.
    pub start: usize,
    /// The byte after the last; a character ends there.
    pub end: usize,
    /// What it is: one of [`Tagger::labels`].
    pub label: Arc<str>,
    /// How sure the model is, 0.5 to 1.
    pub score: f32,
}

/// A model that tags tokens.
pub struct Tagger {
    engine: Engine<Verdicts>,
    reader: Arc<Reader>,
    labels: Arc<Labels>,
    window: usize,
    most_bytes: usize,
    memo: Memo<Tag>,
}

impl Tagger {
    pub(crate) fn load(loading: &Loading<'_>) -> Result<Self, Error> {
        let manifest = loading.manifest;
        let labels =
            Labels::new(&manifest.classes, &manifest.labels).map_err(|cause| loading.fault(cause))?;
        let labels = Arc::new(labels);
        let reader = loading.reader()?;
        let own = Arc::clone(&labels);
        let engine = loading.engine(&reader, Arc::new(move |row| own.judge(row)))?;
        let window = manifest.window.unwrap_or(manifest.max_tokens).min(manifest.max_tokens);
        Ok(Tagger {
            engine,
            window: window.saturating_sub(reader.marks()).max(4),
            reader: Arc::new(reader),
            labels,
            most_bytes: loading.options.max_text_bytes,
            memo: Memo::new(loading.options.memo_bytes, size_of::<Tag>()),
        })
    }

    /// The labels that this tagger gives, sorted.
    pub fn labels(&self) -> &[Arc<str>] {
        self.labels.names()
    }

    /// The tags of a text tagged before, if they are still remembered.
    pub fn known(&self, text: &str) -> Option<Arc<[Tag]>> {
        self.memo.known(text)
    }

    /// Tags a text of any length, in the order of the text; no two tags overlap.
    ///
    /// A long text is shown to the model in overlapping windows, a few at a time. One longer than
    /// [`Options::max_text_bytes`](crate::Options::max_text_bytes) is [`Error::TooLong`].
    pub fn tag(
        self: &Arc<Self>,
        text: &str,
    ) -> impl Future<Output = Result<Arc<[Tag]>, Error>> + Send + 'static + use<> {
        self.memo
            .or_ask(text, || {
                if text.len() > self.most_bytes {
                    let name = Arc::clone(self.engine.name());
                    return Err(Error::TooLong { name, most: self.most_bytes, unit: "bytes" });
                }
                let (tagger, text) = (Arc::clone(self), Arc::<str>::from(text));
                Ok(async move { tagger.look(&text).await.map(Arc::from) })
            })
            .answer()
    }

    async fn look(&self, text: &Arc<str>) -> Result<Vec<Tag>, Error> {
        let pieces = self.read(text).await?;
        let windows = windows(&pieces, self.window);
        let mut words = Vec::new();
        for together in windows.chunks(TOGETHER) {
            let asked: Vec<_> =
                together.iter().map(|window| self.engine.ask(self.ids(&pieces, window))).collect();
            for (window, answer) in together.iter().zip(asked) {
                let verdicts = answer.await?;
                let kept = pieces.get(window.keep_start..window.keep_end).unwrap_or_default();
                verdicts.words(kept, self.reader.before() + window.keep_start - window.start, &mut words);
            }
        }
        Ok(join(text, &words, &self.labels))
    }

    /// The ids of a window, marks included.
    fn ids(&self, pieces: &[Piece], window: &Window) -> Vec<u32> {
        let shown = pieces.get(window.start..window.end).unwrap_or_default();
        self.reader.marked(shown.iter().map(|piece| piece.id))
    }

    /// The tokens of the whole text, read in parts.
    async fn read(&self, text: &Arc<str>) -> Result<Vec<Piece>, Error> {
        let failed = |cause: String| Error::Run { name: Arc::clone(self.engine.name()), cause: cause.into() };
        if text.len() <= SHORT {
            return self.reader.pieces(text, 0).map_err(failed);
        }
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
            let end = from + part_end(rest, PART);
            let (reader, own) = (Arc::clone(&self.reader), Arc::clone(text));
            let read = threads::run(move || reader.pieces(own.get(from..end).unwrap_or_default(), from));
            pieces.extend(read.await?.map_err(failed)?);
            from = end;
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{block_on, models};
    use crate::{DEFAULT_TAGGER, Error, Models, Options, Tag};

    fn shown<'t>(text: &'t str, tags: &'t [Tag]) -> Vec<(&'t str, &'t str)> {
        tags.iter().map(|tag| (&text[tag.start..tag.end], &*tag.label)).collect()
    }

    #[test]
    fn tags_names_places_and_addresses_at_their_bytes() {
        let Some(models) = models() else { return };
        let tagger = models.tagger(DEFAULT_TAGGER).unwrap();
        for (text, want) in [
            ("The weather is fine and the build is green.", vec![]),
            ("", vec![]),
            ("My name is Alex Rivera and I need help.", vec![("Alex Rivera", "person")]),
            ("Please call Maria Schmidt tomorrow.", vec![("Maria Schmidt", "person")]),
            ("– grüße – my name is Zoë Müller – 你好", vec![("Zoë Müller", "person")]),
            ("Send it to Siobhán O'Brien, please.", vec![("Siobhán O'Brien", "person")]),
            (
                "I live at 42 Maple Street, Springfield, IL 62704.",
                vec![("42 Maple Street", "address"), ("Springfield, IL", "place"), ("62704", "address")],
            ),
            (
                "Anna, Bob and Carla met in Paris and London.",
                vec![("Anna", "person"), ("Bob", "person"), ("Carla", "person")],
            ),
            (
                "my name is alex rivera and my phone is (415) 555-0132",
                vec![("alex rivera", "person"), ("(415) 555-0132", "phone")],
            ),
            (
                "Dear Dr. Maria Anna Schmidt-Weber, your passport C01X00T47 is ready.",
                vec![("Maria Anna Schmidt-Weber", "person"), ("C01X00T47", "passport")],
            ),
            (
                "Ich heiße Jürgen Groß und wohne in der Hauptstraße 5, 80331 München.",
                vec![("Jürgen Groß", "person"), ("Hauptstraße 5, 80331", "address"), ("München", "place")],
            ),
        ] {
            let tags = block_on(tagger.tag(text)).unwrap();
            assert_eq!(shown(text, &tags), want, "{text}");
        }
    }

    #[test]
    fn a_name_at_the_end_of_five_thousand_words_is_found() {
        let Some(models) = models() else { return };
        let tagger = models.tagger(DEFAULT_TAGGER).unwrap();
        let mut text = "the river was quiet and é nobody came by ".repeat(625);
        let place = text.len() + "My name is ".len();
        text.push_str("My name is Alex Rivera.");
        let tags = block_on(tagger.tag(&text)).unwrap();
        assert_eq!(shown(&text, &tags), [("Alex Rivera", "person")]);
        assert_eq!(tags[0].start, place);
    }

    #[test]
    fn a_name_is_found_wherever_the_windows_are_cut() {
        let Some(models) = models() else { return };
        let tagger = models.tagger(DEFAULT_TAGGER).unwrap();
        for before in (60..140).step_by(4) {
            let text = format!(
                "{}My name is Alex Rivera. {}",
                "it was so. ".repeat(before / 4),
                "all was well. ".repeat(30)
            );
            let tags = block_on(tagger.tag(&text)).unwrap();
            assert_eq!(shown(&text, &tags), [("Alex Rivera", "person")], "{before}");
        }
    }

    #[test]
    fn a_text_over_the_limit_is_refused_and_not_cut() {
        let Some(models) = models() else { return };
        let small =
            Models::with_options(models.directory(), Options { max_text_bytes: 10, ..Options::default() });
        let tagger = small.tagger(DEFAULT_TAGGER).unwrap();
        let refused = block_on(tagger.tag("more than ten bytes")).unwrap_err();
        assert_eq!(refused, Error::TooLong { name: DEFAULT_TAGGER.into(), most: 10, unit: "bytes" });
    }

    #[test]
    fn the_same_text_again_is_answered_from_memory() {
        let Some(models) = models() else { return };
        let tagger = models.tagger(DEFAULT_TAGGER).unwrap();
        let text = "Ask Maria Schmidt about it.";
        assert!(tagger.known(text).is_none());
        let first = block_on(tagger.tag(text)).unwrap();
        assert_eq!(tagger.known(text), Some(first));
    }
}
