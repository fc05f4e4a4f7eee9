//! The next step of a key's rotation, as a pure function of its state.
//!
//! A *pending* secret is valid, and not delivered yet: `known` if this process still holds the token, `lost` if the
//! process that generated it died. The sink answers when the run asks it what it holds, and when the run hands it a
//! secret. The columns are the key's policy; a key is *blocked* while its record allows no rotation (it is revoked,
//! disabled, expired or idle, or the overlap of the last rotation has not ended).
//!
//! | pending | sink | no policy | not due | due | no policy, blocked | not due, blocked | due, blocked |
//! |---|---|---|---|---|---|---|---|
//! | none | not asked | idle | wait | stage | idle | wait | skip |
//! | known | not asked | deliver | deliver | deliver | skip | skip | skip |
//! | known | accepted | promote | promote | promote | promote | promote | promote |
//! | known | failed | retry | retry | retry | retry | retry | retry |
//! | lost | not asked | ask | ask | ask | skip | skip | skip |
//! | lost | has it | promote | promote | promote | promote | promote | promote |
//! | lost | lacks it | stage | stage | stage | stage | stage | stage |
//! | lost | cannot say | stage beside | stage beside | stage beside | stage beside | stage beside | stage beside |
//! | lost | failed | retry | retry | retry | retry | retry | retry |
//!
//! A pending secret is delivered whatever the policy says: it is valid already, and its predecessor ends only after the
//! delivery. What follows an answer does not depend on the policy: the writer checks the record once more.

/// The secret that waits for its delivery, with the sink's answer if it has given one in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    None,
    /// The token is in memory.
    Known(Option<Delivered>),
    /// The token was lost in a restart.
    Lost(Option<Current>),
}

/// The sink's answer to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    Accepted,
    Failed,
}

/// The sink's answer to the question which secret it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Current {
    /// A pending secret of this version.
    Has(u32),
    /// Nothing, or a token that is no pending secret of the key.
    Lacks,
    CannotSay,
    Failed,
}

/// When the policy calls for a new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Never: the key has no policy.
    Never,
    At(i64),
    Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to do until the key changes.
    Idle,
    /// Nothing to do before this time.
    Wait(i64),
    /// Report what blocks the rotation.
    Skip,
    /// Ask the sink which secret it holds.
    Ask,
    /// Give the key a new pending secret, which ends the others, but for the newest if that may have been delivered.
    Stage { keep_newest: bool },
    /// Hand the pending secret to the sink.
    Deliver,
    /// Make the delivered secret the current one.
    Promote,
    /// Try again later.
    Retry,
}

/// The step that follows from a key's pending secret and its policy.
pub(super) fn step(pending: Pending, due: Due, blocked: bool) -> Step {
    match (pending, due) {
        (Pending::None, Due::Never) => Step::Idle,
        (Pending::None, Due::At(time)) => Step::Wait(time),
        (Pending::None, Due::Now) if blocked => Step::Skip,
        (Pending::None, Due::Now) => Step::Stage { keep_newest: false },
        (Pending::Known(None) | Pending::Lost(None), _) if blocked => Step::Skip,
        (Pending::Known(None), _) => Step::Deliver,
        (Pending::Known(Some(Delivered::Accepted)), _) => Step::Promote,
        (Pending::Known(Some(Delivered::Failed)), _) => Step::Retry,
        (Pending::Lost(None), _) => Step::Ask,
        (Pending::Lost(Some(Current::Has(_))), _) => Step::Promote,
        (Pending::Lost(Some(Current::Lacks)), _) => Step::Stage { keep_newest: false },
        (Pending::Lost(Some(Current::CannotSay)), _) => Step::Stage { keep_newest: true },
        (Pending::Lost(Some(Current::Failed)), _) => Step::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PENDING: [(&str, Pending); 9] = [
        ("none | not asked", Pending::None),
        ("known | not asked", Pending::Known(None)),
        ("known | accepted", Pending::Known(Some(Delivered::Accepted))),
        ("known | failed", Pending::Known(Some(Delivered::Failed))),
        ("lost | not asked", Pending::Lost(None)),
        ("lost | has it", Pending::Lost(Some(Current::Has(3)))),
        ("lost | lacks it", Pending::Lost(Some(Current::Lacks))),
        ("lost | cannot say", Pending::Lost(Some(Current::CannotSay))),
        ("lost | failed", Pending::Lost(Some(Current::Failed))),
    ];
    const POLICIES: [(&str, Due, bool); 6] = [
        ("no policy", Due::Never, false),
        ("not due", Due::At(7), false),
        ("due", Due::Now, false),
        ("no policy, blocked", Due::Never, true),
        ("not due, blocked", Due::At(7), true),
        ("due, blocked", Due::Now, true),
    ];
    const STEPS: [(&str, Step); 9] = [
        ("idle", Step::Idle),
        ("wait", Step::Wait(7)),
        ("skip", Step::Skip),
        ("ask", Step::Ask),
        ("stage", Step::Stage { keep_newest: false }),
        ("stage beside", Step::Stage { keep_newest: true }),
        ("deliver", Step::Deliver),
        ("promote", Step::Promote),
        ("retry", Step::Retry),
    ];

    /// The cells of the table at the top of this file: pending and sink, policy, step.
    fn cells() -> Vec<(String, String, String)> {
        let lines = include_str!("step.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
        let mut rows = lines.map(|line| line.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
        let head = rows.next().unwrap();
        let cells = rows.flat_map(|row| {
            assert_eq!(row.len(), head.len(), "{row:?}");
            let pending = format!("{} | {}", row[0], row[1]);
            let of = |(policy, step): (&&str, &&str)| (pending.clone(), (*policy).to_owned(), (*step).to_owned());
            head.iter().zip(&row).skip(2).map(of).collect::<Vec<_>>()
        });
        cells.collect()
    }

    #[test]
    fn every_cell_of_the_table_is_what_the_function_decides() {
        let mut expected = cells().into_iter();
        for (pending_name, pending) in PENDING {
            for (policy_name, due, blocked) in POLICIES {
                let (of_pending, of_policy, step_name) = expected.next().expect("the table has a cell for each state");
                assert_eq!((of_pending.as_str(), of_policy.as_str()), (pending_name, policy_name));
                let named = STEPS.iter().find(|(name, _)| *name == step_name);
                let (_, expected) = named.unwrap_or_else(|| panic!("{step_name} is no step"));
                assert_eq!(step(pending, due, blocked), *expected, "{pending_name} | {policy_name}");
            }
        }
        assert_eq!(expected.next(), None, "the table has no other cell");
    }

    /// From each state a run comes to an end: an answer never leads to the question that it answers.
    #[test]
    fn no_step_leads_back() {
        for (name, pending) in PENDING {
            for (_, due, blocked) in POLICIES {
                let next = step(pending, due, blocked);
                let is_answered = matches!(pending, Pending::Known(Some(_)) | Pending::Lost(Some(_)));
                assert!(!is_answered || !matches!(next, Step::Ask | Step::Deliver), "{name}: {next:?}");
            }
        }
    }
}
