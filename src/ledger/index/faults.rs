//! The index when something is wrong with its file: it costs time and never an answer, and never makes a verdict.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::home::private;
use super::suite::{Bench, intend};
use super::{Catalogue, Filter, Home, Index, IndexError, Page, Sqlite, Where};
use crate::job::JobId;
use crate::ledger::testing::entry;

fn ten(bench: &Bench) -> Vec<JobId> {
    let ledger = bench.ledger();
    for n in 0..10 {
        intend(&ledger, n, n);
    }
    (0..10).rev().map(|n| entry(n).job).collect()
}

fn page(bench: &Bench) -> (Vec<JobId>, Option<String>) {
    let mut catalogue = Catalogue::new(&bench.dir(), None, Where::Named(bench.cache()));
    (catalogue.page(Filter::All, Page::newest(99)).unwrap(), catalogue.warning())
}

fn file(bench: &Bench) -> PathBuf {
    let names = crate::listing::names(&bench.cache()).unwrap();
    let mut found = names.iter().filter(|name| name.to_string_lossy().ends_with(".sqlite"));
    let name = found.next().expect("there is an index");
    assert_eq!(found.next(), None, "there is one");
    bench.cache().join(name)
}

#[test]
fn it_is_private_and_is_used_again() {
    let bench = Bench::new();
    let jobs = ten(&bench);
    assert_eq!(page(&bench), (jobs.clone(), None));
    let path = file(&bench);
    assert!(private(&path) && private(&bench.cache()));
    assert!(private(&bench.dir().join("index.key")));
    let inode = fs::metadata(&path).unwrap().ino();
    intend(&bench.ledger(), 10, 1);
    assert_eq!(page(&bench).0.len(), 11);
    assert_eq!(fs::metadata(file(&bench)).unwrap().ino(), inode, "it was not made anew");
    let mut index = bench.sqlite();
    let mut steps = 0;
    index.refresh(&mut |_| steps += 1).unwrap();
    assert_eq!(steps, 0, "nothing was read again");
}

/// Bytes that are no index, an index of another version, a file that others could have written.
#[test]
fn what_is_no_index_of_ours_is_thrown_away() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 7] = [
        ("not a database", |path| fs::write(path, vec![b'x'; 20_000]).unwrap()),
        ("cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("zeros in the middle", |path| {
            let mut bytes = fs::read(path).unwrap();
            let (from, to) = (4096, bytes.len() - 100);
            bytes[from..to].fill(0);
            fs::write(path, bytes).unwrap();
        }),
        ("another version", |path| {
            Connection::open(path).unwrap().pragma_update(None, "user_version", 77).unwrap();
        }),
        ("others could write it", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("a link", |path| {
            fs::rename(path, path.with_extension("aside")).unwrap();
            std::os::unix::fs::symlink(path.with_extension("aside"), path).unwrap();
        }),
        ("a table is missing", |path| {
            Connection::open(path).unwrap().execute_batch("DROP TABLE jobs").unwrap();
        }),
    ];
    for (damage, apply) in damages {
        let bench = Bench::new();
        let jobs = ten(&bench);
        page(&bench);
        apply(&file(&bench));
        assert_eq!(page(&bench), (jobs.clone(), None), "{damage}");
        assert!(private(&file(&bench)), "{damage}");
        assert_eq!(page(&bench), (jobs, None), "{damage}, and once more");
    }
}

