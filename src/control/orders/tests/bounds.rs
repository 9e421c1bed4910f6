//! However many services there are and however long their names: every order fits a line of the journal, the book fits
//! the store, and what stands can be taken back.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::desk::{Desk, REFERENCE, clear, request, switch, undo};
use crate::control::orders::*;
use crate::limits;
use crate::store;

/// Names of 190 octets.
fn long_name(at: usize) -> String {
    let label = "x".repeat(58);
    format!("n{at:04}.{label}.{label}.{label}.example.com.")
}

fn many(count: usize) -> Desk {
    let one = |at: usize| {
        let name = long_name(at);
        format!(
            "---\ngslb:\n  domain: {name}\n  policies:\n    default: {{ type: priority }}\n  endpoints: {{ \
             one: {{ datacenter: dc1, ip: 192.0.2.1, priority: 1 }}, two: {{ datacenter: dc2, ip: 192.0.2.2, priority: 2 }} }}\n"
        )
    };
    Desk::new(&format!("{REFERENCE}\n{}", (0..count).map(one).collect::<String>()))
}

#[test]
fn an_order_of_many_services_fits_a_line_with_its_answer() {
    let mut desk = many(700);
    let answer = desk.order(switch("dc2")).unwrap();
    assert_eq!((answer.services.len(), answer.services_omitted), (701, 0), "its sender is told of all");
    let whole = serde_json::to_string(&answer).unwrap().len();
    assert!(whole > limits::JOURNAL_LINE_LEN_MAX, "{whole} octets");
    let kept = answer.bounded();
    assert_eq!(kept.services.len() + kept.services_omitted, 701);
    assert_eq!(kept.impact.changes.len() + kept.impact.omitted, answer.impact.changes.len() + answer.impact.omitted);
    assert!(!kept.services.is_empty() && !kept.impact.changes.is_empty());
    assert!(serde_json::to_string(&kept).unwrap().len() < 10_000);
    assert_eq!(kept.bounded(), kept);
    let ten_thousand = Answer { services: (0..10_000).map(long_name).collect(), ..answer };
    let kept = ten_thousand.bounded();
    assert_eq!(kept.services.len() + kept.services_omitted, 10_000);
    assert!(serde_json::to_string(&kept).unwrap().len() < 10_000);
}

#[test]
fn what_many_services_left_in_their_own_way_is_never_forgotten() {
    let one = |at: usize| {
        let (name, first) = (long_name(at), 1 + at % 2);
        format!(
            "---\ngslb:\n  domain: {name}\n  policies:\n    default: {{ type: priority }}\n  endpoints: {{ \
             one: {{ datacenter: dc{first}, ip: 192.0.2.1, priority: 1 }}, \
             three: {{ datacenter: dc3, ip: 192.0.2.3, priority: 2 }} }}\n"
        )
    };
    let mut desk = Desk::new(&format!("{REFERENCE}\n{}", (0..600).map(one).collect::<String>()));
    desk.order(switch("dc3")).unwrap();
    let What::Switch { left, .. } = &desk.book.get(1).unwrap().what else { panic!() };
    assert!(left.of.len() < 300, "{} are told apart", left.of.len());
    for at in 0..600 {
        let own = if at % 2 == 0 { "dc1_beijing_primary" } else { "dc2_beijing_standby" };
        assert!(left.by(&long_name(at)).contains(own), "{at}: {left:?}");
    }
}

#[test]
fn names_twice_within_five_minutes_fit_and_can_be_undone() {
    let mut desk = many(300);
    let names: Vec<String> = (0..300).map(long_name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let len: usize = names.iter().map(|name| name.len() + 3).sum();
    assert!(len * 11 / 10 > limits::API_BODY_LEN_MAX * 9 / 10, "about as much as a request can name: {len}");
    desk.order(switch("dc2").services(&names)).unwrap();
    desk.at(180).order(switch("dc1").services(&names)).unwrap();
    assert_eq!(desk.of("n0007", "elsewhere"), "dc1");
    assert_eq!(desk.refused(&switch("dc2").services(&names[..1]).by("bob")), ["contended"]);
    desk.order(undo(None)).unwrap();
    assert_eq!(desk.of("n0007", "elsewhere"), "dc2");
}

#[test]
fn switches_of_the_last_minutes_are_remembered_without_their_names() {
    let mut book = Book::default();
    for at in 0..70 {
        book = book.apply(&switch_of(&batch(at * 100, 100), "dc2"), &stamp(1 + at as u64)).unwrap().book;
    }
    let entries = book.entries_since(&Book::default());
    let recent: Vec<usize> = entries
        .iter()
        .filter(|(key, _)| key.starts_with("recent/"))
        .map(|(_, value)| value.as_ref().map_or(0, store::len_of))
        .collect();
    assert_eq!(recent.len(), limits::RECENT_SWITCHES_MAX);
    assert!(recent.iter().all(|len| *len < 256), "{recent:?}");
    // Each order writes its own alone.
    let after = book.apply(&switch_of(&batch(9_000, 10), "dc2"), &stamp(71)).unwrap().book;
    let written = after.entries_since(&book);
    assert_eq!(written.iter().filter(|(key, value)| key.starts_with("recent/") && value.is_some()).count(), 1);
}

fn stamp(revision: u64) -> Stamp {
    Stamp {
        revision,
        by: Sender::default(),
        reason: "a test".into(),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + revision),
        expires_in: revision.is_multiple_of(3).then_some(Duration::from_secs(60)),
        forced: BTreeSet::new(),
        rearmed: BTreeSet::new(),
        called: [].into(),
    }
}

