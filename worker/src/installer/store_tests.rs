//! Applications installed for real, from files, without a tool and without a worker around it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::shim::spawner::Spawner;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An installer as one worker has it. All of them share the folder. The only Python is a program that says so.
    fn installer(&self) -> Installer {
        self.installer_within(Duration::from_secs(60))
    }

    /// The same with another limit of time.
    fn installer_within(&self, timeout: Duration) -> Installer {
        let python = self.path("python3");
        fs::write(&python, "#!/bin/sh\necho 3.11\n").unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let options = PackageOptions {
            dir: self.path("data"),
            timeout,
            bytes_max: 1 << 20,
            kept: 8,
            python: Some(python),
            ..PackageOptions::default()
        };
        let tools = Tools::new(Spawner::start().unwrap(), Path::new("/proc/self/exe"));
        Installer::new(options, Coordinators::default(), tools, &BTreeMap::new())
    }

    /// Writes a package of these files, in place of what was there.
    fn package(&self, files: &[(&str, &str)]) -> PathBuf {
        let (path, new) = (self.path("app.tar.gz"), self.path("new.tar.gz"));
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(&new).unwrap(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        fs::rename(new, &path).unwrap();
        path
    }

    fn application(&self, installer: &str, fragment: &str) -> ha::Application {
        ha::Application {
            name: "app".into(),
            installer: Some(installer.into()),
            url: Some(format!("file://{}{fragment}", self.path("app.tar.gz").display())),
            ..ha::Application::default()
        }
    }

    fn releases(&self) -> usize {
        fs::read_dir(self.path("data/apps/app/releases")).unwrap().count()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path("data/apps/app").join(name)).unwrap_or_default()
    }
}

fn variables(installed: &Installed) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    installed.apply(&mut variables, &BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]));
    variables
}

#[tokio::test]
async fn a_binary_package_is_unpacked_and_found() {
    let place = Place::new();
    let installer = place.installer();
    place.package(&[("bin/app", "one"), ("lib/libx.so", "x")]);
    let installed = installer.install(&place.application("binary", "")).await.unwrap();
    let set = variables(&installed);
    let src = PathBuf::from(&set["FLAME_APP_DIR"]);
    assert_eq!(fs::read_to_string(src.join("bin/app")).unwrap(), "one");
    assert_eq!(set["PATH"], format!("{0}/bin:{0}:/bin", src.display()));
    assert_eq!(set["LD_LIBRARY_PATH"], src.join("lib").display().to_string());
    let again = installer.install(&place.application("binary", "")).await.unwrap();
    assert!(again.is_same(&installed) && place.releases() == 1);
    assert_eq!(place.log("install.log.1"), "", "nothing was installed again");
}

#[tokio::test]
async fn the_content_decides() {
    let place = Place::new();
    let installer = place.installer();
    let text = |installed: &Installed| {
        fs::read_to_string(Path::new(&variables(installed)["FLAME_APP_DIR"]).join("bin/app")).unwrap()
    };
    place.package(&[("bin/app", "one")]);
    let one = installer.install(&place.application("binary", "")).await.unwrap();
    place.package(&[("bin/app", "two")]);
    let two = installer.install(&place.application("binary", "")).await.unwrap();
    assert_eq!((text(&one).as_str(), text(&two).as_str()), ("one", "two"));
    assert!(!one.is_same(&two));
    place.package(&[("bin/app", "one")]);
    let back = installer.install(&place.application("binary", "")).await.unwrap();
    assert!(back.is_same(&one) && place.releases() == 2);
}

