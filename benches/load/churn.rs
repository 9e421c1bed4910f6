//! Requests to an HTTP API at a rate, over one connection that stays: what changes while the server answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::histogram::Histogram;

#[derive(Args)]
pub(crate) struct Churn {
    /// The API's address and port
    #[arg(long)]
    api: SocketAddr,
    /// Method and path, such as `PUT /api/services/a/weights`
    #[arg(long)]
    call: String,
    /// Bodies, sent by turns
    #[arg(long)]
    body: Vec<String>,
    /// Requests a second
    #[arg(long)]
    rate: f64,
    /// For so many seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

impl Churn {
    pub(crate) fn run(&self) -> io::Result<()> {
        let stream = TcpStream::connect(self.api)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
        let start = Instant::now();
        let span = crate::seconds(self.seconds)?;
        let (mut done, mut refused, mut at) = (0u64, 0u64, 0u32);
        let mut latencies = Histogram::new();
        let mut first_refusal = None;
        while start.elapsed() < span {
            let due = Duration::from_secs_f64(f64::from(at) / self.rate);
            thread::sleep(due.saturating_sub(start.elapsed()));
            let body = if self.body.is_empty() { "" } else { &self.body[at as usize % self.body.len()] };
            at += 1;
            let asked = Instant::now();
            let (status, answer) = self.exchange(&mut writer, &mut reader, body)?;
            latencies.add(asked.elapsed().as_nanos() as u64);
            if status / 100 == 2 {
                done += 1;
            } else {
                refused += 1;
                first_refusal.get_or_insert(answer);
            }
        }
        let elapsed_s = start.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({
                "done": done, "refused": refused, "a_second": done as f64 / elapsed_s,
                "p50_us": latencies.quantile_us(0.5), "p99_us": latencies.quantile_us(0.99),
                "max_us": latencies.quantile_us(1.0), "first_refusal": first_refusal,
            })
        );
        Ok(())
    }

    fn exchange(
        &self,
        writer: &mut TcpStream,
        reader: &mut BufReader<TcpStream>,
        body: &str,
    ) -> io::Result<(u16, String)> {
        let request = format!(
            "{} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.call,
            self.api,
            body.len()
        );
        writer.write_all(request.as_bytes())?;
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP response: {line:?}")))?;
        // Chunks are announced by a length line each; else the length of the whole.
        let (mut len, mut is_chunked) = (0, false);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                len = value.trim().parse().map_err(io::Error::other)?;
            }
            is_chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        }
        let mut answer = Vec::new();
        if is_chunked {
            loop {
                line.clear();
                reader.read_line(&mut line)?;
                let len = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                let mut chunk = vec![0; len + 2];
                reader.read_exact(&mut chunk)?;
                if len == 0 {
                    break;
                }
                answer.extend_from_slice(&chunk[..len]);
            }
        } else {
            answer.resize(len, 0);
            reader.read_exact(&mut answer)?;
        }
        Ok((status, String::from_utf8_lossy(&answer).into_owned()))
    }
}
