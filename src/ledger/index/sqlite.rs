//! The index in an `SQLite` file. What it holds is drawn in `schema.sql`; where it lies is `home.rs`.
//!
//! **Who is believed.** The file chooses which lines are read, so it could leave lines out: a job without the
//! receipt that speaks against it. So each row of a job and of a segment is sealed with a key that lies in the
//! ledger's directory, which jobs cannot reach. A row whose seal does not fit ends the index: it is made again
//! from the lines. Without the key nobody can name other lines for a job, or fewer. Not covered: a row that is
//! removed as a whole, or put back as it was earlier.
//!
//! **Several processes.** One writes at a time, in steps of [`STEP`] records; each step begins with what the
//! others have done. Readers never wait (a write-ahead log). A process that is killed leaves the last step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::error::IndexError;
use super::home::{Home, Lease};
use super::name::{ImageKey, ImageName};
use super::row::{Openness, RecordAt, Row, code};
use super::scan::{Cursor, Found, Position, Positions, changes, clock_before, grown};
use super::sealed::Key;
use super::sketch::{Sketcher, What};
use super::traits::{Counts, Filter, Index, LineAt, Page, Progress};
use crate::job::{JobId, JobState};
use crate::ledger::hash::RecordHash;
use crate::ledger::segment::SegmentName;

/// The version of the tables; another one is thrown away.
const VERSION: i32 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// So many records are written at once: what another process waits for, and what a kill costs.
const STEP: usize = 40_000;
/// The `state` of a row that is no job: its intent is not in the ledger, or not yet.
const NO_JOB: u8 = 254;

/// See the module.
#[derive(Debug)]
pub struct Sqlite {
    dir: PathBuf,
    key: Key,
    base: Connection,
    positions: Positions,
    /// `SQLite`'s count of what other processes wrote, when the positions were read.
    version: i64,
    sketcher: Sketcher,
    /// Keeps others from throwing the file away.
    _lease: Lease,
}

type Result<T> = std::result::Result<T, IndexError>;

impl Sqlite {
    /// Opens the index of a ledger, or makes an empty one.
    ///
    /// # Errors
    /// When its place is not good, or it is damaged or of another version ([`IndexError::Unfit`]).
    pub fn open(ledger: &Path, home: &Home) -> Result<Self> {
        let key = Key::of(ledger)?;
        let (path, lease) = home.lease(&key.name(ledger))?;
        Ok(Self {
            dir: ledger.to_owned(),
            key,
            base: ready(&path, home.limit())?,
            positions: Positions::new(),
            version: -1,
            sketcher: Sketcher::default(),
            _lease: lease,
        })
    }

    /// Whether there is a file, whatever is in it.
    #[must_use]
    pub fn is_there(ledger: &Path, home: &Home) -> bool {
        Key::find(ledger).is_ok_and(|key| key.is_some_and(|key| home.has(&key.name(ledger))))
    }

    /// Removes the index of a ledger, unless another process uses it.
    ///
    /// # Errors
    /// When it is in use, or cannot be removed.
    pub fn throw_away(ledger: &Path, home: &Home) -> Result<()> {
        home.throw_away(&Key::of(ledger)?.name(ledger))
    }

    fn ids(&self, sql: &str, bounds: impl rusqlite::Params) -> Result<Vec<JobId>> {
        let mut statement = self.base.prepare_cached(sql)?;
        let rows = statement.query_map(bounds, |row| row.get::<_, [u8; 16]>(0))?;
        rows.map(|id| Ok(JobId::from_bytes(id?))).collect()
    }

    /// One page of those that some rows name; each `sql` ends with the bounds of a page.
    fn merged(&self, wanted: &[(&str, i64)], page: Page) -> Result<Vec<JobId>> {
        let (from, before) = page.bounds();
        let most = i64::try_from(page.most).unwrap_or(i64::MAX);
        let mut all = BTreeSet::new();
        for (sql, number) in wanted {
            // the first page of each holds the first page of all
            all.extend(self.ids(sql, params![number, from, before, most])?);
        }
        Ok(all.into_iter().rev().take(page.most).collect())
    }
}

const PAGE: &str = "SELECT id FROM jobs WHERE state <> ?1 AND id >= ?2 \
    AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4";
const PAGE_OPEN: &str = "SELECT id FROM jobs WHERE open = ?1 AND open > 0 AND id >= ?2 \
    AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4";
