//! Servers and clients with all kinds of certificates. The server answers every call with UNIMPLEMENTED: whoever hears
//! that has come through.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flame_testkit::Certificates;
use flame_testkit::certificates::CertifiedKey;
use flame_tls::client::channel;
use flame_tls::{Acceptor, Client, ClientFiles, File, ServerFiles, ServerSide, Settings, Verdict};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::service::Routes;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const LIMIT: Duration = Duration::from_secs(30);

const SETTINGS: Settings = Settings { ca: "CA", identity: "IDENTITY" };

struct Scene {
    _folder: TempDir,
    made: Certificates,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Certificates::make(folder.path(), &[]).unwrap();
        Self { _folder: folder, made }
    }

    fn server(&self, pair: &CertifiedKey, ca: &Path, demands: bool) -> ServerSide {
        let file = |path: &Path| File::new("a test", path);
        let client_ca = demands.then(|| file(&self.made.ca));
        ServerFiles { cert: file(&pair.cert), key: file(&pair.key), ca: file(ca), client_ca }.load().unwrap()
    }

    /// Of the cluster, demanding certificates or not.
    fn coordinator(&self, demands: bool) -> ServerSide {
        self.server(&self.made.coordinator, &self.made.ca, demands)
    }

    fn client(&self, ca: &Path, pair: Option<&CertifiedKey>) -> Client {
        let file = |path: &Path| File::new("a test", path);
        let identity = pair.map(|pair| (file(&pair.cert), file(&pair.key)));
        ClientFiles { ca: Some(file(ca)), identity }.load().unwrap()
    }
}

/// Serves at this address as long as the test runs.
async fn serve(acceptor: Option<Acceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let Some(acceptor) = acceptor else {
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_routes(Routes::default()).serve_with_incoming(incoming));
        return address;
    };
    let (taken, incoming) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, taken) = (acceptor.clone(), taken.clone());
            tokio::spawn(async move {
                let mut first = [0];
                stream.peek(&mut first).await.unwrap();
                if let Ok(stream) = acceptor.accept(stream, first[0]).await {
                    // The test may be over.
                    let _ = taken.send(Ok::<_, std::io::Error>(stream)).await;
                }
            });
        }
    });
    tokio::spawn(Server::builder().add_routes(Routes::default()).serve_with_incoming(ReceiverStream::new(incoming)));
    address
}

/// How a call ends.
async fn call(address: SocketAddr, client: Option<&Client>) -> Status {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_timeout(LIMIT);
    let mut health = HealthClient::new(channel(endpoint, client));
    health.check(HealthCheckRequest::default()).await.unwrap_err()
}

async fn comes_through(address: SocketAddr, client: &Client) {
    let status = call(address, Some(client)).await;
    assert_eq!((status.code(), Verdict::of(&status)), (Code::Unimplemented, None), "{status:?}");
}

async fn verdict(address: SocketAddr, client: Option<&Client>) -> Verdict {
    let status = call(address, client).await;
    Verdict::of(&status).unwrap_or_else(|| panic!("no verdict on {status:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fits_comes_through() {
    let scene = Scene::new();
    let Certificates { ca, client, coordinator, .. } = &scene.made;
    let open = serve(Some(scene.coordinator(false).callers)).await;
    comes_through(open, &scene.client(ca, None)).await;
    comes_through(open, &scene.client(ca, Some(client))).await;
    let demanding = serve(Some(scene.coordinator(true).callers)).await;
    comes_through(demanding, &scene.client(ca, Some(client))).await;
    let side = scene.coordinator(true);
    let peers = serve(Some(side.peers)).await;
    comes_through(peers, &side.to_peers).await;
    comes_through(peers, &scene.client(ca, Some(coordinator))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_not_trusted_get_nothing() {
    let scene = Scene::new();
    let Certificates { ca, strangers_ca, stranger, misnamed, .. } = &scene.made;
    let ours = serve(Some(scene.coordinator(false).callers)).await;
    assert!(matches!(verdict(ours, Some(&scene.client(strangers_ca, None))).await, Verdict::ServerNotTrusted(_)));
    let strange = serve(Some(scene.server(stranger, strangers_ca, false).callers)).await;
    assert!(matches!(verdict(strange, Some(&scene.client(ca, None))).await, Verdict::ServerNotTrusted(_)));
    let other = serve(Some(scene.server(misnamed, ca, false).callers)).await;
    let verdict = verdict(other, Some(&scene.client(ca, None))).await;
    let said = verdict.explain(SETTINGS);
    assert!(said.starts_with("its certificate is for elsewhere.example, not for 127.0.0.1; "), "{said}");
}

/// Not once, but as often as it is tried: by TLS 1.3 a client that is turned away was connected before.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_turned_away_hear_why_each_time() {
    let scene = Scene::new();
    let Certificates { ca, stranger, expired, .. } = &scene.made;
    let address = serve(Some(scene.coordinator(true).callers)).await;
    for _ in 0..50 {
        assert_eq!(verdict(address, Some(&scene.client(ca, None))).await, Verdict::CertificateWanted);
    }
    let refused = |alert: &str| Verdict::CertificateRefused(alert.to_owned());
    assert_eq!(verdict(address, Some(&scene.client(ca, Some(stranger)))).await, refused("UnknownCA"));
    assert_eq!(verdict(address, Some(&scene.client(ca, Some(expired)))).await, refused("CertificateExpired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_client_does_not_open_the_door_for_peers() {
    let scene = Scene::new();
    let Certificates { ca, client, stranger, .. } = &scene.made;
    let address = serve(Some(scene.coordinator(false).peers)).await;
    assert_eq!(verdict(address, Some(&scene.client(ca, None))).await, Verdict::CertificateWanted);
    for pair in [client, stranger] {
        let verdict = verdict(address, Some(&scene.client(ca, Some(pair)))).await;
        assert!(matches!(verdict, Verdict::CertificateRefused(_)), "{pair:?}: {verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_side_alone_cannot_encrypt() {
    let scene = Scene::new();
    let plain = serve(None).await;
    assert_eq!(verdict(plain, Some(&scene.client(&scene.made.ca, None))).await, Verdict::ServerIsPlain);
    let secure = serve(Some(scene.coordinator(true).callers)).await;
    assert_eq!(verdict(secure, None).await, Verdict::ServerIsTls);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_no_matter_of_certificates() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let status = call(address, Some(&scene.client(&scene.made.ca, None))).await;
    assert_eq!(Verdict::of(&status), None, "{status:?}");
}

/// What is not HTTP/2 gets an end, not an answer.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_something_else_is_turned_away() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let scene = Scene::new();
    let address = serve(Some(scene.coordinator(false).callers)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.len() < 16, "an alert at most: {answer:?}");
}
