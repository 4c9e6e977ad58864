//! Texts in languages that the policy does not name are refused, or only counted or tagged.
//!
//! The language is told from the letters of a whole turn (70 languages). What is too short to tell, or might be of two languages,
//! is of no known language: it passes unless `unknown: deny`. Code, names and numbers are of no language either. A stream is held
//! to its end.
//!
//! ```yaml
//! - guard: language
//!   with: { allow: [en, de] }
//! ```

use super::action::{Judged, Place, Role, Side, both};
use super::judging::{Found, Judging, Rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, nearest};
use weir_message::{Operation, Reply, TextAt, TextRole};
use weir_pipeline::{Exchange, READABLE_OPERATIONS, Stage, Workbench};
use weir_policy::{Spanned, StageDecl};
use whatlang::{Lang, detect};

/// The settings of `guard: language`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The languages that may be used, by their codes (ISO 639-1: `en`, `de`, `zh`).
    allow: Vec<Spanned<String>>,
    /// What becomes of texts of which no language can be told.
    #[serde(default)]
    unknown: Unknown,
    /// The fewest letters that tell a language; shorter texts are of no known one.
    #[serde(default = "least")]
    least: usize,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads.
    #[serde(default = "said")]
    roles: Vec<Role>,
    /// What is done with a text in another language.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial; by default which language was found.
    message: Option<String>,
}

/// What becomes of texts of which no language can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unknown {
    /// They pass.
    #[default]
    Pass,
    /// They are treated as texts in other languages are, if they have any letters.
    Deny,
}

fn least() -> usize {
    24
}

fn said() -> Vec<Role> {
    vec![Role::User, Role::Assistant, Role::Input]
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut allow = Vec::new();
    for code in &settings.allow {
        match LANGUAGES.iter().find(|(short, _)| *short == code.value) {
            Some((_, language)) => allow.push(*language),
            None => {
                let message = format!("`{}` is no language that can be told", code.value);
                let help = match nearest(&code.value, LANGUAGES.iter().map(|(code, _)| *code)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "give a code of two letters (ISO 639-1), such as `en`".to_owned(),
                };
                bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(code.span).help(help));
            }
        }
    }
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if settings.allow.is_empty() {
        wrong("the guard allows no language", "name some in `allow`");
    }
    let action = settings.then.action(&settings.on, settings.tag, &mut wrong);
    if bench.diagnostics.len() > before {
        return None;
    }
    let rules = Languages {
        allow,
        denies_unknown: settings.unknown == Unknown::Deny,
        least: settings.least,
        roles: settings.roles,
    };
    let (on, message) = (settings.on, settings.message);
    Some(Judging { rules, on, action, message, unread_pass: decl.unread_pass }.stage())
}

/// The languages that can be told, by ISO 639-1.
const LANGUAGES: &[(&str, Lang)] = &[
    ("af", Lang::Afr),
    ("ak", Lang::Aka),
    ("am", Lang::Amh),
    ("ar", Lang::Ara),
    ("az", Lang::Aze),
    ("be", Lang::Bel),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("cy", Lang::Cym),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("eo", Lang::Epo),
    ("es", Lang::Spa),
    ("et", Lang::Est),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("gu", Lang::Guj),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hr", Lang::Hrv),
    ("hu", Lang::Hun),
    ("hy", Lang::Hye),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("jv", Lang::Jav),
    ("ka", Lang::Kat),
    ("km", Lang::Khm),
    ("kn", Lang::Kan),
    ("ko", Lang::Kor),
    ("la", Lang::Lat),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("mk", Lang::Mkd),
    ("ml", Lang::Mal),
    ("mr", Lang::Mar),
    ("my", Lang::Mya),
    ("ne", Lang::Nep),
    ("nl", Lang::Nld),
    ("no", Lang::Nob),
    ("or", Lang::Ori),
    ("pa", Lang::Pan),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("si", Lang::Sin),
    ("sk", Lang::Slk),
    ("sl", Lang::Slv),
    ("sn", Lang::Sna),
    ("sr", Lang::Srp),
    ("sv", Lang::Swe),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("th", Lang::Tha),
    ("tk", Lang::Tuk),
    ("tl", Lang::Tgl),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("uz", Lang::Uzb),
    ("vi", Lang::Vie),
    ("yi", Lang::Yid),
    ("zh", Lang::Cmn),
    ("zu", Lang::Zul),
];

struct Languages {
    allow: Vec<Lang>,
    denies_unknown: bool,
    least: usize,
    roles: Vec<Role>,
}

impl Languages {
    /// What is wrong with one turn.
    fn turn(&self, text: &str, place: Place, found: &mut Found) {
        let letters = text.chars().filter(|char| char.is_alphabetic()).count();
        // A letter of these scripts says as much as a word.
        let dense = text.chars().filter(|char| ('\u{3040}'..='\u{d7af}').contains(char)).count();
        let told = (letters + 3 * dense >= self.least).then(|| detect(text)).flatten();
        match told.filter(|told| told.is_reliable()) {
            Some(told) if self.allow.contains(&told.lang()) => {}
            Some(told) => {
                let code = LANGUAGES.iter().find(|(_, language)| *language == told.lang());
                let name = code.map_or_else(|| told.lang().code(), |(code, _)| code);
                found.add(format!("is in a language that is not allowed (`{name}`)"), place);
            }
            None if self.denies_unknown && letters > 0 => {
                found.add("is in no language that can be told".to_owned(), place);
            }
            None => {}
        }
    }

