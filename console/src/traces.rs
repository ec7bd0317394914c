//! Brings the way of events to a collector of traces, where the configuration names one.

use crate::config;
use anyhow::Context;
use gatehouse_actors::{Clock, Trace};
use gatehouse_adapters::otlp::{Exporter, OtlpConfig};
use gatehouse_core::trace::Share;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long the last spans may take when the program stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// What brings traces to their collector.
pub struct Traces {
    /// Sends them.
    pub exporter: Exporter,
    sending: JoinHandle<()>,
}

/// Where parts note down what they do, and what sends it, of a checked configuration; nothing where it names no collector.
pub fn open(config: &config::Traces, clock: Clock) -> anyhow::Result<(Trace, Option<Traces>)> {
    let Some(collector) = config.collector().map_err(|(field, problem)| anyhow::anyhow!("{field}: {problem}"))? else {
        return Ok((Trace::default(), None));
    };
    let (exporter, sending) =
        Exporter::new(collector).map_err(anyhow::Error::msg).context("traces.endpoint: the HTTP client")?;
    let share = Share::new(config.sample).context("traces.sample")?;
    let (trace, noting) = Trace::new(clock, share, Arc::new(exporter.clone()));
    tokio::spawn(noting);
    Ok((trace, Some(Traces { exporter, sending: tokio::spawn(sending) })))
}

impl Traces {
    /// Sends what waits, and ends.
    pub async fn stop(self) {
        self.exporter.stop();
        let _ = tokio::time::timeout(FAREWELL, self.sending).await;
    }
}

impl config::Traces {
    /// The collector it names; what does not fit is told by its field, with what to do.
    pub fn collector(&self) -> Result<Option<OtlpConfig>, (&'static str, String)> {
        let Some(endpoint) = &self.endpoint else { return Ok(None) };
        let url = OtlpConfig::url(endpoint).map_err(|error| ("traces.endpoint", error.to_string()))?;
        let headers = match &self.headers_file {
            Some(file) => {
                let of_file = |what: String| ("traces.headers_file", format!("{}: {what}", file.display()));
                let text = std::fs::read_to_string(file).map_err(|error| {
                    of_file(format!("{error}: write the collector's headers into it, a line each, or remove the key"))
                })?;
                OtlpConfig::headers(&text).map_err(|error| of_file(error.to_string()))?
            }
            None => Default::default(),
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Some(OtlpConfig { url, headers, service: self.service.clone(), version }))
    }

    /// The field that does not fit, and what to do about it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if Share::new(self.sample).is_none() {
            return Err(("traces.sample", "is a share: 0 (only alarms) to 1 (everything), e.g. 0.01".to_owned()));
        }
        if self.service.trim().is_empty() {
            return Err(("traces.service", "names this program at the collector: e.g. \"gatehouse\"".to_owned()));
        }
        self.collector().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Traces;

    #[test]
    fn what_does_not_fit_is_named_with_the_remedy_and_without_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headers");
        let check = |traces: Traces, field: &str, remedy: &str| {
            let (told, problem) = traces.check().unwrap_err();
            assert!(told == field && problem.contains(remedy) && !problem.contains("hunter2"), "{told}: {problem}");
        };
        let to = |endpoint: &str| Traces { endpoint: Some(endpoint.to_owned()), ..Traces::default() };
        assert_eq!(Traces::default().check(), Ok(()));
        assert_eq!(to("http://collector.example:4318").check(), Ok(()), "beyond loopback because it is configured");
        check(to("grpc://u:hunter2@x:4317"), "traces.endpoint", "http://127.0.0.1:4318");
        check(to("https://u:hunter2@x"), "traces.endpoint", "headers_file");
        for sample in [1.5, -0.1, f64::NAN] {
            check(Traces { sample, ..Traces::default() }, "traces.sample", "0.01");
        }
        check(Traces { service: " ".into(), ..Traces::default() }, "traces.service", "gatehouse");
        let with_file = Traces { headers_file: Some(file.clone()), ..to("http://127.0.0.1:4318") };
        check(with_file.clone(), "traces.headers_file", "remove the key");
        std::fs::write(&file, "authorization hunter2").unwrap();
        check(with_file.clone(), "traces.headers_file", "line 1");
        std::fs::write(&file, "authorization: Bearer hunter2\n").unwrap();
        assert_eq!(with_file.check(), Ok(()));
    }
}
