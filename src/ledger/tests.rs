use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

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
fn keys_tell_parts_apart() {
    assert_ne!(Key::new(&[b"ab", b"c"]), Key::new(&[b"a", b"bc"]));
    assert_eq!(Key::new(&[b"ab"]), Key::new(&[b"ab"]));
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
fn who_asks_at_the_same_time_waits() {
    const THREADS: usize = 16;
    let (ledger, start, taken) = (in_memory(), Barrier::new(THREADS), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                let decided =
                    ledger.decide::<()>(key(1), &Cancel::default(), || Ok(keep(taken.fetch_add(1, Ordering::SeqCst))));
                assert_eq!(decided, Ok(keep(0)));
            });
        }
    });
    assert_eq!(taken.into_inner(), 1);
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
        let ledger = at(&path, 20_000);
        (0..1000).for_each(|number| drop(decide(&ledger, number, keep(number))));
    }
    let ledger = at(&path, 20_000);
    let known = (0..1000).filter(|&number| ledger.known(key(number)).is_some()).collect::<Vec<_>>();
    assert!(known.len() > 50 && known.len() < 200, "{}", known.len());
    assert_eq!(known.last(), Some(&999));
}

#[test]
fn a_file_that_can_not_be_used_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    std::fs::write(&path, "a letter to my mother, not a ledger".repeat(500)).unwrap();
    drop(at(&path, 1 << 20));
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
    for (name, damage) in [("cut", 0), ("zeros", 1), ("noise", 2)] {
        let path = folder.path().join(name);
        drop((0..20).map(|number| decide(&at(&path, 1 << 20), number, keep(number))).collect::<Vec<_>>());
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            0 => bytes.truncate(bytes.len() / 3),
            1 => bytes[..4096].fill(0),
            _ => bytes.iter_mut().skip(64).step_by(97).for_each(|byte| *byte ^= 0x5a),
        }
        std::fs::write(&path, &bytes).unwrap();
        let ledger = at(&path, 1 << 20);
        let decided = decide(&ledger, 1, keep(1));
        assert_eq!(decided, keep(1), "{name}");
    }
}
