//! Whose turn it is: jobs take turns at the model, one group of neighbouring contexts each time.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use super::batch::{self, Size};
use super::cache::{self, Key, Likelihoods, Memory};
use super::worker::{self, Part, Scored};
use super::{EngineError, Forks};
use crate::base::limits::Limits;

/// Jobs that take turns; more wait in the queue.
const JOBS: usize = 16;

/// Something to be done, and whom to tell.
pub struct Job {
    pub work: Work,
    pub limits: Limits,
    pub reply: Sender<Result<Scores, EngineError>>,
}

pub enum Work {
    Score(Vec<Forks>),
    /// Raw prefill, for comparison: full batches of one sequence each, no logits read.
    Prefill {
        tokens: usize,
        /// Of each batch the logits of so many tokens are computed.
        outputs: usize,
    },
}

/// Scores of one job, and what they cost.
pub struct Scores {
    /// For each context, for each target: nats by token.
    pub likelihoods: Vec<Option<Vec<Vec<f32>>>>,
    /// Tokens that went through the model.
    pub decoded: usize,
}

/// What computes; an error is its reason.
pub trait Compute {
    /// Scores groups of one job or more together.
    fn score(&mut self, parts: &[Part]) -> Result<Vec<Scored>, String>;

    /// Reads at least `tokens` tokens in full batches and says how many; of each batch `outputs` have logits.
    fn prefill(&mut self, tokens: usize, outputs: usize) -> Result<usize, String>;
}

/// Works as [`serve`] does, and goes on when that panics, which `panics` counts: with another of `make` in the place of
/// `first`. Those whose jobs were in progress get no answer; the others wait on. Ends also where no other can be made.
pub fn serve_on<C: Compute>(
    first: C,
    make: impl Fn() -> Result<C, EngineError>,
    queue: &Receiver<Job>,
    known: &Memory<Likelihoods>,
    is_shared: bool,
    panics: &AtomicU64,
) {
    let mut compute = first;
    // What a panic left half done is in `compute`, which goes, and in jobs, which are gone. What is known is known whole.
    while catch_unwind(AssertUnwindSafe(|| serve(&mut compute, queue, known, is_shared))).is_err() {
        panics.fetch_add(1, Ordering::Relaxed);
        // Two would not fit where one does.
        drop(compute);
        compute = match make() {
            Ok(another) => another,
            Err(error) => {
                tracing::error!(%error, "the model's thread panicked and can't be started again; restart Lopper");
                return;
            }
        };
        tracing::error!("the model's thread panicked and was started again; what it was scoring is left as it is");
    }
}

/// Works until every sender of `queue` is gone. What was scored is taken from `known` and added to it. Where `is_shared`,
/// groups of several jobs are scored together as far as they fit.
pub fn serve(compute: &mut impl Compute, queue: &Receiver<Job>, known: &Memory<Likelihoods>, is_shared: bool) {
    let mut turns: VecDeque<Turn> = VecDeque::new();
    loop {
        while turns.len() < JOBS {
            let job = match turns.is_empty() {
                true => queue.recv().ok(),
                false => queue.try_recv().ok(),
            };
            match job {
                Some(job) => turns.extend(Turn::new(job, known).unless_done()),
                None if turns.is_empty() => return,
                None => break,
            }
        }
        let Some(first) = turns.pop_front().and_then(Turn::unless_done) else { continue };
        if let Work::Prefill { tokens, outputs } = first.job.work {
            let prefilled = compute.prefill(tokens, outputs);
            first.reply(prefilled.map(|decoded| Scores { likelihoods: Vec::new(), decoded }));
            continue;
        }
        let mut together = vec![first];
        if is_shared {
            join(&mut together, &mut turns);
        }
        // One each: a turn without a group is done.
        let groups: Vec<Group> = together.iter_mut().filter_map(|turn| turn.groups.pop_front()).collect();
        let parts: Vec<Part> = together.iter().zip(&groups).map(|(turn, group)| turn.part(group)).collect();
        match compute.score(&parts) {
            Ok(scored) => {
                for ((mut turn, group), scored) in together.into_iter().zip(groups).zip(scored) {
                    turn.put(group, scored, known);
                    turns.extend(turn.unless_done());
                }
            }
            Err(reason) => together.into_iter().for_each(|turn| turn.reply(Err(reason.clone()))),
        }
    }
}

/// Takes those out of `turns` whose next groups fit beside that of the first of `together`.
fn join(together: &mut Vec<Turn>, turns: &mut VecDeque<Turn>) {
    let next = |turn: &Turn| Some(turn.groups.front()?.size).filter(|_| !turn.job.limits.reached());
    let Some(first) = next(&together[0]) else { return };
    let waiting: Vec<(usize, Size)> = turns.iter().enumerate().filter_map(|(i, turn)| Some((i, next(turn)?))).collect();
    let joined = batch::join(first, waiting.iter().map(|(_, size)| *size), worker::GROUP);
    // From the end, where removing moves none that is still to be removed.
    let others: Vec<Turn> = joined.into_iter().rev().filter_map(|at| turns.remove(waiting[at].0)).collect();
    together.extend(others.into_iter().rev());
}

