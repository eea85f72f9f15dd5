//! Where Events go: the Kubernetes API, or a log.
//!
//! A sink does two things: it finds the object a subject means ([`Sink::resolve`]), and it writes one series
//! ([`Sink::write`]). Everything that decides is in front of it and the same for both.

use std::time::Duration;

use crate::correlate::Draft;
use crate::fault::Refusal;
use crate::subject::{Object, Subject};

pub(crate) mod kubernetes;
pub(crate) mod log;

pub(crate) use kubernetes::KubernetesSink;
pub(crate) use log::LogSink;

/// How a write succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A new object exists.
    Created,
    /// The count of an existing one has risen.
    Counted,
}

/// Why a sink did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SinkError {
    /// It never will.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may later.
    #[error("{problem}")]
    Unavailable {
        /// What failed, against which address.
        problem: String,
        /// How long the other side asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl SinkError {
    pub(crate) fn unavailable(problem: impl Into<String>) -> Self {
        Self::Unavailable { problem: problem.into(), retry_after: None }
    }
}

/// The configured sink.
#[derive(Debug)]
pub(crate) enum Sink {
    /// core/v1 Events in a cluster.
    Kubernetes(Box<KubernetesSink>),
    /// JSON lines.
    Log(LogSink),
}

impl Sink {
    /// The object a subject means.
    pub(crate) async fn resolve(&self, subject: &Subject) -> Result<Object, SinkError> {
        match self {
            Self::Kubernetes(sink) => sink.resolve(subject).await,
            Self::Log(_) => Ok(Object::unasked(subject)),
        }
    }

    /// Makes sure that the Event of a series exists and has counted the draft's occurrences.
    pub(crate) async fn write(&self, draft: &Draft) -> Result<Written, SinkError> {
        match self {
            Self::Kubernetes(sink) => sink.write(draft).await,
            Self::Log(sink) => sink.write(draft),
        }
    }

    /// Whether it can be written to now; the problem if not.
    pub(crate) async fn probe(&self) -> Result<(), SinkError> {
        match self {
            Self::Kubernetes(sink) => sink.probe().await,
            Self::Log(_) => Ok(()),
        }
    }
}
