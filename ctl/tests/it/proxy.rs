//! `flmctl proxy` where no cluster is needed: what it says, what it refuses, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn flmctl(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flmctl"));
    command.args(words).env_remove("FLAME_ENDPOINT").env("HOME", "/nonexistent").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A proxy that dies with the test.
struct Serving(Child);

impl Serving {
    fn start(words: &[&str]) -> (Self, String) {
        let mut child = flmctl(words).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line)
    }

    fn end_by(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        let code = self.0.wait().unwrap().code();
        let mut said = String::new();
        self.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _its_end = self.0.wait();
    }
}

fn ends(words: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = flmctl(words).output().unwrap();
    assert!(stdout.is_empty(), "errors go to stderr");
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn listens_at(endpoint: &str) -> bool {
    TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).is_ok()
}

#[test]
fn it_says_where_it_listens_and_ends_well_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let (proxy, line) = Serving::start(&["proxy", "--endpoint", "127.0.0.1:1"]);
        let endpoint = line.strip_suffix('\n').unwrap();
        assert!(listens_at(endpoint), "{line}");
        let (code, said) = proxy.end_by(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("http://127.0.0.1:1"), "{said}");
        assert!(!listens_at(endpoint));
    }
}

#[test]
fn scripts_read_where_it_listens() {
    let (_proxy, line) = Serving::start(&["proxy", "-o", "json", "--endpoint", "127.0.0.1:1"]);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(listens_at(value["endpoint"].as_str().unwrap()), "{line}");
    let (_proxy, line) = Serving::start(&["proxy", "-o", "yaml", "--endpoint", "127.0.0.1:1"]);
    assert!(listens_at(line.trim().strip_prefix("endpoint: ").unwrap().trim_matches(['"', '\''])), "{line}");
}

#[test]
fn it_listens_on_this_machine_unless_told_otherwise() {
    let (code, said) = ends(&["proxy", "--listen", "0.0.0.0:0"]);
    assert!(code == Some(2) && said.contains("--insecure"), "{said}");
    let (proxy, line) = Serving::start(&["proxy", "--listen", "0.0.0.0:0", "--insecure", "--endpoint", "127.0.0.1:1"]);
    assert!(line.starts_with("http://0.0.0.0:"), "{line}");
    assert_eq!(proxy.end_by(Signal::TERM).0, Some(0));
}

#[test]
fn it_says_what_to_do_about_an_address_that_it_cannot_have() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = ends(&["proxy", "--listen", &address, "--endpoint", "127.0.0.1:1"]);
    assert!(code == Some(1) && said.contains(&address) && said.contains("--listen"), "{said}");
    for bad in ["nowhere", "127.0.0.1:x", ""] {
        let (code, said) = ends(&["proxy", "--listen", bad, "--endpoint", "127.0.0.1:1"]);
        assert!(code == Some(2) && said.contains("127.0.0.1:8080"), "{bad:?}: {said}");
    }
}

#[test]
fn it_does_not_serve_itself() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, said) = ends(&["proxy", "--listen", &free, "--endpoint", &free]);
    assert!(code == Some(2) && said.contains("--endpoint"), "{said}");
}
