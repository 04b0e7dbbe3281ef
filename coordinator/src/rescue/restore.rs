//! `flame-coordinator restore`.

use flame_storage::MemberNode;
use serde_json::json;

use super::verify::shown;
use super::{RestoreArguments, print, refused};
use crate::consensus::offline::{self, Restore};
use crate::exit::Exit;
use crate::node::{Listen, Options};

/// Fills the data directory of a configured coordinator.
///
/// # Errors
/// [`Exit`] names what is wrong with the backup, the directory or the configuration.
pub fn restore(arguments: &RestoreArguments, options: &Options) -> Result<(), Exit> {
    let wanted = Restore {
        backup: arguments.backup.clone(),
        data_dir: options.data_dir.clone(),
        cluster_id: options.cluster_id.clone(),
        id: options.id,
        node: own(options)?,
    };
    let done = offline::restore(&wanted).map_err(refused)?;
    let (dir, id, cluster) = (wanted.data_dir.display().to_string(), wanted.id, &wanted.cluster_id);
    let text = format!(
        "Coordinator <{id}> of cluster <{cluster}> was made from the backup of cluster <{}>, in {dir}.\nStart it, then add \
         the others, which begin with an empty directory and coordinator.join: flmctl cluster add\n",
        done.header.cluster_id
    );
    let json = json!({
        "cluster_id": cluster,
        "coordinator": id.0,
        "data_dir": dir,
        "last": done.last.index,
        "term": done.last.leader_id.term,
        "generation": done.header.generation.0 + 1,
        "backup": shown(&done.header),
    });
    print(arguments.output.format, &text, &json)
}

/// Where others reach this node: they will be told by the log.
fn own(options: &Options) -> Result<MemberNode, Exit> {
    if !options.join.is_empty() {
        return Err(Exit::Usage(
            "coordinator.join is set: a coordinator that joins a cluster gets everything from it. Restore into one that \
             joins nobody"
                .to_owned(),
        ));
    }
    let listed = options.members.iter().find(|(id, _)| *id == options.id).map(|(_, node)| node.clone());
    let node = listed.unwrap_or_else(|| options.own.clone());
    if reached_by_nobody(&options.listen) && node == options.own {
        return Err(Exit::Usage(
            "coordinator.listen says everywhere, and nothing says where others reach this coordinator: name it in \
             coordinator.members, alone"
                .to_owned(),
        ));
    }
    Ok(node)
}

fn reached_by_nobody(listen: &Listen) -> bool {
    [listen.client, listen.worker, listen.peer].iter().any(|address| address.ip().is_unspecified())
}