const PAGE_STATE: &str = "SELECT id FROM jobs WHERE state = ?1 AND state <> 3 AND id >= ?2 \
    AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4";
const PAGE_COMPLETED: &str = "SELECT id FROM jobs WHERE state = ?1 AND id >= ?2 \
    AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4";
const PAGE_IMAGE: &str = "SELECT job FROM uses WHERE image = ?1 AND job >= ?2 \
    AND (?3 IS NULL OR job < ?3) ORDER BY job DESC LIMIT ?4";
const NEWEST_OF_IMAGES: &str = "SELECT DISTINCT \
    (SELECT job FROM uses WHERE uses.image = names.image ORDER BY job DESC LIMIT 1) AS newest \
    FROM names WHERE name >= ?1 AND name <= ?2 AND newest IS NOT NULL ORDER BY newest";

impl Index for Sqlite {
    fn refresh(&mut self, told: &mut dyn FnMut(Progress)) -> Result<()> {
        let (mut done, mut all) = (0, 0);
        loop {
            let version = self.base.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if version != self.version {
                self.positions = positions(&self.base, &self.key)?;
                self.version = version;
            }
            let work = grown(&self.dir, &self.positions)?;
            if work.is_empty() {
                return Ok(());
            }
            let step = self.base.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // as the one that wrote before left it
            let mut known = positions(&step, &self.key)?;
            let work = grown(&self.dir, &known)?;
            all = all.max(done + work.iter().map(|segment| segment.bytes).sum::<u64>());
            let mut batch =
                Batch { base: &step, key: &self.key, rows: HashMap::new(), images: HashMap::new() };
            let mut records = 0;
            let mut next = known.values().map(|position| position.id + 1).max().unwrap_or(0);
            for segment in work {
                let id = known.get(&segment.name).map(|position| position.id);
                let id = id.unwrap_or(next);
                next = next.max(id + 1);
                let clock = clock_before(&known, segment.name);
                let (position, found) = segment.read(&self.dir, id, clock, &mut self.sketcher)?;
                for one in &found {
                    batch.add(id, one)?;
                }
                batch.read(segment.name, &position)?;
                known.insert(segment.name, position);
                records += found.len();
                done += segment.bytes;
                if records >= STEP {
                    break;
                }
            }
            batch.write()?;
            step.commit()?;
            self.positions = known;
            told(Progress { done, all });
        }
    }

    fn counts(&self) -> Result<Counts> {
        let sum = |of: fn(&Position) -> u64| self.positions.values().map(of).sum();
        Ok(Counts { damaged: sum(|p| p.damaged), newer: sum(|p| p.newer) })
    }

    fn lines(&self, job: JobId) -> Result<Vec<LineAt>> {
        let Some(row) = load(&self.base, &self.key, job)? else { return Ok(Vec::new()) };
        let names: HashMap<u32, SegmentName> =
            self.positions.iter().map(|(name, position)| (position.id, *name)).collect();
        let at = |place: &RecordAt| {
            let segment = names.get(&place.segment).copied();
            let segment =
                segment.ok_or_else(|| IndexError::Unfit("a segment is missing".into()))?;
            Ok(LineAt { segment, offset: place.offset.into(), length: place.length.into() })
        };
        row.places.iter().map(at).collect()
    }

