//! `flame-coordinator recover --force-new`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::confirm::confirmed;
use super::{RecoverArguments, listed, print, refused};
use crate::consensus::offline::{Survey, Survivor};
use crate::exit::Exit;

/// Makes a coordinator that does not run the only member of its cluster.
///
/// # Errors
/// [`Exit`] names what is wrong with the directory, or that nobody has said yes.
pub fn recover(arguments: &RecoverArguments, data_dir: &Path) -> Result<(), Exit> {
    if !arguments.force_new {
        return Err(Exit::Usage(
            "recover takes the vote from all other coordinators and loses what only they had: if a majority of them is gone \
             for ever, say --force-new. If not, start them"
                .to_owned(),
        ));
    }
    let survivor = Survivor::open(data_dir).map_err(refused)?;
    let survey = survivor.survey().clone();
    eprint!("{}", warning(&survey));
    if arguments.dry_run {
        return print(arguments.output.format, "", &shown(&survey, None));
    }
    if !arguments.yes {
        confirmed(&survey.cluster_id)?;
    }
    let done = survivor.recover().map_err(refused)?;
    let text = format!(
        "Coordinator <{}> is the only member of cluster <{}>.\nStart it, then add new coordinators, with new numbers: flmctl \
         cluster add\n",
        survey.id, survey.cluster_id
    );
    print(arguments.output.format, &text, &shown(&survey, Some(done.last.index)))
}

fn shown(survey: &Survey, last: Option<u64>) -> Value {
    json!({
        "cluster_id": survey.cluster_id,
        "coordinator": survey.id.0,
        "data_dir": survey.data_dir.display().to_string(),
        "voters_before": survey.voters.iter().map(|id| id.0).collect::<Vec<_>>(),
        "learners_before": survey.learners.iter().map(|id| id.0).collect::<Vec<_>>(),
        "held": survey.last.index,
        "held_term": survey.last.leader_id.term,
        "committed": survey.committed.0,
        "applied": survey.applied.0,
        "unconfirmed": survey.unconfirmed(),
        "led": survey.led,
        "digest": format!("{:032x}", survey.digest),
        "done": last.is_some(),
        "last": last,
    })
}

/// What is done, and what may be lost by it.
fn warning(survey: &Survey) -> String {
    let (id, last) = (survey.id, survey.last.index);
    let others = listed(survey.others());
    let mut text = format!(
        "Coordinator {id} of cluster {:?} is to go on alone.\n  directory   {}\n  voters      {} -> {id}\n",
        survey.cluster_id,
        survey.data_dir.display(),
        listed(&survey.voters),
    );
    if !survey.learners.is_empty() {
        let _ = writeln!(text, "  learners    {} -> -", listed(&survey.learners));
    }
    let _ = write!(
        text,
        "  log         up to entry {last} of term {}; {} behind the last that it knows to be acknowledged ({})\n  \
         state       at entry {}; the next start applies the other {}\n  digest      {:032x} at entry {last}\n",
        survey.last.leader_id.term,
        survey.unconfirmed(),
        survey.committed,
        survey.applied,
        survey.unapplied(),
        survey.digest,
    );
    let _ = write!(
        text,
        "\nEverything up to entry {last} is kept. What the others acknowledged after it is lost, and nothing here says how \
         much that is{}.\nTasks that run begin again.{}\n",
        match survey.led {
            true =>
                ".\nThis coordinator led last as far as it knows: while it lived, nothing was acknowledged without it",
            false => ": see whether one of them holds more, and recover that one",
        },
        match survey.others().is_empty() {
            true => String::new(),
            false => format!(
                " Coordinators {others} are refused for ever should they come back: make sure that they are down. If a \
                 majority of them works, there will be two clusters."
            ),
        }
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use flame_storage::LogId;
    use flame_types::{CoordinatorId, LogIndex};

    use super::*;

    fn survey(led: bool) -> Survey {
        Survey {
            data_dir: PathBuf::from("/data"),
            cluster_id: "prod".to_owned(),
            id: CoordinatorId(3),
            voters: [1, 2, 3].map(CoordinatorId).into(),
            learners: BTreeSet::new(),
            last: LogId::new_term_index(7, 120),
            committed: LogIndex(118),
            applied: LogIndex(100),
            led,
            digest: 0xabc,
        }
    }

    #[test]
    fn the_warning_says_what_is_kept_and_what_may_be_lost() {
        let text = warning(&survey(false));
        for part in [
            "voters      1, 2, 3 -> 3",
            "up to entry 120 of term 7; 2 behind",
            "applies the other 20",
            "Coordinators 1, 2 are refused for ever",
            "see whether one of them holds more",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(warning(&survey(true)).contains("led last as far as it knows"));
    }

    #[test]
    fn without_force_new_nothing_is_looked_at() {
        let output = super::super::OutputArguments { format: super::super::Format::Text };
        let arguments = RecoverArguments { force_new: false, yes: true, dry_run: false, output };
        let refused = recover(&arguments, Path::new("/nonexistent")).unwrap_err();
        assert!(refused.to_string().contains("--force-new"), "{refused}");
    }
}
