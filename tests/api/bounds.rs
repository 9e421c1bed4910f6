//! What a client can not take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use meridian::limits::{API_CONNECTIONS_PER_CLIENT_MAX, API_HEADER_LEN_MAX};

use super::house::House;

/// Reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(house: &House) -> TcpStream {
    let stream = TcpStream::connect(house.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes until the server closes.
fn rest(mut stream: &TcpStream) -> String {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn one_client_has_so_many_connections_and_another_still_finds_a_place() {
    let house = House::open();
    let held: Vec<TcpStream> = (0..API_CONNECTIONS_PER_CLIENT_MAX)
        .map(|_| {
            let mut stream = connect(&house);
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            stream
        })
        .collect();
    assert_eq!(rest(&connect(&house)), "", "closed at once");
    drop(held);
}

#[test]
fn a_body_that_does_not_arrive_is_cut_off() {
    let house = House::open();
    let mut stream = connect(&house);
    let head = "POST /api/reload HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let answer = rest(&stream);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("/problems/request-timeout"), "{answer}");
}

#[test]
fn a_header_that_does_not_end_is_cut_off() {
    let house = House::open();
    let mut slow = connect(&house);
    slow.write_all(b"GET /livez HTTP/1.1\r\nX: ").unwrap();
    let mut endless = connect(&house);
    let line = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(2 * API_HEADER_LEN_MAX));
    let _ = endless.write_all(line.as_bytes());
    let answer = rest(&endless);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = rest(&slow);
    assert!(!answer.contains("200"), "{answer}");
}

#[test]
fn a_control_that_does_not_answer_costs_the_request_five_seconds_and_no_more() {
    let house = House::with(|plan, _| plan.is_stuck = true);
    let hanging = house.send("POST", "/api/reload", &[], None);
    assert_eq!(hanging.problem(), (503, "timeout".to_owned()));
}

#[test]
fn stopping_waits_for_the_request_in_hand_and_takes_no_new_one() {
    let mut house = House::open();
    house.end_control();
    let idle = connect(&house);
    let mut busy = connect(&house);
    busy.write_all(
        b"POST /api/reload HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n",
    )
    .unwrap();
    // It is in hand once another request on a connection that came later is answered.
    assert_eq!(house.get("/livez").status, 200);
    let address = house.address;
    let finish = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        busy.write_all(b"{}").unwrap();
        rest(&busy)
    });
    assert!(house.close());
    assert!(finish.join().unwrap().starts_with("HTTP/1.1 503"), "control is gone, and it says so");
    assert_eq!(rest(&idle), "");
    assert!(TcpStream::connect(address).is_err());
}
