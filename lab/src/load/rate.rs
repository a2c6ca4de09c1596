//! Requests at a fixed rate, however long the answers take.
//!
//! A request's latency counts from when it was due, not from when it was sent, so requests that wait behind a slow one
//! count as late (no coordinated omission).

use std::thread;
use std::time::{Duration, Instant};

use super::bodies;
use super::http::{Connection, request};
use super::latency::Latencies;
use super::way::Way;

/// A thread sleeps until this long before the next request, then spins, as waking up takes about as long.
const WAKE: Duration = Duration::from_micros(80);
/// A run that takes so many times longer than planned is given up.
const PATIENCE: u32 = 3;
/// The fewest and the most connections; each of n sends every n-th request.
const CONNECTIONS: [f64; 2] = [8.0, 64.0];

/// A request.
pub struct Case {
    pub method: &'static str,
    pub path: String,
    pub body: Vec<u8>,
}

/// The outcome of a run.
#[derive(Default, Clone)]
pub struct Run {
    pub latencies: Latencies,
    /// Requests without a successful answer.
    pub failed: usize,
    /// Requests not sent because the run was given up.
    pub unsent: usize,
}

impl Run {
    pub fn append(&mut self, other: Self) {
        self.latencies.append(other.latencies);
        self.failed += other.failed;
        self.unsent += other.unsent;
    }
}

/// Sends `case` on `way`, `rate` times a second for `time`, on warm connections. `first` is the number in the first
/// request; the others count up from it.
pub fn run(way: &Way, case: &Case, rate: f64, time: Duration, first: u64) -> Run {
    let total = (rate * time.as_secs_f64()).ceil() as u64;
    let threads = (rate / 8.0).clamp(CONNECTIONS[0], CONNECTIONS[1]).ceil().min(total as f64) as u64;
    let ready = std::sync::Barrier::new(threads as usize);
    // Set when all connections are warm.
    let start = std::sync::OnceLock::new();
    thread::scope(|scope| {
        let sender = |index: u64| {
            let (ready, start) = (&ready, &start);
            move || {
                let mut bytes = request(way, case.method, &case.path, &case.body);
                let places = bodies::numbers(&bytes);
                bodies::set_number(&mut bytes, &places, first + index);
                let mut connection = Connection::open(way).and_then(|mut open| open.exchange(&bytes).map(|_| open));
                ready.wait();
                let start = *start.get_or_init(|| Instant::now() + Duration::from_millis(20));
                let mut run = Run::default();
                for number in (index..total).step_by(threads as usize) {
                    let due = start + Duration::from_secs_f64(number as f64 / rate);
                    bodies::set_number(&mut bytes, &places, first + threads + number);
                    wait_until(due);
                    if due.elapsed() > time * PATIENCE {
                        run.unsent += 1;
                        continue;
                    }
                    let answer = match &mut connection {
                        Ok(open) => open.exchange(&bytes).ok(),
                        Err(_) => None,
                    };
                    match answer {
                        Some(answer) if (200..300).contains(&answer.status) => run.latencies.add(due.elapsed()),
                        answer => {
                            run.failed += 1;
                            if answer.is_none() {
                                connection = Connection::open(way);
                            }
                        }
                    }
                }
                run
            }
        };
        let senders: Vec<_> = (0..threads).map(|index| scope.spawn(sender(index))).collect();
        let mut all = Run::default();
        for sender in senders {
            all.append(sender.join().unwrap_or_default());
        }
        all
    })
}

fn wait_until(due: Instant) {
    if let Some(long) = due.checked_duration_since(Instant::now() + WAKE) {
        thread::sleep(long);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
