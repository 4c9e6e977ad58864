//! Whether the answer to a question is true only for a while: it asks for what is so today, now or lately.

/// Words and runs of words that bind a question to the time it is asked at, by language. Chinese and Japanese write no blanks
/// between words: there a sign anywhere counts.
const WORDS: &[&[&str]] = &[
    // English
    &[
        "today",
        "today's",
        "tonight",
        "tomorrow",
        "yesterday",
        "now",
        "currently",
        "latest",
        "newest",
        "recent",
        "recently",
        "lately",
        "nowadays",
        "upcoming",
        "at the moment",
        "at present",
        "right now",
        "as of",
        "so far",
        "this morning",
        "this afternoon",
        "this evening",
        "this week",
        "this weekend",
        "this month",
        "this quarter",
        "this year",
        "last night",
        "last week",
        "last month",
        "last year",
        "next week",
        "next month",
        "next year",
        "up to date",
        "breaking news",
        "what time is it",
        "these days",
        "the next",
    ],
    // German
    &[
        "heute",
        "heutige",
        "heutigen",
        "morgen",
        "gestern",
        "jetzt",
        "gerade",
        "aktuell",
        "aktuelle",
        "aktuellen",
        "aktueller",
        "aktuelles",
        "derzeit",
        "momentan",
        "zurzeit",
        "neueste",
        "neuesten",
        "neuester",
        "neuestes",
        "neulich",
        "kürzlich",
        "diese woche",
        "dieser woche",
        "diesen monat",
        "diesem monat",
        "dieses jahr",
        "diesem jahr",
        "letzte woche",
        "letzten monat",
        "letztes jahr",
        "nächste woche",
        "nächsten monat",
        "nächstes jahr",
        "im moment",
        "wie spät",
    ],
    // French
    &[
        "aujourd'hui",
        "demain",
        "hier",
        "maintenant",
        "actuellement",
        "actuel",
        "actuelle",
        "actuels",
        "actuelles",
        "récemment",
        "récent",
        "récente",
        "ce soir",
        "ce matin",
        "cette semaine",
        "ce mois",
        "cette année",
        "en ce moment",
        "dernières nouvelles",
        "la semaine dernière",
        "le mois dernier",
        "l'année dernière",
        "la semaine prochaine",
        "quelle heure",
        "à présent",
    ],
    // Spanish
    &[
        "hoy",
        "mañana",
        "ayer",
        "ahora",
        "actualmente",
        "actual",
        "actuales",
        "recientemente",
        "reciente",
        "recientes",
        "esta noche",
        "esta semana",
        "este mes",
        "este año",
        "en este momento",
        "últimas noticias",
        "la semana pasada",
        "el mes pasado",
        "el año pasado",
        "la próxima semana",
        "qué hora",
        "últimamente",
    ],
    // Italian
    &[
        "oggi",
        "domani",
        "ieri",
        "adesso",
        "ora",
        "attualmente",
        "attuale",
        "attuali",
        "recentemente",
        "recente",
        "recenti",
        "stasera",
        "stamattina",
        "questa settimana",
        "questo mese",
        "quest'anno",
        "in questo momento",
        "ultime notizie",
        "la settimana scorsa",
        "il mese scorso",
        "l'anno scorso",
        "che ora",
        "che ore",
        "ultimamente",
    ],
    // Portuguese
    &[
        "hoje",
        "amanhã",
        "ontem",
        "agora",
        "atualmente",
        "atual",
        "atuais",
        "recentemente",
        "recente",
        "recentes",
        "esta noite",
        "esta semana",
        "este mês",
        "este ano",
        "neste momento",
        "últimas notícias",
        "na semana passada",
        "no mês passado",
        "no ano passado",
        "que horas",
        "ultimamente",
    ],
    // Dutch
    &[
        "vandaag",
        "morgen",
        "gisteren",
        "nu",
        "momenteel",
        "huidig",
        "huidige",
        "nieuwste",
        "laatste nieuws",
        "onlangs",
        "recent",
        "recente",
        "vanavond",
        "vanochtend",
        "vanmiddag",
        "deze week",
        "deze maand",
        "dit jaar",
        "op dit moment",
        "vorige week",
        "vorige maand",
        "vorig jaar",
        "volgende week",
        "hoe laat",
        "tegenwoordig",
    ],
];

/// Chinese.
const SIGNS: &[&str] = &[
    "今天",
    "今日",
    "今晚",
    "今早",
    "明天",
    "昨天",
    "现在",
    "現在",
    "目前",
    "当前",
    "當前",
    "最新",
    "最近",
    "近来",
    "刚刚",
    "剛剛",
    "这周",
    "本周",
    "本月",
    "这个月",
    "今年",
    "去年",
    "明年",
    "上周",
    "下周",
    "上个月",
    "此刻",
    "几点",
    "幾點",
    "近期",
];

/// What binds a text to the time it is asked at.
pub(super) fn time_bound(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase().replace('’', "'");
    let mut spaced = String::with_capacity(lower.len() + 2);
    spaced.push(' ');
    for letter in lower.chars() {
        spaced.push(if letter.is_alphanumeric() || letter == '\'' { letter } else { ' ' });
    }
    spaced.push(' ');
    let spaced = spaced.split_whitespace().fold(String::from(" "), |mut all, word| {
        all.push_str(word);
        all.push(' ');
        all
    });
    let written = |word: &&&str| {
        spaced.match_indices(*word).any(|(at, _)| {
            let before = spaced.get(..at).is_some_and(|head| head.ends_with(' '));
            before && spaced.get(at + word.len()..).is_some_and(|tail| tail.starts_with(' '))
        })
    };
    let word = WORDS.iter().copied().flatten().find(written);
    word.or_else(|| SIGNS.iter().find(|sign| lower.contains(**sign))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_the_day_are_known_in_eight_languages() {
        for (text, want) in [
            ("What's the weather today?", Some("today")),
            ("What is the LATEST version of Go", Some("latest")),
            ("Who is winning right now?", Some("now")),
            ("profits this year?", Some("this year")),
            ("Wie ist das Wetter heute?", Some("heute")),
            ("Quel temps fait-il aujourd’hui ?", Some("aujourd'hui")),
            ("¿Qué hora es?", Some("qué hora")),
            ("Che tempo fa adesso", Some("adesso")),
            ("Quem é o presidente atual?", Some("atual")),
            ("Wie laat is het nu?", Some("nu")),
            ("今天天气怎么样？", Some("今天")),
            ("How do I know my size?", None),
            ("How do I make snow?", None),
            ("What is the capital of France?", None),
            ("Explain nuclear fusion", None),
            ("", None),
        ] {
            assert_eq!(time_bound(text), want, "{text}");
        }
    }
}
