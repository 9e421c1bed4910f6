//! One HTTP call, by a few lines of its own: what a call costs is the server's, and a broken connection is an error
//! that the test sees.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Calls; an error when the whole reply does not come.
pub(crate) fn call(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let text = body.map(Value::to_string).unwrap_or_default();
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{more}\r\n",
        text.len()
    );
    stream.write_all(format!("{head}{text}").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(cut)?;
    let body = serde_json::from_str(body).map_err(|_| cut())?;
    Ok(Reply { status, body })
}

/// The same, of a server that must answer.
#[track_caller]
pub(crate) fn must(server: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Reply {
    call(server, method, path, &[], body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}