#[tokio::test]
async fn a_checksum_is_checked_and_makes_the_place_unnecessary() {
    let place = Place::new();
    let installer = place.installer();
    let sum = sha256_of(&place.package(&[("bin/app", "one")])).unwrap();
    let other = place.application("binary", &format!("#sha256={}", "0".repeat(64)));
    let error = installer.install(&other).await.unwrap_err();
    assert!(matches!(&error, InstallError::Checksum { found, .. } if *found == sum), "{error}");
    let named = place.application("binary", &format!("#sha256={sum}"));
    installer.install(&named).await.unwrap();
    fs::remove_file(place.path("app.tar.gz")).unwrap();
    installer.install(&named).await.unwrap();
    let error = installer.install(&place.application("binary", "")).await.unwrap_err().to_string();
    assert!(error.contains("No such file") && place.log("install.log").contains("No such file"), "{error}");
}

#[tokio::test]
async fn a_failed_install_is_not_remembered() {
    let place = Place::new();
    let installer = place.installer();
    fs::write(place.path("app.tar.gz"), "no archive").unwrap();
    let error = installer.install(&place.application("binary", "")).await.unwrap_err().to_string();
    assert!(error.contains("cannot unpack") && place.log("install.log").contains(&error), "{error}");
    place.package(&[("app.py", "")]);
    let error = installer.install(&place.application("python", "")).await.unwrap_err().to_string();
    assert!(error.contains("neither pyproject.toml nor"), "{error}");
    installer.install(&place.application("binary", "")).await.unwrap();
}

#[tokio::test]
async fn a_project_of_plain_modules_needs_no_tool() {
    let place = Place::new();
    let installer = place.installer();
    let project = "[project]\nname = 'app'\nversion = '1'\n[project.scripts]\nserve = 'app:main'\n";
    place.package(&[("pyproject.toml", project), ("app.py", "")]);
    let set = variables(&installer.install(&place.application("python", "")).await.unwrap());
    let src = &set["FLAME_APP_DIR"];
    let deps = src.strip_suffix("src").unwrap().to_owned() + "deps";
    assert_eq!(set["PYTHONPATH"], format!("{deps}:{src}"));
    assert!(Path::new(&deps).join("bin/serve").is_file() && set["PATH"] == format!("{deps}/bin:/bin"));
    assert_eq!(set["FLAME_PYTHON_VERSION"], "3.11");
    assert_eq!(set["FLAME_PYTHON"], place.path("python3").display().to_string());
    assert!(place.log("install.log").ends_with("Done.\n"));
}

#[tokio::test]
async fn an_application_without_package_has_its_python() {
    let place = Place::new();
    let application = ha::Application { url: None, ..place.application("python", "") };
    let set = variables(&place.installer().install(&application).await.unwrap());
    assert_eq!((set["FLAME_PYTHON_VERSION"].as_str(), set.get("FLAME_APP_DIR")), ("3.11", None));
    let wanted = BTreeMap::from([("FLAME_PYTHON_VERSION".to_owned(), "3.9".to_owned())]);
    let application = ha::Application { environments: wanted, ..application };
    let error = place.installer().install(&application).await.unwrap_err().to_string();
    assert!(error.contains("neither Python 3.9 nor uv"), "{error}");
}

#[tokio::test]
async fn many_workers_install_once() {
    let place = Place::new();
    place.package(&[("bin/app", "one")]);
    let installers = [place.installer(), place.installer()];
    let installs = (0..16).map(|number| {
        let (installer, application) = (installers[number % 2].clone(), place.application("binary", ""));
        tokio::spawn(async move { installer.install(&application).await })
    });
    for installed in futures::future::join_all(installs).await {
        installed.unwrap().unwrap();
    }
    assert_eq!((place.releases(), place.log("install.log.1").as_str()), (1, ""));
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let place = Place::new();
    place.package(&[("bin/app", "one")]);
    let limit = Duration::from_millis(20);
    let installer = place.installer_within(limit);
    let _held = Home::lock(&place.path("data/apps"), &AppName::parse("app").unwrap()).await.unwrap();
    let error = installer.install(&place.application("binary", "")).await.unwrap_err();
    assert_eq!(error, InstallError::TimedOut(limit));
}
