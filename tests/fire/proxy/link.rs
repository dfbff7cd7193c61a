//! One connection through the proxy: a thread for each direction, frame by frame.

use std::collections::HashMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::wire::{self, Request};
use super::{Deed, Shared, Told, Way};
use crate::time::nap;

/// What is to be done with the answer to a request.
#[derive(Debug)]
struct Expected {
    api: i16,
    version: i16,
    deed: Deed,
    tell: Sender<Told>,
}

#[derive(Debug)]
struct Link {
    shared: Arc<Shared>,
    number: u64,
    /// Known from the first request on.
    name: Mutex<String>,
    expected: Mutex<HashMap<i32, Expected>>,
    client: TcpStream,
    upstream: TcpStream,
}

/// Begins to pass on what comes.
pub(super) fn start(shared: &Arc<Shared>, client: TcpStream, upstream: TcpStream) {
    drop((client.set_nodelay(true), upstream.set_nodelay(true)));
    let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
    let link = Link { shared: Arc::clone(shared), number, name: Mutex::default(), expected: Mutex::default(), client, upstream };
    let link = Arc::new(link);
    let back = Arc::clone(&link);
    thread::spawn(move || {
        // However it ends, by an error of the connection too, the other direction ends with it.
        let late = link.requests().unwrap_or_default();
        if !late {
            drop(link.upstream.shutdown(Shutdown::Both));
            drop(link.client.shutdown(Shutdown::Both));
        }
        link.shared.state.lock().unwrap().open.remove(&link.number);
    });
    thread::spawn(move || {
        drop(back.answers());
        drop(back.client.shutdown(Shutdown::Both));
        drop(back.upstream.shutdown(Shutdown::Both));
    });
}

impl Link {
    /// From the client to the broker; whether the connection to the broker must outlive the client's.
    fn requests(&self) -> io::Result<bool> {
        let mut from = BufReader::new(&self.client);
        while let Some(frame) = wire::read_frame(&mut from)? {
            let Some(request) = Request::of(&frame) else { return Err(io::Error::other("no request")) };
            self.learn(&request.client)?;
            let order = self.matching(&request);
            self.pass(&request.client, |way| matches!(way, Way::Held | Way::RequestsHeld))?;
            let Some(order) = order else {
                (&self.upstream).write_all(&frame)?;
                continue;
            };
            let (deed, tell) = (order.deed, order.tell.clone());
            match deed {
                Deed::Refuse(code) => {
                    let answer = wire::refusal(&request, code).ok_or_else(|| io::Error::other("there is no such refusal"))?;
                    tell.send(Told::Met).unwrap_or_default();
                    (&self.client).write_all(&answer)?;
                }
                Deed::Late => {
                    self.expect(&request, deed, &tell);
                    self.client.shutdown(Shutdown::Both)?;
                    tell.send(Told::Met).unwrap_or_default();
                    self.wait_for_release(order.number);
                    (&self.upstream).write_all(&frame)?;
                    return Ok(true);
                }
                Deed::KeepAnswer | Deed::LoseAnswer | Deed::Falsify(_) => {
                    self.expect(&request, deed, &tell);
                    (&self.upstream).write_all(&frame)?;
                    tell.send(Told::Met).unwrap_or_default();
                }
            }
        }
        Ok(false)
    }

    fn expect(&self, request: &Request, deed: Deed, tell: &Sender<Told>) {
        let expected = Expected { api: request.api, version: request.version, deed, tell: tell.clone() };
        self.expected.lock().unwrap().insert(request.correlation, expected);
    }

    /// From the broker to the client.
    fn answers(&self) -> io::Result<()> {
        let mut from = BufReader::new(&self.upstream);
        while let Some(mut frame) = wire::read_frame(&mut from)? {
            let expected = wire::correlation_of(&frame).and_then(|number| self.expected.lock().unwrap().remove(&number));
            let Some(Expected { api, version, deed, tell }) = expected else {
                let name = self.name.lock().unwrap().clone();
                self.pass(&name, |way| matches!(way, Way::Held | Way::AnswersHeld))?;
                (&self.client).write_all(&frame)?;
                continue;
            };
            tell.send(Told::Answered(wire::error_of(&frame, api, version))).unwrap_or_default();
            match deed {
                Deed::KeepAnswer | Deed::Refuse(_) => {}
                Deed::LoseAnswer | Deed::Late => return Ok(()),
                Deed::Falsify(code) => {
                    if !wire::set_error(&mut frame, api, version, code) {
                        return Err(io::Error::other("the answer has no place for an error"));
                    }
                    (&self.client).write_all(&frame)?;
                }
            }
        }
        Ok(())
    }

    /// Who the client is; an error where it may not come in.
    fn learn(&self, client: &str) -> io::Result<()> {
        let mut state = self.shared.state.lock().unwrap();
        if state.ways.get(client).is_some_and(|(way, _)| *way == Way::Refused) {
            return Err(io::Error::other("refused"));
        }
        let mut name = self.name.lock().unwrap();
        if name.is_empty() {
            client.clone_into(&mut name);
            let streams = (client.to_owned(), self.client.try_clone()?, self.upstream.try_clone()?);
            state.open.insert(self.number, streams);
        }
        Ok(())
    }

    /// Counts a request, and takes the order that it meets.
    fn matching(&self, request: &Request) -> Option<super::Order> {
        let mut state = self.shared.state.lock().unwrap();
        *state.counts.entry((request.client.clone(), request.api)).or_default() += 1;
        let concerns = |order: &super::Order| order.client == request.client && order.api == request.api;
        let place = state.orders.iter().position(concerns)?;
        if state.orders[place].skip > 0 {
            state.orders[place].skip -= 1;
            return None;
        }
        Some(state.orders.remove(place))
    }

    /// Waits as long as the client's way is not free in this direction, and as long as each frame takes longer.
    fn pass(&self, client: &str, held: impl Fn(Way) -> bool) -> io::Result<()> {
        let mut state = self.shared.state.lock().unwrap();
        loop {
            if state.closing {
                return Err(io::Error::other("closing"));
            }
            let (way, delay) = state.ways.get(client).copied().unwrap_or_default();
            if !held(way) {
                drop(state);
                if delay > Duration::ZERO {
                    nap(delay);
                }
                return Ok(());
            }
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    fn wait_for_release(&self, number: u64) {
        let mut state = self.shared.state.lock().unwrap();
        while !state.closing && !state.released.contains(&number) {
            state = self.shared.changed.wait(state).unwrap();
        }
    }
}