/// A job in progress.
struct Turn {
    job: Job,
    scores: Scores,
    /// What is left to do, in the order of urgency.
    groups: VecDeque<Group>,
}

/// Neighbouring contexts that are read together.
struct Group {
    members: Range<usize>,
    size: Size,
    key: Key,
}

impl Turn {
    /// A job with what is known of it put in.
    fn new(job: Job, known: &Memory<Likelihoods>) -> Self {
        let forks = match &job.work {
            Work::Score(forks) => &forks[..],
            Work::Prefill { .. } => &[],
        };
        let mut scores = Scores { likelihoods: vec![None; forks.len()], decoded: 0 };
        let sizes: Vec<Size> = forks.iter().map(worker::size).collect();
        let mut groups = Vec::new();
        for members in batch::group(&sizes, worker::GROUP) {
            let key = cache::likelihoods_key(&forks[members.clone()]);
            match known.get(&key) {
                Some(likelihoods) => put(&mut scores, members, &likelihoods),
                None => groups.push(Group { size: sizes[members.clone()].iter().copied().sum(), members, key }),
            }
        }
        let urgency = |group: &Group| {
            forks[group.members.clone()].iter().map(|one| one.priority).fold(f32::NEG_INFINITY, f32::max)
        };
        // Stable: of equal ones the first is first.
        groups.sort_by(|a, b| urgency(b).total_cmp(&urgency(a)));
        Self { scores, groups: groups.into(), job }
    }

    /// The turn, if there is something left to do and time for it; else its job is answered.
    fn unless_done(self) -> Option<Self> {
        let is_scored = matches!(self.job.work, Work::Score(_)) && self.groups.is_empty();
        if !is_scored && !self.job.limits.reached() {
            return Some(self);
        }
        let Self { job, scores, .. } = self;
        job.answer(Ok(scores));
        None
    }

    fn reply(self, result: Result<Scores, String>) {
        self.job.answer(result);
    }

    fn part(&self, group: &Group) -> Part<'_> {
        let forks = match &self.job.work {
            Work::Score(forks) => &forks[group.members.clone()],
            Work::Prefill { .. } => &[],
        };
        Part { forks, limits: &self.job.limits }
    }

    fn put(&mut self, group: Group, scored: Scored, known: &Memory<Likelihoods>) {
        self.scores.decoded += scored.decoded;
        if let Some(likelihoods) = scored.likelihoods {
            put(&mut self.scores, group.members, &likelihoods);
            known.insert(group.key, likelihoods);
        }
    }
}

impl Job {
    fn answer(self, result: Result<Scores, String>) {
        // The caller may have gone; then nobody wants the result.
        let _ = self.reply.send(result.map_err(EngineError::Decode));
    }
}

