//! The archive of a store, read segment by segment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::archive::{Archive, Contents, Fault, Records, judge};
use super::history::History;
use super::page::{self, Expected, HeadFault};
use super::records::{self, stretches};
use super::seen::{self, Memory, Seen};
use super::store::Store;
use super::verify::Look;
use super::wal::Segment;
use crate::pg::Programs;
use crate::pg::cluster::{ClusterError, file};
use crate::run::Run;

/// PostgreSQL's own default, for an archive without a backup to say so.
const DEFAULT_SEGMENT_BYTES: u64 = 16 << 20;

/// An archive that is looked at.
pub(super) struct Inspection<'a> {
    run: &'a Run,
    store: &'a Store,
    programs: &'a Programs,
    expected: Expected,
    contents: Contents,
}

/// Segments that are what they should be.
type Sound = BTreeMap<Segment, Seen>;

impl<'a> Inspection<'a> {
    /// Of the archive of `store`, whose names are read.
    ///
    /// # Errors
    /// When the archive cannot be listed.
    pub(super) fn of(run: &'a Run, store: &'a Store, programs: &'a Programs) -> Result<Self, ClusterError> {
        let newest = store.backups().last();
        let expected = Expected {
            major: programs.version().major(),
            system_identifier: newest.and_then(|backup| backup.system_identifier.parse().ok()),
            segment_bytes: newest.map_or(DEFAULT_SEGMENT_BYTES, |backup| backup.wal_segment_bytes),
        };
        let contents =
            Contents { segments: store.segments(expected.segment_bytes)?, histories: histories(store)? };
        Ok(Self { run, store, programs, expected, contents })
    }

    /// Judges its names, reads the segments that `look` asks for and remembers the sound ones.
    ///
    /// # Errors
    /// When a file cannot be read or a program run; [`crate::verdict::Interrupted`].
    pub(super) async fn archive(&self, look: Look) -> anyhow::Result<Archive> {
        let mut archive = judge(self.store.backups(), &self.contents, self.expected.segment_bytes);
        let mut memory = Memory::load(self.store.dir())?;
        let mut sound = self.read(&memory, look, &mut archive)?;
        if records::can_follow(self.programs) && !sound.is_empty() {
            archive.records = Records::Followed;
            archive.damaged.extend(self.follow(&mut sound).await?);
        }
        let names: BTreeSet<String> =
            self.contents.segments.iter().map(|(segment, _)| self.name(*segment)).collect();
        memory.keep(|name| names.contains(name));
        for (segment, seen) in sound {
            memory.remember(self.name(segment), seen);
        }
        memory.save(self.store.dir())?;
        Ok(archive)
    }

    fn name(&self, segment: Segment) -> String {
        segment.name(self.expected.segment_bytes)
    }

    /// The segments that are whole by their size.
    fn whole(&self) -> impl Iterator<Item = Segment> {
        let whole = self.contents.segments.iter().filter(|(_, bytes)| *bytes == self.expected.segment_bytes);
        whole.map(|(segment, _)| *segment)
    }

    /// Returns the sound ones among the segments that are to be read, and adds to `archive` what is wrong with the others.
    fn read(&self, memory: &Memory, look: Look, archive: &mut Archive) -> anyhow::Result<Sound> {
        let task = self.run.task("read segments", Some(self.contents.segments.len() as u64), "segments");
        let mut sound = Sound::new();
        for segment in self.whole() {
            self.run.check()?;
            task.advance(1);
            let name = self.name(segment);
            let path = self.store.archive().join(&name);
            if look == Look::New && memory.knows(&name, &file("look at", &path, fs::metadata(&path))?) {
                archive.remembered += 1;
                continue;
            }
            let content = seen::read(&path)?;
            archive.read += 1;
            let fault = |detail| Fault { segment: name.clone(), detail };
            let history = self.contents.known_history(segment.timeline);
            match page::check(&content.head, segment, &self.expected, history.as_ref()) {
                Err(HeadFault::Damaged(detail)) => archive.damaged.push(fault(detail)),
                Err(HeadFault::Foreign(detail)) => archive.foreign.push(fault(detail)),
                Ok(()) if memory.contradicts(&name, &content) => {
                    archive
                        .changed
                        .push(fault("same name, other content than when it was verified".to_owned()));
                }
                Ok(()) => drop(sound.insert(segment, content.seen)),
            }
        }
        Ok(sound)
    }

    /// Follows the records of the `sound` segments. Those of a stretch in which one is broken are not sound.
    async fn follow(&self, sound: &mut Sound) -> anyhow::Result<Vec<Fault>> {
        let there: BTreeSet<Segment> = self.whole().collect();
        let read: Vec<Segment> = sound.keys().copied().collect();
        let task = self.run.task("follow records", Some(read.len() as u64), "segments");
        let (archive, segment_bytes) = (self.store.archive(), self.expected.segment_bytes);
        let mut broken = Vec::new();
        for stretch in stretches(&read, |segment| there.contains(&segment)) {
            let faults = records::follow(self.run, self.programs, &archive, stretch, segment_bytes).await?;
            if !faults.is_empty() {
                sound.retain(|segment, _| !stretch.contains(*segment));
            }
            broken.extend(faults);
            task.advance(stretch.last - stretch.first + 1);
        }
        Ok(broken)
    }
}

/// What the history files in the archive of `store` say.
fn histories(store: &Store) -> Result<BTreeMap<u32, Result<History, String>>, ClusterError> {
    let archive = store.archive();
    let mut found = BTreeMap::new();
    for entry in file("list", &archive, fs::read_dir(&archive))? {
        let path = file("list", &archive, entry)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(timeline) = History::named(name) {
            let text = file("read", &path, fs::read(&path))?;
            found.insert(timeline, History::parse(timeline, &String::from_utf8_lossy(&text)));
        }
    }
    Ok(found)
}
