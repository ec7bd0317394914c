//! A connection of the broker whose acknowledgements wait for the intake while the next messages are read.
//!
//! ```text
//! device ─ PUBLISH 1, 2, 3 ─▶ engine ─ route ─▶ adapter ─▶ intake: 1, 2, 3 in one commit
//!                               │ PUBACK 1, 2, 3
//!                               ▼
//!                       held, in their order ── each taken ──▶ device
//! ```
//! The engine asks before it acknowledges a message, and reads no further until it is answered: one commit for each message of
//! a connection. So it is answered at once, and what it then writes is held here. Acknowledgements keep the order of their
//! messages (MQTT 4.6); everything else passes them by.

use mqtt5::MqttError;
use mqtt5::broker::transport::WebSocketTransport;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// First bytes of PUBACK and PUBREC.
const ACKNOWLEDGEMENTS: [u8; 2] = [0x40, 0x50];

/// Resolves when a message is taken; never when its sender is dropped, for then nobody took it.
type Taken = oneshot::Receiver<()>;

/// What the messages of one connection wait for.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    /// Asked for and not yet written by the engine, by packet identifier.
    asked: VecDeque<(u16, Taken)>,
    /// Acknowledgements that wait.
    held: usize,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the acknowledgement that the engine is about to write; gives the wait back when `most` are held already.
    pub(super) fn hold(&self, packet: u16, taken: Taken, most: usize) -> Result<(), Taken> {
        let mut waits = self.lock();
        if waits.asked.len() + waits.held >= most {
            return Err(taken);
        }
        waits.asked.push_back((packet, taken));
        Ok(())
    }

    fn take(&self, packet: u16) -> Option<Taken> {
        let mut waits = self.lock();
        let at = waits.asked.iter().position(|(asked, _)| *asked == packet)?;
        waits.asked.remove(at).map(|(_, taken)| taken)
    }
}

/// When an acknowledgement may go.
enum When {
    Now,
    Taken(Taken),
    Never,
}

/// A connection as the engine sees it.
pub(super) struct Holding<S> {
    stream: S,
    peer: SocketAddr,
    waits: Arc<Held>,
    held: VecDeque<(Vec<u8>, When)>,
    /// Whole packets on their way out; the engine flushes after each.
    out: Vec<u8>,
    sent: usize,
}

impl<S> Holding<S> {
    pub(super) fn new(stream: S, peer: SocketAddr, waits: Arc<Held>) -> Self {
        Self { stream, peer, waits, held: VecDeque::new(), out: Vec::new(), sent: 0 }
    }

    /// Lets go what is taken, and has this task woken when the next is.
    fn release(&mut self, cx: &mut Context<'_>) {
        let before = self.held.len();
        while let Some((_, when)) = self.held.front_mut() {
            if let When::Taken(taken) = when {
                *when = match Pin::new(taken).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => When::Now,
                    Poll::Ready(Err(_)) => When::Never,
                };
            }
            let Some((packet, When::Now)) = self.held.pop_front_if(|(_, when)| matches!(when, When::Now)) else {
                break;
            };
            self.out.extend_from_slice(&packet);
        }
        if self.held.len() != before {
            self.waits.lock().held = self.held.len();
        }
    }
}

impl<S: AsyncWrite + Unpin> Holding<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.out.clear();
        self.sent = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

