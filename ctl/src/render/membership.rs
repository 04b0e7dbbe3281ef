//! What a change of the coordinators does to the quorum, and what became of it.

use flame_sdk::model::{MembershipChange, MembershipPlan};
use serde::Serialize;

use super::{Render, Sheet};

/// `flmctl cluster add|promote|remove|replace`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MembershipSteps {
    /// What was done, or would be, in order.
    pub steps: Vec<MembershipStep>,
    /// What to say to people.
    #[serde(skip)]
    pub says: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MembershipStep {
    /// add, promote, remove or replace.
    pub step: &'static str,
    /// What it does, and whether it was made.
    #[serde(flatten)]
    pub change: MembershipChange,
}

impl Render for MembershipSteps {
    fn sheet(&self) -> Sheet {
        Sheet::of_text(self.says.clone())
    }
}

/// What a change would do, for people, before it is done.
#[must_use]
pub fn plan_text(what: &str, plan: &MembershipPlan) -> String {
    if plan.already {
        return format!("{what}: nothing to do\n");
    }
    let mut text = format!("{what}:\n");
    text += &format!("  voters     {}\n", change(&plan.voters_before, &plan.voters_after));
    text += &format!("  learners   {}\n", change(&plan.learners_before, &plan.learners_after));
    text += &format!("  answering  {}\n", list(&plan.answering));
    let (before, after) = (plan.can_lose_before, plan.can_lose_after);
    text += &format!("  can lose   {before} now, {after} afterwards\n");
    for note in &plan.notes {
        text += &format!("  note       {note}\n");
    }
    text
}

fn change(before: &[u64], after: &[u64]) -> String {
    if before == after { list(before) } else { format!("{} -> {}", list(before), list(after)) }
}

fn list(ids: &[u64]) -> String {
    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
    if ids.is_empty() { "-".to_owned() } else { ids.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_it_does_to_the_quorum() {
        let plan = MembershipPlan {
            voters_before: vec![1, 2, 3],
            voters_after: vec![1, 2, 3, 4],
            learners_before: vec![4],
            answering: vec![1, 2, 3, 4],
            can_lose_before: 1,
            can_lose_after: 1,
            notes: vec!["4 voters survive no more losses than 3".to_owned()],
            ..MembershipPlan::default()
        };
        let expected = "promote 4:\n  voters     1, 2, 3 -> 1, 2, 3, 4\n  learners   4 -> -\n  answering  1, 2, 3, 4\n  \
                        can lose   1 now, 1 afterwards\n  note       4 voters survive no more losses than 3\n";
        assert_eq!(plan_text("promote 4", &plan), expected);
        let already = MembershipPlan { already: true, ..plan };
        assert_eq!(plan_text("promote 4", &already), "promote 4: nothing to do\n");
    }
}
