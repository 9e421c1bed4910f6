//! The owner of all metrics.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounterVec, Opts, TextEncoder};

use super::catalogue::{self, Kind, Metric};
use super::page::Page;

/// Something whose numbers are read when somebody scrapes.
pub trait Source: Send + Sync {
    /// Writes its series. Must not wait for anything.
    fn write(&self, page: &mut Page);
}

impl<F: Fn(&mut Page) + Send + Sync> Source for F {
    fn write(&self, page: &mut Page) {
        self(page);
    }
}

type Sources = Arc<Mutex<Vec<Arc<dyn Source>>>>;

/// All metrics of a process.
#[derive(Clone)]
pub struct Registry {
    inner: prometheus::Registry,
    sources: Sources,
    /// The last page: its buffers are long enough for the next.
    spare: Arc<Mutex<Page>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// One with what is known of the process itself.
    pub fn new() -> Registry {
        let registry =
            Registry { inner: prometheus::Registry::new(), sources: Sources::default(), spare: Arc::default() };
        let process = Box::new(ProcessCollector::for_self());
        registry.inner.register(process).expect("a new registry has no other names");
        registry.add(|page: &mut Page| page.set(&catalogue::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0));
        registry
    }

    /// Asks `source` at every scrape from now on.
    pub fn add(&self, source: impl Source + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(source));
    }

    /// A counter that has no other home; call it once for a metric.
    pub fn counter(&self, metric: &Metric) -> IntCounterVec {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let counter = IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels)
            .expect("names and labels of the catalogue are good");
        self.inner.register(Box::new(counter.clone())).expect("each metric has one home");
        counter
    }

    /// The page, in the text format (`text/plain; version=0.0.4`).
    pub fn text(&self) -> String {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut page = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
        for source in sources {
            source.write(&mut page);
        }
        page.end();
        let text = self.join(&page);
        page.clear();
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = page;
        text
    }

    /// Those of sources and those that are counted here, by name.
    fn join(&self, page: &Page) -> String {
        let mut counted = self.inner.gather().into_iter().peekable();
        // Heads, and what is counted here: a few kilobytes.
        let len = page.families().map(|family| family.text().len() + 256).sum::<usize>() + (8 << 10);
        let mut text = String::with_capacity(len);
        let encode = |family, text: &mut String| {
            if let Err(error) = TextEncoder::new().encode_utf8(&[family], text) {
                tracing::error!(%error, "the metrics can not be written");
            }
        };
        for family in page.families() {
            let Metric { name, kind, help, .. } = family.metric();
            while let Some(counted) = counted.next_if(|counted| counted.name() < *name) {
                encode(counted, &mut text);
            }
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
            text.push_str(family.text());
        }
        counted.for_each(|family| encode(family, &mut text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::METRIC_SERIES_MAX;
    use crate::telemetry::Summary;

    #[test]
    fn a_scrape_asks_the_sources_and_shows_the_counters() {
        let registry = Registry::new();
        let errors = registry.counter(&catalogue::STORE_ERRORS);
        errors.with_label_values(&["keep"]).inc_by(3);
        registry.add(|page: &mut Page| {
            page.count(&catalogue::DNS_QUERIES, &["udp"], 7);
            page.state(&catalogue::DATACENTER_STATE, &["dc1"], &["up", "down", "unknown"], "down");
            let summary = Summary { count: 2, sum: 0.5, quantiles: vec![(0.5, 0.25)] };
            page.summary(&catalogue::PROBE_DURATION, &["dc1", "api"], &summary);
            page.count(&catalogue::LATCHES, &["a \"b\" \\ c\nd"], 1);
            page.set(&catalogue::BLIND, &[], 0.0);
        });
        let text = registry.text();
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(names.is_sorted() && names.len() > 6, "{names:?}");
        assert_eq!(registry.text().lines().count(), text.lines().count(), "a page leaves nothing to the next");
        for line in [
            "# TYPE meridian_dns_queries_total counter",
            "meridian_dns_queries_total{transport=\"udp\"} 7",
            "meridian_store_errors_total{what=\"keep\"} 3",
            "meridian_datacenter_state{datacenter=\"dc1\",state=\"up\"} 0",
            "meridian_datacenter_state{datacenter=\"dc1\",state=\"down\"} 1",
            "meridian_probe_duration_seconds{datacenter=\"dc1\",check=\"api\",quantile=\"0.5\"} 0.25",
            "meridian_probe_duration_seconds_sum{datacenter=\"dc1\",check=\"api\"} 0.5",
            "meridian_probe_duration_seconds_count{datacenter=\"dc1\",check=\"api\"} 2",
            "meridian_latches{datacenter=\"a \\\"b\\\" \\\\ c\\nd\"} 1",
            "meridian_blind 0",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
        }
        for process in catalogue::PROCESS {
            let line = format!("# TYPE {} {}", process.name, process.kind.as_str());
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_metric_has_a_bounded_number_of_series() {
        let registry = Registry::new();
        registry.add(|page: &mut Page| {
            for number in 0..METRIC_SERIES_MAX + 5 {
                page.count(&catalogue::LATCHES, &[&number.to_string()], 1);
            }
        });
        let text = registry.text();
        assert!(text.contains("meridian_metrics_series_omitted{metric=\"meridian_latches\"} 5\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("meridian_latches{")).count(), METRIC_SERIES_MAX);
    }
}
