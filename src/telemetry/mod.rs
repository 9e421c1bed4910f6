//! The metric catalogue, and the page that is scraped.
//!
//! Every metric is declared once, in [`catalogue`], with its name, help and labels; `docs/metrics.md` is
//! compared with it. What a metric's value *is* stays where it arises: the doors count on cache lines of
//! their own and know nothing of a registry; a [`Source`] reads those numbers when somebody scrapes and
//! writes them on a [`Page`]. So the answer path never touches an atomic that another thread writes, and a
//! scrape costs the scraper's thread.
//!
//! Few numbers have no other home (requests of the API, orders): those are counters of
//! [`Registry::counter`].
//!
//! # What holds
//! - A series is written only with the labels that its metric declares.
//! - A metric has at most [`crate::limits::METRIC_SERIES_MAX`] series; what is more is left out and counted
//!   in `meridian_metrics_series_omitted`.

pub mod catalogue;
mod page;
mod registry;

pub use catalogue::{Kind, Metric};
pub use page::{Family, Page, Summary};
pub use prometheus::IntCounterVec;
pub use registry::{Registry, Source};
