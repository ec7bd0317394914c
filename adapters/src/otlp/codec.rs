//! Spans ⇄ OTLP's protobuf messages.

use super::OtlpConfig;
use gatehouse_core::trace::{Kind, Span, SpanId, TraceId, Value};
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status};
use prost::Message as _;

/// The flag of W3C's trace context that says that a span was kept.
const SAMPLED: u32 = 1;

/// The body of a request with these spans.
pub fn encode(config: &OtlpConfig, spans: &[Span]) -> Vec<u8> {
    let attributes = [("service.name", &config.service), ("service.version", &config.version)]
        .map(|(key, text)| attribute(key, Any::StringValue(text.clone())));
    let scope =
        InstrumentationScope { name: "gatehouse".into(), version: config.version.clone(), ..Default::default() };
    let spans = spans.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
    let resource = Resource { attributes: attributes.into(), ..Default::default() };
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How many spans the collector did not take, and why; none when its answer does not say.
pub fn refused(answer: &[u8]) -> (u64, String) {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    let partial = partial.unwrap_or_default();
    (u64::try_from(partial.rejected_spans).unwrap_or(0), partial.error_message)
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn trace(id: TraceId) -> Vec<u8> {
    id.0.into_bytes().to_vec()
}

fn id(id: SpanId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// Nanoseconds since 1970.
fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    }
}

fn span(span: &Span) -> Message {
    let mut attributes: Vec<_> = span
        .attributes
        .iter()
        .map(|(key, value)| {
            attribute(
                key,
                match value {
                    Value::Word(word) => Any::StringValue((*word).to_owned()),
                    Value::Text(text) => Any::StringValue(text.clone()),
                    Value::Number(number) => Any::IntValue(*number),
                },
            )
        })
        .collect();
    attributes.extend(span.failed.map(|why| attribute("error.type", Any::StringValue(why.to_owned()))));
    let link = |(of, span): (TraceId, SpanId)| Link { trace_id: trace(of), span_id: id(span), ..Default::default() };
    let status = span.failed.map(|_| Status { code: StatusCode::Error.into(), ..Default::default() });
    Message {
        trace_id: trace(span.trace),
        span_id: id(span.id),
        parent_span_id: span.parent.map(id).unwrap_or_default(),
        flags: SAMPLED,
        name: span.name.clone(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(span.ended),
        attributes,
        links: span.link.map(link).into_iter().collect(),
        status,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use proptest::prelude::*;

    #[test]
    fn what_a_collector_did_not_take_is_read_from_its_answer() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".into() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(refused(&answer), (3, "too old".to_owned()));
        assert_eq!(refused(b""), (0, String::new()));
        assert_eq!(refused(b"{}"), (0, String::new()));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(answer in any::<Vec<u8>>()) {
            refused(&answer);
        }
    }
}