fn len(book: &Book) -> usize {
    let entries = book.entries_since(&Book::default());
    entries.iter().filter_map(|(key, value)| Some(store::carried_len(key, value.as_ref()?))).sum()
}

/// Names of so many services, from one on.
fn batch(from: usize, count: usize) -> Whom {
    Whom {
        services: Some((from..from + count).map(|at| format!("service-{at:05}.example.com.")).collect()),
        regions: None,
    }
}

fn switch_of(whom: &Whom, to: &str) -> Deed {
    Deed::Switch {
        to: [to.to_owned()].into(),
        mode: SwitchMode::Prefer,
        whom: whom.clone(),
        from: None,
        left: Left { common: ["dc1".to_owned()].into(), of: [].into() },
    }
}

/// A book in which nothing more may stand, and the names of each of its orders.
fn full() -> (Book, Vec<Whom>) {
    let (mut book, mut whoms) = (Book::default(), Vec::new());
    let mut revision = 0;
    loop {
        // Each meets the one before, and none holds another.
        let whom = batch(whoms.len() * 1_000, 2_000);
        for to in ["dc2", "dc3"] {
            revision += 1;
            match book.apply(&switch_of(&whom, to), &stamp(revision)) {
                Ok(applied) => book = applied.book,
                Err(refused) => {
                    assert_eq!(refused, OrderRefused::TooMany);
                    assert!(whoms.len() > 20, "what can be undone gives way first: {}", whoms.len());
                    assert!(len(&book) <= limits::BOOK_LEN_MAX, "{}", len(&book));
                    return (book, whoms);
                }
            }
        }
        whoms.push(whom);
    }
}

#[test]
fn a_full_book_takes_everything_back() {
    let (full, whoms) = full();
    let last = full.revision();
    let standing: Vec<u64> = full.standing().map(|standing| standing.revision).collect();
    let clear = |whom: &Whom| Deed::ClearSwitch { whom: whom.clone(), home: None, skipped: BTreeSet::new() };
    let home =
        |whom: &Whom| Deed::ClearSwitch { whom: whom.clone(), home: Some("dc1".into()), skipped: BTreeSet::new() };
    let failback = |whom: &Whom| Deed::Failback { datacenters: ["dc1".to_owned()].into(), whom: whom.clone() };
    let deeds = [
        clear(&Whom::all()),
        clear(&whoms[3]),
        clear(&batch(1_200, 500)),
        home(&whoms[3]),
        failback(&Whom::all()),
        failback(&whoms[3]),
        Deed::Expire { revision: standing[2] },
        Deed::Undrain { units: [Unit::Datacenter("dc1".into())].into() },
    ];
    for deed in deeds {
        let after = full.apply(&deed, &stamp(last + 10)).unwrap_or_else(|refused| panic!("{}: {refused}", deed.kind()));
        let total = len(&after.book);
        assert!(total <= limits::STANDING_LEN_MAX, "{}: {total}", deed.kind());
    }
    // One after the other, in whatever order, down to nothing.
    let mut book = full;
    for (at, whom) in whoms.iter().enumerate() {
        book = book
            .apply(&if at % 2 == 0 { clear(whom) } else { home(whom) }, &stamp(last + 10 + at as u64))
            .unwrap()
            .book;
    }
    assert!(len(&book) <= limits::BOOK_LEN_MAX);
    book = book.apply(&clear(&Whom::all()), &stamp(last + 1_000)).unwrap().book;
    assert_eq!(book.standing().count(), 0);
}

#[test]
fn an_order_too_large_to_be_undone_is_known_to_have_been_the_last() {
    let mut book = Book::default();
    let whoms: Vec<Whom> = (0..4).map(|at| batch(at * 2_000, 2_000)).collect();
    let drain = Deed::Drain { units: [Unit::Datacenter("dc3".into())].into() };
    book = book.apply(&drain, &stamp(1)).unwrap().book;
    for (at, whom) in (2..).zip(&whoms) {
        book = book.apply(&switch_of(whom, "dc2"), &stamp(at)).unwrap().book;
    }
    assert_eq!(book.last_to_undo(), Ok(5));
    let clear = Deed::ClearSwitch { whom: Whom::all(), home: None, skipped: BTreeSet::new() };
    book = book.apply(&clear, &stamp(6)).unwrap().book;
    assert_eq!(book.last_to_undo(), Err(OrderRefused::NothingToUndo(6)), "and not an older one in its place");
    // By name everything goes that can.
    assert!(book.apply(&Deed::Undo { revision: 1 }, &stamp(7)).is_ok());
    assert_eq!(book.apply(&Deed::Undo { revision: 6 }, &stamp(7)).unwrap_err(), OrderRefused::NothingToUndo(6));
}

#[test]
fn the_default_undo_is_of_the_last_order_or_of_none() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(request(Order::Drain { subject: super::desk::datacenters(&["dc3"]) })).unwrap();
    desk.down(&["dc1"]).up(&["dc1"]);
    // It ends a latch, and nothing that stands.
    let revision = desk.order(super::desk::failback("dc1")).unwrap().revision;
    assert_eq!(revision, 2);
    let error = desk.dry(&undo(None)).map(|(answer, _)| answer).unwrap_err();
    assert_eq!(error, OrderRefused::NothingToUndo(2));
    assert!(desk.dry(&clear()).is_ok());
}
