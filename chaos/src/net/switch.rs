//! Hosts, cables and bridges.
//!
//! The switch has two bridges. All cables are plugged into the first; whoever is cut off is plugged into the second. So
//! a cut is what it is in a real switch: packets are gone without a word, connections stay open on both sides.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use flame_testkit::Host;

use crate::disks::{Deed, Journal, run};

/// Networks of this range, one for each run.
const NETWORK_PREFIX: &str = "10.213";

/// Most hosts of one network; the last address is the test's own.
const HOSTS_MAX: usize = 200;
const OWN_ADDRESS: u8 = 254;

/// Where everybody is, and where those are who are cut off.
const MAIN: &str = "main";
const ISLAND: &str = "island";

/// Hosts and their switch. Dropping it takes all of it down.
pub struct Network {
    /// Taken down by it.
    _journal: Journal,
    switch: String,
    hosts: Vec<Host>,
}

impl Network {
    /// So many hosts, all connected.
    ///
    /// # Errors
    /// If a tool fails; what was done so far is undone.
    pub fn make(hosts: usize) -> Result<Self> {
        ensure!(hosts <= HOSTS_MAX, "{hosts} hosts, at most {HOSTS_MAX} are possible");
        let mut journal = Journal::begin()?;
        let run_name = format!("flame-{}", std::process::id());
        let network = free_network()?;
        let switch = format!("{run_name}-switch");
        add_namespace(&mut journal, &switch)?;
        for bridge in [MAIN, ISLAND] {
            ip(&["-n", &switch, "link", "add", bridge, "type", "bridge"])?;
            ip(&["-n", &switch, "link", "set", bridge, "up"])?;
        }
        let mut made = Self { _journal: journal, switch, hosts: Vec::new() };
        for number in 1..=hosts {
            made.add_host(&format!("{run_name}-{number}"), &format!("{NETWORK_PREFIX}.{network}.{number}"))?;
        }
        made.plug_in_ourselves(&format!("{NETWORK_PREFIX}.{network}.{OWN_ADDRESS}"))?;
        Ok(made)
    }

    fn add_host(&mut self, name: &str, address: &str) -> Result<()> {
        add_namespace(&mut self._journal, name)?;
        let port = port(self.hosts.len());
        let switch = &self.switch;
        ip(&["link", "add", &port, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["-n", switch, "link", "set", &port, "master", MAIN, "up"])?;
        ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        let enter = ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
        self.hosts.push(Host { address: address.to_owned(), enter });
        Ok(())
    }

    /// The test's own cable. It goes with the switch, whose end of it is taken away.
    fn plug_in_ourselves(&self, address: &str) -> Result<()> {
        let own = format!("fl{}", std::process::id());
        let switch = &self.switch;
        ip(&["link", "add", "own", "netns", switch, "type", "veth", "peer", "name", &own])?;
        ip(&["-n", switch, "link", "set", "own", "master", MAIN, "up"])?;
        ip(&["address", "add", &format!("{address}/24"), "dev", &own])?;
        ip(&["link", "set", &own, "up"])
    }

    /// The hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// From now on these hosts, counted from 0, reach each other and nobody else.
    ///
    /// # Errors
    /// If a tool fails.
    pub fn cut_off(&self, hosts: &[usize]) -> Result<()> {
        hosts.iter().try_for_each(|host| self.plug(*host, ISLAND))
    }

    /// Everybody reaches everybody again.
    ///
    /// # Errors
    /// If a tool fails.
    pub fn heal(&self) -> Result<()> {
        (0..self.hosts.len()).try_for_each(|host| self.plug(host, MAIN))
    }

    fn plug(&self, host: usize, bridge: &str) -> Result<()> {
        ip(&["-n", &self.switch, "link", "set", &port(host), "master", bridge])
    }
}

fn port(host: usize) -> String {
    format!("port{host}")
}

fn add_namespace(journal: &mut Journal, name: &str) -> Result<()> {
    journal.note(Deed::Namespace(name.to_owned()))?;
    ip(&["netns", "add", name])
}

/// One whose addresses nobody on this machine has.
fn free_network() -> Result<u8> {
    let addresses = run(Command::new("ip").args(["-oneline", "-4", "address"]))?;
    let is_free = |network: &u8| !addresses.contains(&format!(" {NETWORK_PREFIX}.{network}."));
    (1..=254).find(is_free).context("all networks are in use")
}

fn ip(words: &[&str]) -> Result<()> {
    run(Command::new("ip").args(words)).map(drop)
}
