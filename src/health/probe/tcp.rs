//! TCP: a connection stands, and the peer says what it should.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failure::Failure;
use super::progress::Progress;
use super::{Asked, Context, body, connect, stream, tls, words};
use crate::limits::PROBE_EXPECT_LEN_MAX;
use crate::model::{TargetSpec, TcpProbe};

/// Connects; sends and expects what the check says.
pub(super) async fn ask(spec: &TargetSpec, probe: &TcpProbe, context: &Context, progress: &Progress) -> Asked {
    let mut tcp = connect::connect(&spec.host, spec.port, context, progress).await?;
    let failed = |error| tls::of_io(&error, progress);
    if let Some(sent) = &probe.send {
        tcp.write_all(sent).await.map_err(failed)?;
        progress.has_sent();
    }
    let Some(expected) = probe.expect.as_deref().filter(|expected| !expected.is_empty()) else {
        stream::farewell(&mut tcp).await;
        return Ok(None);
    };
    let mut said = Vec::with_capacity(256);
    let expected_words = || words::quoted(&String::from_utf8_lossy(expected));
    loop {
        let before = said.len();
        let room = PROBE_EXPECT_LEN_MAX - before;
        let read = (&mut tcp).take(room as u64).read_buf(&mut said).await.map_err(failed)?;
        progress.has_octets(said.len());
        // What is new, and as much before it as may be the beginning of what is looked for.
        if body::contains(&said[before.saturating_sub(expected.len() - 1)..], expected) {
            stream::farewell(&mut tcp).await;
            return Ok(None);
        }
        if read == 0 {
            let begins = match said.is_empty() {
                true => "connection closed before it said anything".to_owned(),
                false => format!("it said {}", words::quoted(&String::from_utf8_lossy(&said))),
            };
            let bound = if room == 0 { " and more" } else { "" };
            return Err(Failure::Bad(format!("{begins}{bound}, expected {}", expected_words())));
        }
    }
}
