//! Measures the time of each stage of a request.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::VariantArray;
use tracing::Span;

/// A stage of compressing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Stage {
    /// Counts tokens, finds code and questions.
    Detect,
    /// Parses code, cuts it into units and weighs them.
    Parse,
    /// Scores units and the blocks in them, including the wait for the model.
    Score,
    /// Chooses what to keep.
    Choose,
    /// Writes what is kept into the request.
    Splice,
}

impl Stage {
    /// Its name in reports, such as `detect`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// A span of that name, with nothing of the request in it.
    fn span(self) -> Span {
        // The macro takes constant names only.
        match self {
            Self::Detect => tracing::debug_span!(target: TARGET, "detect"),
            Self::Parse => tracing::debug_span!(target: TARGET, "parse"),
            Self::Score => tracing::debug_span!(target: TARGET, "score"),
            Self::Choose => tracing::debug_span!(target: TARGET, "choose"),
            Self::Splice => tracing::debug_span!(target: TARGET, "splice"),
        }
    }
}

/// The target of the stages' spans, for filters.
pub const TARGET: &str = "lopper::stage";

/// Measures the stages of one request. Time in a stage inside another counts for the inner one only.
#[derive(Debug, Default)]
pub struct Stages {
    times: Cell<StageTimes>,
    /// The stage that runs, and its start.
    running: Cell<Option<(Stage, Instant)>>,
}

impl Stages {
    /// Runs `work` as a part of `stage`, in a span of that name.
    pub fn run<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let outer = self.switch_to(Some(stage));
        let result = stage.span().in_scope(work);
        self.switch_to(outer);
        result
    }

    /// The time spent so far.
    pub fn times(&self) -> StageTimes {
        self.times.get()
    }

    /// Starts a stage, and returns the one that it ends.
    fn switch_to(&self, stage: Option<Stage>) -> Option<Stage> {
        let now = Instant::now();
        let ended = self.running.replace(stage.map(|stage| (stage, now)));
        if let Some((stage, since)) = ended {
            let mut times = self.times.get();
            times.0[stage as usize] += now - since;
            self.times.set(times);
        }
        ended.map(|(stage, _)| stage)
    }
}

/// Time spent by stage. Serialized as milliseconds by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimes([Duration; Stage::VARIANTS.len()]);

impl StageTimes {
    /// The time of `stage`.
    pub fn of(&self, stage: Stage) -> Duration {
        self.0[stage as usize]
    }

    /// Each stage with its time, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        Stage::VARIANTS.iter().map(|stage| (*stage, self.of(*stage)))
    }
}

impl Serialize for StageTimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Finer than a microsecond is noise.
        let milliseconds = |time: Duration| time.as_micros() as f64 / 1000.0;
        serializer.collect_map(self.iter().map(|(stage, time)| (stage.name(), milliseconds(time))))
    }
}

impl<'de> Deserialize<'de> for StageTimes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let milliseconds = BTreeMap::<String, f64>::deserialize(deserializer)?;
        let mut times = Self::default();
        for stage in Stage::VARIANTS {
            let seconds = milliseconds.get(stage.name()).map_or(0.0, |time| time / 1000.0);
            times.0[*stage as usize] = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        }
        Ok(times)
    }
}

/// The processor time of this thread. Only differences mean something.
#[cfg(unix)]
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The time since the first call: threads have no clock of their own here.
#[cfg(not(unix))]
pub fn thread_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::*;

    #[test]
    fn a_stage_inside_another_is_counted_for_itself_alone() {
        let stages = Stages::default();
        let started = Instant::now();
        let inner = stages.run(Stage::Choose, || stages.run(Stage::Score, || started.elapsed()));
        let (times, all) = (stages.times(), started.elapsed());
        assert!(times.iter().map(|(_, time)| time).sum::<Duration>() <= all);
        assert!(inner <= all);
        assert_eq!(times.of(Stage::Detect), Duration::ZERO);
        stages.run(Stage::Score, || ());
        assert!(stages.times().of(Stage::Score) >= times.of(Stage::Score));
        assert_eq!(stages.times().of(Stage::Choose), times.of(Stage::Choose));
    }

    #[test]
    fn times_are_written_as_milliseconds() {
        let times = StageTimes([1500, 0, 30_000_250, 7, 0].map(Duration::from_micros));
        let written = serde_json::to_string(&times).unwrap();
        assert_eq!(written, r#"{"detect":1.5,"parse":0.0,"score":30000.25,"choose":0.007,"splice":0.0}"#);
        let read: StageTimes = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), written);
    }
}
