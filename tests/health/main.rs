//! Health for real: the built program, with real servers to watch, over real sockets.
//!
//! - `demo`: what a newcomer does with the stand-ins.
//! - `farm`: three data centres of nginx with TLS, on loopback; the unchanged reference policy watches them.
//! - `deaths`: each way in which a data centre dies, and what DNS answers then.
//! - `failover`: the whole flow, by the reference automation and by the script of `deploy/examples`.
//! - `observe`: another observer looks at the same servers, and tells the node.
//! - `recipe`: down only if probe and request rate say so.
//! - `restart`: what a node knows when it comes back.
//! - `black_hole`: packets to a data centre vanish, in network namespaces of the test's own.
//!
//! How soon a fall is noticed is shown over every phase on virtual time, elsewhere; here it is shown once to be so,
//! with limits that are those of the promise.

#[path = "../common/node.rs"]
mod node;

mod black_hole;
mod deaths;
mod demo;
mod failover;
mod farm;
mod observe;
mod recipe;
mod restart;
