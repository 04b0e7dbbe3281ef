//! Web servers: one GET, conditional where the server gave a strong entity tag, over at most a few redirections.
//!
//! A date of change is not asked by: it has whole seconds, and a package that is replaced twice within one would be taken
//! for the first.

use std::pin::Pin;

use ::http::header::{ACCEPT, ETAG, HOST, IF_NONE_MATCH, LOCATION, USER_AGENT};
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use flame_tls::ClientFiles;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{CONNECT_MAX, Fetched, Fingerprint, SILENT_MAX, Sink, Sources, within};
use crate::installer::url::Server;

/// Most redirections.
const REDIRECTIONS_MAX: usize = 5;

/// A connection, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Wire for T {}

pub(super) async fn fetch(
    sources: &Sources,
    server: &Server,
    path: &str,
    had: Option<&Fingerprint>,
    sink: &mut Sink<'_>,
) -> Result<Fetched, String> {
    let (mut server, mut path) = (server.clone(), path.to_owned());
    let tag = match had {
        Some(Fingerprint::Tag(tag)) => HeaderValue::from_str(tag).ok(),
        _ => None,
    };
    for _ in 0..=REDIRECTIONS_MAX {
        let (response, _connection) = get(&sources.web_tls, &server, &path, tag.as_ref()).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED if tag.is_some() => return Ok(Fetched::Same),
            StatusCode::OK => return take(response, sink).await,
            status if status.is_redirection() => {
                let location = text(response.headers(), &LOCATION).ok_or("it is elsewhere, and nobody says where")?;
                (server, path) = follow(&server, &path, &location)?;
            }
            status => return Err(format!("{} answered {status}", server.authority())),
        }
    }
    Err(format!("it was sent elsewhere more than {REDIRECTIONS_MAX} times"))
}

/// Ends the connection when it is dropped.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn get(
    tls: &ClientFiles,
    server: &Server,
    path: &str,
    tag: Option<&HeaderValue>,
) -> Result<(Response<Incoming>, Connection), String> {
    let wire = within(CONNECT_MAX, "a connection", connect(tls, server)).await??;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(|error| error.to_string())?;
    let connection = Connection(tokio::spawn(async move {
        // What is wrong with it shows in the response, or in its absence.
        let _ = connection.await;
    }));
    let usual_port = if server.tls { 443 } else { 80 };
    let authority = server.authority();
    let host =
        if server.port == usual_port { authority.trim_end_matches(&format!(":{usual_port}")) } else { &authority };
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("flame-worker/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*");
    if let Some(tag) = tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = within(SILENT_MAX, "an answer", sender.send_request(request)).await?;
    Ok((response.map_err(|error| error.to_string())?, connection))
}

async fn connect(tls: &ClientFiles, server: &Server) -> Result<Pin<Box<dyn Wire>>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", server.authority());
    if server.tls {
        let client = tls.load().map_err(|refusal| refusal.to_string())?;
        return Ok(Box::pin(client.open_http1(&server.host, server.port).await.map_err(failed)?));
    }
    Ok(Box::pin(TcpStream::connect((server.host.as_str(), server.port)).await.map_err(failed)?))
}

/// Writes the body of a response.
async fn take(response: Response<Incoming>, sink: &mut Sink<'_>) -> Result<Fetched, String> {
    let tag = text(response.headers(), &ETAG).filter(|tag| tag.starts_with('"'));
    let mut body = response.into_body();
    if let Some(bytes) = body.size_hint().exact() {
        sink.announce(bytes)?;
    }
    sink.begin().await?;
    while let Some(frame) = within(SILENT_MAX, "the rest of it", body.frame()).await? {
        if let Ok(chunk) = frame.map_err(|error| error.to_string())?.into_data() {
            sink.write(&chunk).await?;
        }
    }
    Ok(Fetched::New(tag.map_or(Fingerprint::Unknown, Fingerprint::Tag)))
}

