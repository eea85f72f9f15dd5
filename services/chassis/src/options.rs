//! Options every service has, and the list of configuration mistakes.

use std::fmt::{self, Display};
use std::path::PathBuf;

use crate::telemetry;
use crate::tls::{Tls, TlsFiles};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Options of the process itself.
#[derive(clap::Args, Debug, Clone)]
pub struct ProcessOptions {
    /// What to log: a level, or `target=level,…`.
    #[arg(long, env = "RDS_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How to write log lines.
    #[arg(long, env = "RDS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Send traces to this OTLP gRPC endpoint, e.g. `http://jaeger:4317`. Without it no trace leaves the process.
    #[arg(long, env = "RDS_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of the traces that begin here and are sent, 0.0 to 1.0. A caller's decision is followed, and what failed
    /// is sent in any case.
    #[arg(long, env = "RDS_TRACE_SAMPLE_RATIO", default_value_t = 1.0, value_name = "RATIO")]
    pub trace_sample_ratio: f64,
    /// Address of the admin port: /metrics, /healthz, /readyz.
    #[arg(long, env = "RDS_ADMIN_LISTEN", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub admin_listen: String,
    /// Seconds that calls in flight get to finish when the process is asked to stop.
    #[arg(long, env = "RDS_SHUTDOWN_GRACE", default_value_t = 25, value_name = "SECONDS")]
    pub shutdown_grace: u64,
}

impl ProcessOptions {
    /// Notes what is wrong with the options of the process.
    pub fn check(&self, mistakes: &mut Mistakes) {
        mistakes.check("--log", telemetry::check_filter(&self.log));
        if let Some(endpoint) = &self.otlp_endpoint {
            mistakes.check("--otlp-endpoint", telemetry::check_endpoint(endpoint));
        }
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            let problem = format!("{} is not between 0.0 and 1.0", self.trace_sample_ratio);
            mistakes.note("--trace-sample-ratio", problem);
        }
    }
}

/// Where this service's certificate, key and the CA of its peers are.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct TlsOptions {
    /// This service's certificate chain, PEM. Its DNS name is the service's role.
    #[arg(long, env = "RDS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, env = "RDS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The CA that every peer's certificate must come from, PEM.
    #[arg(long, env = "RDS_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

impl TlsOptions {
    /// Loads the three files; what is missing or unreadable is noted.
    pub fn load(&self, mistakes: &mut Mistakes) -> Option<Tls> {
        let mut given = |option: &str, value: &Option<PathBuf>| {
            if value.is_none() {
                mistakes.note(option, "is missing: services speak mutual TLS only");
            }
            value.clone()
        };
        let cert = given("--tls-cert", &self.tls_cert);
        let key = given("--tls-key", &self.tls_key);
        let ca = given("--tls-ca", &self.tls_ca);
        let files = TlsFiles { cert: cert?, key: key?, ca: ca? };
        mistakes.check("--tls-cert, --tls-key, --tls-ca", Tls::load(&files))
    }
}

/// Everything that is wrong with a configuration, collected so that it can be mended in one go.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what is wrong with an option.
    pub fn note(&mut self, option: &str, problem: impl Display) {
        self.0.push(format!("{option}: {problem}"));
    }

    /// The value, or `None` and a note.
    pub fn check<T, E: Display>(&mut self, option: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.note(option, error)).ok()
    }

    /// True when nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Err` with all of them when there are any.
    pub fn finish(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s)", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut mistakes = Mistakes::new();
        assert!(TlsOptions::default().load(&mut mistakes).is_none());
        mistakes.check::<u8, _>("--port", "x".parse::<u8>());
        let text = mistakes.finish().expect_err("there are mistakes").to_string();
        for option in ["--tls-cert", "--tls-key", "--tls-ca", "--port"] {
            assert!(text.contains(option), "{text}");
        }
    }

    #[test]
    fn a_correct_configuration_has_none() {
        let mut mistakes = Mistakes::new();
        assert_eq!(mistakes.check("--port", "7".parse::<u8>()), Some(7));
        assert!(mistakes.finish().is_ok());
    }
}
