//! What operators say of networks: nested CIDR blocks, flattened into segments.

use ipnet::IpNet;

use super::atlas::{fill, normalised};
use super::segments::{Bits, Segments};
use crate::model::{Network, Place};

/// Segments of both families and the places that they number; place 0 is unknown.
pub(super) struct Networks {
    pub(super) v4: Segments<u32>,
    pub(super) v6: Segments<u128>,
    pub(super) places: Vec<Place>,
}

/// Of the networks that hold an address, the most specific that states a field gives it; of equal
/// networks the first written.
pub(super) fn flatten(networks: &[Network]) -> Networks {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (at, network) in networks.iter().enumerate() {
        match network.net {
            IpNet::V4(net) => v4.push((net.network().to_bits(), net.prefix_len(), at)),
            IpNet::V6(net) => v6.push((net.network().to_bits(), net.prefix_len(), at)),
        }
    }
    let mut places = vec![Place::default()];
    let v4 = sweep(v4, networks, &mut places);
    let v6 = sweep(v6, networks, &mut places);
    Networks { v4, v6, places }
}

/// Blocks (first address, prefix length, index into `networks`) of one family.
fn sweep<B: Bits>(mut blocks: Vec<(B, u8, usize)>, networks: &[Network], places: &mut Vec<Place>) -> Segments<B> {
    // Outer before inner; of equal ones the first written comes last and so lies inside.
    blocks.sort_unstable_by_key(|&(first, len, at)| (first, len, std::cmp::Reverse(at)));
    let mut out = Segments::uniform(0);
    // Blocks that are open, each with its last address and the number of its place.
    let mut open: Vec<(B, u32)> = Vec::new();
    for (first, len, at) in blocks {
        close(&mut out, &mut open, Some(first));
        let mut place = normalised(networks[at].place.clone());
        if let Some(&(_, outer)) = open.last() {
            fill(&mut place, &places[outer as usize]);
        }
        let number = u32::try_from(places.len()).expect("limits bound networks");
        places.push(place);
        out.set_from(first, number);
        open.push((first.block_end(len), number));
    }
    close(&mut out, &mut open, None);
    out
}

/// Closes the blocks that end before `next` (`None`: all of them).
fn close<B: Bits>(out: &mut Segments<B>, open: &mut Vec<(B, u32)>, next: Option<B>) {
    while let Some(&(last, _)) = open.last() {
        if next.is_some_and(|next| next <= last) {
            return;
        }
        open.pop();
        if let Some(after) = last.next() {
            out.set_from(after, open.last().map_or(0, |&(_, outer)| outer));
        }
    }
}
