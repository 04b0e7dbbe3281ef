//! Packages: what is installed is what runs, and why there is none is told.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_up::Frame as Up;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::hub::{EXECUTOR, Hub, Link, SESSION, until};
use crate::worker::{Place, Worker, is_alive, until_dead};

/// Writes a package of these files, all of them programs, in place of what was there.
pub fn package(path: &Path, files: &[(&str, &str)]) {
    let new = path.with_extension("new");
    let mut builder = tar::Builder::new(GzEncoder::new(File::create(&new).unwrap(), Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
    fs::rename(new, path).unwrap();
}

/// The program `bin/serve` of a package: says which version it is, and becomes the echo service.
pub fn serve(version: &str) -> String {
    format!("#!/bin/sh\necho {version} >> \"$VERSIONS\"\nexec \"$ECHO\"\n")
}

/// An application whose service comes out of a package.
pub fn packaged(place: &Place, installer: &str, url: String) -> ha::Application {
    let mut application = place.application("serve", &[]);
    application.environments.insert("VERSIONS".into(), place.path("versions").display().to_string());
    ha::Application { installer: Some(installer.into()), url: Some(url), ..application }
}

fn file_url(place: &Place) -> String {
    format!("file://{}", place.path("app.tar.gz").display())
}

/// The versions that were started, in order.
pub fn versions(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path("versions")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn log_of(link: &mut Link, application: &str) -> ha::InstallLog {
    link.send(Down::ReadInstallLog(ha::ReadInstallLog { question: 7, application: application.into() })).await;
    match link.next().await {
        Up::InstallLog(log) => log,
        other => panic!("InstallLog expected, not {other:?}"),
    }
}

#[tokio::test]
async fn a_service_comes_out_of_its_package() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    assert_eq!(log_of(&mut link, "echo").await, ha::InstallLog { question: 7, ..ha::InstallLog::default() });
    package(&place.path("app.tar.gz"), &[("bin/serve", &serve("one"))]);
    link.start(packaged(&place, "binary", file_url(&place))).await;
    link.ready().await;
    link.assign(1, &["hello"]).await;
    assert_eq!(link.results(1).await[0].output.as_deref(), Some(&b"hello"[..]));
    assert_eq!(versions(&place), ["one"]);
    let log = log_of(&mut link, "echo").await;
    assert!(log.found && log.text.contains(&file_url(&place)) && log.text.ends_with("Done.\n"), "{}", log.text);
    assert!(log_of(&mut link, "../x").await.error.contains("'..'"));
}

#[tokio::test]
async fn the_same_url_with_another_content_is_another_service() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    let application = packaged(&place, "binary", file_url(&place));
    package(&place.path("app.tar.gz"), &[("bin/serve", &serve("one"))]);
    link.start(application.clone()).await;
    link.ready().await;
    let first = place.service_pid();
    link.start_session(SESSION + 1, application.clone()).await;
    assert_eq!(link.ready().await.session, SESSION + 1);
    assert!(is_alive(first) && versions(&place) == ["one"], "the process goes on where nothing has changed");
    package(&place.path("app.tar.gz"), &[("bin/serve", &serve("two"))]);
    link.start_session(SESSION + 2, application.clone()).await;
    assert_eq!(link.ready().await.session, SESSION + 2);
    until_dead(first).await;
    assert_eq!(versions(&place), ["one", "two"], "another session gets another process");
    link.start_executor(EXECUTOR + 1, SESSION + 3, application).await;
    link.ready().await;
    assert_eq!(versions(&place), ["one", "two", "two"]);
}

/// A directory that holds a `python3` which knows its version, and installs unless `broken` is there.
fn python_without_uv(place: &Place) -> String {
    let bin = place.path("bin");
    let broken = place.path("broken").display().to_string();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--version*) echo pip 1 ;;\n-c*) echo 3.11 ;;\n\
         *'pip install'*) if [ -e '{broken}' ]; then echo 'nowhere is no distribution'; exit 1; fi ;;\nesac\n"
    );
    program(&bin.join("python3"), &text);
    bin.display().to_string()
}

