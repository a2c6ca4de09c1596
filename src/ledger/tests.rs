use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::reason::Reason;
use crate::base::text::Lines;

fn key(number: usize) -> Key {
    Key::new(&[&number.to_le_bytes()])
}

fn keep(number: usize) -> Decision {
    Decision::Keep(vec![Lines::new(number, number + 3)])
}

fn in_memory() -> Ledger {
    Ledger::open(LedgerConfig { memory_bytes: 1 << 20, ..LedgerConfig::default() })
}

fn at(path: &std::path::Path, disk_bytes: u64) -> Ledger {
    Ledger::open(LedgerConfig { memory_bytes: 1 << 20, path: Some(path.to_owned()), disk_bytes })
}

fn decide(ledger: &Ledger, number: usize, decision: Decision) -> Decision {
    ledger.decide::<()>(key(number), &Cancel::default(), || Ok(decision)).unwrap()
}

#[test]
fn a_decision_stays() {
    let ledger = in_memory();
    assert_eq!(decide(&ledger, 1, Decision::Leave(Reason::Deadline)), Decision::Leave(Reason::Deadline));
    assert_eq!(decide(&ledger, 1, keep(7)), Decision::Leave(Reason::Deadline));
    assert_eq!(ledger.decide(key(2), &Cancel::default(), || Err("no")), Err("no"));
    assert_eq!(decide(&ledger, 2, keep(7)), keep(7), "an error is no decision");
}

#[test]
fn a_full_memory_takes_the_newest() {
    let ledger = Ledger::open(LedgerConfig { memory_bytes: 5_000, ..LedgerConfig::default() });
    for number in 0..200 {
        decide(&ledger, number % 10, keep(number % 10));
    }
    for number in 1000..1100 {
        decide(&ledger, number, keep(number));
        ledger.memory.run_pending_tasks();
        assert_eq!(decide(&ledger, number, keep(0)), keep(number), "asked again in the next turn");
    }
}

#[test]
fn who_asks_at_the_same_time_waits() {
    const THREADS: usize = 16;
    // Also where the memory has no room for the answer.
    for ledger in [in_memory(), Ledger::open(LedgerConfig::default())] {
        let (start, taken) = (Barrier::new(THREADS), AtomicUsize::new(0));
        let waiting = || ledger.in_flight.get(&key(1)).map_or(0, |flight| Arc::strong_count(&flight));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    let decided = ledger.decide::<()>(key(1), &Cancel::default(), || {
                        // Not before all the others wait: the map and the one who decides hold the flight too.
                        while waiting() < THREADS + 1 {
                            std::thread::yield_now();
                        }
                        Ok(keep(taken.fetch_add(1, Ordering::SeqCst)))
                    });
                    assert_eq!(decided, Ok(keep(0)));
                });
            }
        });
        assert_eq!(taken.into_inner(), 1);
    }
}

#[test]
fn the_next_takes_over_from_one_that_fails_or_is_cancelled() {
    let (ledger, inside) = (in_memory(), Barrier::new(2));
    std::thread::scope(|scope| {
        let failing = scope.spawn(|| {
            ledger.decide(key(1), &Cancel::default(), || {
                inside.wait();
                inside.wait();
                Err("no")
            })
        });
        inside.wait();
        let cancelled = Cancel::default();
        cancelled.cancel();
        assert_eq!(ledger.decide(key(1), &cancelled, || Err("cancelled")), Err("cancelled"));
        inside.wait();
        assert_eq!(decide(&ledger, 1, keep(3)), keep(3));
        assert_eq!(failing.join().unwrap(), Err("no"));
    });
    let panicking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ledger.decide::<()>(key(2), &Cancel::default(), || panic!("on purpose"))
    }));
    assert!(panicking.is_err());
    assert_eq!(decide(&ledger, 2, keep(4)), keep(4));
}

