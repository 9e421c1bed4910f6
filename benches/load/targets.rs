//! What a prober looks at: one process that answers `GET` over HTTP on every address of loopback, always alike.
//!
//! It listens on the wildcard address, so each of 127.0.0.0/8 is a target of its own. It ends with its standard
//! input, or when it is told to.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

#[derive(Args)]
pub(crate) struct Targets {
    /// 0: any; it is printed
    #[arg(long, default_value_t = 0)]
    port: u16,
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"status\":\"UP\"}";

/// Of a request's head; what is longer is no probe.
const HEAD_LEN_MAX: usize = 2048;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

impl Targets {
    pub(crate) fn run(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.port))?;
            let listener = socket.listen(BACKLOG)?;
            println!("{}", listener.local_addr()?.port());
            io::stdout().flush()?;
            let ended = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
            let accepting = async {
                loop {
                    let (stream, _) = listener.accept().await?;
                    // One that fails is the prober's to notice.
                    tokio::spawn(async move { drop(answer(stream).await) });
                }
            };
            tokio::select! {
                ended = ended => ended?.map(drop),
                failed = accepting => failed,
            }
        })
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0; HEAD_LEN_MAX];
    let mut len = 0;
    while !head[..len].ends_with(b"\r\n\r\n") {
        match stream.read(&mut head[len..]).await? {
            0 => return Ok(()),
            read => len += read,
        }
    }
    stream.write_all(ANSWER).await?;
    // The prober closes first.
    stream.read(&mut head).await.map(drop)
}
