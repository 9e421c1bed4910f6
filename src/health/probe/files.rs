//! What is made from files, kept until the files change.
//!
//! Certificates are renewed by tools that know nothing of us. A value is believed for a while; then the next
//! probe that wants it has the files looked at, on a thread that may block, while it and all others go on
//! with what there is. So a hanging file system costs no probe its time, except before the first reading. New
//! files that make no value (half written, or a new certificate beside the old key) change nothing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

/// Makes a value of what a key names, and says from which files.
pub(super) trait Load: Send + Sync + 'static {
    /// Names what is made.
    type Key: Clone + Debug + Eq + Hash + Send + Sync;
    /// What is made: cheap to clone.
    type Value: Clone + Send;

    /// The files that it is made from; none: it can not be told whether it has changed.
    fn files(&self, key: &Self::Key) -> Vec<PathBuf>;

    /// Reads them. Blocks.
    fn load(&self, key: &Self::Key) -> Result<Self::Value, String>;
}

/// Values by key, bounded in number.
pub(super) struct Kept<L: Load> {
    load: Arc<L>,
    recheck: Duration,
    len_max: usize,
    slots: Mutex<HashMap<L::Key, Used<L::Value>>>,
}

/// A slot, and when it was last asked for.
type Used<V> = (Instant, Arc<Slot<V>>);

struct Slot<V> {
    state: Mutex<Option<State<V>>>,
    /// Held by whoever reads the files.
    reading: Arc<tokio::sync::Mutex<()>>,
}

