//! What is written can be read again, whatever has happened to it meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meridian::limits;
use meridian::model::{Generation, Revision};
use meridian::store::{self, OpenError, OsDisk, Page, Refusal, Severity, Store};

use serde_json::json;

use crate::support::{ask, errors, note, open, order};

fn journal(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("journal-"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_new_store_is_empty_private_and_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    let (store, restored, found) = Store::open(&dir, Arc::new(OsDisk)).unwrap();
    assert_eq!(found, []);
    assert_eq!(restored, store::Restored::default());
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(&journal(&dir)[0]).unwrap().len(), limits::JOURNAL_SEGMENT_LEN, "the space is taken");
    assert!(store.close());
}

#[test]
fn orders_latches_and_health_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let latch = json!({"service": "api.example.com.", "datacenter": "dc1"});
    let health = json!({"endpoint": "dc1", "is_up": false});
    let (store, first, _) = open(dir.path());
    for revision in 1..=3 {
        ask(&store, order(revision)).unwrap();
    }
    store.keep(Page::Latches, Arc::new(Vec::<String>::new()));
    store.keep(Page::Latches, Arc::new(vec![latch.clone()]));
    store.keep(Page::Health, Arc::new(vec![health.clone()]));
    assert!(store.answered("key2").is_some_and(|answered| answered.revision == Revision(2)));
    assert!(store.close());

    let (_store, restored, found) = open(dir.path());
    assert_eq!(found, []);
    assert_eq!((restored.latches, restored.health), (vec![latch], vec![health]));
    assert_eq!((restored.revision, restored.revisions_to), (Revision(3), Revision(3)));
    assert_eq!(restored.standing.keys().collect::<Vec<_>>(), ["slot1", "slot2", "slot3"]);
    assert_eq!(restored.answered.len(), 3);
    assert!(restored.generations.start >= first.generations.end, "generations never come again");
}

#[test]
fn files_change_over_and_the_chain_and_the_state_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for revision in 1..=600 {
        ask(&store, order(revision)).unwrap();
    }
    let head = store.status().head;
    assert!(store.close());
    let files = journal(dir.path());
    assert!(files.len() > 2 && files.len() <= 7, "{files:?}");
    let report = store::verify(&OsDisk, dir.path()).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.head, head);
    let (_store, restored, found) = open(dir.path());
    assert_eq!(found, []);
    assert_eq!(restored.revision, Revision(600));
    assert_eq!(restored.standing.len(), 8);
}

#[test]
fn the_log_can_be_read_page_by_page_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for revision in 1..=200 {
        assert!(store.note(note(&format!("n{revision}"))));
        ask(&store, order(revision)).unwrap();
    }
    let (mut cursor, mut orders, mut notes, mut last) = (None, Vec::new(), Vec::new(), 0);
    loop {
        let page = store::history(&OsDisk, dir.path(), None, 7, cursor).unwrap();
        for entry in page.entries {
            assert!(entry.seq > last, "in order, and each once");
            last = entry.seq;
            match entry.kind.as_str() {
                "switch" => orders.push(entry.revision.unwrap()),
                "health" => notes.push(entry.reason),
                other => assert!(other == "start", "{other}"),
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(orders, (1..=200).collect::<Vec<u64>>());
    assert_eq!(notes, (1..=200).map(|n| format!("n{n}")).collect::<Vec<_>>());
    let later = Some(SystemTime::now() + Duration::from_secs(3600));
    assert_eq!(store::history(&OsDisk, dir.path(), later, 7, None).unwrap().entries, []);
}

#[test]
fn a_torn_last_record_is_cut_off_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for revision in 1..=3 {
        ask(&store, order(revision)).unwrap();
    }
    assert!(store.close());
    let path = journal(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|octet| *octet != b'\n').unwrap();
    // The second half of the last line is missing, as if its sector had never been written.
    bytes[end - 100..=end].fill(b'\n');
    fs::write(&path, &bytes).unwrap();

    let (store, restored, found) = open(dir.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].what.contains("torn"), "{found:?}");
    assert_eq!(restored.revision, Revision(2));
    ask(&store, order(3)).unwrap();
    assert!(store.close());
    assert!(store::verify(&OsDisk, dir.path()).unwrap().is_whole());
    let (_store, restored, found) = open(dir.path());
    assert_eq!((found, restored.revision), (vec![], Revision(3)));
}