    fn between(&self, low: JobId, high: JobId, most: usize) -> Result<Vec<JobId>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.ids(
            "SELECT id FROM jobs WHERE state <> ?1 AND id >= ?2 AND id <= ?3 ORDER BY id LIMIT ?4",
            params![NO_JOB, low.to_bytes(), high.to_bytes(), most],
        )
    }

    fn of_engine(&self, key: &str) -> Result<Vec<JobId>> {
        let mut found = self.ids("SELECT job FROM engines WHERE key = ?1 ORDER BY job", [key])?;
        // engines of this machine use the job's own id; such keys are not stored
        if let Some(job) = key.split_once(':').and_then(|(_, id)| id.parse().ok()) {
            found.push(job);
        }
        Ok(found)
    }

    fn page(&self, filter: Filter, page: Page) -> Result<Vec<JobId>> {
        let running = (PAGE_OPEN, Openness::Running as i64);
        match filter {
            Filter::All => self.merged(&[(PAGE, i64::from(NO_JOB))], page),
            Filter::Running => self.merged(&[running], page),
            Filter::Open => self.merged(&[running, (PAGE_OPEN, Openness::Unproven as i64)], page),
            Filter::State(state @ JobState::Completed) => {
                self.merged(&[running, (PAGE_COMPLETED, i64::from(code(state)))], page)
            }
            Filter::State(state) => {
                self.merged(&[running, (PAGE_STATE, i64::from(code(state)))], page)
            }
        }
    }

    fn of_image(&self, name: &ImageName, page: Page) -> Result<Vec<JobId>> {
        let mut statement = self.base.prepare_cached("SELECT image FROM names WHERE name = ?1")?;
        let images = statement.query_map([name.bytes()], |row| row.get::<_, i64>(0))?;
        let images = images.collect::<rusqlite::Result<Vec<i64>>>()?;
        let wanted: Vec<(&str, i64)> = images.into_iter().map(|id| (PAGE_IMAGE, id)).collect();
        self.merged(&wanted, page)
    }

    fn of_digests(&self, low: [u8; 32], high: [u8; 32]) -> Result<Vec<JobId>> {
        let name = |digest| ImageName::Digest(digest).bytes();
        self.ids(NEWEST_OF_IMAGES, params![name(low), name(high)])
    }

    fn cursor(&self) -> Result<Cursor> {
        Ok(Cursor::at(&self.positions))
    }

    fn changes(&self, since: &Cursor) -> Result<(Vec<JobId>, Cursor)> {
        changes(&self.dir, since, &self.positions)
    }
}

/// Opens the file and makes its tables, when it has none.
///
/// `SQLite` does not wait when two processes switch the journal of one file, or when one opens it while the last
/// other one closes it: it says "busy" at once, whatever the timeout is. So what is busy is tried again here.
fn ready(path: &Path, most: Option<u64>) -> Result<Connection> {
    let end = Instant::now() + super::home::BUSY;
    loop {
        match super::home::connect(path, most).and_then(prepare) {
            Err(error) if error.is_busy() && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

fn prepare(mut base: Connection) -> Result<Connection> {
    let version = |base: &Connection| -> Result<i32> {
        Ok(base.query_row("PRAGMA user_version", [], |row| row.get(0))?)
    };
    if version(&base)? == 0 {
        let step = base.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // another process may have made them meanwhile
        if version(&step)? == 0 {
            step.execute_batch(SCHEMA)?;
            step.pragma_update(None, "user_version", VERSION)?;
        }
        step.commit()?;
    }
    match version(&base)? {
        VERSION => Ok(base),
        other => Err(IndexError::Unfit(format!("it is of version {other}"))),
    }
}

/// How far each segment was read.
fn positions(base: &Connection, key: &Key) -> Result<Positions> {
    let mut statement = base.prepare_cached("SELECT id, name, position, seal FROM segments")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, u32>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, Vec<u8>>(2)?,
            row.get::<_, [u8; 16]>(3)?,
        ))
    })?;
    let mut positions = Positions::new();
    for row in rows {
        let (id, name, bytes, seal) = row?;
        let sound = key.seal(&[&id.to_le_bytes(), name.as_bytes(), &bytes]) == seal;
        let read = SegmentName::parse(&name).zip(from_bytes(id, &bytes)).filter(|_| sound);
        let (name, position) =
            read.ok_or_else(|| IndexError::Unfit("the seal of a segment does not fit".into()))?;
        positions.insert(name, position);
    }
    Ok(positions)
}

fn to_bytes(position: &Position) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(104);
    let (start, hash) = position.last.map_or((0, [0; 32]), |(start, hash)| (start, *hash.bytes()));
    for number in [
        position.inode,
        position.offset,
        position.size,
        position.changed.cast_unsigned(),
        position.clock.cast_unsigned(),
        position.damaged,
        position.newer,
        start,
        u64::from(position.last.is_some()),
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&hash);
    bytes
}

fn from_bytes(id: u32, bytes: &[u8]) -> Option<Position> {
    let (numbers, hash) = bytes.split_at_checked(72)?;
    let numbers: Vec<u64> = numbers
        .chunks_exact(8)
        .filter_map(|number| Some(u64::from_le_bytes(number.try_into().ok()?)))
        .collect();
    let [inode, offset, size, changed, clock, damaged, newer, start, read] =
        numbers.try_into().ok()?;
    let hash = RecordHash::from_bytes(hash.try_into().ok()?);
    Some(Position {
        id,
        inode,
        offset,
        size,
        changed: changed.cast_signed(),
        last: (read == 1).then_some((start, hash)),
        clock: clock.cast_signed(),
        damaged,
        newer,
    })
}