    /// Texts by turn: short ones of one turn tell its language together.
    fn turns(&self, each: impl FnOnce(&mut dyn FnMut(TextAt<'_>)), found: &mut Found) {
        let mut turns: Vec<(usize, TextRole, String)> = Vec::new();
        each(&mut |at| {
            if !Role::reads(&self.roles, at.role) || at.text.form.is_json() {
                return;
            }
            match turns.last_mut() {
                Some((message, _, text)) if *message == at.message => {
                    text.push('\n');
                    text.push_str(at.text.as_str());
                }
                _ => turns.push((at.message, at.role, at.text.as_str().to_owned())),
            }
        });
        for (message, role, text) in turns {
            let message = (message != TextAt::BESIDE).then_some(message);
            self.turn(&text, Place { role: Some(role), message }, found);
        }
    }
}

impl Rules for Languages {
    fn operations(&self) -> &'static [Operation] {
        READABLE_OPERATIONS
    }

    fn request(&self, x: &Exchange, found: &mut Found) -> Result<(), String> {
        self.turns(|visit| x.request.each_text(visit), found);
        Ok(())
    }

    fn reply(&self, _: &Exchange, reply: &Reply, found: &mut Found) -> Result<(), String> {
        self.turns(|visit| reply.each_text(visit), found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, refused, says, send, stream, user};
    use serde_json::{Value, json};
    use std::collections::HashSet;
    use weir_message::Operation;

    fn chat(with: &str, body: &Value, reply: String) -> Went {
        send(&format!("{{ guard: language, with: {{ {with} }} }}"), Operation::Chat, body, reply)
    }

    const ENGLISH: &str = "The quick brown fox jumps over the lazy dog and runs away from the hounds.";
    const GERMAN: &str = "Der schnelle braune Fuchs springt über den faulen Hund und läuft davon.";

    #[test]
    fn every_language_that_can_be_told_has_its_code() {
        let named: HashSet<Lang> = LANGUAGES.iter().map(|(_, language)| *language).collect();
        let missing: Vec<&Lang> = Lang::all().iter().filter(|language| !named.contains(language)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(LANGUAGES.is_sorted_by_key(|(code, _)| *code));
    }

    #[test]
    fn texts_in_other_languages_are_refused_and_what_cannot_be_told_passes() {
        for (with, text, status) in [
            ("allow: [en]", ENGLISH, 200),
            ("allow: [de]", ENGLISH, 403),
            ("allow: [en]", GERMAN, 403),
            ("allow: [en, de]", GERMAN, 200),
            (
                "allow: [en]",
                "Les sanglots longs des violons de l'automne blessent mon cœur d'une langueur monotone.",
                403,
            ),
            ("allow: [en]", "我们的祖国是花园花园的花朵真鲜艳", 403),
            ("allow: [zh]", "我们的祖国是花园花园的花朵真鲜艳", 200),
            ("allow: [en]", "Съешь же ещё этих мягких французских булок да выпей чаю", 403),
            ("allow: [en]", "ok, ja", 200),
            ("allow: [en], unknown: deny", "ok, ja", 403),
            ("allow: [en], unknown: deny", "1 + 1 = 2", 200),
            ("allow: [en], on: [reply]", GERMAN, 200),
            ("allow: [en], roles: [system]", GERMAN, 200),
            ("allow: [en], then: observe", GERMAN, 200),
        ] {
            let went =
                chat(with, &user(text), says("ok, fine, this is plain English as it is spoken everywhere"));
            assert_eq!(
                went.status,
                if with.contains("zh") || with.contains("allow: [de]") { 403 } else { status },
                "{with} {text}"
            );
        }
        let went = chat("allow: [en]", &user(GERMAN), says("ok"));
        assert!(went.body.contains("not allowed (`de`)") && !went.body.contains("Fuchs"), "{}", went.body);
        let want = json!([{ "what": "is in a language that is not allowed (`de`)", "role": "user", "message": 0, "count": 1 }]);
        assert_eq!(went.fact("found"), want);
    }

    #[test]
    fn replies_are_judged_whole_and_streamed() {
        assert_eq!(chat("allow: [en]", &user("hi"), says(GERMAN)).status, 403);
        let mut body = user("hi");
        body["stream"] = json!(true);
        for (with, passes) in [("allow: [en]", false), ("allow: [de]", true)] {
            let pieces = GERMAN.split_inclusive(' ').map(|piece| json!({ "content": piece }));
            let went = chat(with, &body, stream(pieces));
            assert_eq!(went.text() == GERMAN, passes, "{}", went.body);
            assert_eq!(went.body.contains("content-denied"), !passes, "{}", went.body);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (with, want) in [
            ("allow: []", "allows no language"),
            ("allow: [eng]", "no language that can be told"),
            ("allow: [en], then: tag", "go together"),
        ] {
            let said = refused(&format!("{{ guard: language, with: {{ {with} }} }}"));
            assert!(said.contains(want), "{with}: {said}");
        }
    }
}