#[test]
fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/ledger.redb");
    for number in 0..50 {
        decide(&at(&path, 1 << 20), number, keep(number));
    }
    let ledger = at(&path, 1 << 20);
    for number in 0..50 {
        assert_eq!(decide(&ledger, number, Decision::Leave(Reason::Syntax)), keep(number));
    }
}

#[test]
fn the_oldest_go_when_the_file_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    {
        let ledger = at(&path, 80_000);
        (0..1000).for_each(|number| drop(decide(&ledger, number, keep(number))));
    }
    let ledger = at(&path, 80_000);
    let known = (0..1000).filter(|&number| ledger.find(key(number)).is_some()).collect::<Vec<_>>();
    assert!(known.len() > 50 && known.len() < 200, "{}", known.len());
    assert_eq!(known.last(), Some(&999));
}

#[test]
fn the_file_keeps_to_its_limit() {
    const LIMIT: u64 = 8 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let long = Decision::Keep((0..200).map(|line| Lines::new(line * 10, line * 10 + 5)).collect());
    for batch in 0..40 {
        // Closed, so that all is written.
        let ledger = at(&path, LIMIT);
        (0..1000).for_each(|number| drop(decide(&ledger, batch * 1000 + number, long.clone())));
        drop(ledger);
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length <= LIMIT, "{length} after batch {batch}");
    }
}

#[test]
fn a_file_that_can_not_be_used_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let letter = "a letter to my mother, not a ledger".repeat(500);
    std::fs::write(&path, &letter).unwrap();
    assert_eq!(decide(&at(&path, 1 << 20), 1, keep(1)), keep(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
    // A folder in the place of the file.
    assert_eq!(decide(&at(folder.path(), 1 << 20), 1, keep(1)), keep(1));
    // Two at once.
    let other = folder.path().join("other.redb");
    let (first, second) = (at(&other, 1 << 20), at(&other, 1 << 20));
    assert!(first.disk.is_some() && second.disk.is_none());
    assert_eq!(decide(&second, 1, keep(1)), keep(1));
}

#[test]
fn damage_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    for (number, damage) in ["cut", "zeros", "noise"].iter().enumerate() {
        drop((0..20).map(|number| decide(&at(&path, 1 << 20), number, keep(number))).collect::<Vec<_>>());
        let mut bytes = std::fs::read(&path).unwrap();
        match *damage {
            "cut" => bytes.truncate(bytes.len() / 3),
            "zeros" => bytes[4..4096].fill(0),
            _ => bytes.iter_mut().skip(64).step_by(97).for_each(|byte| *byte ^= 0x5a),
        }
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(decide(&at(&path, 1 << 20), 1, keep(1)), keep(1), "{damage}");
        // Each has a name of its own.
        let aside = folder.path().join(format!("ledger.redb.damaged-{}", number + 1));
        assert!(std::fs::read(aside).unwrap() == bytes, "{damage}");
    }
}

#[test]
fn flipped_bits_never_make_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    {
        let ledger = at(&path, 1 << 20);
        (0..200).for_each(|number| drop(decide(&ledger, number, keep(number))));
    }
    let whole = std::fs::read(&path).unwrap();
    let written = whole.iter().enumerate().filter(|&(_, &byte)| byte != 0).map(|(at, _)| at).collect::<Vec<_>>();
    let mut random = 1_u64;
    for round in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..=round {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes[written[(random >> 33) as usize % written.len()]] ^= 1 << (random >> 8 & 7);
        }
        std::fs::write(&path, &bytes).unwrap();
        let ledger = at(&path, 1 << 20);
        for number in 0..200 {
            let decided = decide(&ledger, number, Decision::Leave(Reason::Deadline));
            assert!(decided == keep(number) || decided == Decision::Leave(Reason::Deadline), "{round} {decided:?}");
        }
        drop(ledger);
        for number in 1..=9 {
            let _ = std::fs::remove_file(folder.path().join(format!("ledger.redb.damaged-{number}")));
        }
    }
}
