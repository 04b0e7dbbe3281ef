//! What is wrong with files is said by the setting that names them.

use std::path::Path;

use flame_testkit::Certificates;
use flame_tls::{ClientFiles, File, Refusal, ServerFiles};
use tempfile::TempDir;

fn certificates() -> (TempDir, Certificates) {
    let folder = tempfile::tempdir().unwrap();
    let made = Certificates::make(folder.path(), &[]).unwrap();
    (folder, made)
}

fn server(cert: &Path, key: &Path, ca: &Path) -> Result<(), Refusal> {
    let file = |named: &str, path: &Path| Some(File::new(named, path));
    let files = ServerFiles::of(file("CERT", cert), file("KEY", key), file("CA", ca), None)?;
    files.unwrap().load().map(drop)
}

/// It is refused, and all of this is said.
fn refused(outcome: Result<(), Refusal>, texts: &[&str]) {
    let said = outcome.unwrap_err().to_string();
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in {said:?}");
    }
}

#[test]
fn good_files_are_taken() {
    let (_folder, Certificates { ca, coordinator, client, .. }) = certificates();
    server(&coordinator.cert, &coordinator.key, &ca).unwrap();
    let identity = Some((File::new("CERT", &client.cert), File::new("KEY", &client.key)));
    ClientFiles { ca: Some(File::new("CA", &ca)), identity }.load().unwrap();
}

#[test]
fn files_that_are_missing_or_something_else_are_named() {
    let (folder, Certificates { ca, coordinator, stranger, .. }) = certificates();
    let missing = folder.path().join("missing.pem");
    refused(
        server(&missing, &coordinator.key, &ca),
        &["CERT names ", "missing.pem, which cannot be read: No such file"],
    );
    refused(server(&coordinator.cert, &coordinator.key, folder.path()), &["CA names ", "cannot be read"]);
    refused(server(&coordinator.key, &coordinator.key, &ca), &["CERT names ", "holds no certificate"]);
    refused(server(&coordinator.cert, &coordinator.cert, &ca), &["KEY names ", "holds no private key"]);
    refused(server(&coordinator.cert, &stranger.key, &ca), &["KEY names ", "is not the key of the certificate"]);
    let garbage = folder.path().join("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    refused(server(&garbage, &coordinator.key, &ca), &["CERT names ", "holds no certificate"]);
    refused(server(&coordinator.cert, &coordinator.key, &garbage), &["CA names ", "holds no certificate"]);
    let large = folder.path().join("large.pem");
    std::fs::write(&large, vec![b' '; (1 << 20) + 1]).unwrap();
    refused(server(&large, &coordinator.key, &ca), &["CERT names ", "more than 1048576 bytes"]);
}

#[test]
fn a_coordinator_must_be_one_that_others_let_in() {
    let (_folder, Certificates { ca, client, coordinator, strangers_ca, expired, .. }) = certificates();
    refused(server(&coordinator.cert, &coordinator.key, &strangers_ca), &["unknown authority", "strangers-ca.pem"]);
    refused(server(&client.cert, &client.key, &ca), &["CERT names ", "not meant for this use", "serverAuth"]);
    refused(server(&expired.cert, &expired.key, &ca), &["CERT names ", "has expired"]);
}

#[test]
fn what_belongs_together_is_set_together() {
    let file = |named: &str| Some(File::new(named, "x"));
    let of = |cert, key, ca, client_ca| ServerFiles::of(cert, key, ca, client_ca);
    assert_eq!(of(None, None, file("CA"), None).unwrap(), None, "workers may share the file");
    refused(of(file("C"), None, file("CA"), None).map(drop), &["C is set and cluster.tls.key_file is not"]);
    refused(of(None, file("K"), file("CA"), None).map(drop), &["K is set and cluster.tls.cert_file is not"]);
    refused(of(file("C"), file("K"), None, None).map(drop), &["C is set and cluster.tls.ca_file is not"]);
    refused(of(None, None, None, file("CC")).map(drop), &["CC is set and cluster.tls.cert_file is not"]);
    refused(ClientFiles::of(None, file("C"), None, ("c", "k")).map(drop), &["C is set and k is not"]);
}
