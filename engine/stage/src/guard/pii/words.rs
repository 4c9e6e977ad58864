//! Words that the tagging model takes for names where they stand alone, mostly at the beginning of an answer.

/// In small letters, sorted. No word that is also a usual given name or surname in English: `will`, `mark`, `grace`, `bill`.
#[rustfmt::skip]
const NO_NAMES: &[&str] = &[
    "absolutely", "accepted", "access", "account", "actually", "added", "afternoon", "again", "agent", "alert",
    "alright", "also", "always", "answer", "answered", "anyway", "api", "app", "apply", "approved", "array",
    "assistant", "attached", "attention", "available", "based", "because", "begin", "best", "body", "both", "bug",
    "build", "button", "bye", "call", "cancelled", "caution", "certainly", "changed", "chart", "chat", "check",
    "checked", "choose", "class", "clear", "click", "client", "closed", "code", "column", "command", "comment",
    "commit", "complete", "completed", "conclusion", "config", "confirmed", "congratulations", "continue", "copied",
    "correct", "could", "created", "customer", "data", "database", "date", "dear", "debug", "default", "definitely",
    "delete", "deleted", "denied", "description", "details", "developer", "does", "done", "download", "draft", "each",
    "edit", "email", "empty", "end", "ended", "enter", "error", "evening", "every", "exactly", "example", "excellent",
    "explanation", "fail", "failed", "false", "field", "file", "final", "finally", "find", "fine", "finished",
    "first", "fixed", "folder", "following", "found", "function", "generally", "given", "good", "goodbye", "great",
    "greetings", "guide", "had", "has", "have", "hello", "help", "helper", "here", "hey", "hi", "high", "home", "how",
    "however", "if", "image", "important", "indeed", "index", "info", "input", "install", "installed", "instead",
    "instructions", "internal", "invalid", "issue", "item", "json", "key", "language", "last", "later", "let", "line",
    "link", "list", "loading", "log", "login", "low", "main", "manager", "maybe", "merged", "message", "method",
    "missing", "model", "modified", "morning", "name", "never", "new", "next", "night", "no", "none", "nope", "not",
    "note", "nothing", "notice", "now", "null", "number", "of", "ok", "okay", "once", "only", "open", "opened",
    "option", "order", "other", "otherwise", "output", "overall", "overview", "page", "paid", "parameter", "pass",
    "passed", "password", "perfect", "perhaps", "phone", "please", "plugin", "point", "policy", "possibly", "preview",
    "printed", "private", "process", "product", "project", "prompt", "proxy", "public", "published", "query",
    "question", "read", "ready", "real", "received", "refund", "rejected", "remember", "removed", "repeat", "reply",
    "report", "request", "resolved", "response", "result", "results", "retry", "right", "row", "run", "running",
    "save", "saved", "schema", "script", "search", "second", "see", "select", "sent", "server", "service", "setting",
    "shall", "shipped", "should", "similarly", "simply", "since", "skip", "so", "solution", "some", "sorry", "source",
    "start", "started", "state", "status", "step", "stop", "stopped", "subject", "submit", "success", "summary",
    "support", "sure", "system", "table", "task", "team", "test", "tested", "text", "thanks", "that", "the", "then",
    "there", "therefore", "these", "they", "third", "this", "those", "ticket", "time", "tip", "title", "to", "today",
    "together", "token", "tomorrow", "tonight", "tool", "total", "true", "understood", "unknown", "unless", "until",
    "update", "updated", "upload", "url", "usage", "user", "usually", "valid", "value", "variable", "version", "very",
    "wait", "warning", "was", "we", "welcome", "well", "were", "what", "when", "where", "which", "while", "who",
    "whole", "why", "window", "with", "without", "word", "work", "would", "wrong", "yeah", "yes", "yesterday", "yet",
    "you", "your",
];

/// Whether a text is one word that is no name.
pub(super) fn is_no_name(text: &str) -> bool {
    let word = text.trim_matches(|c: char| !c.is_alphanumeric());
    word.len() <= 16 && NO_NAMES.binary_search(&word.to_lowercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_spares_names() {
        assert!(NO_NAMES.is_sorted());
        for (text, want) in [
            ("Done", true),
            ("real", true),
            ("Okay,", true),
            ("Bob", false),
            ("Done Smith", false),
            ("Will", false),
        ] {
            assert_eq!(is_no_name(text), want, "{text}");
        }
    }
}
