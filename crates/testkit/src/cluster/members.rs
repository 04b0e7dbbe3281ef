//! Coordinators that come and go, and their disks.
//!
//! A new coordinator waits to be added: whoever tests does that with `flmctl` or a client, as an operator would, and says so
//! with [`Cluster::set_member`].

use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_types::CoordinatorId;

use super::{Cluster, Coordinator, LEFTOVER_LIMIT, addresses, make_folder};
use crate::binaries::{Binaries, Build};
use crate::config_file;
use crate::daemon::{Daemon, write_file};
use crate::ports::PortLease;

impl Cluster {
    /// Starts a coordinator that asks the members to be added, with a number that was never used here; returns when it
    /// listens. It is no member yet.
    ///
    /// # Errors
    /// If it does not become ready, with the last lines of its log.
    pub async fn add_coordinator(&mut self) -> Result<CoordinatorId> {
        let highest = self.coordinators.iter().map(|known| known.addresses.id.0).max().unwrap_or(0);
        self.add_coordinator_as(CoordinatorId(highest + 1)).await
    }

    /// The same with this number, which may be one that is taken. One of that number that has ended is forgotten.
    ///
    /// # Errors
    /// If it does not become ready, with the last lines of its log.
    pub async fn add_coordinator_as(&mut self, id: CoordinatorId) -> Result<CoordinatorId> {
        let lease = PortLease::take()?;
        let addresses = addresses(id, &lease, None);
        let own = make_folder(&self.folder.path().join(format!("j{}", addresses.client.replace(':', "-"))))?;
        let data = own.join("data");
        let join: Vec<_> = self.members().map(|member| member.addresses.peer.clone()).collect();
        let (name, profile) = (format!("test-{}", &self.run.as_str()[..8]), self.options.profile);
        let config = own.join("flame-cluster.yaml");
        write_file(&config, &config_file::joiner(&name, &addresses, &join, profile, &data, self.certificates()))?;
        let mut arguments = vec!["--config".to_owned(), config.display().to_string()];
        arguments.extend_from_slice(&self.options.coordinator_arguments);
        let binary = Binaries::find()?.path(self.options.build.coordinator())?;
        let daemon = Daemon::new(&format!("coordinator-{id}"), binary, arguments, &own, &self.run);
        let daemon = daemon.with_environment(&self.options.environment);
        self.coordinators.retain(|known| known.addresses.id != id || known.is_member || known.daemon.is_started());
        ensure!(self.coordinators.iter().all(|known| known.addresses.id != id), "there is a coordinator {id}");
        self.coordinators.push(Coordinator { daemon, addresses, data, is_member: false, _ports: lease });
        self.start_coordinator(id).await?;
        Ok(id)
    }

    /// Coordinators that are added from now on are of this build.
    pub fn add_from(&mut self, build: Build) {
        self.options.build = build;
    }

    /// A coordinator that does not run is started from another build the next time.
    ///
    /// # Errors
    /// If it runs, or that build is missing.
    pub fn use_build(&mut self, id: CoordinatorId, build: Build) -> Result<()> {
        let binary = Binaries::find()?.path(build.coordinator())?;
        let daemon = &mut self.coordinator_mut(id).daemon;
        ensure!(!daemon.is_started(), "coordinator {id} runs");
        daemon.set_binary(binary);
        Ok(())
    }

    /// Starts a coordinator that is expected to end by itself, and gives its exit code.
    ///
    /// # Errors
    /// If it does not end, or was ended by a signal.
    pub async fn start_to_end(&mut self, id: CoordinatorId) -> Result<i32> {
        self.coordinator_mut(id).daemon.spawn()?;
        self.coordinator_ended(id).await
    }

    /// From now on the cluster counts on this coordinator, or does not.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    pub fn set_member(&mut self, id: CoordinatorId, is_member: bool) {
        self.coordinator_mut(id).is_member = is_member;
    }

    /// Where other coordinators reach one, `host:port`.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    #[must_use]
    pub fn peer_address(&self, id: CoordinatorId) -> String {
        self.coordinator(id).addresses.peer.clone()
    }

    /// Waits until a coordinator has ended by itself, and gives its exit code. Its ports stay leased.
    ///
    /// # Errors
    /// If it does not end, or was ended by a signal.
    pub async fn coordinator_ended(&mut self, id: CoordinatorId) -> Result<i32> {
        let status = self.coordinator_mut(id).daemon.reap(LEFTOVER_LIMIT).await?;
        status.code().with_context(|| format!("coordinator {id} was ended by a signal: {status}"))
    }

    /// The last lines of one coordinator's log.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    #[must_use]
    pub fn tail(&self, id: CoordinatorId) -> String {
        self.coordinator(id).daemon.tail()
    }

    /// How often one coordinator has written this to its log.
    ///
    /// # Errors
    /// If the log cannot be read.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    pub fn coordinator_written(&self, id: CoordinatorId, text: &str) -> Result<usize> {
        self.coordinator(id).daemon.written(text)
    }

    /// Empties the disk of a coordinator that does not run.
    ///
    /// # Errors
    /// If it runs, or its files cannot be removed.
    pub fn wipe_data(&self, id: CoordinatorId) -> Result<()> {
        let data = self.data_at_rest(id)?;
        std::fs::remove_dir_all(data).with_context(|| format!("wipe {}", data.display()))
    }

    /// Copies the disk of a coordinator that does not run.
    ///
    /// # Errors
    /// If it runs, or its files cannot be copied.
    pub fn copy_data(&self, id: CoordinatorId, to: &Path) -> Result<()> {
        copy_folder(self.data_at_rest(id)?, to)
    }

    /// Puts a copy in the place of the disk of a coordinator that does not run.
    ///
    /// # Errors
    /// If it runs, or its files cannot be replaced.
    pub fn restore_data(&self, id: CoordinatorId, from: &Path) -> Result<()> {
        self.wipe_data(id)?;
        copy_folder(from, self.data_at_rest(id)?)
    }

    /// Where a coordinator that does not run has its data, for whoever wants to harm it.
    ///
    /// # Errors
    /// If it runs.
    pub fn data_at_rest(&self, id: CoordinatorId) -> Result<&Path> {
        let found = self.coordinator(id);
        ensure!(!found.daemon.is_started(), "coordinator {id} runs");
        Ok(&found.data)
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    make_folder(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
