//! Probes a DNS server: it is up when it answers a question with the response code that is expected, and with the
//! record that is expected, if one is.
//!
//! The expected record is compared as data where its presentation form can be read (`192.0.2.1`, `10 mail.example.`,
//! names in any case, with or without the final dot), else as text without regard to case and space. It may stand
//! anywhere in the answer section under the type asked for, so an answer behind a CNAME counts.

use std::net::SocketAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};

use super::failure::{self, Failure};
use super::progress::Progress;
use super::question::{AskError, Question};
use super::{Asked, Context, connect};
use crate::model::{DnsProbe, Name, TargetSpec};

/// Asks the server at the target's address; for the service's name when the check names no other.
pub(super) async fn ask(spec: &TargetSpec, probe: &DnsProbe, context: &Context, progress: &Progress) -> Asked {
    let name = match &probe.name {
        Some(name) => name.clone(),
        None => Name::parse(&spec.service)
            .map_err(|cause| Failure::Blind(format!("cannot ask for {:?}: {cause}", spec.service)))?,
    };
    let question = Question::new(&name, probe.rtype);
    let question = &question;
    let reply = connect::on_one_of(&spec.host, context, progress, |address| async move {
        let server = SocketAddr::new(address, spec.port);
        progress.asks(server);
        let asked = if probe.tcp { question.ask_tcp(server).await } else { question.ask(server).await };
        asked.map_err(failed)
    });
    judge(probe, &reply.await?).map_err(Failure::Bad)
}

fn failed(error: AskError) -> Failure {
    match error {
        AskError::Io { server, cause } => failure::of_io(&cause, || failure::is_routed(server)),
        AskError::Malformed { .. } | AskError::Stranger { .. } | AskError::Flood { .. } => {
            Failure::Bad(error.to_string())
        }
    }
}

/// The answer for people to see, or what is wrong with it.
fn judge(probe: &DnsProbe, reply: &Message) -> Result<Option<String>, String> {
    let rcode = reply.metadata.response_code;
    if u16::from(rcode) != probe.rcode {
        return Err(format!("answered {}, not {}", shown(rcode.into()), shown(probe.rcode)));
    }
    let rtype = RecordType::from(probe.rtype);
    let answers = || reply.answers.iter().filter(|record| record.record_type() == rtype).map(|record| &record.data);
    match &probe.answer {
        Some(expected) => {
            let data = read(rtype, expected);
            if answers().any(|answer| data.as_ref() == Some(answer) || is_same_text(&answer.to_string(), expected)) {
                return Ok(Some(expected.clone()));
            }
            Err(match answers().next() {
                Some(first) => {
                    format!("answered {first}{}, not {expected}", if answers().count() > 1 { ", …" } else { "" })
                }
                None => format!("no {rtype} records in the answer; expected {expected}"),
            })
        }
        None => Ok(answers().next().map(ToString::to_string)),
    }
}

/// Data from presentation form, names absolute.
fn read(rtype: RecordType, text: &str) -> Option<RData> {
    let absolute = match rtype {
        // The types whose data ends with a name.
        RecordType::CNAME | RecordType::NS | RecordType::PTR | RecordType::ANAME | RecordType::MX | RecordType::SRV
            if !text.ends_with('.') =>
        {
            format!("{text}.")
        }
        _ => text.to_owned(),
    };
    RData::try_from_str(rtype, &absolute).ok()
}

fn is_same_text(a: &str, b: &str) -> bool {
    let mut words = [a.split_ascii_whitespace(), b.split_ascii_whitespace()];
    loop {
        match [words[0].next(), words[1].next()] {
            [None, None] => return true,
            [Some(a), Some(b)] if a.trim_matches('"').eq_ignore_ascii_case(b.trim_matches('"')) => {}
            _ => return false,
        }
    }
}

/// As dig writes it.
fn shown(rcode: u16) -> String {
    match rcode {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        other => format!("RCODE{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_data_is_compared_as_data_where_it_can_be_read() {
        for (rtype, written, other) in [
            (RecordType::AAAA, "2001:DB8:0::1", "2001:db8::1"),
            (RecordType::MX, "10 Mail.Example", "10 mail.example."),
            (RecordType::SRV, "1 2 443 a.example", "1 2 443 A.example."),
        ] {
            assert_eq!(read(rtype, written), read(rtype, other));
            assert!(read(rtype, written).is_some());
        }
        assert!(is_same_text("\"v=spf1 -all\"", "v=spf1  -ALL"));
        assert!(!is_same_text("a b", "a"));
    }
}
