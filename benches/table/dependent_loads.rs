//! Dependent loads: the one loop in which the table times everything.
//!
//! Tokens of one length lie in one buffer, in the order in which the loop visits them, so that reading the token itself
//! costs the same everywhere. A lookup begins when the one before has ended: the loop computes the next place in the
//! buffer from what the last one found, and a fence keeps the processor from starting ahead on a guess. The candidates
//! take turns in short bursts, so that other load of the machine affects them alike, and a ratio is the median of the
//! ratios within each round.

#![allow(unsafe_code, reason = "one fence instruction")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use apikey_bench::Tokens;

/// Waits until every earlier instruction has ended.
#[inline]
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has SSE2, and the instruction touches no memory.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Something to time: it looks up `count` tokens and returns how long one took, in nanoseconds.
pub struct Candidate<'a> {
    burst: Box<dyn FnMut(usize) -> f64 + 'a>,
}

/// Where the next candidate begins, so that no candidate finds in the cache what another has just fetched.
static START: AtomicUsize = AtomicUsize::new(0);

impl<'a> Candidate<'a> {
    /// `check` returns 1 for the right answer, made from what it found, and anything else for a wrong one.
    pub fn new(tokens: &'a Tokens, check: impl Fn(&str) -> u32 + 'a) -> Self {
        // A wrong answer would also skip tokens.
        for probe in 0..tokens.len().min(1000) {
            assert_eq!(check(tokens.get(probe)), 1, "the answer is what is expected");
        }
        Self::unchecked(tokens, check)
    }

    fn unchecked(tokens: &'a Tokens, check: impl Fn(&str) -> u32 + 'a) -> Self {
        let mut at = START.fetch_add(1, Ordering::Relaxed) * 61_803 % tokens.len();
        let mut run = move |count: usize| {
            for _ in 0..count {
                fence();
                let step = check(std::hint::black_box(tokens.get(at)));
                at += step as usize;
                if at >= tokens.len() {
                    at = 0;
                }
            }
            fence();
        };
        let burst = move |count: usize| {
            // Warms the nearest caches, which the other candidates have used.
            run(1_000);
            let start = Instant::now();
            run(count);
            start.elapsed().as_nanos() as f64 / count as f64
        };
        Self { burst: Box::new(burst) }
    }
}

/// The times of one candidate, in nanoseconds a lookup, round by round.
pub struct Times(Vec<f64>);

impl Times {
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median of the ratios to the other's time in the same round.
    pub fn over(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }
}

pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Lets the candidates take turns. It times the loop itself beside them in each round, and subtracts that.
pub fn race(tokens: &Tokens, candidates: Vec<Candidate<'_>>, rounds: usize, burst: usize) -> Vec<Times> {
    let loop_alone = Candidate::unchecked(tokens, |token| u32::from(token.len() > 1));
    let mut all: Vec<_> = candidates.into_iter().chain([loop_alone]).collect();
    let mut times: Vec<Times> = all.iter().map(|_| Times(Vec::with_capacity(rounds))).collect();
    for round in 0..=rounds {
        let mut took: Vec<f64> = all.iter_mut().map(|candidate| (candidate.burst)(burst)).collect();
        let itself = took.pop().unwrap();
        // The first round warms the caches.
        if round > 0 {
            times.iter_mut().zip(took).for_each(|(times, took)| times.0.push(took - itself));
        }
    }
    times.pop();
    times
}