#[tokio::test]
async fn a_failed_install_says_why_and_is_tried_again() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let bin = python_without_uv(&place);
    let _worker = Worker::start_in(&place, &hub.endpoint, &[], &[("PATH", &bin)]);
    let mut link = hub.attach().await;
    let project = "[project]\nname = 'app'\nversion = '1'\ndependencies = ['nowhere']\n";
    package(&place.path("app.tar.gz"), &[("pyproject.toml", project)]);
    let application =
        ha::Application { command: place.echo(&[]).command, ..packaged(&place, "python", file_url(&place)) };
    place.touch("broken");
    link.start(application.clone()).await;
    let (code, message) = link.bind_failure().await;
    assert_eq!(code, 10, "{message}");
    for part in ["pip install", "ended with status 1", "nowhere is no distribution", "flmctl logs install echo"] {
        assert!(message.contains(part), "{part:?} is missing in {message}");
    }
    let log = log_of(&mut link, "echo").await;
    assert!(log.found && log.text.contains("nowhere is no distribution"), "{}", log.text);
    fs::remove_file(place.path("broken")).unwrap();
    link.start_executor(EXECUTOR + 1, SESSION, application).await;
    link.ready().await;
    assert!(log_of(&mut link, "echo").await.text.ends_with("Done.\n"));
}

#[tokio::test]
async fn an_install_ends_with_its_worker_and_holds_up_nobody() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let (bin, pid) = (place.path("bin"), place.path("pid").display().to_string());
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in\n--version) echo uv 1 ;;\n*) echo $$ > '{pid}.new'; /bin/mv '{pid}.new' '{pid}'; exec /bin/sleep 1000 ;;\nesac\n"
    );
    program(&bin.join("uv"), &text);
    let variables = [("PATH", bin.to_str().unwrap())];
    let worker = Worker::start_in(&place, &hub.endpoint, &[("drain_timeout", "100ms")], &variables);
    let mut link = hub.attach().await;
    package(&place.path("app.tar.gz"), &[("setup.py", "")]);
    let application = packaged(&place, "python", file_url(&place));
    link.start(application.clone()).await;
    let installing = place.written_pid("pid").await;
    link.send(Down::Stop(ha::Stop { executor: EXECUTOR })).await;
    link.left().await;
    assert!(is_alive(installing), "the next executor may need it");
    worker.signal(rustix::process::Signal::TERM);
    link.stopping().await;
    link.goodbye().await;
    drop(link);
    assert!(worker.exited().await.success());
    until_dead(installing).await;
}

#[tokio::test]
async fn two_workers_of_one_host_install_once() {
    let (place, other) = (Place::new(), Place::new());
    let (mut hub, mut other_hub) = (Hub::start().await, Hub::start().await);
    let shared = place.path("shared").display().to_string();
    let settings = [("install_dir", shared.as_str())];
    let _worker = Worker::start_with(&place, &[&hub.endpoint], &settings);
    let _other = Worker::start_with(&other, &[&other_hub.endpoint], &settings);
    let (mut link, mut other_link) = (hub.attach().await, other_hub.attach().await);
    package(&place.path("app.tar.gz"), &[("bin/serve", &serve("one"))]);
    let application = packaged(&place, "binary", file_url(&place));
    link.start(application.clone()).await;
    other_link.start(application).await;
    link.ready().await;
    other_link.ready().await;
    until("both services", || versions(&place).len() == 2).await;
    let home = Path::new(&shared).join("apps/echo");
    assert_eq!(fs::read_dir(home.join("releases")).unwrap().count(), 1);
    assert!(home.join("install.log").exists() && !home.join("install.log.1").exists(), "it was installed once");
}
