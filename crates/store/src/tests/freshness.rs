//! Files that were put back as they were earlier: who notices, and where a single node cannot. The table in
//! `docs/spec/freshness.md` is what these tests find.

mod pages;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::*;
use crate::sim::{SimDisk, Snapshot};
use crate::{LogError, OpenError, Place, ReadError};

const DIR: &str = "/store";
const SPEC: &str = include_str!("../../../../docs/spec/freshness.md");

/// Rows of all groups.
type Rows = BTreeMap<(GroupId, String), String>;

/// The store at one time.
struct Moment {
    name: &'static str,
    files: BTreeMap<PathBuf, Vec<u8>>,
    rows: Rows,
}

/// A store's life, with what was on its disk on the way.
struct Life {
    disk: SimDisk,
    keys: Arc<OneKey>,
    rows: Rows,
    group: GroupId,
    /// How many rows the group has.
    count: usize,
}

impl Life {
    fn open(&self) -> Result<Store, OpenError> {
        Store::create_or_open(simulated(self.disk.clone(), &self.keys, self.disk.changes()))
    }

    /// Gives every row of the group, and one of the system group, this value.
    fn write(&mut self, store: &Store, value: &str) {
        for number in 0..self.count {
            self.put(store, self.group, &format!("row {number:03}"), &format!("{value} {number:0300}"));
        }
        self.put(store, GroupId::SYSTEM, "setting", value);
    }

    fn put(&mut self, store: &Store, group: GroupId, key: &str, value: &str) {
        store.commit_blocking(put(group, key, value)).unwrap();
        self.rows.insert((group, key.into()), value.into());
    }

    fn moment(&self, name: &'static str) -> Moment {
        let files = self.disk.files().into_iter().map(|path| (path.clone(), self.disk.bytes(&path).unwrap()));
        Moment { name, files: files.collect(), rows: self.rows.clone() }
    }
}

/// How the last opening ends before files are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    /// It does not: files are put back under it.
    Running,
}

/// A store that was closed once, opened again, written to before and after a checkpoint, and then `end`ed.
fn life(end: End) -> (Life, [Moment; 3], Option<Store>) {
    let keys = OneKey::named("root");
    let mut life =
        Life { disk: SimDisk::from_seed(1), keys, rows: Rows::new(), group: GroupId(0), count: 60 };
    let store = life.open().unwrap();
    life.group = make_group(&store, "photos");
    life.rows.insert((GroupId::SYSTEM, "photos".into()), "a group".into());
    life.write(&store, "first");
    store.close().unwrap();
    let earlier = life.moment("an earlier opening");

    let store = life.open().unwrap();
    life.write(&store, "second");
    let before = life.moment("before the checkpoint");
    life.write(&store, "third");
    store.checkpoint().unwrap();
    life.write(&store, "fourth");
    let after = life.moment("after the checkpoint");
    life.write(&store, "fifth");
    let store = match end {
        End::Closed => {
            store.close().unwrap();
            None
        }
        End::Killed => {
            life.disk.kill();
            None
        }
        End::Running => Some(store),
    };
    (life, [earlier, before, after], store)
}

/// What is put back: which files of the moment's.
type Which = fn(&Life, &str) -> bool;

const EARLIER: usize = 0;
const BEFORE: usize = 1;
const AFTER: usize = 2;

/// The rows of the table.
const REPLAYS: &[(&str, Which, usize)] = &[
    ("the page file of a bucket", |life, name| name == page_file(life.group), EARLIER),
    ("the page file of the system group", |_, name| name == page_file(GroupId::SYSTEM), EARLIER),
    ("all of `pages/`", |_, name| name.starts_with("pages/"), EARLIER),
    ("`log/mark`", |_, name| name == "log/mark", EARLIER),
    ("`log/mark`", |_, name| name == "log/mark", BEFORE),
    ("`log/mark`", |_, name| name == "log/mark", AFTER),
    ("the newest log segment", |_, name| name.ends_with(".log"), AFTER),
    ("all of `log/`", |_, name| name.starts_with("log/"), EARLIER),
    ("all of `log/`", |_, name| name.starts_with("log/"), BEFORE),
    ("all of `log/`", |_, name| name.starts_with("log/"), AFTER),
    ("`keyring`", |_, name| name == "keyring", EARLIER),
    ("`keyring`", |_, name| name == "keyring", BEFORE),
    ("`log/` and `keyring`", |_, name| name.starts_with("log/") || name == "keyring", EARLIER),
    ("`log/` and `keyring`", |_, name| name.starts_with("log/") || name == "keyring", BEFORE),
    ("`log/` and `keyring`", |_, name| name.starts_with("log/") || name == "keyring", AFTER),
    ("everything", |_, _| true, EARLIER),
    ("everything", |_, _| true, BEFORE),
    ("everything", |_, _| true, AFTER),
];

fn page_file(group: GroupId) -> String {
    format!("pages/{group}.pages")
}

/// The files of the moment take the place of those that are there; what the moment lacks goes.
fn replay(life: &Life, which: Which, moment: &Moment) {
    let mut changed = false;
    let mine =
        |path: &PathBuf| path.strip_prefix(DIR).is_ok_and(|name| which(life, &name.display().to_string()));
    for path in life.disk.files().iter().filter(|path| mine(path)) {
        if !moment.files.contains_key(path) {
            life.disk.put(path, None);
            changed = true;
        }
    }
    for (path, bytes) in moment.files.iter().filter(|(path, _)| mine(path)) {
        changed |= life.disk.bytes(path).as_ref() != Some(bytes);
        life.disk.put(path, Some(bytes.clone()));
    }
    assert!(changed, "what is put back is not what is there");
}

