//! Schedules of network faults between the client and a registry; see the files.
// two test programs share this folder, each uses a part of it
#![allow(dead_code)]

pub mod proxy;
pub mod pull;
pub mod schedule;

use std::net::SocketAddr;
use std::ops::Range;

use proxy::Proxy;
use pull::{Right, judge, pull};
use schedule::Schedule;

/// 20, under `MOORLINE_SOAK` 200, or the one seed that `MOORLINE_FAULT_SEED` names.
pub fn seeds() -> Range<u64> {
    if let Ok(text) = std::env::var("MOORLINE_FAULT_SEED") {
        let seed = text.parse().expect("MOORLINE_FAULT_SEED is a number");
        return seed..seed + 1;
    }
    0..if std::env::var_os("MOORLINE_SOAK").is_some() { 200 } else { 20 }
}

#[expect(clippy::print_stdout, reason = "how many ended how belongs into docs/soak.md")]
fn say(line: &str) {
    println!("{line}");
}

/// All schedules, a few at a time; fails with the seeds of those that ended wrong.
pub async fn run_all(name: &str, registry: SocketAddr, realm: SocketAddr) {
    const AT_ONCE: usize = 4;
    let right = undisturbed(registry, realm).await;
    let mut running = tokio::task::JoinSet::new();
    let (mut passed, mut failed, mut faults, mut wrong) = (0, 0, 0, Vec::new());
    let mut seeds = seeds();
    loop {
        while running.len() < AT_ONCE
            && let Some(seed) = seeds.next()
        {
            let right = right.clone();
            running.spawn(async move {
                let schedule = Schedule::of(seed);
                let proxy = Proxy::start(registry, realm, schedule);
                let ended = judge(&proxy, schedule, &right).await;
                (seed, ended, proxy.done())
            });
        }
        let Some(joined) = running.join_next().await else { break };
        let (seed, ended, done) = joined.unwrap();
        faults += done.len();
        match ended {
            Ok(true) => passed += 1,
            Ok(false) => failed += 1,
            Err(why) => {
                let mut told = format!("MOORLINE_FAULT_SEED={seed}: {why}");
                for one in done {
                    told += &format!("\n    {}: {:?}", one.request, one.fault);
                }
                wrong.push(told);
            }
        }
    }
    say(&format!(
        "{name}: {passed} pulls ended right, {failed} with a clear error; {faults} faults"
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(faults > 0 || passed + failed < 3, "no schedule did anything");
}

/// The image as it comes without any fault.
pub async fn undisturbed(registry: SocketAddr, realm: SocketAddr) -> Right {
    let proxy = Proxy::start(registry, realm, Schedule::clear());
    let folder = tempfile::tempdir().unwrap();
    let store = moorline::store::Store::open(&folder.path().join("store")).unwrap();
    pull(&proxy, &store).await.expect("nothing is in the way")
}
