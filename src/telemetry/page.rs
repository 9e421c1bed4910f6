//! One scrape: series under the metrics that declare them.
//!
//! A page is text from the first moment: each series is written where it will stand, into a buffer of its metric, and
//! nothing is made for it that has to be freed. Buffers stay for the next page.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::ops::Range;

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
    families: BTreeMap<&'static str, Family>,
}

/// The series of one metric.
#[derive(Debug)]
pub struct Family {
    metric: Metric,
    text: String,
    series: usize,
    omitted: u64,
}

impl Page {
    /// A series of a counter or gauge. `labels`: one value for each of the metric's labels.
    pub fn set(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        self.family(metric).add(labels, value);
    }

    /// The same for what was counted.
    pub fn count(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        self.family(metric).add(labels, value);
    }

    /// 1 under the label value that holds, 0 under the others: `labels` without the last, `all` its values.
    pub fn state(&mut self, metric: &Metric, labels: &[&str], all: &[&str], is: &str) {
        self.family(metric).state(labels, all, is);
    }

    /// A series of a summary.
    pub fn summary(&mut self, metric: &Metric, labels: &[&str], value: &Summary) {
        debug_assert_eq!(metric.kind, Kind::Summary, "{}", metric.name);
        let family = self.family(metric);
        if !family.takes(labels.len()) {
            return;
        }
        for (at, quantile) in &value.quantiles {
            let labelled = family.begin(metric.name, "", labels);
            // A label like the others.
            family.open(labelled);
            let _ = writeln!(family.text, "quantile=\"{at}\"}} {quantile}");
        }
        for (suffix, number) in [("_sum", &value.sum as &dyn Display), ("_count", &value.count)] {
            let labelled = family.begin(metric.name, suffix, labels);
            family.close(labelled);
            let _ = writeln!(family.text, " {number}");
        }
    }

    /// Where the series of a metric are written, for who has many.
    pub fn family(&mut self, metric: &Metric) -> &mut Family {
        self.families.entry(metric.name).or_insert_with(|| Family {
            metric: *metric,
            text: String::new(),
            series: 0,
            omitted: 0,
        })
    }

    /// Tells of series that were left out. Nothing is written after that.
    pub(super) fn end(&mut self) {
        let omitted = self.families.values().filter(|family| family.omitted > 0);
        let omitted: Vec<(&str, u64)> = omitted.map(|family| (family.metric.name, family.omitted)).collect();
        for (name, count) in omitted {
            self.count(&catalogue::SERIES_OMITTED, &[name], count);
        }
    }

    /// All that has series, by name.
    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.families.values().filter(|family| family.series > 0)
    }

    /// Empty again. The buffers stay.
    pub(super) fn clear(&mut self) {
        for family in self.families.values_mut() {
            family.text.clear();
            (family.series, family.omitted) = (0, 0);
        }
    }
}

impl Family {
    /// Its metric.
    pub(super) fn metric(&self) -> &Metric {
        &self.metric
    }

    /// Its lines.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many series may still be written.
    pub fn room(&self) -> usize {
        METRIC_SERIES_MAX - self.series
    }

    /// Counts series that are not written, because there is no room for them.
    pub fn omit(&mut self, count: usize) {
        self.omitted += count as u64;
    }

    /// What was counted, under one value for each of the metric's labels.
    pub fn count(&mut self, labels: &[&str], value: u64) {
        self.add(labels, value);
    }

    /// 1 under the label value that holds, 0 under the others: `labels` without the last, `all` its values.
    pub fn state(&mut self, labels: &[&str], all: &[&str], is: &str) {
        let mut before: Option<Range<usize>> = None;
        for state in all {
            if !self.takes(labels.len() + 1) {
                continue;
            }
            // What they have in common is copied.
            let line = match before {
                Some(before) => {
                    let start = self.text.len();
                    self.text.extend_from_within(before);
                    start..self.text.len()
                }
                None => {
                    let start = self.text.len();
                    let labelled = self.begin(self.metric.name, "", labels);
                    self.open(labelled);
                    start..self.text.len()
                }
            };
            before = Some(line);
            self.label(self.metric.labels[labels.len()], state);
            self.text.push_str(if *state == is { "} 1\n" } else { "} 0\n" });
        }
    }

    /// Lines that [`Family::lines`] gave of the same metric; `series` are in them, and there must be room.
    pub fn paste(&mut self, lines: &str, series: usize) {
        debug_assert!(series <= self.room(), "{}", self.metric.name);
        self.text.push_str(lines);
        self.series += series;
    }

    /// What `write` writes, at most `room` series of it, for [`Family::paste`].
    pub fn lines(metric: &Metric, room: usize, write: impl FnOnce(&mut Family)) -> (String, usize) {
        let taken = METRIC_SERIES_MAX - room.min(METRIC_SERIES_MAX);
        let mut family = Family { metric: *metric, text: String::new(), series: taken, omitted: 0 };
        write(&mut family);
        family.text.shrink_to_fit();
        (family.text, family.series - taken)
    }

    fn add(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_ne!(self.metric.kind, Kind::Summary, "{}", self.metric.name);
        if self.takes(labels.len()) {
            let labelled = self.begin(self.metric.name, "", labels);
            self.close(labelled);
            let _ = writeln!(self.text, " {value}");
        }
    }

    /// One more series, if there is room.
    fn takes(&mut self, labels: usize) -> bool {
        debug_assert_eq!(self.metric.labels.len(), labels, "{}", self.metric.name);
        let is_room = self.room() > 0;
        match is_room {
            true => self.series += 1,
            false => self.omitted += 1,
        }
        is_room
    }

    /// The beginning of a line; true when there are labels, whose brace is still open.
    fn begin(&mut self, name: &str, suffix: &str, labels: &[&str]) -> bool {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut is_labelled = false;
        for (label, value) in self.metric.labels.iter().zip(labels) {
            self.open(is_labelled);
            self.label(label, value);
            is_labelled = true;
        }
        is_labelled
    }

    /// Before one more label.
    fn open(&mut self, is_labelled: bool) {
        self.text.push(if is_labelled { ',' } else { '{' });
    }

    fn close(&mut self, is_labelled: bool) {
        if is_labelled {
            self.text.push('}');
        }
    }

    fn label(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        self.text.push_str("=\"");
        match value.bytes().any(|octet| matches!(octet, b'\\' | b'"' | b'\n')) {
            false => self.text.push_str(value),
            true => value.chars().for_each(|letter| match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                letter => self.text.push(letter),
            }),
        }
        self.text.push('"');
    }
}
