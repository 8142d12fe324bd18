//! A disk that fails at every call that a file makes of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use actors::timestamp::Timestamp;
use tempfile::TempDir;

use super::*;

/// What the disk does.
#[derive(Default)]
struct Ways {
    /// Bytes of room left; `None` for enough.
    room: Option<u64>,
    cannot_take_room: bool,
    /// Syncs that fail from now on, and what each costs: the bytes from here on.
    failing_syncs: Vec<u64>,
    syncs: usize,
    written: Vec<(u64, usize)>,
}

#[derive(Clone, Default)]
struct Ill(Arc<Mutex<Ways>>);

impl Ill {
    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.0.lock().unwrap()
    }
}

struct IllFile(File, Ill);

impl Medium for IllFile {
    fn take_room(&self, at: u64, length: u64) -> io::Result<()> {
        let mut ways = self.1.ways();
        if ways.cannot_take_room {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let length = (at + length).saturating_sub(self.0.metadata()?.len());
        let Some(room) = &mut ways.room else { return Ok(()) };
        *room = room.checked_sub(length).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.1.ways().written.push((at, bytes.len()));
        FileExt::write_at(&self.0, bytes, at)
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.0, bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut ways = self.1.ways();
        ways.syncs += 1;
        let Some(from) = ways.failing_syncs.pop() else {
            return Ok(());
        };
        let length = self.0.metadata()?.len();
        self.0.set_len(from.min(length))?;
        self.0.set_len(length)?;
        Err(io::ErrorKind::StorageFull.into())
    }
}

struct Scene {
    root: TempDir,
    layout: Arc<Layout>,
    batch: BatchFile,
    ill: Ill,
}

impl Scene {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let layout = Arc::new(Layout::new(root.path()));
        layout.prepare().unwrap();
        let batch = BatchFile {
            feed: "samples/binary/mapped".parse().unwrap(),
            seq: 1,
            received: Timestamp::from_micros(1),
        };
        let ill = Ill::default();
        Self {
            root,
            layout,
            batch,
            ill,
        }
    }

    fn part(&self) -> Part {
        let path = self.layout.part(&self.batch);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        let file = Box::new(IllFile(file, self.ill.clone()));
        Part::on(file, path, &self.layout, &self.batch)
    }

    fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.root.path().join(path)).unwrap()
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// As the caller does: what is not acknowledged is offered again.
fn write_all(part: &mut Part, bytes: &[u8]) -> io::Result<()> {
    let mut from = usize::try_from(part.length).unwrap();
    while from < bytes.len() {
        from += part.write(&bytes[from..])?;
    }
    Ok(())
}

const KEPT: &str = "journal/samples/binary/mapped/0000000000000001-1.answer";
const ASIDE: &str = "aside/samples/binary/mapped/0000000000000001-1.answer";

#[test]
fn nothing_is_written_that_there_is_no_room_for() {
    let scene = Scene::new();
    let (mut part, content) = (scene.part(), content(100_000));
    scene.ill.ways().room = Some(60_000);
    let error = write_all(&mut part, &content).unwrap_err();
    assert!(is_no_room(&error));
    let written = part.length;
    assert!((60_000 - 4096..=60_000).contains(&written), "{written}");
    let bytes: usize = scene.ill.ways().written.iter().map(|(_, length)| length).sum();
    assert_eq!(bytes as u64, written, "and not a byte beyond");
    scene.ill.ways().room = None;
    write_all(&mut part, &content).unwrap();
    part.keep().unwrap();
    assert!(scene.read(KEPT) == content);
    assert_eq!(scene.ill.ways().syncs, 1);
}

#[test]
fn where_room_cannot_be_taken_bytes_are_synced_while_the_caller_has_them() {
    let scene = Scene::new();
    scene.ill.ways().cannot_take_room = true;
    let (mut part, content) = (scene.part(), content(100_000));
    write_all(&mut part, &content[..40_000]).unwrap();
    // The sync fails, and the system forgets what it was asked to sync.
    scene.ill.ways().failing_syncs = vec![40_000];
    let error = write_all(&mut part, &content).unwrap_err();
    assert!(is_no_room(&error));
    assert_eq!(part.length, 40_000, "the caller has to keep the rest");
    write_all(&mut part, &content).unwrap();
    part.keep().unwrap();
    assert!(scene.read(KEPT) == content);
}

#[test]
fn what_a_failed_sync_has_cost_is_never_called_whole() {
    let scene = Scene::new();
    let (mut part, content) = (scene.part(), content(100_000));
    write_all(&mut part, &content).unwrap();
    scene.ill.ways().failing_syncs = vec![70_000];
    assert!(is_no_room(&part.keep().unwrap_err()));
    part.hold_up("the disk had no room while it came in");
    let error = part.keep().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    part.hold_up(&error.to_string());
    drop(part);
    assert!(!scene.root.path().join(KEPT).exists());
    assert!(scene.read(ASIDE)[..70_000] == content[..70_000]);
    let reason = String::from_utf8(scene.read(format!("{ASIDE}.reason.txt"))).unwrap();
    assert!(reason.starts_with("damaged: "), "{reason}");
}

#[test]
fn what_a_failed_sync_has_not_cost_is_written_once_more_and_kept() {
    let scene = Scene::new();
    let (mut part, content) = (scene.part(), content(600_000));
    write_all(&mut part, &content).unwrap();
    scene.ill.ways().failing_syncs = vec![u64::MAX];
    assert!(is_no_room(&part.keep().unwrap_err()));
    scene.ill.ways().written.clear();
    part.keep().unwrap();
    let again: usize = scene.ill.ways().written.iter().map(|(_, length)| length).sum();
    assert_eq!(again, 600_000);
    assert!(scene.read(KEPT) == content);
}

#[test]
fn the_name_that_the_next_start_keeps_is_given_as_soon_as_it_can_be() {
    let scene = Scene::new();
    let (mut part, content) = (scene.part(), content(5000));
    write_all(&mut part, &content).unwrap();
    let held = "incoming/0000000000000001-1.samples~binary~mapped.held";
    let obstacle = scene.root.path().join(held);
    std::fs::create_dir(&obstacle).unwrap();
    part.hold_up("the disk had no room");
    assert!(part.is_held_up());
    std::fs::remove_dir(&obstacle).unwrap();
    part.hold_up("the disk had no room");
    assert!(scene.read(held) == content);
    // Killed: the next start puts it aside.
    std::mem::forget(part);
    Layout::new(scene.root.path()).prepare().unwrap();
    let aside = "aside/0000000000000001-1.samples~binary~mapped.held";
    assert!(scene.read(aside) == content);
}
