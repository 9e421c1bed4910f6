//! RFC 9460: type 65 for services that carry HTTPS parameters.

use super::common::Texts;
use super::common::message::*;

/// Priority, target and parameters of an HTTPS record.
fn parse(data: &[u8]) -> (u16, u8, Vec<(u16, Vec<u8>)>) {
    let (mut rest, mut parameters) = (&data[3..], Vec::new());
    while let [key_high, key_low, len_high, len_low, tail @ ..] = rest {
        let (value, tail) = tail.split_at(usize::from(u16::from_be_bytes([*len_high, *len_low])));
        parameters.push((u16::from_be_bytes([*key_high, *key_low]), value.to_vec()));
        rest = tail;
    }
    (u16::from_be_bytes([data[0], data[1]]), data[2], parameters)
}

#[test]
fn section_2_the_record_is_in_service_mode_with_parameters_in_order_and_hints_of_the_chosen_endpoint() {
    let table = Texts::policy(
        r"
gslb:
  domain: h.test
  https: { alpn: [h3, h2], port: 8443 }
  policies:
    default: { type: geolocation }
    beijing: { primary: a }
    shanghai: { primary: b }
  endpoints: { a: { ip: [192.0.2.1, 2001:db8::1] }, b: { ip: [192.0.2.2, 192.0.2.3] } }
",
    )
    .table();
    for (client, v4, v6) in [("10.1.0.1", 1, 1), ("10.2.0.1", 2, 0)] {
        let reply = Question::new("h.test", HTTPS).ecs(client).ask(&table);
        let [record] = reply.answers.as_slice() else { panic!("{reply:#?}") };
        assert_eq!((record.rtype, record.ttl, reply.scope()), (HTTPS, 15, Some(16)));
        let (priority, target, parameters) = parse(&record.data);
        assert_eq!((priority, target), (1, 0), "section 2.4.3: `.` is the owner itself");
        assert!(parameters.windows(2).all(|pair| pair[0].0 < pair[1].0), "section 2.2: ascending keys");
        let of = |key: u16| parameters.iter().find(|(found, _)| *found == key).map(|(_, value)| value.clone());
        assert_eq!(of(1).unwrap(), b"\x02h3\x02h2", "section 7.1");
        assert_eq!(of(3).unwrap(), 8443_u16.to_be_bytes(), "section 7.2");
        assert_eq!(of(4).unwrap().len(), 4 * v4, "section 7.3");
        assert_eq!(of(6).map_or(0, |hints| hints.len()), 16 * v6, "section 7.3: no empty hint");
        // The hints are what A and AAAA say.
        let a = Question::new("h.test", A).ecs(client).ask(&table);
        let octets: Vec<u8> = a.answers.iter().flat_map(|record| record.data.clone()).collect();
        assert_eq!(of(4).unwrap(), octets);
    }
}

#[test]
fn without_parameters_there_is_no_such_record() {
    let reply = Question::new("geo.example.com", HTTPS).ecs("10.1.0.1").ask(&super::table());
    reply.assert_no_data();
    assert_eq!(reply.scope(), Some(0));
}
