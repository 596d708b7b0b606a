//! Tells of the computer's addresses, now and whenever they change.

use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::addresses;
use crate::model::Event;

/// Between two looks where the system does not tell of changes; they shall be shown within 3 s. So it is on Windows
/// and macOS: what they tell without unsafe code here is of interfaces that come and go, not of every address. A look
/// takes about a millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(2_500);
/// Changes come in bursts: an interface that appears gets several addresses.
const SETTLE: Duration = Duration::from_millis(200);

/// Tells of the addresses for as long as somebody listens.
pub fn watch(events: Sender<Event>) {
    let mut told = None;
    let changes = changes();
    loop {
        let now = addresses::read();
        if told.as_ref() != Some(&now) {
            if events.send(Event::Addresses(now.clone())).is_err() {
                return;
            }
            told = Some(now);
        }
        match &changes {
            Some(changes) => {
                changes.wait();
                std::thread::sleep(SETTLE);
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// The system's news of addresses (rtnetlink): nothing wakes up while nothing changes.
#[cfg(target_os = "linux")]
struct Changes(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
fn changes() -> Option<Changes> {
    use rustix::net::{AddressFamily, SocketType, bind, netlink, socket};
    /// Groups of `linux/rtnetlink.h`: interfaces, IPv4 addresses, IPv6 addresses.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;
    // Protocol 0 of this family is NETLINK_ROUTE.
    let news = socket(AddressFamily::NETLINK, SocketType::RAW, None).ok()?;
    bind(&news, &netlink::SocketAddrNetlink::new(0, GROUPS)).ok()?;
    Some(Changes(news))
}

#[cfg(target_os = "linux")]
impl Changes {
    /// Waits for news; what they say is asked for anew.
    fn wait(&self) {
        let mut buffer = [0; 8 * 1024];
        // News that were too many (ENOBUFS) are news too.
        if rustix::net::recv(&self.0, &mut buffer, rustix::net::RecvFlags::empty()).is_err() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Changes;

#[cfg(not(target_os = "linux"))]
fn changes() -> Option<Changes> {
    None
}

#[cfg(not(target_os = "linux"))]
impl Changes {
    fn wait(&self) {}
}
