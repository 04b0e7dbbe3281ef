//! Why a task does not run.

use flame_sdk::model::{NodeReasons, Reason, TaskExplanation};
use serde::Serialize;

use super::details::{Details, or_dash};
use super::{Render, Sheet};
use crate::time::clock_with_millis;

/// `flmctl task explain`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ExplanationView(pub TaskExplanation);

impl Render for ExplanationView {
    fn sheet(&self) -> Sheet {
        let TaskExplanation { session_id, task_id, application, state, summary, since, reasons, nodes, .. } = &self.0;
        let mut details = Details::default();
        details
            .line("Task", format!("{session_id}/{task_id}"))
            .line("Application", application)
            .line("State", state)
            .line("Since", clock_with_millis(*since))
            .line("Standing", summary);
        if !self.0.executor.is_empty() {
            details.line("Executor", &self.0.executor).line("Node", or_dash(Some(&self.0.node)));
        }
        if !reasons.is_empty() {
            details.line("Reasons", "");
            for reason in reasons {
                details.item(1, &reason.message);
            }
        }
        if !nodes.is_empty() {
            details.line("Nodes", "");
            for node in nodes {
                show_node(&mut details, node);
            }
        }
        Sheet::of_text(details.finish())
    }
}

fn show_node(details: &mut Details, node: &NodeReasons) {
    let reasons: Vec<&str> = node.reasons.iter().map(|Reason { message, .. }| message.as_str()).collect();
    let reasons = if reasons.is_empty() { "there is room".to_owned() } else { reasons.join("; ") };
    details.item(1, &format!("{}: {reasons}", node.node));
    for here in &node.executors {
        details.item(2, &format!("its executor {} {}", here.id, here.message));
    }
}
