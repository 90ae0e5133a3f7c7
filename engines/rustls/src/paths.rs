//! The certification paths that were verified, remembered for a while.
//!
//! Building a path is a pure function of the certificates that the peer sent, the anchors, the
//! name, and of whether the time lies within everybody's validity. The key of an entry is a digest
//! of the first and the third; the anchors are those of the configuration that owns the memory; the
//! time is looked at on every use. What proves that the peer has the key, its signature over the
//! handshake, is never remembered.
//!
//! Bounds: entries, bytes, and an hour. An entry is dropped when either clock ran backwards, for
//! its age is then unknown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};

/// Paths that one configuration remembers.
const ENTRIES: usize = 1024;
/// Bytes of certificates that one configuration remembers.
const BYTES: usize = 4 << 20;
/// Seconds for which a path is remembered.
const AGE: u64 = 3600;

/// A path that was verified: leaf first, anchor last.
#[derive(Debug)]
pub struct Path {
    /// The certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// Seconds since 1970 between which each of them is valid, both included.
    pub valid: (u64, u64),
    /// The leaf's key.
    pub key: SubjectPublicKeyInfoDer<'static>,
}

/// What a path was built from, without the anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// Digests the certificates that the peer sent, each with its length, and the name.
    pub fn of(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], name: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in std::iter::once(leaf).chain(others) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.update(&u64::MAX.to_be_bytes()); // no certificate has this length
        context.update(name.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Self(key)
    }
}

#[derive(Debug)]
struct Entry {
    path: Arc<Path>,
    wall: u64,
    monotonic: Instant,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Memory {
    entries: HashMap<Key, Entry>,
    bytes: usize,
}

/// The paths of one configuration; thread-safe.
#[derive(Debug, Default)]
pub struct Paths(Mutex<Memory>);

impl Paths {
    /// A path that still holds at `now`.
    pub fn get(&self, key: &Key, now: UnixTime) -> Option<Arc<Path>> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = memory.entries.get(key)?;
        let wall = now.as_secs();
        let fresh = wall
            .checked_sub(entry.wall)
            .is_some_and(|age| age.max(entry.monotonic.elapsed().as_secs()) < AGE);
        if fresh && (entry.path.valid.0..=entry.path.valid.1).contains(&wall) {
            return Some(entry.path.clone());
        }
        let bytes = entry.bytes;
        memory.entries.remove(key);
        memory.bytes -= bytes;
        None
    }

    /// Remembers a path that was verified at `now`.
    pub fn put(&self, key: Key, path: Arc<Path>, now: UnixTime) {
        let bytes = path.chain.iter().map(|certificate| certificate.len()).sum();
        if bytes > BYTES {
            return;
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.entries.len() >= ENTRIES || memory.bytes + bytes > BYTES {
            // A flood of chains: begin anew, which costs each known peer one more verification.
            memory.entries.clear();
            memory.bytes = 0;
        }
        let entry = Entry {
            path,
            wall: now.as_secs(),
            monotonic: Instant::now(),
            bytes,
        };
        memory.bytes += bytes;
        if let Some(old) = memory.entries.insert(key, entry) {
            memory.bytes -= old.bytes;
        }
    }

    /// How many paths are remembered.
    pub fn len(&self) -> usize {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn path(valid: (u64, u64), size: usize) -> Arc<Path> {
        Arc::new(Path {
            chain: vec![CertificateDer::from(vec![0; size])],
            valid,
            key: vec![].into(),
        })
    }

    fn key(number: u64) -> Key {
        Key::of(
            &CertificateDer::from(number.to_be_bytes().to_vec()),
            &[],
            "server.test",
        )
    }

    #[test]
    fn a_key_tells_certificates_their_borders_and_the_name_apart() {
        let (a, b, ab) = (
            CertificateDer::from(vec![1]),
            CertificateDer::from(vec![2]),
            CertificateDer::from(vec![1, 2]),
        );
        let keys = [
            Key::of(&a, std::slice::from_ref(&b), "x"),
            Key::of(&b, std::slice::from_ref(&a), "x"),
            Key::of(&ab, &[], "x"),
            Key::of(&a, std::slice::from_ref(&b), "y"),
            Key::of(&a, &[], "x"),
            Key::of(&a, &[b.clone(), b], "x"),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn a_path_is_remembered_for_less_than_an_hour() {
        let paths = Paths::default();
        paths.put(key(1), path((0, u64::MAX), 1), at(1000));
        assert!(paths.get(&key(1), at(1000 + AGE - 1)).is_some());
        assert!(paths.get(&key(2), at(1000)).is_none());
        assert!(paths.get(&key(1), at(1000 + AGE)).is_none());
        assert_eq!(paths.len(), 0);
    }

    #[test]
    fn a_clock_that_runs_backwards_drops_the_path() {
        let paths = Paths::default();
        paths.put(key(1), path((0, u64::MAX), 1), at(1000));
        assert!(paths.get(&key(1), at(999)).is_none());
        assert!(paths.get(&key(1), at(1000)).is_none());
    }

    #[test]
    fn a_path_ends_with_the_first_certificate_that_expires() {
        let paths = Paths::default();
        paths.put(key(1), path((900, 1100), 1), at(1000));
        assert!(paths.get(&key(1), at(1100)).is_some());
        assert!(paths.get(&key(1), at(1101)).is_none());
    }

    #[test]
    fn a_flood_of_chains_is_bounded_in_entries_and_bytes() {
        let paths = Paths::default();
        for number in 0..3 * ENTRIES as u64 {
            paths.put(key(number), path((0, u64::MAX), 1), at(1000));
            assert!(paths.len() <= ENTRIES);
        }
        for number in 0..100 {
            paths.put(key(number), path((0, u64::MAX), BYTES / 10), at(1000));
            assert!(paths.0.lock().unwrap().bytes <= BYTES);
        }
        paths.put(key(0), path((0, u64::MAX), BYTES + 1), at(1000));
        let memory = paths.0.lock().unwrap();
        let sum: usize = memory.entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(memory.bytes, sum);
    }

    #[test]
    fn threads_share_one_memory() {
        let paths = Arc::new(Paths::default());
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let paths = paths.clone();
                std::thread::spawn(move || {
                    for number in 0..1000 {
                        let mine = key(number % 16 + thread);
                        paths.put(mine, path((0, u64::MAX), 10), at(1000));
                        paths.get(&mine, at(1000 + number % 3));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(paths.len() <= 24);
    }
}
