//! Where peers are installed, and installing them: `bench/peers/install.sh`, with its progress on stderr.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::peers::peer::Product;

/// Names the folder of all peers.
const FOLDER_VARIABLE: &str = "FLAME_PEERS";

/// Where they are otherwise, below the home folder.
const FOLDER: &str = ".cache/flame-ha/peers";

/// The installer leaves it when everything is in place.
const STAMP: &str = ".installed";

/// For one product: a few hundred megabytes over a network.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Products, and for each the folder that it is in, or why it is not to be had.
pub type Installed = Vec<(Product, Result<PathBuf, String>)>;

/// Finds these products, and installs what is missing unless that is not wanted.
pub async fn prepare(products: &[Product], may_install: bool) -> Installed {
    let mut installed = Installed::new();
    for product in products {
        let place = match folder() {
            Ok(folder) if may_install => install(&installer(), *product, &folder).await,
            Ok(folder) => find(*product, &folder),
            Err(error) => Err(error),
        };
        installed.push((*product, place.map_err(|error| format!("{error:#}"))));
    }
    installed
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        return Ok(PathBuf::from(folder));
    }
    let home = std::env::var_os("HOME").with_context(|| format!("neither HOME nor {FOLDER_VARIABLE} is set"))?;
    Ok(Path::new(&home).join(FOLDER))
}

fn installer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/install.sh")
}

fn find(product: Product, folder: &Path) -> Result<PathBuf> {
    let place = folder.join(product.name());
    ensure!(place.join(STAMP).is_file(), "{} is not installed, and --no-install forbids to do it", product.name());
    Ok(place)
}

async fn install(installer: &Path, product: Product, folder: &Path) -> Result<PathBuf> {
    let mut command = Command::new("bash");
    command.arg(installer).arg(product.name()).arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("start bash")?;
    let mut lines = BufReader::new(child.stderr.take().context("it has no stderr")?).lines();
    let finished = timeout(LIMIT, async {
        let mut last = None;
        while let Some(line) = lines.next_line().await? {
            eprintln!("    {line}");
            last = Some(line);
        }
        anyhow::Ok((child.wait().await?, last))
    });
    let (status, last) = finished.await.with_context(|| format!("it took over {} s", LIMIT.as_secs()))??;
    ensure!(status.success(), "{}", last.unwrap_or_else(|| format!("the installer ended with {status}")));
    find(product, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, text: &str) -> Result<PathBuf> {
        let path = folder.join("install.sh");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    #[tokio::test]
    async fn what_is_not_to_be_had_says_why() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let fails = script(folder.path(), "echo fetching >&2; echo 'peers: no network' >&2; exit 1")?;
        let error = install(&fails, Product::Ray, folder.path()).await.expect_err("it fails");
        assert_eq!(error.to_string(), "peers: no network");
        let silent = script(folder.path(), "exit 3")?;
        let error = install(&silent, Product::Ray, folder.path()).await.expect_err("it fails").to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        let error = find(Product::Dask, folder.path()).expect_err("it is not there").to_string();
        assert_eq!(error, "dask is not installed, and --no-install forbids to do it");
        Ok(())
    }

    #[tokio::test]
    async fn what_the_installer_stamps_is_there() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let works = script(folder.path(), "mkdir -p \"$2/$1\" && touch \"$2/$1/.installed\"")?;
        let place = install(&works, Product::Etcd, folder.path()).await?;
        assert_eq!(place, folder.path().join("etcd"));
        assert_eq!(find(Product::Etcd, folder.path())?, place);
        Ok(())
    }

    #[tokio::test]
    async fn the_real_installer_refuses_what_it_does_not_know() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("bash");
        let output = command.arg(installer()).arg("spark").arg(folder.path()).output().await?;
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: install.sh"), "{output:?}");
        Ok(())
    }
}
