//! A device's end of MQTT 3.1.1, no more of it than benches need: ten thousand of them must cost little beside the product.

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Who connects.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Client identifier.
    pub client: String,
    /// Account and password; none for an open broker.
    pub account: Option<(String, String)>,
    /// What the broker says when the connection breaks: a retained topic and its text.
    pub will: Option<(String, String)>,
}

/// What comes in.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message is acknowledged.
    Ack(u16),
    /// A message.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
        /// Its number when it wants an acknowledgement.
        number: Option<u16>,
    },
    /// Anything else.
    Other,
}

/// Says hello and waits for the answer.
pub async fn connect(broker: SocketAddr, hello: &Hello) -> Result<(Ears, Mouth)> {
    let stream = TcpStream::connect(broker).await?;
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let (mut ears, mut mouth) = (Ears { read, bytes: Vec::new() }, Mouth(write));
    mouth.0.write_all(&hello.bytes()).await?;
    let (kind, body) = ears.packet().await?;
    match (kind >> 4, body.get(1)) {
        (2, Some(0)) => Ok((ears, mouth)),
        (2, Some(code)) => bail!("the broker refuses {}: code {code}", hello.client),
        _ => bail!("the broker answers {} with something else", hello.client),
    }
}

/// The half that hears.
pub struct Ears {
    read: OwnedReadHalf,
    bytes: Vec<u8>,
}

/// The half that speaks.
pub struct Mouth(OwnedWriteHalf);

impl Ears {
    /// The next packet. Safe to drop while it waits.
    pub async fn next(&mut self) -> Result<Incoming> {
        let (kind, body) = self.packet().await?;
        Ok(match kind >> 4 {
            3 => message(kind, &body).context("a publication is cut off")?,
            4 => Incoming::Ack(number(&body).context("an acknowledgement is cut off")?),
            _ => Incoming::Other,
        })
    }

    async fn packet(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((head, length)) = frame(&self.bytes)
                && self.bytes.len() >= head + length
            {
                let kind = self.bytes[0];
                let body = self.bytes[head..head + length].to_vec();
                self.bytes.drain(..head + length);
                // Ten thousand of them wait most of the time: an empty buffer is given back.
                if self.bytes.is_empty() && self.bytes.capacity() > 4096 {
                    self.bytes = Vec::new();
                }
                return Ok((kind, body));
            }
            if self.read.read_buf(&mut self.bytes).await? == 0 {
                bail!("the broker closed the connection");
            }
        }
    }
}

impl Mouth {
    /// Publishes at QoS 1 under this number, or at QoS 0 without one.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], retain: bool, number: Option<u16>) -> Result<()> {
        Ok(self.0.write_all(&publication(topic, payload, retain, number)).await?)
    }

    /// Subscribes at QoS 1.
    pub async fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut body = vec![0, 1];
        text(&mut body, filter);
        body.push(1);
        Ok(self.0.write_all(&packet(0x82, &body)).await?)
    }

    /// Acknowledges a message.
    pub async fn ack(&mut self, number: u16) -> Result<()> {
        Ok(self.0.write_all(&packet(0x40, &number.to_be_bytes())).await?)
    }
}

impl Hello {
    fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        let will = if self.will.is_some() { 0b0010_1100 } else { 0 };
        let account = if self.account.is_some() { 0b1100_0000 } else { 0 };
        // Version 4, a clean session, no keep-alive: nothing is said but what the bench says.
        body.extend([4, 0b0000_0010 | will | account, 0, 0]);
        text(&mut body, &self.client);
        if let Some((topic, payload)) = &self.will {
            text(&mut body, topic);
            text(&mut body, payload);
        }
        if let Some((name, password)) = &self.account {
            text(&mut body, name);
            text(&mut body, password);
        }
        packet(0x10, &body)
    }
}

fn publication(topic: &str, payload: &[u8], retain: bool, number: Option<u16>) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    text(&mut body, topic);
    body.extend(number.into_iter().flat_map(u16::to_be_bytes));
    body.extend_from_slice(payload);
    packet(0x30 | u8::from(number.is_some()) << 1 | u8::from(retain), &body)
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut left = body.len();
    loop {
        let digit = (left % 128) as u8;
        left /= 128;
        bytes.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    body.extend(length.to_be_bytes());
    body.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

/// Lengths of a packet's head and body, once the head is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (nth, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Some((nth + 2, length));
        }
    }
    None
}

fn number(body: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(body.get(..2)?.try_into().ok()?))
}

fn message(kind: u8, body: &[u8]) -> Option<Incoming> {
    let length = usize::from(number(body)?);
    let topic = std::str::from_utf8(body.get(2..2 + length)?).ok()?.to_owned();
    let rest = body.get(2 + length..)?;
    let (number, payload) = match kind & 0b0110 {
        0 => (None, rest),
        _ => (number(rest), rest.get(2..)?),
    };
    Some(Incoming::Message { topic, payload: payload.to_vec(), number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_reads_as_it_was_written() {
        let payload = vec![b'x'; 300];
        let bytes = publication("gh/a/state", &payload, true, Some(7));
        let (head, length) = frame(&bytes).unwrap();
        assert_eq!((bytes[0], head, head + length), (0x33, 3, bytes.len()));
        let read = message(bytes[0], &bytes[head..]).unwrap();
        assert_eq!(read, Incoming::Message { topic: "gh/a/state".into(), payload, number: Some(7) });
    }

    #[test]
    fn a_head_that_is_not_whole_waits() {
        assert_eq!(frame(&[0x30]), None);
        assert_eq!(frame(&[0x30, 0x80]), None);
        assert_eq!(frame(&[0x40, 2]), Some((2, 2)));
    }
}
