//! Finds the daemons' binaries: they lie beside the running executable, or one folder up when that is a test.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

/// Names another folder to look in, for example an installation.
const FOLDER_VARIABLE: &str = "FLAME_TEST_BINARIES";

/// The build of one feature level more, which no ordinary build makes.
const NEXT_COORDINATOR: &str = "flame-coordinator-next";

/// What applications need that ship with Flame, and what it is called below `FLAME_HOME/bin`.
const SHIPPED: [(&str, &str); 3] =
    [("flmping-service", "flmping-service"), ("flmexec-service", "flmexec-service"), ("flame-uv", "uv")];

/// Which build of the coordinator is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// The one that people run.
    #[default]
    Present,
    /// One that understands one feature level more.
    Next,
}

impl Build {
    /// Its binary.
    pub(crate) fn coordinator(self) -> &'static str {
        match self {
            Self::Present => "flame-coordinator",
            Self::Next => NEXT_COORDINATOR,
        }
    }
}

/// A folder with the binaries of this workspace.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The folder named by `FLAME_TEST_BINARIES`, else the one this executable was built into.
    ///
    /// # Errors
    /// Only if the system does not know where this executable is.
    pub fn find() -> Result<Self> {
        if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
            return Ok(Self { folder: folder.into() });
        }
        let executable = std::env::current_exe().context("where is this executable?")?;
        Ok(Self { folder: folder_of(&executable)? })
    }

    /// The path of a binary of this workspace.
    ///
    /// # Errors
    /// Says how to build it when it is missing.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        let how = match name {
            NEXT_COORDINATOR => "cargo xtask next",
            _ => "cargo build --release --workspace --bins",
        };
        Err(anyhow!(
            "{} is missing; build the binaries first: {how} (or name their folder in {FOLDER_VARIABLE})",
            path.display()
        ))
    }

    /// Makes a folder the `FLAME_HOME` of workers, as an installation has it; answers the variable.
    ///
    /// # Errors
    /// Says how to build what is missing.
    pub fn furnish(&self, home: &Path) -> Result<(String, String)> {
        let bin = home.join("bin");
        std::fs::create_dir(&bin).with_context(|| format!("make {}", bin.display()))?;
        for (program, name) in SHIPPED {
            std::os::unix::fs::symlink(self.path(program)?, bin.join(name)).with_context(|| format!("link {name}"))?;
        }
        Ok(("FLAME_HOME".to_owned(), home.display().to_string()))
    }
}

fn folder_of(executable: &Path) -> Result<PathBuf> {
    let folder = executable.parent().ok_or_else(|| anyhow!("{} has no folder", executable.display()))?;
    // Test executables are in `deps`, below the folder of the binaries.
    let above = if folder.ends_with("deps") { folder.parent() } else { None };
    Ok(above.unwrap_or(folder).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_look_above_deps_and_binaries_beside_themselves() {
        let folder = |path: &str| folder_of(Path::new(path)).expect("it has a folder");
        assert_eq!(folder("/target/release/deps/it-0123"), Path::new("/target/release"));
        assert_eq!(folder("/target/release/flame-chaos"), Path::new("/target/release"));
    }

    #[test]
    fn a_missing_binary_says_how_to_build_it() {
        let binaries = Binaries { folder: "/nowhere".into() };
        let text = binaries.path("flame-coordinator").expect_err("it is missing").to_string();
        assert!(text.contains("/nowhere/flame-coordinator") && text.contains("cargo build --release"), "{text}");
        let text = binaries.path(Build::Next.coordinator()).expect_err("it is missing").to_string();
        assert!(text.contains("/nowhere/flame-coordinator-next") && text.contains("cargo xtask next"), "{text}");
    }
}
