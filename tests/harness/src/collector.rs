//! An OTLP collector of a few lines: takes spans over gRPC, keeps them in memory, passes them on if asked to.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// One span as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Trace id, 32 hex digits.
    pub trace: String,
    /// Span id, 16 hex digits.
    pub id: String,
    /// Span id of its parent; empty for a root.
    pub parent: String,
    /// `service.name` of the process it came from.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Unix time in nanoseconds when it began.
    pub start: u64,
    /// Unix time in nanoseconds when it ended.
    pub end: u64,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// Trace ids of the spans it is linked with: earlier tries.
    pub links: Vec<String>,
    /// True when its status is an error.
    pub failed: bool,
}

impl Span {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Span>>>,
    onward: Option<TraceServiceClient<Channel>>,
}

/// A running collector on loopback. It ends with the runtime.
pub struct Collector {
    kept: Kept,
    address: SocketAddr,
}

impl Collector {
    /// Starts one. What arrives is also sent on to `onward` (an OTLP endpoint such as `http://host:4317`) if given.
    pub async fn start(onward: Option<&str>) -> Result<Self> {
        let onward = onward
            .map(|url| {
                Channel::from_shared(url.to_owned())
                    .map(|endpoint| TraceServiceClient::new(endpoint.connect_lazy()))
            })
            .transpose()
            .context("the OTLP endpoint is not a URL such as http://host:4317")?;
        let kept = Kept { spans: Arc::default(), onward };
        let incoming =
            TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).context("no port for the collector")?;
        let address = incoming.local_addr().context("no port for the collector")?;
        let service = TraceServiceServer::new(kept.clone()).max_decoding_message_size(64 << 20);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        Ok(Self { kept, address })
    }

    /// Where to send spans: `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that has arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let spans = read(&request);
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        if let Some(mut onward) = self.onward.clone() {
            // Whoever watches elsewhere must not slow down what is watched.
            tokio::spawn(async move { onward.export(request).await });
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in &request.resource_spans {
        let attributes = resource.resource.as_ref().map(|resource| attributes(&resource.attributes));
        let service = attributes.unwrap_or_default().remove("service.name").unwrap_or_default();
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                service: service.clone(),
                name: span.name.clone(),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: self::attributes(&span.attributes),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
            });
        }
    }
    spans
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
