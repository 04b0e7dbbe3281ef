//! The power cut itself: what was synced is there afterwards, what was not is gone.

use std::fs::File;
use std::io::Write;

use anyhow::{Result, ensure};
use flame_chaos::disks::Disks;
use flame_chaos::probe;

#[test]
fn a_power_cut_keeps_what_was_synced_and_nothing_else() -> Result<()> {
    if let Err(reason) = probe::power_cut() {
        eprintln!("SKIPPED, this machine cannot cut the power of a disk: {reason}");
        return Ok(());
    }
    let mut disks = Disks::make(1)?;
    let folder = disks.folders().remove(0);
    std::fs::create_dir(&folder)?;
    File::open(folder.parent().unwrap_or(&folder))?.sync_all()?;
    let mut synced = File::create(folder.join("synced"))?;
    synced.write_all(b"kept")?;
    synced.sync_all()?;
    File::open(&folder)?.sync_all()?;
    std::fs::write(folder.join("unsynced"), b"lost")?;
    disks.cut_power()?;
    ensure!(std::fs::write(folder.join("after"), b"x").is_err(), "it can be written to after the cut");
    drop(synced);
    disks.power_on()?;
    assert_eq!(std::fs::read(folder.join("synced"))?, b"kept");
    ensure!(!folder.join("unsynced").exists(), "what nobody synced is there: this is no power cut");
    Ok(())
}
