//! Several endpoints in one answer: the systematic samples of a weighted ring, enumerated.
//!
//! For `max_answers: k` the members lie on a ring, each as long as its weight; `k` points at equal
//! distances, turned by a random angle, hit `k` members. Where a boundary between members is passed the
//! set changes, so there are no more different sets than members: each becomes one variant, as probable as
//! the arc on which it stands. A member that is at least as long as the distance between two points is hit
//! at every angle: it is in every set, once, and the others share the rest. Every member is in an answer
//! as often as its weight asks, up to "always".

use super::pick::Mode;
use super::pool::Draw;
use crate::model::EndpointIx;

/// The different answers of at most `k` endpoints, each with its weight.
pub(super) fn samples(draw: &Draw, k: usize) -> Vec<(Vec<EndpointIx>, u64)> {
    let members = &draw.members;
    if k <= 1 || members.len() == 1 {
        return members.iter().map(|&(endpoint, weight)| (vec![endpoint], weight)).collect();
    }
    if members.len() <= k {
        return vec![(members.iter().map(|(endpoint, _)| *endpoint).collect(), 1)];
    }
    match draw.mode {
        Mode::One | Mode::Random => systematic(members, k),
        Mode::Hash => successors(members, k),
    }
}

/// A sticky client gets the member that its hash chooses and those that follow it on the ring.
fn successors(members: &[(EndpointIx, u64)], k: usize) -> Vec<(Vec<EndpointIx>, u64)> {
    (0..members.len())
        .map(|first| ((0..k).map(|step| members[(first + step) % members.len()].0).collect(), members[first].1))
        .collect()
}

fn systematic(members: &[(EndpointIx, u64)], k: usize) -> Vec<(Vec<EndpointIx>, u64)> {
    let (always, rest, k) = split_certain(members, k);
    if k == 0 {
        return vec![(always, 1)];
    }
    // Lengths times k, so that the distance between points is a whole number: the sum of the weights.
    let distance: u64 = rest.iter().map(|(_, weight)| weight).sum();
    let mut ends = Vec::with_capacity(rest.len());
    let mut end = 0;
    for (_, weight) in &rest {
        end += weight * k as u64;
        ends.push(end);
    }
    let mut turns: Vec<u64> = ends.iter().map(|end| end % distance).collect();
    turns.push(0);
    turns.sort_unstable();
    turns.dedup();
    turns
        .iter()
        .enumerate()
        .map(|(at, &turn)| {
            let until = turns.get(at + 1).copied().unwrap_or(distance);
            let hit = (0..k as u64).map(|point| {
                let place = turn + point * distance;
                rest[ends.partition_point(|&end| end <= place)].0
            });
            (always.iter().copied().chain(hit).collect(), until - turn)
        })
        .collect()
}

/// Members that every sample holds; the others; and how many of those a sample holds.
fn split_certain(members: &[(EndpointIx, u64)], k: usize) -> (Vec<EndpointIx>, Vec<(EndpointIx, u64)>, usize) {
    let (mut always, mut rest, mut left) = (Vec::new(), members.to_vec(), k);
    loop {
        let sum: u64 = rest.iter().map(|(_, weight)| weight).sum();
        let certain = |weight: u64| left > 0 && weight * left as u64 >= sum;
        let Some(at) = rest.iter().position(|&(_, weight)| certain(weight)) else {
            return (always, rest, left);
        };
        always.push(rest.remove(at).0);
        left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(mode: Mode, weights: &[u64]) -> Draw {
        Draw {
            mode,
            members: weights.iter().enumerate().map(|(at, &w)| (EndpointIx::from_at(at), w)).collect(),
            is_substituted: false,
        }
    }

    #[test]
    fn one_answer_is_the_members_themselves() {
        let one = samples(&draw(Mode::Random, &[100, 50, 30]), 1);
        assert_eq!(one.len(), 3);
        assert_eq!(one[1], (vec![EndpointIx(1)], 50));
    }

    #[test]
    fn samples_hold_each_member_once_and_as_often_as_its_weight_asks() {
        for weights in [vec![5, 3, 2, 2, 1], vec![1; 7], vec![100, 1, 1, 1], vec![7, 7, 7, 1], vec![1000, 500, 3, 2, 1]]
        {
            for k in 2..=5 {
                let all = samples(&draw(Mode::Random, &weights), k);
                assert!(all.len() <= weights.len(), "bounded by the members");
                let total: u64 = all.iter().map(|(_, weight)| weight).sum();
                let mut hits = vec![0; weights.len()];
                for (set, weight) in &all {
                    assert_eq!(set.len(), k.min(weights.len()));
                    for endpoint in set {
                        hits[endpoint.at()] += weight;
                    }
                    let mut unique = set.clone();
                    unique.sort();
                    unique.dedup();
                    assert_eq!(unique.len(), set.len(), "at most once per member");
                }
                // Inclusion is proportional to weight among those that are not in every sample.
                let free: Vec<usize> = (0..weights.len()).filter(|&at| hits[at] < total).collect();
                for pair in free.windows(2) {
                    assert_eq!(hits[pair[0]] * weights[pair[1]], hits[pair[1]] * weights[pair[0]], "{weights:?} {k}");
                }
            }
        }
    }

    #[test]
    fn sticky_samples_follow_the_ring() {
        let ring = samples(&draw(Mode::Hash, &[4, 2, 1]), 2);
        assert_eq!(ring[2], (vec![EndpointIx(2), EndpointIx(0)], 1));
        assert_eq!(ring.len(), 3);
    }
}