#[test]
fn a_corrupted_octet_costs_its_own_record_and_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for revision in 1..=5 {
        ask(&store, order(revision)).unwrap();
    }
    assert!(store.close());
    let path = journal(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"\"dc3\"").unwrap();
    bytes[at + 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let line = bytes[..at].iter().filter(|octet| **octet == b'\n').count() as u64 + 1;
    let offset = bytes[..at].iter().rposition(|octet| *octet == b'\n').unwrap() as u64 + 1;

    let report = store::verify(&OsDisk, dir.path()).unwrap();
    let found = report.first_break.unwrap();
    assert_eq!((found.file, found.line, found.offset), (path.clone(), line, offset));

    let (store, restored, found) = open(dir.path());
    let told = errors(&found);
    assert_eq!(told.len(), 1, "{found:?}");
    assert!(told[0].what.contains(&format!("line {line}, at octet {offset}")), "{found:?}");
    assert_eq!(restored.revision, Revision(5));
    assert_eq!(restored.standing.keys().collect::<Vec<_>>(), ["slot1", "slot2", "slot4", "slot5"]);
    ask(&store, order(6)).unwrap();
    assert!(store.close());
    assert!(fs::read_dir(dir.path()).unwrap().any(|entry| {
        let entry = entry.unwrap();
        entry.file_name().to_str().unwrap().starts_with("damaged-") && fs::read(entry.path()).unwrap() == bytes
    }));
    assert!(!store::verify(&OsDisk, dir.path()).unwrap().is_whole(), "the log does not hide it");
    let (_store, restored, found) = open(dir.path());
    assert_eq!((found, restored.revision), (vec![], Revision(6)), "told once");
}

#[test]
fn a_damaged_beginning_costs_nothing_while_the_file_before_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for revision in 1..=300 {
        ask(&store, order(revision)).unwrap();
    }
    assert!(store.close());
    let path = journal(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let (_store, restored, found) = open(dir.path());
    assert_eq!(errors(&found).len(), 1, "{found:?}");
    assert_eq!((restored.revision, restored.standing.len()), (Revision(300), 8));
    assert_eq!(restored.answered.len(), 32);
}

#[test]
fn files_of_anything_start_all_the_same() {
    for garbage in [&b""[..], b"\n\n\n", b"{}", b"{\"format\":1}\n", b"\0\0\0\0", &[0xff; 5000]] {
        let dir = tempfile::tempdir().unwrap();
        for name in ["journal-00000003.jsonl", "journal-spare", "latches.jsonl", "health.jsonl", "lock"] {
            fs::write(dir.path().join(name), garbage).unwrap();
        }
        let (store, _, found) = open(dir.path());
        assert!(errors(&found).len() >= 3, "{found:?}");
        ask(&store, order(1)).unwrap();
        assert!(store.close());
        let (_store, restored, _) = open(dir.path());
        assert_eq!(restored.revision, Revision(1));
    }
}

#[test]
fn a_second_process_is_refused_with_the_first_ones_number() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _, _) = open(dir.path());
    ask(&first, order(1)).unwrap();
    let error = Store::open(dir.path(), Arc::new(OsDisk)).unwrap_err();
    assert!(matches!(error, OpenError::Locked { pid: Some(pid) } if pid == std::process::id()), "{error:?}");
    // It may go on without.
    let (restored, found) = store::read(dir.path(), &OsDisk);
    assert_eq!((restored.revision, found), (Revision(1), vec![]));
    let store = Store::refusing(error.refusal());
    let refusal = ask(&store, order(2)).unwrap_err();
    assert_eq!(refusal, Refusal::Locked { pid: Some(std::process::id()) });
    assert!(!store.note(note("lost")));
    drop(first);
    open(dir.path());
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal-00000001.jsonl");
    fs::write(&path, "{\"seq\":1,\"record\":\"head\",\"format\":2,\"what\":\"comes\"}\n").unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path(), Arc::new(OsDisk)).unwrap_err();
    assert!(matches!(error, OpenError::Newer(2)), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn generations_are_reserved_before_they_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let (store, restored, _) = open(dir.path());
    store.used(Generation(restored.generations.end - 10));
    ask(&store, order(1)).unwrap();
    assert!(store.status().generations_to > restored.generations.end);
    drop(store);
    let (_store, again, _) = open(dir.path());
    assert!(again.generations.start >= restored.generations.end);
}

#[test]
fn grep_and_sha256sum_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    ask(&store, order(1)).unwrap();
    drop(store);
    let bytes = fs::read(&journal(dir.path())[0]).unwrap();
    let text = String::from_utf8(bytes).expect("text, blank space included");
    assert!(!text.contains('\0'));
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("\"kind\":\"switch\"")).collect();
    assert_eq!(lines.len(), 1);
    let (body, hash) = lines[0].split_once(",\"hash\":\"").unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let hex: String = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(hash, format!("{hex}\"}}"));
}
