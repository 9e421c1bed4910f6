//! Prometheus: what it knows is evidence, and that it does not know is none.

use super::*;
use crate::model::{Comparison, Number, PrometheusProbe, Relation};

fn lag(url: String) -> Probe {
    let up_when = Comparison { is: Relation::AtMost, to: Number::new(2.0).unwrap() };
    Probe::Prometheus(PrometheusProbe { url, query: "unused".into(), up_when, verify: Verify::System })
}

async fn asked(url: String) -> Outcome {
    // The target itself is nowhere: it is not asked.
    let mut spec = target(lag(url), "127.0.0.1:1".parse().unwrap(), AMPLE);
    spec.query = "lag{dc=\"a b\"}".into();
    probe(&spec, &context()).await
}

fn vector(values: &[&str]) -> String {
    let series: Vec<String> =
        values.iter().map(|value| format!(r#"{{"metric":{{}},"value":[1,"{value}"]}}"#)).collect();
    let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(","));
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn every_value_of_an_answer_must_compare() {
    let at = says(vector(&["1.5"])).await;
    assert_eq!(good(asked(format!("http://{at}")).await).note.as_deref(), Some("value 1.5"));
    let at = says(vector(&["1.5", "0", "3.25"])).await;
    match asked(format!("http://{at}/")).await {
        Outcome::Bad { why, found } => {
            assert_eq!(why, "a value is 3.25, expected <= 2");
            assert_eq!(found.note.as_deref(), Some("3 values, from 0 to 3.25"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_query_is_sent_whole() {
    let (paths, mut path) = tokio::sync::mpsc::channel(1);
    let at = serve(move |mut stream| {
        let paths = paths.clone();
        async move {
            let asked = head(&mut stream).await;
            let _ = paths.send(asked).await;
            let _ = stream.write_all(vector(&["1"]).as_bytes()).await;
        }
    })
    .await;
    good(asked(format!("http://{at}/prefix/")).await);
    let asked = path.recv().await.unwrap();
    let expected = format!(
        "GET /prefix/api/v1/query?query=lag%7Bdc%3D%22a%20b%22%7D HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n"
    );
    assert!(asked.starts_with(&expected), "{asked}");
}

#[tokio::test]
async fn a_witness_that_does_not_know_is_evidence_of_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(blind(asked(format!("http://{nobody}")).await), "connection refused");
    let silent = serve(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let why = blind(ask_briefly(lag(format!("http://{silent}")), silent).await);
    assert_eq!(why, "no answer within 200 ms (connected, request sent)");
    let body = r#"{"status":"error","error":"bad data"}"#;
    let at = says(format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(blind(asked(format!("http://{at}")).await), "Prometheus: status 400: bad data");
    let at = says(vector(&[])).await;
    assert_eq!(blind(asked(format!("http://{at}")).await), "Prometheus: the query has no result");
    let at = says("HTTP/1.1 200 OK\r\n\r\nhello").await;
    assert!(blind(asked(format!("http://{at}")).await).starts_with("Prometheus: the answer is not JSON"));
    let at = says("garbage\r\n\r\n").await;
    blind(asked(format!("http://{at}")).await);
    assert_eq!(blind(asked("http://prometheus.example".into()).await), "the resolver does not answer");
    blind(asked("/nowhere".into()).await);
}