/// Somebody writes the index who cannot read the ledger's key.
#[test]
fn a_forged_index_cannot_choose_lines() {
    let forgeries = [
        // a job that has fewer records than it has, or another's
        "UPDATE jobs SET places = substr(places, 1, 3)",
        "UPDATE jobs SET places = (SELECT places FROM jobs ORDER BY id LIMIT 1)",
        "UPDATE jobs SET submissions = (SELECT submissions FROM jobs ORDER BY id LIMIT 1)",
        // a segment that seems to be read further than it is, so that what comes is passed over
        "UPDATE segments SET position = zeroblob(104)",
        "UPDATE segments SET id = id + 1",
    ];
    for forgery in forgeries {
        let bench = Bench::new();
        let jobs = ten(&bench);
        let ledger = bench.ledger();
        for n in 0..10 {
            ledger.cancelled(&entry(n)).unwrap();
        }
        page(&bench);
        let changed = Connection::open(file(&bench)).unwrap().execute(forgery, []).unwrap();
        assert!(changed > 0, "{forgery}");
        let mut catalogue = Catalogue::new(&bench.dir(), None, Where::Named(bench.cache()));
        let whole = bench.view();
        for job in &jobs {
            let view = catalogue.for_verdict(*job).unwrap();
            let wanted = whole.job(*job).unwrap().last();
            assert_eq!(view.job(*job).unwrap().last().history, wanted.history, "{forgery}");
        }
        assert_eq!(catalogue.warning(), None, "{forgery}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_done_without() {
    let bench = Bench::new();
    let jobs = ten(&bench);
    // a file has the directory's name: root cannot write there either
    fs::write(bench.cache(), "").unwrap();
    let (found, warning) = page(&bench);
    assert_eq!(found, jobs);
    assert!(warning.unwrap().contains("without its index"));
    fs::remove_file(bench.cache()).unwrap();
    // others can write the directory
    fs::create_dir(bench.cache()).unwrap();
    fs::set_permissions(bench.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let (found, warning) = page(&bench);
    assert_eq!(found, jobs);
    assert!(warning.unwrap().contains("can be written by others"));
    assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 0);
    // proc is no disk: nothing is kept there, and no error is made of it
    let mut catalogue = Catalogue::new(&bench.dir(), None, Where::Named("/proc/self".into()));
    assert_eq!(catalogue.page(Filter::All, Page::newest(99)).unwrap(), jobs);
    assert!(catalogue.warning().is_some());
}

/// A ledger that may only be read has no key.
#[test]
fn without_a_key_there_is_no_index() {
    let bench = Bench::new();
    let jobs = ten(&bench);
    fs::create_dir(bench.dir().join("index.key")).unwrap();
    let (found, warning) = page(&bench);
    assert_eq!(found, jobs);
    assert!(warning.is_some());
}

#[test]
fn a_small_place_is_given_up_when_it_is_full() {
    let bench = Bench::new();
    let ledger = bench.ledger();
    let home = Home::new(bench.cache(), Some(12 * 4096));
    let mut index = Sqlite::open(&bench.dir(), &home);
    for n in 0..600 {
        intend(&ledger, n, n);
    }
    let full = match &mut index {
        Ok(index) => index.refresh(&mut |_| {}).unwrap_err(),
        Err(_) => index.unwrap_err(),
    };
    assert!(matches!(full, IndexError::Store(_)), "{full:?}");
    assert!(!full.is_damage(), "it would not fit the next time either");
}

#[test]
fn the_second_place_is_taken_where_the_first_is_bad() {
    let bench = Bench::new();
    let runtime = bench.root.path().join("run");
    fs::create_dir(&runtime).unwrap();
    let good = Home::choose(&bench.cache(), Some(&runtime)).unwrap();
    assert_eq!(good, bench.home());
    let second = Home::choose(Path::new("/proc/self/x"), Some(&runtime)).unwrap();
    assert_eq!(second, Home::new(runtime.join("moorline/index"), Some(super::home::SMALL)));
    let why = Home::choose(Path::new("/proc/self/x"), None).unwrap_err();
    assert!(matches!(why, IndexError::Io(_)), "{why:?}");
}

/// An index that somebody uses is not removed under him.
#[test]
fn one_in_use_is_not_thrown_away() {
    let bench = Bench::new();
    ten(&bench);
    let index = bench.sqlite();
    let found = Sqlite::throw_away(&bench.dir(), &bench.home());
    assert!(matches!(found, Err(IndexError::Place(_))), "{found:?}");
    drop(index);
    Sqlite::throw_away(&bench.dir(), &bench.home()).unwrap();
    assert!(!Sqlite::is_there(&bench.dir(), &bench.home()));
}

/// The first opening makes the file, its journal and its tables; nobody who opens it at the same time fails. The
/// last one who closes it removes the journal, which somebody else may open just then.
#[test]
fn several_open_a_new_one_at_once() {
    for _ in 0..40 {
        let bench = Bench::new();
        drop(bench.ledger());
        let gate = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    gate.wait();
                    for _ in 0..4 {
                        bench.sqlite().refresh(&mut |_| {}).unwrap();
                    }
                });
            }
        });
    }
}

/// Several at once, while records are written: nobody waits for ever, and all see the same in the end.
#[test]
fn several_refresh_at_once() {
    let bench = Bench::new();
    let ledger = bench.ledger();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut index = bench.sqlite();
                for _ in 0..30 {
                    index.refresh(&mut |_| {}).unwrap();
                    index.page(Filter::All, Page::newest(5)).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for n in 0..60 {
                intend(&ledger, n, n);
            }
        });
    });
    let mut index = bench.sqlite();
    index.refresh(&mut |_| {}).unwrap();
    let jobs = index.page(Filter::All, Page::newest(999)).unwrap();
    assert_eq!(jobs.len(), 60);
    for job in jobs {
        assert_eq!(index.lines(job).unwrap().len(), 1, "each record once");
    }
}
