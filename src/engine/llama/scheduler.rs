//! Gives jobs their turns at the model, one group of neighbouring contexts at a time, so that a long job does not hold up a
//! short one. A batch holds tokens of one job only: scores depend in their last bits on what is in a batch.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use super::batch::{self, Compute, GROUP, Likelihoods, Scored, Size};
use super::cache::{self, GroupCache, Key};
use crate::base::limits::Limits;
use crate::engine::data::Forks;
use crate::engine::error::EngineError;

/// Jobs that take turns; more wait in the queue.
const JOBS: usize = 16;

/// Work to do, and where its result goes.
pub struct Job {
    pub work: Work,
    pub limits: Limits,
    pub reply: Sender<Result<Scores, EngineError>>,
}

/// The work of a job.
pub enum Work {
    /// Scores targets after contexts.
    Score(Vec<Forks>),
    /// Reads full batches of one sequence each, for comparison.
    Prefill {
        tokens: usize,
        /// Tokens of each batch whose logits are computed.
        outputs: usize,
    },
}

/// Scores of one job.
pub struct Scores {
    /// By context; `None` for those that the limits left no time for.
    pub likelihoods: Vec<Option<Vec<Vec<f32>>>>,
    /// Tokens that went through the model.
    pub decoded: usize,
}

/// Serves `queue` by [`serve`], and after a panic goes on with a new worker from `make`. Jobs in progress get no answer
/// then; the others wait on. `panics` is raised by one. Ends also where no new worker can be made.
pub fn supervise<C: Compute>(
    first: C,
    make: impl Fn() -> Result<C, EngineError>,
    queue: &Receiver<Job>,
    cache: &GroupCache<Likelihoods>,
    panics: &AtomicU64,
) {
    let mut compute = first;
    // What a panic left half done is in `compute` and in jobs, which are both dropped. The cache holds whole values only.
    while catch_unwind(AssertUnwindSafe(|| serve(&mut compute, queue, cache))).is_err() {
        panics.fetch_add(1, Ordering::Relaxed);
        // Memory may suffice for one only.
        drop(compute);
        compute = match make() {
            Ok(another) => another,
            Err(error) => {
                tracing::error!(%error, "the model's thread panicked and can't be started again; restart Lopper");
                return;
            }
        };
        tracing::error!("the model's thread panicked and was started again; the jobs in progress are lost");
    }
}

/// Serves jobs until every sender of `queue` is gone. Scores are taken from the cache where they are there, and added to it.
pub fn serve(compute: &mut impl Compute, queue: &Receiver<Job>, cache: &GroupCache<Likelihoods>) {
    let mut turns: VecDeque<Turn> = VecDeque::new();
    loop {
        while turns.len() < JOBS {
            let job = match turns.is_empty() {
                true => queue.recv().ok(),
                false => queue.try_recv().ok(),
            };
            match job {
                Some(job) => turns.extend(Turn::new(job, cache).unfinished()),
                None if turns.is_empty() => return,
                None => break,
            }
        }
        let Some(mut turn) = turns.pop_front().and_then(Turn::unfinished) else { continue };
        match &turn.job.work {
            Work::Prefill { tokens, outputs } => {
                let result = compute.prefill(*tokens, *outputs);
                turn.job.answer(result.map(|decoded| Scores { likelihoods: Vec::new(), decoded }));
            }
            Work::Score(forks) => {
                let Some(group) = turn.groups.pop_front() else { continue };
                match compute.score(&forks[group.members.clone()], &turn.job.limits) {
                    Ok(scored) => {
                        turn.put(group, scored, cache);
                        turns.extend(turn.unfinished());
                    }
                    Err(reason) => turn.job.answer(Err(reason)),
                }
            }
        }
    }
}

/// A job in progress.
struct Turn {
    job: Job,
    scores: Scores,
    /// Groups still to be scored, the most urgent first.
    groups: VecDeque<Group>,
}

/// Neighbouring contexts that are read together.
struct Group {
    members: Range<usize>,
    key: Key,
}

