//! A proxy before the brokers: it knows who sends what, and delays, holds, cuts, drops or falsifies it when it is told to.
//!
//! Clients are known by the name that they give in each request; what is ordered concerns one of them. A cut holds what is on its way, as a network
//! does: what was sent is delivered late, once the way is free again.

mod link;
mod wire;

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) use wire::api;

/// How a client reaches the brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// As usual.
    #[default]
    Free,
    /// Connections are closed, new ones too.
    Refused,
    /// Nothing passes in either direction; connections stay.
    Held,
    /// Requests do not arrive.
    RequestsHeld,
    /// Answers do not arrive.
    AnswersHeld,
}

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The broker gets it, nobody gets the answer, the connection stays.
    KeepAnswer,
    /// The broker gets it; when it has answered, the client's connection is closed.
    LoseAnswer,
    /// The client's connection is closed at once; the broker gets the request when [`Order::release`] is called.
    Late,
    /// The broker does not get it; the client is told this code.
    Refuse(i16),
    /// The broker gets it; the client is told this code instead of what the broker said.
    Falsify(i16),
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The request is here (and, where the deed says so, went on to the broker).
    Met,
    /// The broker has answered, with this code where it could be read.
    Answered(Option<i16>),
}

/// Something that is to happen to one request of a client.
#[derive(Debug)]
pub(crate) struct Order {
    client: String,
    api: i16,
    deed: Deed,
    /// So many of its kind pass before.
    skip: u64,
    tell: Sender<Told>,
    number: u64,
}

#[derive(Debug, Default)]
struct State {
    ways: HashMap<String, (Way, Duration)>,
    orders: Vec<Order>,
    /// Late requests that may go on now.
    released: Vec<u64>,
    /// How many requests of each kind a client sent.
    counts: HashMap<(String, i16), u64>,
    /// The connections of each client, to be closed.
    open: HashMap<u64, (String, TcpStream, TcpStream)>,
    ports: Vec<u16>,
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    numbers: AtomicU64,
}

/// The proxy; its connections end with it.
#[derive(Debug, Default)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens for a broker's port; the port to go to instead.
    pub(crate) fn before(&self, broker: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        self.shared.state.lock().unwrap().ports.push(port);
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.state.lock().unwrap().closing {
                    return;
                }
                // A broker that is down refuses: the client sees its connection closed.
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                link::start(&shared, client, upstream);
            }
        });
        port
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.shared.state.lock().unwrap().ports.clone()
    }

    /// How a client reaches the brokers from now on.
    pub(crate) fn set_way(&self, client: &str, way: Way) {
        let mut state = self.shared.state.lock().unwrap();
        state.ways.entry(client.to_owned()).or_default().0 = way;
        if way == Way::Refused {
            close(&mut state, client);
        }
        self.shared.changed.notify_all();
    }

    /// Each frame of a client, in both directions, takes so much longer.
    pub(crate) fn set_delay(&self, client: &str, delay: Duration) {
        self.shared.state.lock().unwrap().ways.entry(client.to_owned()).or_default().1 = delay;
    }

    /// Orders a deed for a request of a kind that a client will send, after `skip` others; its number, for [`Self::release`].
    pub(crate) fn order(&self, client: &str, api: i16, skip: u64, deed: Deed, tell: Sender<Told>) -> u64 {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        self.shared.state.lock().unwrap().orders.push(Order { client: client.to_owned(), api, deed, skip, tell, number });
        number
    }

    /// Takes back what was ordered for a client and did not happen.
    pub(crate) fn forget(&self, client: &str) {
        self.shared.state.lock().unwrap().orders.retain(|order| order.client != client);
    }

    /// Lets a late request go on.
    pub(crate) fn release(&self, number: u64) {
        self.shared.state.lock().unwrap().released.push(number);
        self.shared.changed.notify_all();
    }

    /// How many requests of a kind a client has sent.
    pub(crate) fn count(&self, client: &str, api: i16) -> u64 {
        self.shared.state.lock().unwrap().counts.get(&(client.to_owned(), api)).copied().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap();
        state.closing = true;
        for (_, client, upstream) in state.open.values() {
            drop((client.shutdown(std::net::Shutdown::Both), upstream.shutdown(std::net::Shutdown::Both)));
        }
        let ports = state.ports.clone();
        drop(state);
        self.shared.changed.notify_all();
        // The threads that accept look up when somebody comes.
        for port in ports {
            drop(TcpStream::connect(("127.0.0.1", port)));
        }
    }
}

fn close(state: &mut State, wanted: &str) {
    for (_, client, upstream) in state.open.values().filter(|(name, ..)| name == wanted) {
        drop((client.shutdown(std::net::Shutdown::Both), upstream.shutdown(std::net::Shutdown::Both)));
    }
}
