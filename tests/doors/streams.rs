//! TCP (RFC 7766).

use std::net::Shutdown;

use meridian::serve::StreamBounds;

use super::*;

fn bounded(stream: StreamBounds) -> House {
    let mut config = config(&["127.0.0.1:0"]);
    config.stream = stream;
    House::open(&config)
}

#[test]
fn one_query_gets_one_reply_on_both_families() {
    let house = House::open(&config(&["127.0.0.1:0", "[::1]:0"]));
    for &address in &house.doors.local_addresses().plain {
        let mut stream = connect(address);
        ask(&mut stream, 1);
        ask(&mut stream, 2);
    }
    assert_eq!(house.doors.counters().connections.accepted, 2);
}

#[test]
fn pipelined_queries_are_answered_in_order() {
    let house = House::on("127.0.0.1:0");
    let mut stream = connect(house.address());
    let all: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..1000 {
        assert_refused(&read_message(&mut stream), id);
    }
}

#[test]
fn a_client_that_writes_one_octet_at_a_time_is_answered() {
    let house = House::on("127.0.0.1:0");
    let mut stream = connect(house.address());
    for id in 0..3 {
        for octet in framed(&query(id)) {
            stream.write_all(&[octet]).unwrap();
        }
        assert_refused(&read_message(&mut stream), id);
    }
}

#[test]
fn a_client_that_closes_its_half_still_gets_its_answers() {
    let house = House::on("127.0.0.1:0");
    let mut stream = connect(house.address());
    let mut all: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    all.extend([0, 40, 1, 2, 3]);
    stream.write_all(&all).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for id in 0..100 {
        assert_refused(&read_message(&mut stream), id);
    }
    assert!(is_closed(&mut stream), "half a message is no question");
}

#[test]
fn a_message_that_is_no_query_is_passed_over() {
    let house = House::on("127.0.0.1:0");
    let mut stream = connect(house.address());
    let mut response = query(1);
    response[2] |= 0x80;
    stream.write_all(&framed(&response)).unwrap();
    ask(&mut stream, 2);
}

#[test]
fn a_length_that_no_message_has_ends_the_connection_after_the_answers_so_far() {
    for len in [0u16, 1, 11] {
        let house = House::on("127.0.0.1:0");
        let mut stream = connect(house.address());
        let mut all = framed(&query(1));
        all.extend(len.to_be_bytes());
        all.extend(framed(&query(2)));
        stream.write_all(&all).unwrap();
        assert_refused(&read_message(&mut stream), 1);
        assert!(is_closed(&mut stream));
    }
}

#[test]
fn an_idle_connection_is_closed_and_so_is_one_that_never_finishes_a_query() {
    let house = bounded(StreamBounds { idle: Duration::from_millis(50), ..StreamBounds::default() });
    let mut silent = connect(house.address());
    let mut dribbling = connect(house.address());
    dribbling.write_all(&framed(&query(1))[..9]).unwrap();
    assert!(is_closed(&mut silent));
    assert!(is_closed(&mut dribbling));
}

#[test]
fn octets_that_complete_no_query_do_not_keep_a_connection_open() {
    let house = bounded(StreamBounds { idle: Duration::from_millis(200), ..StreamBounds::default() });
    let mut stream = connect(house.address());
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.write_all(&[0xff, 0xff]).unwrap();
    let start = std::time::Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "the connection is held by single octets");
        let written = stream.write_all(&[0]);
        match stream.read(&mut [0; 1]) {
            Ok(count) => break assert_eq!(count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock && written.is_ok() => {}
            Err(_) => break,
        }
    }
}

/// Writes queries until the server has stopped reading; says how many went out whole, and what of the next
/// one is left to be written.
fn write_until_stuck(stream: &mut TcpStream) -> (u32, Vec<u8>) {
    // Long enough that a server that still reads would be seen to.
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut whole = 0u32;
    loop {
        #[allow(clippy::cast_possible_truncation, reason = "ids wrap")]
        let message = framed(&query(whole as u16));
        let mut rest = &message[..];
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return (whole, rest.to_vec());
                }
            }
        }
        whole += 1;
    }
}

#[test]
fn a_client_that_never_reads_is_not_read_from_and_holds_up_nobody() {
    let patient = StreamBounds { write: PATIENCE, ..StreamBounds::default() };
    let house = bounded(patient);
    let mut stuck = connect(house.address());
    let (whole, rest) = write_until_stuck(&mut stuck);
    ask(&mut connect(house.address()), 1);
    ask_udp(&udp_client("127.0.0.1:0"), house.address(), 1);
    // The kernel holds some queries, and the server answers no more than it may keep.
    let answered = house.doors.counters().tcp.answered - 1;
    assert!(answered < u64::from(whole), "{answered} of {whole} were answered");
    // Once it reads, everything comes, in order and without a gap.
    for id in 0..whole {
        #[allow(clippy::cast_possible_truncation, reason = "ids wrap")]
        assert_refused(&read_message(&mut stuck), id as u16);
    }
    stuck.write_all(&rest).unwrap();
    #[allow(clippy::cast_possible_truncation, reason = "ids wrap")]
    assert_refused(&read_message(&mut stuck), whole as u16);
}

#[test]
fn a_client_that_does_not_take_its_answers_in_time_is_closed() {
    let house = bounded(StreamBounds { write: Duration::from_millis(100), ..StreamBounds::default() });
    let mut stuck = connect(house.address());
    stuck.set_write_timeout(Some(PATIENCE)).unwrap();
    let all: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id))).collect();
    let start = std::time::Instant::now();
    while stuck.write_all(&all).is_ok() {
        assert!(start.elapsed() < PATIENCE, "the server goes on for a client that does not read");
    }
    while house.doors.counters().connections.open > 0 {
        assert!(start.elapsed() < PATIENCE, "the place is not free again");
        std::thread::yield_now();
    }
}

#[test]
fn connections_over_the_bound_are_closed_at_once_and_the_others_go_on() {
    let house = bounded(StreamBounds { connections_per_client_max: 2, ..StreamBounds::default() });
    let mut first = connect(house.address());
    let mut second = connect(house.address());
    ask(&mut first, 1);
    ask(&mut second, 2);
    let mut third = connect(house.address());
    assert!(is_closed(&mut third));
    ask(&mut first, 3);
    assert_eq!(house.doors.counters().connections.refused, 1);
    drop(second);
    while house.doors.counters().connections.open > 1 {
        std::thread::yield_now();
    }
    ask(&mut connect(house.address()), 4);
}

#[test]
fn the_longest_message_is_read_whole() {
    let house = House::on("127.0.0.1:0");
    let mut stream = connect(house.address());
    // A response, so that it is passed over, whatever its contents.
    let mut long = vec![0; 65_535];
    long[2] = 0x80;
    stream.write_all(&framed(&long)).unwrap();
    ask(&mut stream, 1);
    assert_eq!(house.doors.counters().tcp.received, 2);
}