fn load(base: &Connection, key: &Key, job: JobId) -> Result<Option<Row>> {
    let mut statement =
        base.prepare_cached("SELECT places, submissions, seal FROM jobs WHERE id = ?1")?;
    let row = statement.query_row([job.to_bytes()], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, [u8; 16]>(2)?))
    });
    let Some((places, submissions, seal)) = row.optional()? else { return Ok(None) };
    let sound = key.seal(&[&job.to_bytes(), &places, &submissions]) == seal;
    match Row::decode(job, &places, &submissions).filter(|_| sound) {
        Some(row) => Ok(Some(row)),
        None => Err(IndexError::Unfit(format!("the seal of job {job} does not fit"))),
    }
}

/// What one step writes.
struct Batch<'t> {
    base: &'t Transaction<'t>,
    key: &'t Key,
    rows: HashMap<JobId, Row>,
    /// The numbers of the images that came up.
    images: HashMap<[u8; 16], i64>,
}

impl Batch<'_> {
    fn add(&mut self, segment: u32, found: &Found) -> Result<()> {
        let Found { about, offset, length, at } = found;
        let job = about.job;
        let row = match self.rows.entry(job) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(load(self.base, self.key, job)?.unwrap_or_default())
            }
        };
        if !row.add(RecordAt { segment, offset: *offset, length: *length }, about, *at) {
            return Ok(());
        }
        match &about.what {
            What::Submitted(key) => {
                let own = key.split_once(':').is_some_and(|(_, id)| id.parse() == Ok(job));
                if !own {
                    let sql = "INSERT OR IGNORE INTO engines(key, job) VALUES (?1, ?2)";
                    self.base.prepare_cached(sql)?.execute(params![key, job.to_bytes()])?;
                }
            }
            What::Intent(image) => {
                let image = image.clone();
                self.uses(&image, job)?;
            }
            What::Receipt { measured: Some(measured), .. }
                if !row.asked_for(about.intent, measured) =>
            {
                self.uses(&ImageKey::measured(*measured), job)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn uses(&mut self, image: &ImageKey, job: JobId) -> Result<()> {
        let number = match self.images.get(&image.key) {
            Some(number) => *number,
            None => self.image(image)?,
        };
        let sql = "INSERT OR IGNORE INTO uses(image, job) VALUES (?1, ?2)";
        self.base.prepare_cached(sql)?.execute(params![number, job.to_bytes()])?;
        Ok(())
    }

    fn image(&mut self, image: &ImageKey) -> Result<i64> {
        let find = "SELECT id FROM images WHERE key = ?1";
        let known = self.base.prepare_cached(find)?.query_row([image.key], |row| row.get(0));
        let number = if let Some(number) = known.optional()? {
            number
        } else {
            let sql = "INSERT INTO images(key) VALUES (?1)";
            self.base.prepare_cached(sql)?.execute([image.key])?;
            let number = self.base.last_insert_rowid();
            for name in &image.names {
                let sql = "INSERT OR IGNORE INTO names(name, image) VALUES (?1, ?2)";
                self.base.prepare_cached(sql)?.execute(params![name, number])?;
            }
            number
        };
        self.images.insert(image.key, number);
        Ok(number)
    }

    fn read(&mut self, name: SegmentName, position: &Position) -> Result<()> {
        let (name, bytes) = (name.to_string(), to_bytes(position));
        let seal = self.key.seal(&[&position.id.to_le_bytes(), name.as_bytes(), &bytes]);
        let sql =
            "INSERT OR REPLACE INTO segments(id, name, position, seal) VALUES (?1, ?2, ?3, ?4)";
        self.base.prepare_cached(sql)?.execute(params![position.id, name, bytes, seal])?;
        Ok(())
    }

    fn write(self) -> Result<()> {
        let mut statement = self.base.prepare_cached(
            "INSERT OR REPLACE INTO jobs(id, places, submissions, state, open, seal) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        // in the order in which they stand
        let rows: BTreeMap<JobId, Row> = self.rows.into_iter().collect();
        for (job, row) in &rows {
            let (places, submissions) = row.encode(*job);
            let seal = self.key.seal(&[&job.to_bytes(), &places, &submissions]);
            let state = if row.is_job() { code(row.state()) } else { NO_JOB };
            let open = row.openness() as i64;
            statement.execute(params![job.to_bytes(), places, submissions, state, open, seal])?;
        }
        Ok(())
    }
}
