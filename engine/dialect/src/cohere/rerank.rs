//! Reranking: the shape of Cohere's API, which Jina, Voyage, vLLM and others took over.

use super::decode::{finish, head_field};
use crate::ReplySummary;
use crate::compose::object;
use crate::fields::Fields;
use crate::scan::{Flaw, Next, Scan, Scanned, What, place, set_count};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{Body, Head, Request, Rerank, Text, TextForm, Usage};

/// Reads all of a request.
pub(crate) fn decode(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    let (mut head, mut fields) = (Head::default(), Fields::default());
    let (mut query, mut documents) = (None, None);
    let mut scan = Scan::all(whole)?;
    let inside = scan.object(&["model", "query", "documents"], |scan, name, key| match name {
        "model" => head_field(scan, name, &mut head).map(|_| ()),
        "query" => {
            let lit = scan.string()?;
            query = Some(scan.text(&lit, TextForm::Plain)?);
            Ok(())
        }
        "documents" => {
            let mut all = Vec::new();
            scan.array(|scan, _| {
                all.push(document(scan)?);
                Ok(())
            })?;
            documents = Some(all);
            Ok(())
        }
        _ => {
            let at = scan.skip()?;
            fields.add(scan, &key, at)
        }
    })?;
    scan.end()?;
    let missing = |name| Flaw::new(What::Field(name), 0);
    request.body = Body::Rerank(Rerank {
        query: query.ok_or_else(|| missing("query"))?,
        documents: documents.ok_or_else(|| missing("documents"))?,
    });
    fields.settle(request);
    finish(request, head, inside);
    Ok(())
}

/// A document: words, or fields.
fn document(scan: &mut Scan<'_>) -> Scanned<Text> {
    match scan.next()? {
        Next::String => {
            let lit = scan.string()?;
            scan.text(&lit, TextForm::Plain)
        }
        Next::Object => {
            let at = scan.skip()?;
            Ok(Text::at(scan.share(scan.spelt(at.clone())), place(at), TextForm::Document))
        }
        _ => Err(scan.want("a string or an object")),
    }
}

/// The body for a provider that speaks another dialect but reranks in this shape.
pub(crate) fn encode(request: &Request, rerank: &Rerank, model: &str) -> Bytes {
    Bytes::from(object(|o| {
        o.string("model", model).string("query", rerank.query.as_str());
        o.array("documents", |a| {
            for text in &rerank.documents {
                match text.form {
                    TextForm::Document => a.raw(text.as_str()),
                    TextForm::Plain | TextForm::Json | TextForm::Bare => a.string(text.as_str()),
                }
            }
        });
        for param in &request.params.0 {
            o.raw(&param.name, &param.json);
        }
    }))
}

/// What was spent, as Cohere (`meta`) or the others (`usage`) tell it. The scores pass.
pub(crate) fn summary(whole: &ByteString) -> Scanned<ReplySummary> {
    let mut out = ReplySummary::default();
    let mut scan = Scan::all(whole)?;
    scan.object(&["id", "model", "meta", "usage"], |scan, field, _| {
        match (field, scan.next()?) {
            ("id", Next::String) => {
                let lit = scan.string()?;
                out.id = Some(scan.shared(&lit)?);
            }
            ("model", Next::String) => {
                let lit = scan.string()?;
                out.model = Some(scan.shared(&lit)?);
            }
            ("meta", Next::Object) => out.usage = Some(super::reply::usage(scan)?),
            ("usage", Next::Object) => {
                let mut usage = Usage::default();
                scan.object(&["total_tokens"], |scan, field, _| match field {
                    "total_tokens" => set_count(scan, &mut usage.input),
                    _ => scan.skip().map(|_| ()),
                })?;
                out.usage = Some(usage);
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    Ok(out)
}