impl Turn {
    /// Starts a job with the scores that the cache has.
    fn new(job: Job, cache: &GroupCache<Likelihoods>) -> Self {
        let forks = match &job.work {
            Work::Score(forks) => &forks[..],
            Work::Prefill { .. } => &[],
        };
        let mut scores = Scores { likelihoods: vec![None; forks.len()], decoded: 0 };
        let sizes: Vec<Size> = forks.iter().map(batch::size).collect();
        let mut groups = Vec::new();
        for members in batch::group(&sizes, GROUP) {
            let key = cache::likelihoods_key(&forks[members.clone()]);
            match cache.get(&key) {
                Some(likelihoods) => scores.put(members, &likelihoods),
                None => groups.push(Group { members, key }),
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
    fn unfinished(self) -> Option<Self> {
        let is_scored = matches!(self.job.work, Work::Score(_)) && self.groups.is_empty();
        if !is_scored && !self.job.limits.reached() {
            return Some(self);
        }
        self.job.answer(Ok(self.scores));
        None
    }

    fn put(&mut self, group: Group, scored: Scored, cache: &GroupCache<Likelihoods>) {
        self.scores.decoded += scored.decoded;
        if let Some(likelihoods) = scored.likelihoods {
            self.scores.put(group.members, &likelihoods);
            cache.insert(group.key, likelihoods);
        }
    }
}

impl Scores {
    fn put(&mut self, members: Range<usize>, likelihoods: &Likelihoods) {
        for (place, targets) in self.likelihoods[members].iter_mut().zip(likelihoods) {
            *place = Some(targets.clone());
        }
    }
}

impl Job {
    fn answer(self, result: Result<Scores, String>) {
        // The caller may have gone; then nobody wants the result.
        let _ = self.reply.send(result.map_err(EngineError::Decode));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use std::sync::mpsc::channel;

    use super::*;
    use crate::base::limits::Cancel;
    use crate::engine::data::Token;

    /// Scores each target's tokens as their ids, and notes whose contexts were in each batch.
    #[derive(Default)]
    struct Noted {
        batches: Vec<i32>,
        cancels: Option<Cancel>,
    }

    impl Compute for Noted {
        fn score(&mut self, group: &[Forks], limits: &Limits) -> Result<Scored, String> {
            self.batches.push(group[0].context[0].0);
            if let Some(cancel) = self.cancels.take() {
                cancel.cancel();
            }
            let nats = |target: &Vec<Token>| target.iter().map(|token| token.0 as f32).collect::<Vec<f32>>();
            let likelihoods = || group.iter().map(|one| one.targets.iter().map(nats).collect()).collect();
            Ok(Scored { likelihoods: (!limits.reached()).then(likelihoods), decoded: 1 })
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
    fn served(compute: &mut Noted, jobs: Vec<(Work, Limits)>) -> Vec<(usize, usize)> {
        let (queue, waiting) = channel();
        let mut results = Vec::new();
        for (work, limits) in jobs {
            let (reply, result) = channel();
            queue.send(Job { work, limits, reply }).unwrap();
            results.push(result);
        }
        drop(queue);
        serve(compute, &waiting, &GroupCache::of_likelihoods(true));
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
        assert_eq!(served(&mut noted, all(jobs)), [(4, 1 + 3), (2, 1), (0, 7)]);
        assert_eq!(noted.batches, [1, 2, 1, 1, 1]);
    }

    #[test]
    fn who_is_gone_does_not_spoil_the_others() {
        let cancel = Cancel::default();
        let limits = Limits { cancel: cancel.clone(), deadline: None };
        let mut noted = Noted { cancels: Some(cancel), ..Noted::default() };
        let jobs = vec![(work(1, 2, 600), limits), (work(2, 1, 30), Limits::default())];
        assert_eq!(served(&mut noted, jobs), [(0, 1), (1, 1)]);
        assert_eq!(noted.batches, [1, 2]);
    }

    /// Panics at contexts of token 13.
    struct Touchy;

    impl Compute for Touchy {
        fn score(&mut self, group: &[Forks], limits: &Limits) -> Result<Scored, String> {
            assert!(group[0].context[0] != Token(13));
            Noted::default().score(group, limits)
        }

        fn prefill(&mut self, tokens: usize, _: usize) -> Result<usize, String> {
            Ok(tokens)
        }
    }

    /// Whether each job is answered by a thread that `make` starts again after a panic; and the number of panics.
    fn answered(jobs: &[i32], make: impl Fn() -> Result<Touchy, EngineError>) -> (Vec<bool>, u64) {
        let (queue, waiting) = channel();
        let (panics, cache) = (AtomicU64::default(), GroupCache::of_likelihoods(true));
        let ask = |job: &i32| {
            let (reply, result) = channel();
            queue.send(Job { work: work(*job, 1, 30), limits: Limits::default(), reply }).unwrap();
            result
        };
        // More than take turns at once.
        let results: Vec<_> = jobs.iter().map(ask).collect();
        drop(queue);
        supervise(Touchy, make, &waiting, &cache, &panics);
        drop(waiting);
        (results.into_iter().map(|result| result.recv().is_ok()).collect(), panics.into_inner())
    }

    #[test]
    fn a_panic_costs_the_jobs_in_progress_and_no_other() {
        let mut jobs = vec![1, 13];
        jobs.extend(2..=JOBS as i32 + 3);
        let (answered, panics) = answered(&jobs, || Ok(Touchy));
        assert_eq!(panics, 1);
        assert!(answered[0] && !answered[1]);
        // One was answered before the panic and made room for the next.
        assert_eq!(answered.iter().filter(|answered| !**answered).count(), JOBS, "{answered:?}");
        assert!(answered[JOBS + 1..].iter().all(|answered| *answered), "{answered:?}");
        assert_eq!(self::answered(&[13, 13], || Ok(Touchy)).1, 1, "they took turns");
    }

    #[test]
    fn where_the_model_does_not_come_up_again_nobody_waits_for_it() {
        let mut jobs = vec![13];
        jobs.extend(1..=JOBS as i32 + 3);
        let (answered, panics) = answered(&jobs, || Err(EngineError::Stopped));
        assert_eq!((answered.iter().any(|answered| *answered), panics), (false, 1));
    }

    #[test]
    fn what_was_scored_is_not_scored_again() {
        let mut noted = Noted::default();
        let jobs = (0..JOBS + 2).map(|_| work(1, 2, 30)).collect();
        let served = served(&mut noted, all(jobs));
        // Those that began together know nothing of each other; the last ones come after the first was done.
        assert_eq!(served[0], (2, 1));
        assert_eq!(served[JOBS..], [(2, 0); 2]);
    }
}
