//! Services that never enter their session: each way has its published code and a sentence.

use flame_proto::ha;

use crate::hub::Hub;
use crate::worker::{Place, Worker};

async fn check(application: impl FnOnce(&Place) -> ha::Application, code: i32, says: &[&str]) {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let settings = [("start_timeout", "500ms"), ("enter_timeout", "500ms"), ("terminate_grace", "50ms")];
    let _worker = Worker::start_with(&place, &[&hub.endpoint], &settings);
    let mut link = hub.attach().await;
    link.start(application(&place)).await;
    let (found, message) = link.bind_failure().await;
    assert_eq!(found, code, "{message}");
    says.iter().for_each(|text| assert!(message.contains(text), "{text:?} is missing in {message:?}"));
    assert_eq!(std::fs::read_dir(place.path("w/run")).unwrap().count(), 0, "no process is left");
}

#[tokio::test]
async fn on_session_enter_fails() {
    for dialect in ["0.6", "0.7"] {
        check(|place| place.echo(&["--dialect", dialect, "--fail-enter", "no licence"]), 12, &["no licence"]).await;
    }
}

#[tokio::test]
async fn on_session_enter_takes_too_long() {
    check(|place| place.echo(&["--enter-ms", "100000"]), 12, &["OnSessionEnter did not end within 500ms"]).await;
}

#[tokio::test]
async fn the_command_does_not_exist() {
    let says = ["ended with status 127", "cannot run /does/not/exist: No such file"];
    check(|place| place.application("/does/not/exist", &[]), 11, &says).await;
}

#[tokio::test]
async fn there_is_no_command() {
    check(|place| place.application(" ", &[]), 11, &["has no command"]).await;
}

#[tokio::test]
async fn the_working_directory_does_not_exist() {
    let application = |place: &Place| {
        let working_directory = Some(place.path("nowhere").display().to_string());
        ha::Application { working_directory, ..place.echo(&[]) }
    };
    check(application, 11, &["is not a folder on this worker"]).await;
}

#[tokio::test]
async fn the_service_dies_before_it_listens() {
    let says = ["ended with status 3 before it listened", "cannot open the model"];
    check(|place| place.echo(&["--die", "cannot open the model"]), 11, &says).await;
}

#[tokio::test]
async fn the_service_never_listens() {
    check(|place| place.echo(&["--never-listen"]), 11, &["did not listen on its socket within 500ms"]).await;
}

#[tokio::test]
async fn the_application_needs_what_this_worker_lacks() {
    let with_installer = |place: &Place| ha::Application { installer: Some("conda".into()), ..place.echo(&[]) };
    check(with_installer, 10, &["the installer \"conda\" is not known", "write python or binary"]).await;
    check(|place| ha::Application { shim: 1, ..place.echo(&[]) }, 11, &["shim Host, not Wasm"]).await;
}