struct State<V> {
    value: Result<V, String>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

/// What tells one version of a file from another: when, how long, which inode. `None`: there is none.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let of = std::fs::metadata(path).ok()?;
    Some((of.mtime(), of.mtime_nsec(), of.len(), of.ino()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<L: Load> Kept<L> {
    /// At most `len_max` values, each looked at again after `recheck`.
    pub(super) fn new(load: L, recheck: Duration, len_max: usize) -> Kept<L> {
        Kept { load: Arc::new(load), recheck, len_max, slots: Mutex::default() }
    }

    /// What the key names: at once, except the first time.
    pub(super) async fn of(&self, key: &L::Key) -> Result<L::Value, String> {
        let slot = self.slot(key);
        if let Some((value, is_fresh)) = slot.current(self.recheck) {
            if !is_fresh && let Ok(guard) = Arc::clone(&slot.reading).try_lock_owned() {
                self.read(key, &slot, guard);
            }
            return value;
        }
        // Nobody has read it yet: one does, the others wait for him.
        let guard = Arc::clone(&slot.reading).lock_owned().await;
        if let Some((value, _)) = slot.current(self.recheck) {
            return value;
        }
        // Should this probe run out of time, the reading goes on and the next finds what it brought.
        let read = self.read(key, &slot, guard).await;
        let failed = || Err("the files of its certificates could not be read".to_owned());
        read.ok().and_then(|()| slot.current(self.recheck)).map_or_else(failed, |(value, _)| value)
    }

    fn slot(&self, key: &L::Key) -> Arc<Slot<L::Value>> {
        let now = Instant::now();
        let mut slots = lock(&self.slots);
        if let Some((used, slot)) = slots.get_mut(key) {
            *used = now;
            return Arc::clone(slot);
        }
        if slots.len() >= self.len_max {
            let oldest = slots.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|key| slots.remove(&key));
        }
        let slot = Arc::new(Slot { state: Mutex::new(None), reading: Arc::default() });
        slots.insert(key.clone(), (now, Arc::clone(&slot)));
        slot
    }

    fn read(
        &self,
        key: &L::Key,
        slot: &Arc<Slot<L::Value>>,
        guard: OwnedMutexGuard<()>,
    ) -> tokio::task::JoinHandle<()> {
        let (load, key, slot) = (Arc::clone(&self.load), key.clone(), Arc::clone(slot));
        tokio::task::spawn_blocking(move || {
            let _guard = guard;
            slot.refresh(&*load, &key);
        })
    }
}

impl<V: Clone + Send> Slot<V> {
    fn current(&self, recheck: Duration) -> Option<(Result<V, String>, bool)> {
        let state = lock(&self.state);
        state.as_ref().map(|state| (state.value.clone(), state.looked.elapsed() < recheck))
    }

    fn refresh<L: Load<Value = V>>(&self, load: &L, key: &L::Key) {
        // Before reading: what changes meanwhile is noticed the next time.
        let stamps: Vec<Stamp> = load.files(key).iter().map(|path| stamp(path)).collect();
        let looked = Instant::now();
        if let Some(state) = lock(&self.state).as_mut()
            && !stamps.is_empty()
            && state.stamps == stamps
        {
            state.looked = looked;
            return;
        }
        let value = load.load(key);
        let mut state = lock(&self.state);
        let value = match (value, state.take()) {
            (Err(why), Some(State { value: Ok(before), .. })) => {
                tracing::warn!(%why, "what has changed can not be used; probes go on with what was there before");
                Ok(before)
            }
            (value, _) => value,
        };
        *state = Some(State { value, stamps, looked });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Text {
        loads: Arc<AtomicUsize>,
    }

    impl Load for Text {
        type Key = PathBuf;
        type Value = String;

        fn files(&self, key: &PathBuf) -> Vec<PathBuf> {
            vec![key.clone()]
        }

        fn load(&self, key: &PathBuf) -> Result<String, String> {
            self.loads.fetch_add(1, Ordering::Relaxed);
            fs::read_to_string(key).map_err(|error| error.to_string())
        }
    }

    /// Asks until the answer is `wanted`; hangs for ever when it never comes.
    async fn until(kept: &Kept<Text>, key: &PathBuf, wanted: &str) {
        while kept.of(key).await.as_deref() != Ok(wanted) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn files_are_read_once_and_again_when_they_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let text = Text::default();
        let loads = Arc::clone(&text.loads);
        let kept = Kept::new(text, Duration::ZERO, 8);
        assert!(kept.of(&path).await.is_err(), "there is no file yet");
        fs::write(&path, "one").unwrap();
        until(&kept, &path, "one").await;
        let before = loads.load(Ordering::Relaxed);
        for _ in 0..100 {
            assert_eq!(kept.of(&path).await.as_deref(), Ok("one"));
            tokio::task::yield_now().await;
        }
        assert_eq!(loads.load(Ordering::Relaxed), before, "nothing has changed");
        fs::write(&path, "three").unwrap();
        until(&kept, &path, "three").await;
        fs::remove_file(&path).unwrap();
        while loads.load(Ordering::Relaxed) < before + 2 {
            assert_eq!(kept.of(&path).await.as_deref(), Ok("three"), "what was there before stays");
            tokio::task::yield_now().await;
        }
        assert_eq!(kept.of(&path).await.as_deref(), Ok("three"));
    }

    #[tokio::test]
    async fn a_herd_reads_once_and_the_number_of_values_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let text = Text::default();
        let loads = Arc::clone(&text.loads);
        let kept = Arc::new(Kept::new(text, Duration::from_secs(3600), 2));
        let path = |at: usize| dir.path().join(at.to_string());
        for at in 0..4 {
            fs::write(path(at), "x").unwrap();
        }
        let herd: Vec<_> = (0..50)
            .map(|_| {
                let (kept, key) = (Arc::clone(&kept), path(0));
                tokio::spawn(async move { kept.of(&key).await })
            })
            .collect();
        for one in herd {
            assert_eq!(one.await.unwrap().as_deref(), Ok("x"));
        }
        assert_eq!(loads.load(Ordering::Relaxed), 1);
        for at in 0..4 {
            kept.of(&path(at)).await.unwrap();
        }
        assert_eq!(lock(&kept.slots).len(), 2);
    }
}
