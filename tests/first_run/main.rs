//! A first run, as a newcomer does it: the built program, on copies of `zones/` and `geoip/`, over real
//! sockets on loopback.
//!
//! - `answers`: what is promised of the reference deployment and of the examples.
//! - `explain`: what `explain` and policy tests say of aliases, chance and assumptions.
//! - `greeting`: the commands that the program prints give what it promises, with the real `dig`.
//! - `orders`: an order is in force in the next process, too.
//! - `signals`: reload and stop.
//! - `torn`: ten orders a second, and no answer is of two tables.
//! - `refusals`: what keeps a start from happening, and what does not.

mod answers;
mod explain;
mod greeting;
#[path = "../common/http.rs"]
mod http;
#[path = "../common/node.rs"]
mod node;
mod orders;
mod refusals;
mod signals;
mod torn;
