//! What was spent, from the ledger: `/usage?by=team,model&bucket=day&since=7d&where=team=web&format=csv`.

use super::{error, json, reply};
use http::{Response, StatusCode};
use weir_pipeline::Gateway;
use weir_state::Query;

/// The media type of CSV (RFC 7111).
const CSV: &str = "text/csv; charset=utf-8; header=present";

/// Answers with the report that the query asks for.
pub(super) fn answer(gateway: &Gateway, query: &str) -> Response<Vec<u8>> {
    let pairs: Option<Vec<_>> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((weir_dialect::percent_decoded(name)?, weir_dialect::percent_decoded(value)?))
        })
        .collect();
    let Some(pairs) = pairs else {
        return error(StatusCode::BAD_REQUEST, "the query is not percent-encoded UTF-8");
    };
    let mut is_csv = false;
    let mut asked: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &pairs {
        match (&**name, &**value) {
            ("format", "csv") => is_csv = true,
            ("format", "json") => is_csv = false,
            ("format", _) => return error(StatusCode::BAD_REQUEST, "the format is `json` or `csv`"),
            pair => asked.push(pair),
        }
    }
    let query = match Query::parse(&asked, gateway.clock.unix_nanos() / 1_000_000_000) {
        Ok(query) => query,
        Err(why) => return error(StatusCode::BAD_REQUEST, &why),
    };
    if !gateway.state.ledger.is_kept() {
        return error(StatusCode::NOT_FOUND, "no ledger is kept: the set names no file under `state`");
    }
    let Some(books) = gateway.state.ledger.books() else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the ledger's file cannot be reached now");
    };
    match books.report(&query) {
        Ok(report) if is_csv => reply(StatusCode::OK, CSV, report.to_csv(&query)),
        Ok(report) => json(&report.to_json(&query)),
        Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()),
    }
}