/// What a user meets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Met {
    /// Every row is as it was acknowledged last.
    Right,
    /// The store does not start.
    NoStart(String),
    /// Some rows answer with an error; the others are right.
    NoRead(String),
    /// Every row is as it was at that moment, and nothing says so.
    Older(&'static str),
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => f.write_str("right"),
            Self::NoStart(why) => write!(f, "no start: {why}"),
            Self::NoRead(why) => write!(f, "no read: {why}"),
            Self::Older(_) => f.write_str("**older**"),
        }
    }
}

fn start_error(error: &OpenError) -> String {
    match error {
        OpenError::RolledBack { file, .. } => older(file),
        OpenError::Damage(damage) => damaged(damage.at),
        OpenError::Group(error) => read_error(error),
        OpenError::Log(error) => match &**error {
            LogError::Damage { .. } => "damaged log segment".into(),
            LogError::DamagedMark { .. } => "damaged mark".into(),
            LogError::MissingSegment { .. } => "missing log segment".into(),
            LogError::AfterClose { .. } => "log segment after the close".into(),
            LogError::Unchained { .. } => "unchained log segment".into(),
            LogError::Extended { .. } => "extended log segment".into(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn read_error(error: &ReadError) -> String {
    match error {
        ReadError::RolledBack { file, .. } => older(file),
        ReadError::Damage(damage) => damaged(damage.at),
        ReadError::Failed { .. } => "failed earlier".into(),
        other => other.to_string(),
    }
}

fn older(file: &Path) -> String {
    let name = file.strip_prefix(DIR).unwrap().display().to_string();
    match name.as_str() {
        "log" => "older `log/`".into(),
        name if name.starts_with("pages/") => "older page file".into(),
        name => format!("older `{name}`"),
    }
}

fn damaged(at: Place) -> String {
    match at {
        Place::Page(_) => "damaged page".into(),
        Place::Slot(_) => "damaged root slot".into(),
        Place::Offset(_) => "damaged tag page".into(),
        Place::Whole => "damaged file".into(),
        other => format!("damage at {other:?}"),
    }
}

/// Reads every row; nothing but right rows, errors, or all rows of one earlier moment is ever answered.
fn met(store: &Store, rows: &Rows, moments: &[Moment]) -> Met {
    let mut found = Rows::new();
    let mut errors = Vec::new();
    for (group, key) in rows.keys() {
        let answer = store.read(*group).and_then(|reading| {
            Ok(reading.get(key.as_bytes())?.map(|value| String::from_utf8(value.to_vec()).unwrap()))
        });
        match answer {
            Ok(Some(value)) => drop(found.insert((*group, key.clone()), value)),
            Ok(None) => {}
            Err(error) => errors.push(read_error(&error)),
        }
    }
    let right = found.iter().all(|(key, value)| rows.get(key) == Some(value));
    if let Some(first) = errors.first() {
        assert!(right, "a wrong row beside an error ({first})");
        return Met::NoRead(first.clone());
    }
    if found == *rows {
        return Met::Right;
    }
    let moment = moments.iter().find(|moment| moment.rows == found);
    Met::Older(moment.unwrap_or_else(|| panic!("rows of different moments: {}", shown(&found))).name)
}

fn shown(rows: &Rows) -> String {
    rows.iter()
        .map(|((group, key), value)| format!("{group}/{key}={} ", value.trim_end_matches('0')))
        .collect()
}

fn met_at_start(life: &Life, moments: &[Moment]) -> Met {
    match life.open() {
        Ok(store) => met(&store, &life.rows, moments),
        Err(error) => Met::NoStart(start_error(&error)),
    }
}

/// What is met under the running store, and after it was written to, killed and started again.
fn met_running(which: Which, from: usize) -> (Met, Met) {
    let (mut life, moments, store) = life(End::Running);
    let store = store.unwrap();
    replay(&life, which, &moments[from]);
    let running = met(&store, &life.rows, &moments);
    // It goes on; what it acknowledges counts.
    for key in ["row 001", "row 059", "new"] {
        if store.commit_blocking(put(life.group, key, "later")).is_ok() {
            life.rows.insert((life.group, key.into()), "later".into());
        }
    }
    life.disk.kill();
    drop(store);
    (running, met_at_start(&life, &moments))
}

#[test]
fn what_is_put_back_is_noticed_as_the_specification_says() {
    let mut missing = Vec::new();
    for &(what, which, from) in REPLAYS {
        let at_rest = [End::Closed, End::Killed].map(|end| {
            let (life, moments, store) = life(end);
            drop(store);
            replay(&life, which, &moments[from]);
            met_at_start(&life, &moments)
        });
        let (running, restarted) = met_running(which, from);
        let moment = ["an earlier opening", "before the checkpoint", "after the checkpoint"][from];
        let line =
            format!("| {what} | {moment} | {} | {} | {running} | {restarted} |", at_rest[0], at_rest[1]);
        if !SPEC.lines().any(|said| said == line) {
            missing.push(line);
        }
    }
    assert!(missing.is_empty(), "docs/spec/freshness.md lacks:\n{}", missing.join("\n"));
}
