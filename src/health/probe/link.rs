//! Is this node's own link up?
//!
//! The kernel knows, and says so under `/sys/class/net`: one directory an interface, with its flags and its
//! operational state (RFC 2863). The link is up when any interface other than loopback that somebody has switched
//! on is operational, or does not say (tunnels and virtual machines often do not). A node that has none such lives
//! on loopback alone, and loopback is always up; so is a node whose kernel does not tell.
//!
//! Deliberately absent: routes and neighbours. That the cable is in proves little, but that it is out explains
//! everything.

use std::fs;
use std::io;
use std::path::Path;

use crate::limits::LINKS_MAX;

/// Where Linux lists network interfaces.
pub const INTERFACES: &str = "/sys/class/net";

/// `IFF_UP`: administratively up (`linux/if.h`).
const IFF_UP: u32 = 0x1;

/// `IFF_LOOPBACK`.
const IFF_LOOPBACK: u32 = 0x8;

/// True when this node's link is up, as `directory` (mostly [`INTERFACES`]) says. Reads a few small files that
/// the kernel makes up; no disk is waited for.
pub fn is_up(directory: &Path) -> bool {
    let Ok(interfaces) = fs::read_dir(directory) else { return true };
    let mut switched_on = false;
    for interface in interfaces.take(LINKS_MAX).flatten() {
        match state(&interface.path()) {
            Ok(Some(true)) => return true,
            Ok(Some(false)) => switched_on = true,
            // Loopback, switched off, or gone while we were looking.
            Ok(None) | Err(_) => {}
        }
    }
    !switched_on
}

/// Whether an interface is operational; `None` when it does not count.
fn state(interface: &Path) -> io::Result<Option<bool>> {
    let flags = fs::read_to_string(interface.join("flags"))?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).map_err(io::Error::other)?;
    if flags & IFF_UP == 0 || flags & IFF_LOOPBACK != 0 {
        return Ok(None);
    }
    let operational = fs::read_to_string(interface.join("operstate"))?;
    Ok(Some(matches!(operational.trim(), "up" | "unknown")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(interfaces: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, flags, operational) in interfaces {
            let at = dir.path().join(name);
            fs::create_dir(&at).unwrap();
            fs::write(at.join("flags"), format!("{flags}\n")).unwrap();
            fs::write(at.join("operstate"), format!("{operational}\n")).unwrap();
        }
        dir
    }

    #[test]
    fn the_link_is_up_while_one_interface_that_is_switched_on_works() {
        let lo = ("lo", "0x9", "unknown");
        for (interfaces, expected) in [
            (vec![lo, ("eth0", "0x1003", "up")], true),
            (vec![lo, ("eth0", "0x1003", "down")], false),
            (vec![lo, ("eth0", "0x1003", "lowerlayerdown"), ("eth1", "0x1003", "dormant")], false),
            (vec![lo, ("eth0", "0x1003", "down"), ("tun0", "0x1091", "unknown")], true),
            (vec![lo, ("eth0", "0x1003", "down"), ("eth1", "0x1002", "up")], false),
        ] {
            assert_eq!(is_up(tree(&interfaces).path()), expected, "{interfaces:?}");
        }
    }

    #[test]
    fn a_machine_with_nothing_but_loopback_is_not_cut_off() {
        assert!(is_up(tree(&[("lo", "0x9", "unknown")]).path()));
        assert!(is_up(tree(&[("lo", "0x9", "unknown"), ("ifb0", "0x82", "down")]).path()), "nobody switched it on");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_no_evidence() {
        assert!(is_up(Path::new("/nonexistent")));
        let dir = tree(&[("eth0", "what", "down")]);
        assert!(is_up(dir.path()));
        fs::create_dir(dir.path().join("gone")).unwrap();
        assert!(is_up(dir.path()));
    }
}
