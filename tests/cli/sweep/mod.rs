//! The sweep: at every writing system call of a command the process is killed, or the call fails with
//! `EIO`, `ENOSPC`, `EDQUOT` or `ESTALE`, once, three times or from then on. Afterwards the store and the ledger are whole, the next run
//! gives the right bytes, and nothing is left behind.
//!
//! ```text
//! traced once      every call in the command's own directory is a place:  (call, its number in its thread)
//! place x fault    a point; `strace --inject=CALL:FAULT:when=NUMBER` of a fresh copy of the directory
//! ```
//!
//! `MOORLINE_SWEEP_POINTS` says how many points are taken, spread evenly over all commands; 10,000 with
//! `MOORLINE_SOAK=1`, 60 without either. A number above all points takes them again with other threads.
//! `MOORLINE_SWEEP_ONLY` leaves those whose line holds this text.

#![allow(clippy::print_stderr, reason = "the counts are the result")]

mod images;
mod points;
mod prepared;
mod registry;
mod stories;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::points::{Point, Struck};
use self::stories::Story;
use crate::support::have;

fn wanted() -> usize {
    let set = std::env::var("MOORLINE_SWEEP_POINTS").ok();
    let soak = std::env::var_os("MOORLINE_SOAK").is_some();
    set.map_or(if soak { 10_000 } else { 60 }, |text| text.parse().expect("a number of points"))
}

fn can_trace(test: &str) -> bool {
    let traces = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    have("strace", test, traces.is_ok_and(|status| status.success()))
}

/// `wanted` of the points of all stories: as many of each story as of any other while it has that many,
/// spread evenly over it. All of them as often as they fit in.
fn chosen(stories: &[Vec<Point>], wanted: usize) -> Vec<(usize, Point)> {
    let all: usize = stories.iter().map(Vec::len).sum();
    let (rounds, mut rest) = (wanted / all, wanted % all);
    let mut points = Vec::new();
    for (story, of) in stories.iter().enumerate() {
        points.extend(
            (0..rounds).flat_map(|round| of.iter().map(move |p| (story, p.in_round(round)))),
        );
    }
    // what a small story leaves over is the others'
    let mut smallest: Vec<usize> = (0..stories.len()).collect();
    smallest.sort_by_key(|story| stories[*story].len());
    for (done, story) in smallest.into_iter().enumerate() {
        let of = &stories[story];
        let share = of.len().min(rest.div_ceil(stories.len() - done));
        points.extend((0..share).map(|i| (story, of[i * of.len() / share].in_round(rounds))));
        rest -= share;
    }
    points
}

#[test]
fn every_writing_call_may_fail_or_be_the_last() {
    if !can_trace("every_writing_call_may_fail_or_be_the_last") {
        return;
    }
    let stories = Story::all();
    let found: Vec<Vec<Point>> = stories.iter().map(Story::points).collect();
    let mut points = chosen(&found, wanted());
    if let Ok(only) = std::env::var("MOORLINE_SWEEP_ONLY") {
        points
            .retain(|(story, point)| format!("{}: {point}", stories[*story].name).contains(&only));
    }
    for (number, (story, found)) in stories.iter().zip(&found).enumerate() {
        let taken = points.iter().filter(|(of, _)| *of == number).count();
        eprintln!("sweep: {}: {taken} points of {}", story.name, found.len());
        assert!(found.len() > 100, "{}: only {} points were found", story.name, found.len());
    }
    let (next, struck) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((number, point)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let story = &stories[*number];
                    let (place, outcome) = story.strike(point);
                    let checked = outcome.and_then(|outcome| {
                        struck.fetch_add(usize::from(outcome.fired), Ordering::Relaxed);
                        story.check(&place, &outcome)
                    });
                    if let Err(why) = checked {
                        failures.lock().unwrap().push(format!("{}: {point}: {why}", story.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let struck = struck.into_inner();
    eprintln!(
        "sweep: {} points of {}; the fault came in {struck}; {} failed",
        points.len(),
        found.iter().map(Vec::len).sum::<usize>(),
        failures.len()
    );
    for failure in failures.iter().skip(1).take(20) {
        eprintln!("sweep: also: {failure}");
    }
    assert!(failures.is_empty(), "the first failure of {}:\n{}", failures.len(), failures[0]);
    // threads do not make the same calls in each run, so some faults find nothing to strike
    assert!(struck * 10 > points.len() * 8, "the fault came in only {struck} of {}", points.len());
}

/// The sweep finds what it is there to find.
#[test]
fn the_sweep_itself_can_fail() {
    if !can_trace("the_sweep_itself_can_fail") {
        return;
    }
    let stories = Story::all();
    for story in &stories {
        let kill = story.points().into_iter().find(Point::is_kill).unwrap();
        let struck = || {
            let (place, outcome) = story.strike(&kill);
            (place, outcome.unwrap())
        };
        let (place, outcome) = struck();
        assert!(outcome.fired && outcome.killed, "{}: {kill}: {outcome:?}", story.name);
        story.check(&place, &outcome).unwrap();

        let (place, outcome) = struck();
        story.damage(&place);
        assert!(story.check(&place, &outcome).is_err(), "{}: damage was not seen", story.name);

        let (place, outcome) = struck();
        let panicked = Struck { code: Some(101), killed: false, ..outcome };
        assert!(story.check(&place, &panicked).is_err(), "{}: a panic was not seen", story.name);
    }
}

#[test]
fn points_are_shared_out_among_the_stories() {
    let points = |n: usize| -> Vec<Point> { (1..=n).map(|at| Point::kill("write", at)).collect() };
    let stories = [points(100), points(5), points(30)];
    let count = |wanted: usize| {
        let chosen = chosen(&stories, wanted);
        [0, 1, 2].map(|story| chosen.iter().filter(|(of, _)| *of == story).count())
    };
    assert_eq!(count(9), [3, 3, 3]);
    assert_eq!(count(45), [20, 5, 20]);
    assert_eq!(count(135), [100, 5, 30]);
    assert_eq!(count(270), [200, 10, 60]);
    assert_eq!(count(144), [103, 8, 33]);
    let distinct = |wanted: usize| {
        let mut all: Vec<String> =
            chosen(&stories, wanted).iter().map(|(story, p)| format!("{story} {p}")).collect();
        all.sort();
        all.dedup();
        all.len()
    };
    assert_eq!((distinct(100), distinct(300)), (100, 300));
}
