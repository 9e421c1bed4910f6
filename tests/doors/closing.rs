//! Opening and closing.

use super::*;

#[test]
fn closing_answers_what_is_in_hand() {
    let house = House::on("127.0.0.1:0");
    let address = house.address();
    let client = udp_client("127.0.0.1:0");
    let mut stream = connect(address);
    ask(&mut stream, 0);
    let all: Vec<u8> = (1..200).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..100 {
        client.send_to(&query(id), address).unwrap();
    }
    assert!(house.doors.close(), "in time");
    for id in 1..200 {
        assert_refused(&read_message(&mut stream), id);
    }
    assert!(is_closed(&mut stream));
    for _ in 0..100 {
        client.recv(&mut [0; 512]).unwrap();
    }
}

#[test]
fn what_was_closed_can_be_opened_again_at_once() {
    let first = House::on("127.0.0.1:0");
    let address = first.address();
    let mut stream = connect(address);
    ask(&mut stream, 1);
    assert!(first.doors.close());
    let second = House::on(&address.to_string());
    ask(&mut connect(second.address()), 2);
    ask_udp(&udp_client("127.0.0.1:0"), second.address(), 3);
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_closing_for_ever() {
    let mut config = config(&["127.0.0.1:0"]);
    config.stream.write = Duration::from_millis(100);
    let house = House::open(&config);
    let mut stuck = connect(house.address());
    let all: Vec<u8> = (0..20_000).flat_map(|id| framed(&query(id))).collect();
    stuck.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let _ = stuck.write_all(&all);
    assert!(house.doors.close());
}

#[test]
fn a_second_server_on_the_same_port_is_told_so() {
    let house = House::on("127.0.0.1:0");
    let error = House::try_open(&config(&[&house.address().to_string()])).err().unwrap();
    assert!(matches!(error, OpenError::Bind { address, .. } if address == house.address()), "{error}");
}

#[test]
fn when_one_door_can_not_open_none_does() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = {
        let probe = House::on("127.0.0.1:0");
        probe.address()
    };
    let both = config(&[&free.to_string(), &taken.local_addr().unwrap().to_string()]);
    assert!(House::try_open(&both).is_err());
    assert!(std::net::TcpListener::bind(free).is_ok());
}

#[test]
fn doors_that_could_not_all_be_staffed_give_everything_back() {
    let publisher = Publisher::new(RoutingTable::empty());
    let subscription = publisher.subscription();
    let all: Vec<_> = std::iter::from_fn(|| subscription.reader()).collect();
    let count = all.len();
    drop(all);
    let mut config = config(&["127.0.0.1:0"]);
    config.threads = NonZeroUsize::new(8);
    let taken: Vec<_> = (0..count - 8).map(|_| subscription.reader().unwrap()).collect();
    let error = Doors::open(&config, subscription.clone()).err().unwrap();
    assert!(matches!(error, OpenError::TooManyWorkers { .. }), "{error}");
    drop(taken);
    let all: Vec<_> = std::iter::from_fn(|| subscription.reader()).collect();
    assert_eq!(all.len(), count);
}

#[test]
fn doors_close_inside_a_runtime_as_well() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let house = House::on("127.0.0.1:0");
        assert!(house.doors.close());
        drop(House::on("127.0.0.1:0"));
    });
}

#[test]
fn threads_can_be_kept_on_their_processors() {
    let mut config = config(&["127.0.0.1:0"]);
    config.pin_threads = true;
    let house = House::open(&config);
    ask_udp(&udp_client("127.0.0.1:0"), house.address(), 1);
}
