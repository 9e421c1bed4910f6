//! `orders:` of the server's configuration, and of services: what orders must say, and what they may not do.

use super::form::{At, OneOrMany, mapping};
use super::report::Report;
use super::scalar::{Lasting, Whole};
use super::words::NeedWord;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{OrderNeeds, OrderSettings};

const DAY_MS: u64 = 86_400_000;

mapping! {
    /// What orders must say, and what they may not do.
    OrdersSpec, "settings of orders" {
        /// How long the target of a switch must be down before the switch yields.
        switch_hold: At<Lasting<0, DAY_MS>> = "60s",
        /// So many data centres must stay usable after an order, over all services. Default: any number.
        min_datacenters: At<Whole<1, { limits::DATACENTERS_MAX as u64 }>>,
        /// What every order must say: `reason`, and `expires_in` if something stands because of it.
        require: OneOrMany<At<NeedWord>>,
    }
}

mapping! {
    /// What orders about a service must say.
    ServiceOrdersSpec, "settings of a service's orders" {
        /// `reason`, and `expires_in` if something stands because of it.
        require: OneOrMany<At<NeedWord>> = required,
    }
}

/// What the mapping says, over the defaults.
pub(super) fn read(spec: Option<&OrdersSpec>, report: &mut Report) -> OrderSettings {
    let mut settings = OrderSettings::default();
    let Some(spec) = spec else { return settings };
    if let Some(hold) = &spec.switch_hold {
        settings.switch_hold = hold.value.0;
    }
    settings.min_datacenters = spec.min_datacenters.as_ref().and_then(|least| u16::try_from(least.value.0).ok());
    if let Some(require) = &spec.require {
        settings.needs = needs(require, report);
    }
    settings
}

/// What a service's orders must say.
pub(super) fn of_service(spec: Option<&ServiceOrdersSpec>, report: &mut Report) -> OrderNeeds {
    let require = spec.and_then(|spec| spec.require.as_ref());
    require.map_or_else(OrderNeeds::default, |require| needs(require, report))
}

fn needs(require: &OneOrMany<At<NeedWord>>, report: &mut Report) -> OrderNeeds {
    let mut needs = OrderNeeds::default();
    for need in &require.items {
        let one = match need.value {
            NeedWord::Reason => &mut needs.reason,
            NeedWord::ExpiresIn => &mut needs.expiry,
        };
        if std::mem::replace(one, true) {
            report.at(need.at, Diagnostic::error("duplicate-member", "it is given twice"));
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::{SourceFile, load_server};
    use crate::diag::Diagnostic;
    use crate::model::{OrderNeeds, OrderSettings};

    fn read(text: &str) -> (OrderSettings, Vec<Diagnostic>) {
        let (server, found) = load_server(&SourceFile::new("meridian.yaml", text.as_bytes()));
        (server.settings.orders, found)
    }

    #[test]
    fn everything_that_is_said_of_orders_is_heard() {
        let (settings, found) =
            read("orders:\n  switch_hold: 2m\n  min_datacenters: 2\n  require: [reason, expires_in]\n");
        assert_eq!(found, []);
        let expected = OrderSettings {
            switch_hold: Duration::from_secs(120),
            min_datacenters: Some(2),
            needs: OrderNeeds { reason: true, expiry: true },
        };
        assert_eq!(settings, expected);
        assert_eq!(read("orders: {require: reason}\n").0.needs, OrderNeeds { reason: true, expiry: false });
        assert_eq!(read("version: 1\n").0, OrderSettings::default());
        assert_eq!(read("orders: {}\n").0, OrderSettings::default());
    }

    #[test]
    fn what_is_not_known_or_out_of_range_is_refused() {
        let refused = [
            ("orders: {switch_hold: 2d}\n", "out-of-range"),
            ("orders: {min_datacenters: 0}\n", "out-of-range"),
            ("orders: {require: [reasons]}\n", "unknown-word"),
            ("orders: {require: [reason, reason]}\n", "duplicate-member"),
            ("orders: {hold: 1m}\n", "unknown-field"),
        ];
        for (text, code) in refused {
            let codes: Vec<&str> = read(text).1.iter().map(|found| found.code).collect();
            assert_eq!(codes, [code], "{text}");
        }
    }
}