/// Where a redirection leads.
fn follow(from: &Server, path: &str, location: &str) -> Result<(Server, String), String> {
    let wrong = || format!("it was sent to {location:?}, which is no place to fetch from");
    if let Some(path) = location.strip_prefix('/').filter(|rest| !rest.starts_with('/')) {
        return Ok((from.clone(), format!("/{path}")));
    }
    if !location.contains("://") && !location.starts_with('/') {
        let folder = path.split('?').next().unwrap_or_default().rsplit_once('/').map_or("", |(folder, _)| folder);
        return Ok((from.clone(), format!("{folder}/{location}")));
    }
    let uri: Uri = location.parse().map_err(|_| wrong())?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if from.tls => return Err(format!("it was sent from https to {location:?}, in plaintext")),
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let host = uri.host().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok((Server { tls, host, port }, path))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::installer::url::PackageUrl;

    /// A web server that gives these answers, one for each connection, and remembers what it was asked.
    async fn server(answers: Vec<String>) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asked_there = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in answers {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    stream.read_line(&mut request).await.unwrap();
                }
                asked_there.lock().unwrap().push(request);
                stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (port, asked)
    }

    fn ok(tag: &str, body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\n{tag}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    async fn fetch(port: u16, path: &str, had: Option<Fingerprint>) -> (Result<Fetched, String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("download");
        let sources = Sources { bytes_max: 100, ..Sources::default() };
        let url = PackageUrl::parse(&format!("http://127.0.0.1:{port}{path}")).unwrap();
        let fetched = sources.fetch(&url, had.as_ref(), &file).await.map_err(|error| error.to_string());
        (fetched, std::fs::read_to_string(file).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_strong_tag_is_asked_by() {
        let same = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned();
        let (port, asked) = server(vec![ok("ETag: \"v1\"\r\n", "one"), same]).await;
        let tag = Fingerprint::Tag("\"v1\"".to_owned());
        assert_eq!(fetch(port, "/p/a.zip?x=1", None).await, (Ok(Fetched::New(tag.clone())), "one".to_owned()));
        assert_eq!(fetch(port, "/p/a.zip?x=1", Some(tag)).await.0, Ok(Fetched::Same));
        let asked = asked.lock().unwrap().clone();
        assert!(asked[0].starts_with("GET /p/a.zip?x=1 HTTP/1.1\r\n") && !asked[0].contains("if-none-match"));
        assert!(asked[1].to_lowercase().contains("if-none-match: \"v1\"\r\n"), "{}", asked[1]);
        assert!(asked[1].to_lowercase().contains(&format!("host: 127.0.0.1:{port}\r\n")));
    }

    #[tokio::test]
    async fn a_weak_tag_and_none_say_nothing() {
        let (port, _) = server(vec![ok("ETag: W/\"v1\"\r\n", "one"), ok("", "two")]).await;
        assert_eq!(fetch(port, "/a.zip", None).await.0, Ok(Fetched::New(Fingerprint::Unknown)));
        let fetched = fetch(port, "/a.zip", Some(Fingerprint::Unknown)).await;
        assert_eq!(fetched, (Ok(Fetched::New(Fingerprint::Unknown)), "two".to_owned()));
    }

    #[tokio::test]
    async fn redirections_are_followed_to_an_end() {
        let to = |location: &str| {
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        };
        let (port, asked) = server(vec![to("b.zip"), to("/c/d.zip"), ok("", "there")]).await;
        assert_eq!(fetch(port, "/x/a.zip", None).await.1, "there");
        let asked: Vec<String> = asked.lock().unwrap().iter().map(|text| text[..14].to_owned()).collect();
        assert_eq!(asked[1..], ["GET /x/b.zip H", "GET /c/d.zip H"]);
        let (port, _) = server(vec![to("/a.zip"); REDIRECTIONS_MAX + 1]).await;
        assert!(fetch(port, "/a.zip", None).await.0.unwrap_err().contains("more than 5 times"));
    }

    #[tokio::test]
    async fn what_is_no_package_is_an_error() {
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhalf".to_owned();
        let long = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned() + &"x".repeat(101);
        let (port, _) = server(vec![missing, cut, ok("", &"x".repeat(101)), long]).await;
        for part in ["404 Not Found", "", "101 bytes, more than", "more than 100 bytes"] {
            let why = fetch(port, "/a.zip", None).await.0.unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn no_redirection_leads_into_plaintext() {
        let from = Server { tls: true, host: "h".into(), port: 443 };
        assert!(follow(&from, "/a", "http://h/b").unwrap_err().contains("in plaintext"));
        assert!(follow(&from, "/a", "ftp://h/b").unwrap_err().contains("no place"));
        let (server, path) = follow(&from, "/a", "https://[::1]:8/b?c").unwrap();
        assert_eq!((server.authority().as_str(), path.as_str()), ("[::1]:8", "/b?c"));
    }
}
