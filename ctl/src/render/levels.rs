//! Which feature levels the coordinators understand, and what became of raising it.

use flame_sdk::model::{MemberLevels, Upgrade};
use serde::Serialize;

use super::grid::one_line;
use super::{Grid, Render, Sheet};

/// Whether something is done or only planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is done.
    Does,
    /// It would be.
    Would,
}

/// `flmctl cluster upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelView {
    /// What it comes to.
    #[serde(flatten)]
    pub upgrade: Upgrade,
    /// For people.
    #[serde(skip)]
    pub says: Says,
}

impl Render for LevelView {
    fn sheet(&self) -> Sheet {
        let Upgrade { present, to, raised, .. } = self.upgrade;
        let text = match self.says {
            Says::Would if present == to => {
                format!("\n The cluster runs at feature level {to}; nothing would change.\n")
            }
            Says::Would => {
                format!("\n The cluster would go from feature level {present} to {to}; there is no way back.\n")
            }
            Says::Does if raised => format!("\n The cluster runs at feature level {to} from now on.\n"),
            Says::Does => format!("\n The cluster runs at feature level {to} already.\n"),
        };
        let mut grid = Grid::new(&["ID", "Voter", "Understands"]);
        for member in &self.upgrade.members {
            grid.row(vec![member.id.to_string(), yes_or_no(member.voter).to_owned(), understands(member)]);
        }
        Sheet { grid: Some(grid), text }
    }
}

/// What every coordinator understands, in a line each.
#[must_use]
pub fn levels_text(upgrade: &Upgrade) -> String {
    let line = |member: &MemberLevels| format!("  coordinator {}  {}\n", member.id, understands(member));
    upgrade.members.iter().map(line).collect()
}

fn understands(member: &MemberLevels) -> String {
    match (&member.silent, member.lowest, member.highest) {
        (Some(why), ..) => one_line(why),
        (None, lowest, highest) if lowest == highest => format!("level {highest}"),
        (None, lowest, highest) => format!("levels {lowest} to {highest}"),
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(present: u32, to: u32, raised: bool, says: Says) -> String {
        let upgrade = Upgrade { present, to, raised, ..Upgrade::default() };
        LevelView { upgrade, says }.sheet().text
    }

    #[test]
    fn it_says_what_it_does() {
        assert_eq!(view(1, 2, true, Says::Does), "\n The cluster runs at feature level 2 from now on.\n");
        assert_eq!(view(2, 2, false, Says::Does), "\n The cluster runs at feature level 2 already.\n");
        assert!(view(1, 2, false, Says::Would).contains("from feature level 1 to 2; there is no way back"));
        assert!(view(2, 2, false, Says::Would).contains("nothing would change"));
    }

    #[test]
    fn every_coordinator_says_what_it_understands() {
        let member = |id, lowest, highest, silent: Option<&str>| MemberLevels {
            id,
            voter: true,
            lowest,
            highest,
            silent: silent.map(str::to_owned),
        };
        let members = vec![member(1, 1, 1, None), member(2, 1, 2, None), member(3, 0, 0, Some("nobody answers"))];
        let text = levels_text(&Upgrade { members, ..Upgrade::default() });
        assert_eq!(text, "  coordinator 1  level 1\n  coordinator 2  levels 1 to 2\n  coordinator 3  nobody answers\n");
    }
}