fn put(scores: &mut Scores, members: Range<usize>, likelihoods: &Likelihoods) {
    for (place, targets) in scores.likelihoods[members].iter_mut().zip(likelihoods) {
        *place = Some(targets.clone());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use std::sync::mpsc::channel;

    use super::*;
    use crate::base::limits::Cancel;
    use crate::engine::Token;

    /// Scores each target's tokens as their ids, and remembers of each batch whose contexts were in it.
    #[derive(Default)]
    struct Noted {
        batches: Vec<Vec<i32>>,
        cancels: Option<Cancel>,
    }

    impl Compute for Noted {
        fn score(&mut self, parts: &[Part]) -> Result<Vec<Scored>, String> {
            self.batches.push(parts.iter().map(|part| part.forks[0].context[0].0).collect());
            if let Some(cancel) = self.cancels.take() {
                cancel.cancel();
            }
            let nats = |target: &Vec<Token>| target.iter().map(|token| token.0 as f32).collect::<Vec<f32>>();
            let scored = |part: &Part| Scored {
                likelihoods: (!part.limits.reached())
                    .then(|| part.forks.iter().map(|one| one.targets.iter().map(nats).collect()).collect()),
                decoded: 1,
            };
            Ok(parts.iter().map(scored).collect())
        }

        fn prefill(&mut self, tokens: usize, _: usize) -> Result<usize, String> {
            Ok(tokens)
        }
    }

    /// So many contexts of so many tokens, all the number of the job.
    fn work(job: i32, contexts: usize, tokens: usize) -> Work {
        Work::Score(vec![Forks::one(vec![Token(job); tokens], vec![Token(job); 10]); contexts])
    }

    /// Serves jobs that all wait when it starts. What came of each: how many contexts have scores, and tokens decoded.
    fn served(compute: &mut Noted, jobs: Vec<(Work, Limits)>, is_shared: bool) -> Vec<(usize, usize)> {
        let (queue, waiting) = channel();
        let mut results = Vec::new();
        for (work, limits) in jobs {
            let (reply, result) = channel();
            queue.send(Job { work, limits, reply }).unwrap();
            results.push(result);
        }
        drop(queue);
        serve(compute, &waiting, &Memory::of_likelihoods(true), is_shared);
        let scores = results.into_iter().map(|result| result.recv().unwrap().unwrap());
        scores.map(|scores| (scores.likelihoods.iter().flatten().count(), scores.decoded)).collect()
    }

    fn all(jobs: Vec<Work>) -> Vec<(Work, Limits)> {
        jobs.into_iter().map(|work| (work, Limits::default())).collect()
    }

    #[test]
    fn each_job_has_its_batches_for_itself_and_they_take_turns() {
        let mut noted = Noted::default();
        let jobs = vec![work(1, 4, 600), work(2, 2, 30), Work::Prefill { tokens: 7, outputs: 0 }];
        assert_eq!(served(&mut noted, all(jobs), false), [(4, 1 + 3), (2, 1), (0, 7)]);
        assert_eq!(noted.batches, [[1], [2], [1], [1], [1]]);
    }
    #[test]
    fn where_batches_are_shared_what_fits_goes_together() {
        let mut noted = Noted::default();
        let jobs = vec![work(1, 2, 30), work(2, 3, 900), work(3, 2, 30), Work::Prefill { tokens: 7, outputs: 0 }];
        assert_eq!(served(&mut noted, all(jobs), true), [(2, 1), (3, 3), (2, 1), (0, 7)]);
        assert_eq!(noted.batches, [vec![1, 2, 3], vec![2], vec![2]]);
    }

    #[test]
    fn who_is_gone_does_not_spoil_the_others() {
        let cancel = Cancel::default();
        let limits = Limits { cancel: cancel.clone(), deadline: None };
        let mut noted = Noted { cancels: Some(cancel), ..Noted::default() };
        let jobs = vec![(work(1, 2, 600), limits), (work(2, 1, 30), Limits::default())];
        assert_eq!(served(&mut noted, jobs, true), [(0, 1), (1, 1)]);
        assert_eq!(noted.batches, [[1, 2]]);
    }

    /// Panics at contexts of token 13.
    struct Touchy;

    impl Compute for Touchy {
        fn score(&mut self, parts: &[Part]) -> Result<Vec<Scored>, String> {
            assert!(parts.iter().all(|part| part.forks[0].context[0] != Token(13)));
            Noted::default().score(parts)
        }

        fn prefill(&mut self, tokens: usize, _: usize) -> Result<usize, String> {
            Ok(tokens)
        }
    }

    /// What each job hears from a thread that `make` starts again after a panic.
    fn heard(jobs: &[i32], make: impl Fn() -> Result<Touchy, EngineError>) -> (Vec<bool>, u64) {
        let (queue, waiting) = channel();
        let (panics, known) = (AtomicU64::default(), Memory::of_likelihoods(true));
        let ask = |job: &i32| {
            let (reply, result) = channel();
            queue.send(Job { work: work(*job, 1, 30), limits: Limits::default(), reply }).unwrap();
            result
        };
        // More than take turns at once.
        let results: Vec<_> = jobs.iter().map(ask).collect();
        drop(queue);
        serve_on(Touchy, make, &waiting, &known, false, &panics);
        drop(waiting);
        (results.into_iter().map(|result| result.recv().is_ok()).collect(), panics.into_inner())
    }

    #[test]
    fn a_panic_costs_the_jobs_in_progress_and_no_other() {
        let mut jobs = vec![1, 13];
        jobs.extend(2..=JOBS as i32 + 3);
        let (answered, panics) = heard(&jobs, || Ok(Touchy));
        assert_eq!(panics, 1);
        assert!(answered[0] && !answered[1]);
        // One was answered before the panic and made room for the next.
        assert_eq!(answered.iter().filter(|answered| !**answered).count(), JOBS, "{answered:?}");
        assert!(answered[JOBS + 1..].iter().all(|answered| *answered), "{answered:?}");
        assert_eq!(heard(&[13, 13], || Ok(Touchy)).1, 1, "they took turns");
    }

    #[test]
    fn where_the_model_does_not_come_up_again_nobody_waits_for_it() {
        let mut jobs = vec![13];
        jobs.extend(1..=JOBS as i32 + 3);
        let (answered, panics) = heard(&jobs, || Err(EngineError::Stopped));
        assert_eq!((answered.iter().any(|answered| *answered), panics), (false, 1));
    }

    #[test]
    fn what_was_scored_is_not_scored_again() {
        let mut noted = Noted::default();
        let jobs = (0..JOBS + 2).map(|_| work(1, 2, 30)).collect();
        let served = served(&mut noted, all(jobs), false);
        // Those that began together know nothing of each other; the last ones come after the first was done.
        assert_eq!(served[0], (2, 1));
        assert_eq!(served[JOBS..], [(2, 0); 2]);
    }
}
