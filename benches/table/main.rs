//! draft
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a bench that fails shall stop"
)]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "nobody else uses this")]
mod chain;
mod yardstick;
use apikey::{KeyStore, Requirement};
use apikey_bench::{PERMISSION, Tokens};
use chain::Candidate;
fn main() {
    let keys: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(1000);
    let store = KeyStore::temporary().unwrap();
    let tokens = apikey_bench::fill(&store, keys);
    let yard = yardstick::Yardstick::with(&tokens, keys);
    let valid = Tokens::shuffled(&tokens);
    let unknown = valid.map(apikey_bench::unknown);
    let bad =
        valid.map(|token| format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' }));
    let read = Requirement::permission(PERMISSION).unwrap();
    let any = Requirement::any(["a:b", "c:d", "e:f", PERMISSION]).unwrap();
    let ours = |t: &str, r: &Requirement| match store.authorize(t, r) {
        Ok(k) => k.secret_version(),
        Err(e) => u32::from(e.status()),
    };
    let refused = |t: &str, r: &Requirement| match store.authorize(t, r) {
        Ok(k) => k.secret_version() + 1,
        Err(e) => u32::from(e.status()) - 400,
    };
    let yrefused = |t: &str| match yard.check(t, 0) {
        Ok(k) => k.version + 1,
        Err(e) => u32::from(e) - 400,
    };
    let all = [
        Candidate::new("yard", &valid, |t| yard.check(t, 0).map_or(0, |c| c.version)),
        Candidate::new("ours authorize", &valid, |t| ours(t, &read)),
        Candidate::new("ours verify", &valid, |t| store.verify(t).map_or(0, |k| k.secret_version())),
        Candidate::new("ours any", &valid, |t| ours(t, &any)),
        Candidate::new("ours allows", &valid, |t| {
            store.verify(t).map_or(0, |k| k.secret_version() + u32::from(!k.allows(PERMISSION)) * 1000)
        }),
        Candidate::new("yard unknown", &unknown, yrefused),
        Candidate::new("ours unknown", &unknown, |t| refused(t, &read)),
        Candidate::new("yard bad", &bad, yrefused),
        Candidate::new("ours bad", &bad, |t| refused(t, &read)),
        Candidate::new("empty loop", &valid, |t| u32::from(t.len() == 63)),
    ];
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut all: Vec<_> = all.into_iter().filter(|c| c.name.contains(&only)).collect();
    let times = chain::race(&mut all, if only.is_empty() { 200 } else { 2000 }, 5000);
    for (c, t) in all.iter().zip(&times) {
        println!(
            "{:16} median {:7.1} least {:7.1}  {:.2}x yardstick  {:.2}x own",
            c.name,
            t.median(),
            t.least(),
            t.over(&times[0]),
            t.over(&times[1.min(times.len() - 1)])
        );
    }
}
