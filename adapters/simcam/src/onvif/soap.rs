//! Envelopes and faults (SOAP 1.2).

use super::xml::escape;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const CONTENT_TYPE: &str = "application/soap+xml; charset=utf-8";

/// Every namespace that answers use.
const NAMESPACES: &str = "xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
     xmlns:wsa=\"http://www.w3.org/2005/08/addressing\" \
     xmlns:wsnt=\"http://docs.oasis-open.org/wsn/b-2\" \
     xmlns:wstop=\"http://docs.oasis-open.org/wsn/t-1\" \
     xmlns:tt=\"http://www.onvif.org/ver10/schema\" \
     xmlns:tds=\"http://www.onvif.org/ver10/device/wsdl\" \
     xmlns:trt=\"http://www.onvif.org/ver10/media/wsdl\" \
     xmlns:tr2=\"http://www.onvif.org/ver20/media/wsdl\" \
     xmlns:tptz=\"http://www.onvif.org/ver20/ptz/wsdl\" \
     xmlns:tev=\"http://www.onvif.org/ver10/events/wsdl\" \
     xmlns:tns1=\"http://www.onvif.org/ver10/topics\" \
     xmlns:ter=\"http://www.onvif.org/ver10/error\"";

/// What is answered, or why not.
pub(crate) type Answer = Result<String, Fault>;

/// A refusal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    code: &'static str,
    subcode: &'static str,
    reason: String,
}

impl Fault {
    /// The request is wrong.
    pub(crate) fn sender(subcode: &'static str, reason: impl Into<String>) -> Self {
        Self { code: "s:Sender", subcode, reason: reason.into() }
    }

    /// This camera cannot do that.
    pub(crate) fn unsupported(operation: &str) -> Self {
        let reason = format!("Optional Action Not Implemented: {operation}");
        Self { code: "s:Receiver", subcode: "ter:ActionNotSupported", reason }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self { code, subcode, reason } = self;
        let reason = escape(&reason);
        let body = format!(
            "<s:Fault><s:Code><s:Value>{code}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>\
             <s:Reason><s:Text xml:lang=\"en\">{reason}</s:Text></s:Reason></s:Fault>"
        );
        let status = if code == "s:Sender" { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
        (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], text(&body)).into_response()
    }
}

/// An answer in its envelope.
pub(crate) fn envelope(body: &str) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(body)).into_response()
}

/// The envelope's text.
pub(crate) fn text(body: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope {NAMESPACES}><s:Body>{body}</s:Body></s:Envelope>")
}
