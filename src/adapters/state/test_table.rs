//! A table in memory that can lose its end, as a crash does, and run out of room, as a disk does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::state::StateFault;

use super::table::{KeyValue, Store, Table};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// One write.
#[derive(Clone, Debug)]
pub enum Write {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

/// What lies on the disk.
#[derive(Clone, Default)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    writes: Vec<Write>,
    durable: usize,
    flushes: usize,
    most_unflushed: usize,
    room: Option<usize>,
    reserve: Option<usize>,
    rest: Duration,
    opened: usize,
    opening: Arc<Mutex<()>>,
}

impl Disk {
    /// A disk on which exactly these writes have arrived.
    pub fn of(writes: &[Write]) -> Self {
        let disk = Self::default();
        disk.with(|inner| {
            inner.writes = writes.to_vec();
            inner.durable = writes.len();
        });
        disk
    }

    fn with<A>(&self, act: impl FnOnce(&mut Inner) -> A) -> A {
        act(&mut self.inner.lock().unwrap())
    }

    fn open_rows(&self) -> Map {
        let mut rows = BTreeMap::new();
        for write in self.with(|inner| inner.writes[..inner.durable].to_vec()) {
            match write {
                Write::Put(key, value) => rows.insert(key, value),
                Write::Remove(key) => rows.remove(&key),
            };
        }
        rows
    }

    /// Everything written so far.
    pub fn writes(&self) -> Vec<Write> {
        self.with(|inner| inner.writes.clone())
    }

    /// How often it was synced.
    pub fn flushes(&self) -> usize {
        self.with(|inner| inner.flushes)
    }

    /// The most writes between two syncs.
    pub fn most_unflushed(&self) -> usize {
        self.with(|inner| inner.most_unflushed)
    }

    /// Leaves room for this many writes; `None` for all.
    pub fn leave_room(&self, writes: Option<usize>) {
        self.with(|inner| inner.room = writes);
    }

    /// Keeps room for this many writes back, until it is asked for.
    pub fn reserve(&self, writes: usize) {
        self.with(|inner| inner.reserve = Some(writes));
    }

    /// How long is waited between two times that it is opened again.
    pub fn set_rest(&self, rest: Duration) {
        self.with(|inner| inner.rest = rest);
    }

    /// How often it was opened.
    pub fn opened(&self) -> usize {
        self.with(|inner| inner.opened)
    }

    /// While it is locked, opening takes its time.
    pub fn opening(&self) -> Arc<Mutex<()>> {
        self.with(|inner| inner.opening.clone())
    }
}

impl Store for Disk {
    type Table = MapTable;

    /// Finds what was durable.
    fn open(&mut self) -> Result<MapTable, StateFault> {
        let opening = self.with(|inner| {
            inner.opened += 1;
            inner.opening.clone()
        });
        // Held by a test for as long as opening is to take.
        drop(opening.lock());
        self.with(|inner| inner.writes.truncate(inner.durable));
        let rows = self.open_rows();
        Ok(MapTable {
            disk: self.clone(),
            state: Mutex::new((rows, false)),
        })
    }

    fn note(&mut self, _start: u64, commit: u64) {
        let rows = self.open_rows();
        let durable = rows
            .get(super::keys::COMMITS)
            .map(|value| String::from_utf8(value.clone()).unwrap());
        assert_eq!(durable, Some(commit.to_string()), "noted before it is durable");
    }

    fn make_room(&mut self) -> bool {
        self.with(|inner| match inner.reserve.take() {
            Some(writes) => {
                inner.room = inner.room.map(|room| room + writes);
                true
            }
            None => false,
        })
    }

    fn rest(&self) -> Duration {
        self.with(|inner| inner.rest)
    }
}

/// The table; as sled, once it has failed it fails for good.
pub struct MapTable {
    disk: Disk,
    state: Mutex<(Map, bool)>,
}

impl MapTable {
    fn write(&self, write: Write) -> Result<Option<Vec<u8>>, StateFault> {
        let mut state = self.state.lock().unwrap();
        let has_room = self.disk.with(|inner| {
            let left = inner.room.map_or(1, |room| room);
            inner.room = inner.room.map(|room| room.saturating_sub(1));
            left > 0
        });
        state.1 |= !has_room;
        if state.1 {
            return Err(StateFault::Full("no space left on device".to_owned()));
        }
        self.disk.with(|inner| {
            inner.writes.push(write.clone());
            inner.most_unflushed = inner.most_unflushed.max(inner.writes.len() - inner.durable);
        });
        Ok(match write {
            Write::Put(key, value) => state.0.insert(key, value),
            Write::Remove(key) => state.0.remove(&key),
        })
    }
}

impl Table for MapTable {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.state.lock().unwrap().0.get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StateFault> {
        self.write(Write::Put(key.to_vec(), value.to_vec())).map(drop)
    }

    fn remove(&self, key: &[u8]) -> Result<bool, StateFault> {
        if self.get(key)?.is_none() {
            return Ok(false);
        }
        self.write(Write::Remove(key.to_vec())).map(|was| was.is_some())
    }

    fn range(
        &self,
        (from, to): (Vec<u8>, Vec<u8>),
    ) -> Box<dyn DoubleEndedIterator<Item = Result<KeyValue, StateFault>> + '_> {
        let state = self.state.lock().unwrap();
        let rows: Vec<_> = state
            .0
            .range(from..to)
            .map(|(key, value)| Ok((key.clone(), value.clone())))
            .collect();
        Box::new(rows.into_iter())
    }

    fn flush(&self) -> Result<(), StateFault> {
        if self.state.lock().unwrap().1 {
            return Err(StateFault::Full("no space left on device".to_owned()));
        }
        self.disk.with(|inner| {
            inner.durable = inner.writes.len();
            inner.flushes += 1;
        });
        Ok(())
    }
}
