//! cluster members, status, transfer-leader.

use anyhow::{Context, Result, ensure};
use flame_testkit::wait_until;
use flame_types::CoordinatorId;
use serde_json::{Value, json};

use super::scene::{Node, Scene};
use super::sheet::Table;
use crate::programs::LIMIT;

pub async fn step(scene: &Scene) -> Result<()> {
    let nodes = scene.nodes();
    for (node, next) in nodes.iter().zip(nodes.iter().cycle().skip(1)) {
        let said = node.says(&["cluster", "transfer-leader", "--to", &next.id.to_string()]).await?;
        assert_eq!(said, format!("Coordinator <{}> leads.\n", next.id));
        members(scene, next.id).await?;
        status(scene, next.id).await?;
    }
    let before = scene.cluster.leader().await?;
    let said = nodes[0].says(&["cluster", "transfer-leader"]).await?;
    let after = scene.cluster.leader().await?;
    assert_eq!(said, format!("Coordinator <{}> leads.\n", after.id));
    ensure!(after.id != before.id && after.term > before.term, "{after:?} after {before:?}");
    nodes[0].run(&["cluster", "transfer-leader", "--to", "9"]).await?.refused(3, &["coordinator 9 not found"])?;
    nodes[0].run(&["cluster", "transfer-leader", "--to", "x"]).await?.refused(2, &["--to"]).map(drop)
}

/// Every node names the same members, and, once it has heard of it, the same leader.
async fn members(scene: &Scene, leader: CoordinatorId) -> Result<()> {
    scene.cluster.leader().await?;
    let endpoints = scene.cluster.endpoints();
    for node in scene.nodes() {
        let text = node.says(&["cluster", "members"]).await?;
        let json = node.json(&["cluster", "members"]).await?;
        assert_eq!(node.run(&["cluster", "members", "-o", "yaml"]).await?.with_code(0)?.yaml()?, json);
        assert_eq!(json["leader"], leader.0, "{json:#}");
        let table = Table::read(&text)?;
        assert_eq!(table.columns, ["ID", "Client", "Worker", "Peer", "Voter", "Leader"]);
        assert_eq!(table.column("ID"), ["1", "2", "3"]);
        let clients = table.column("Client").into_iter().map(|client| format!("http://{client}"));
        assert_eq!(clients.collect::<Vec<_>>(), endpoints);
        assert_eq!(table.column("Voter"), ["yes"; 3]);
        let leads = table.rows.iter().filter(|row| row["Leader"] == "yes").map(|row| row["ID"].clone());
        assert_eq!(leads.collect::<Vec<_>>(), [leader.to_string()]);
        let listed = json["members"].as_array().with_context(|| format!("{json:#}"))?;
        let clients = listed.iter().map(|member| member["client_endpoint"].as_str().unwrap_or_default());
        assert_eq!(clients.collect::<Vec<_>>(), table.column("Client"));
    }
    Ok(())
}

/// A row for each member from its own answer, whoever is asked, and the verdict.
async fn status(scene: &Scene, leader: CoordinatorId) -> Result<()> {
    for node in scene.nodes() {
        let json = wait_until(LIMIT, "all members have caught up", || settled(&node)).await?;
        assert_eq!((&json["verdict"], &json["can_lose"]), (&json!("healthy"), &json!(1)));
        assert_eq!(json["leader"], leader.0);
        let yaml = node.run(&["cluster", "status", "-o", "yaml"]).await?.with_code(0)?.yaml()?;
        assert_eq!(roles(&yaml), roles(&json));
        let text = node.says(&["cluster", "status"]).await?;
        let table = Table::read(&text)?;
        let columns = "ID Endpoint Role Term Last Applied Flushed Lag Workers Free Version Uptime Ready";
        assert_eq!(table.columns, columns.split(' ').collect::<Vec<_>>());
        for row in &table.rows {
            let role = if row["ID"] == leader.to_string() { "leader" } else { "follower" };
            assert_eq!((row["Role"].as_str(), row["Ready"].as_str()), (role, "yes"));
            assert_eq!(row["Workers"] == "-", role != "leader", "only the leader knows: {text}");
            let index = |column: &str| row[column].parse::<u64>().with_context(|| format!("{column}: {text}"));
            ensure!(index("Flushed")? <= index("Applied")? && index("Applied")? <= index("Last")?, "{text}");
            ensure!(row["Free"].ends_with('%'), "the disk says what is free: {text}");
        }
        ensure!(text.contains(&format!("healthy (3 of 3 members serve, leader {leader})")), "{text}");
        ensure!(text.ends_with("; it can lose 1 more member.\n"), "{text}");
    }
    Ok(())
}

/// The answer once nobody lags: then it says the same for a while.
async fn settled(node: &Node) -> Result<Value> {
    let json = node.json(&["cluster", "status"]).await?;
    let members = json["members"].as_array().with_context(|| format!("{json:#}"))?;
    let applied: Vec<_> = members.iter().map(|row| &row["status"]["applied"]).collect();
    ensure!(applied.iter().all(|index| *index == applied[0]), "{json:#}");
    ensure!(members.iter().all(|row| row["status"]["ready"] == true), "{json:#}");
    Ok(json)
}

fn roles(status: &Value) -> Vec<(Value, Value, Value)> {
    let members = status["members"].as_array().into_iter().flatten();
    members.map(|row| (row["member"].clone(), row["status"]["role"].clone(), row["status"]["term"].clone())).collect()
}