/// The packet identifier, when these bytes are an acknowledgement.
fn acknowledges(packet: &[u8]) -> Option<u16> {
    match packet {
        [kind, length, high, low, ..] if ACKNOWLEDGEMENTS.contains(kind) && *length < 0x80 => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Holding<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.release(cx);
        if this.sent < this.out.len()
            && let Poll::Ready(Err(error)) = this.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Holding<S> {
    /// Takes whole packets: the engine writes one at a time.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match acknowledges(buf).map(|packet| this.waits.take(packet)) {
            Some(taken) if taken.is_some() || !this.held.is_empty() => {
                this.held.push_back((buf.to_vec(), taken.map_or(When::Now, When::Taken)));
                this.waits.lock().held = this.held.len();
                this.release(cx);
            }
            Some(_) | None => this.out.extend_from_slice(buf),
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// The one kind of transport that the engine takes from others.
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> WebSocketTransport for Holding<S> {
    fn peer_addr(&self) -> Result<SocketAddr, MqttError> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const PUBACK_1: &[u8] = &[0x40, 2, 0, 1];
    const PUBACK_2: &[u8] = &[0x40, 2, 0, 2];
    const PUBACK_3: &[u8] = &[0x40, 2, 0, 3];
    const PINGRESP: &[u8] = &[0xd0, 0];

    struct Connection {
        engine: Holding<DuplexStream>,
        device: DuplexStream,
        waits: Arc<Held>,
    }

    impl Connection {
        fn new() -> Self {
            let (device, stream) = tokio::io::duplex(64);
            let waits = Arc::new(Held::default());
            let peer = SocketAddr::from(([127, 0, 0, 1], 1));
            Self { engine: Holding::new(stream, peer, waits.clone()), device, waits }
        }

        fn ask(&self, packet: u16) -> oneshot::Sender<()> {
            let (sender, taken) = oneshot::channel();
            self.waits.hold(packet, taken, 10).expect("room");
            sender
        }

        async fn write(&mut self, packets: &[&[u8]]) {
            for packet in packets {
                self.engine.write_all(packet).await.expect("writes");
                self.engine.flush().await.expect("flushes");
            }
        }

        /// What the device has got by the time its own next byte is read.
        async fn got(&mut self) -> Vec<u8> {
            self.device.write_all(b"x").await.expect("writes");
            self.engine.read_u8().await.expect("reads");
            let mut got = [0; 64];
            let mut filled = ReadBuf::new(&mut got);
            let _ = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut self.device).poll_read(cx, &mut filled))).await;
            filled.filled().to_vec()
        }
    }

    #[tokio::test]
    async fn acknowledgements_wait_in_order_and_the_rest_passes() {
        let mut connection = Connection::new();
        let (first, second) = (connection.ask(1), connection.ask(2));
        connection.write(&[PUBACK_1, PUBACK_2, PUBACK_3, PINGRESP]).await;
        assert_eq!(connection.got().await, PINGRESP);
        second.send(()).expect("waits");
        assert_eq!(connection.got().await, b"", "the second is not told before the first");
        first.send(()).expect("waits");
        assert_eq!(connection.got().await, [PUBACK_1, PUBACK_2, PUBACK_3].concat());
        connection.write(&[PUBACK_3]).await;
        assert_eq!(connection.got().await, PUBACK_3, "nothing is held any more");
    }

    #[tokio::test]
    async fn who_reads_is_woken_by_what_is_taken() {
        let mut connection = Connection::new();
        let taken = connection.ask(1);
        connection.write(&[PUBACK_1]).await;
        let Connection { mut engine, mut device, .. } = connection;
        let reading = tokio::spawn(async move { engine.read_u8().await });
        taken.send(()).expect("waits");
        let mut got = [0; 4];
        device.read_exact(&mut got).await.expect("arrives without another byte from the device");
        assert_eq!(got, PUBACK_1);
        drop(device);
        assert!(reading.await.expect("ends").is_err());
    }

    #[tokio::test]
    async fn what_nobody_took_is_never_acknowledged() {
        let mut connection = Connection::new();
        let (lost, later) = (connection.ask(1), connection.ask(2));
        connection.write(&[PUBACK_1, PUBACK_2]).await;
        drop(lost);
        later.send(()).expect("waits");
        assert_eq!(connection.got().await, b"");
        assert_eq!(connection.got().await, b"");
    }

    #[tokio::test]
    async fn no_more_are_held_than_allowed() {
        let mut connection = Connection::new();
        let first = connection.ask(1);
        connection.write(&[PUBACK_1]).await;
        let (_sender, taken) = oneshot::channel();
        assert!(connection.waits.hold(2, taken, 1).is_err());
        first.send(()).expect("waits");
        assert_eq!(connection.got().await, PUBACK_1);
        let (_sender, taken) = oneshot::channel();
        assert!(connection.waits.hold(2, taken, 1).is_ok());
    }
}
