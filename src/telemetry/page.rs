//! One scrape: series under the metrics that declare them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use prometheus::proto::{self, LabelPair, MetricFamily, MetricType, Quantile};

use super::catalogue::{self, Kind, Metric};
use crate::limits::METRIC_SERIES_MAX;

/// A count, a sum and quantiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantile (0 to 1) and its value.
    pub quantiles: Vec<(f64, f64)>,
}

/// What is written at one scrape.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, (Metric, Vec<proto::Metric>)>,
    omitted: BTreeMap<&'static str, u64>,
}

impl Page {
    /// A series of a counter or gauge. `labels`: one value for each of the metric's labels.
    pub fn set(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        let Some(mut series) = self.series(metric, labels) else { return };
        match metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                series.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                series.set_gauge(gauge);
            }
            Kind::Summary => {
                debug_assert!(false, "{} is a summary", metric.name);
                return;
            }
        }
        self.add(metric, series);
    }

    /// The same for what was counted.
    #[allow(clippy::cast_precision_loss, reason = "the format has no other numbers")]
    pub fn count(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        self.set(metric, labels, value as f64);
    }

    /// 1 under the label value that holds, 0 under the others: `labels` without the last, `all` its values.
    pub fn state(&mut self, metric: &Metric, labels: &[&str], all: &[&str], is: &str) {
        for state in all {
            let labels: Vec<&str> = labels.iter().chain(std::iter::once(state)).copied().collect();
            self.set(metric, &labels, f64::from(u8::from(*state == is)));
        }
    }

    /// A series of a summary.
    pub fn summary(&mut self, metric: &Metric, labels: &[&str], value: &Summary) {
        debug_assert_eq!(metric.kind, Kind::Summary, "{}", metric.name);
        let Some(mut series) = self.series(metric, labels) else { return };
        let mut summary = proto::Summary::default();
        summary.set_sample_count(value.count);
        summary.set_sample_sum(value.sum);
        let quantile = |&(at, value): &(f64, f64)| {
            let mut quantile = Quantile::default();
            quantile.set_quantile(at);
            quantile.set_value(value);
            quantile
        };
        summary.set_quantile(value.quantiles.iter().map(quantile).collect());
        series.set_summary(summary);
        self.add(metric, series);
    }

    fn series(&mut self, metric: &Metric, labels: &[&str]) -> Option<proto::Metric> {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let count = self.families.get(metric.name).map_or(0, |(_, series)| series.len());
        if count >= METRIC_SERIES_MAX {
            *self.omitted.entry(metric.name).or_default() += 1;
            return None;
        }
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        Some(proto::Metric::from_label(metric.labels.iter().zip(labels).map(pair).collect()))
    }

    fn add(&mut self, metric: &Metric, series: proto::Metric) {
        match self.families.entry(metric.name) {
            Entry::Occupied(mut family) => family.get_mut().1.push(series),
            Entry::Vacant(vacant) => drop(vacant.insert((*metric, vec![series]))),
        }
    }

    pub(super) fn finish(mut self) -> Vec<MetricFamily> {
        for (name, count) in std::mem::take(&mut self.omitted) {
            self.count(&catalogue::SERIES_OMITTED, &[name], count);
        }
        let family = |(metric, series): (Metric, Vec<proto::Metric>)| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(match metric.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Summary => MetricType::SUMMARY,
            });
            family.set_metric(series);
            family
        };
        self.families.into_values().map(family).collect()
    }
}
